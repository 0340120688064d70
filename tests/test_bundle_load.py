"""The shipped weights through MONAI's own door, `monai.bundle.load`."""

import monai.bundle
import pytest
import torch

from scripts.networks.fpn import FPN
from scripts.networks.slim_fcn import SlimFCN


@pytest.mark.parametrize(
    ("file", "given", "kind"), [("model.pt", None, FPN), ("slim_fcn.pt", SlimFCN, SlimFCN)], ids=["hdogreg", "slim_fcn"]
)
def test_bundle_load_gives_the_network_with_the_shipped_weights(root, monkeypatch, file, given, kind):
    monkeypatch.chdir(root)
    network = monai.bundle.load(
        name=root.name,
        bundle_dir=root.parent,
        model_file=f"models/{file}",
        model=given and given(),
        source="github",
        repo="unused/unused/unused",  # nothing is downloaded: the file is there
    )
    assert isinstance(network, kind)
    shipped = torch.load(root / "models" / file, weights_only=True)
    state = network.state_dict()
    assert state.keys() == shipped.keys()
    assert all(torch.equal(state[key].cpu(), shipped[key]) for key in shipped)
