"""The shipped weights through MONAI's own door, `monai.bundle.load`."""

import json
import sys

import monai.bundle
import pytest
import torch
from monai.bundle import ConfigParser

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


def test_from_another_folder_it_says_what_it_needs_and_then_works(root, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    given = {"name": root.name, "bundle_dir": root.parent, "source": "github", "repo": "unused/unused/unused"}
    with pytest.raises(SystemExit):
        monai.bundle.load(**given, workflow_type="inference")
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: bundle_root: has no folder scripts; want") and "args_file" in told
    (tmp_path / "args.json").write_text(json.dumps({"bundle_root": str(root)}))
    network = monai.bundle.load(**given, workflow_type="inference", args_file=str(tmp_path / "args.json"))
    assert isinstance(network, FPN)


@pytest.mark.parametrize(
    ("given", "found"),
    [({"dataset_dir": "a"}, "a"), ({"input_dir": "b"}, "b"), ({"dataset_dir": "a", "input_dir": "b"}, "b")],
)
def test_inference_reads_dataset_dir_as_the_zoos_users_give_it(root, tmp_path, monkeypatch, given, found):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").touch()
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "inference.json"))
    parser.update(given)
    assert [item["image_id"] for item in parser.get_parsed_content("datalist")] == [found]
