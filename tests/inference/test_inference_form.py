"""OpenVINO's form against PyTorch's, alone, in the inferer and with the shipped weights."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from scripts.common.objects import label_objects
from scripts.inference import openvino_network
from scripts.inference.inference_form import InferenceForm
from scripts.inference.openvino_network import OpenVINONetwork
from scripts.inference.precision import autocast_dtype
from scripts.inference.tile_inferer import TileInferer
from scripts.networks.deeplab_v3 import DeepLabV3
from scripts.networks.fpn import FPN
from scripts.networks.slim_fcn import SlimFCN
from scripts.simulation.insertion.rendering import insert_mcs
from scripts.simulation.insertion.sampling import InsertionSettings, sample_mcs
from scripts.simulation.insertion.shapes import shape_bank

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
SMALL = {"pyramid_channels": 32, "segmentation_channels": 32}
NETWORKS = {
    "fpn": lambda: FPN("residual", out_channels=2, detail_channels=8, align_corners=False, **SMALL),
    "paper's fpn": lambda: FPN("inception_v4", align_corners=True, **SMALL),
    "fpn_lite0": lambda: FPN("efficientnet-lite0", out_channels=2, detail_channels=8, align_corners=False, **SMALL),
    "slim_fcn": lambda: SlimFCN(widths=(4, 8, 8, 8, 8)),
    "deeplab_v3": DeepLabV3,
}


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_pytorchs_at_every_size(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    compiled = OpenVINONetwork(network)
    for shape in ((1, 1, 96, 160), (2, 1, 75, 131), (1, 1, 40, 33)):
        with torch.no_grad():
            wanted = network(images(*shape))
        found = compiled(images(*shape))
        assert found.shape == wanted.shape and found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()) + 1e-5)


def test_results_are_not_overwritten_by_the_next_call():
    compiled = OpenVINONetwork(SlimFCN(widths=(4, 8, 8, 8, 8)).eval())
    first = compiled(images(1, 1, 40, 40))
    kept = first.clone()
    compiled(images(1, 1, 40, 40, seed=1))
    assert torch.equal(first, kept)


def test_the_compiled_form_is_a_copy():
    network = SlimFCN(widths=(4, 8, 8, 8, 8)).train()
    compiled = OpenVINONetwork(network)
    assert network.training
    first = compiled(images(1, 1, 40, 40))
    for parameter in network.parameters():
        parameter.data.add_(1)
    assert torch.equal(compiled(images(1, 1, 40, 40)), first)


def test_a_form_belongs_to_one_network():
    form, first = InferenceForm(fuse=True), SlimFCN(widths=(4, 8, 8, 8, 8))
    made, _ = form.of(first, CPU)
    second = copy.copy(first)  # shares every weight
    assert form.of(first, CPU)[0] is made and form.of(second, CPU)[0] is not made


def test_the_inferer_follows_the_weights():
    torch.manual_seed(0)
    network, options = NETWORKS["fpn"]().eval(), {"tile_px": 128, "margin_px": 32, "breast_only": False}
    inferer, plain = TileInferer(**options, backend="openvino", mirrors=2), TileInferer(**options, mirrors=2)
    image = images(1, 1, 200, 170)
    torch.testing.assert_close(inferer(image, network), plain(image, network), rtol=1e-4, atol=1e-4)
    made = inferer.form._made
    inferer(image, network)
    assert inferer.form._made is made  # compiled once
    network.load_state_dict(NETWORKS["fpn"]().state_dict())
    torch.testing.assert_close(inferer(image, network), plain(image, network), rtol=1e-4, atol=1e-4)
    assert inferer.form._made is not made


def test_the_shipped_weights_give_the_same_map():
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / "inference.json")
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(ROOT / "models" / "model.pt", weights_only=True))
    rng = np.random.default_rng(0)
    background = np.clip(0.4 + cv2.GaussianBlur(rng.normal(0, 0.02, (256, 320)), (0, 0), 1.0), 0, 1).astype(np.float32)
    bank, settings = shape_bank(2), InsertionSettings()
    mcs = sample_mcs(rng, np.ones(background.shape, bool), 0.07, 2, 3, bank, settings)
    image = torch.from_numpy(insert_mcs(background, mcs, bank, 0.5, settings).image)[None, None]
    with torch.no_grad():
        wanted = torch.sigmoid(network(image))
    assert (wanted[0, 1] > 0.5).sum() >= 50  # it finds them
    found = torch.sigmoid(OpenVINONetwork(network)(image))
    assert (found - wanted).abs().max() <= 1e-3
    if autocast_dtype("auto", CPU) is torch.bfloat16:
        half = torch.sigmoid(OpenVINONetwork(network, torch.bfloat16)(image))
        objects = [label_objects(maps[0, 1].numpy() > 0.5) for maps in (half, wanted)]
        both = (objects[0][0] > 0) & (objects[1][0] > 0)
        shared = [len(np.unique(labels[both])) for labels, _ in objects]
        assert sum(shared) >= 0.98 * sum(count for _, count in objects)


def test_what_cannot_be_had_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"backend: got openvino on cuda; wanted torch there, or device cpu"):
        InferenceForm(backend="openvino").of(SlimFCN(), torch.device("cuda"))
    monkeypatch.setattr(openvino_network, "has_openvino", lambda: False)
    with pytest.raises(ImportError, match="found no package openvino"):
        InferenceForm(backend="openvino").of(SlimFCN(), CPU)
