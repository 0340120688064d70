"""The shipped inference and a training step on every device there is, against the plain network on the processor."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from scripts.common.resampling import WorkingGrid
from scripts.inference.precision import AutocastInferer
from scripts.inference.tile_inferer import TileInferer
from scripts.inference.tiles import Tiles
from scripts.inference.working_grid import WorkingGridInferer
from scripts.networks.fpn import FPN
from scripts.networks.slim_fcn import SlimFCN
from scripts.training.losses import OHEMLoss, ProximityLoss

DEVICES = [name for name in ("cpu", "cuda", "mps") if name == "cpu" or getattr(torch, name).is_available()]
SIZE = {"encoder": "residual", "pyramid_channels": 32, "segmentation_channels": 32, "detail_channels": 4}


def network_of(name):
    torch.manual_seed(0)
    network = FPN(**SIZE, out_channels=2, align_corners=False) if name == "fpn" else SlimFCN(widths=(4, 8, 16, 32, 16))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network


def image_and_breast():
    image = torch.rand(1, 1, 150, 130, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    breast = torch.zeros(1, 1, 150, 130, dtype=torch.bool)
    breast[..., 20:120, :90] = True
    return image * breast, breast


TILES = {"fpn": Tiles(96, 32, crop=False), "slim_fcn": Tiles(80, 22, align_px=1)}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-3), ("bfloat16", 0.03)])
@pytest.mark.parametrize("name", TILES)
def test_inference_is_that_of_the_plain_network_on_the_processor(name, precision, tolerance, device):
    network, (image, breast) = network_of(name).eval(), image_and_breast()
    plain = TileInferer(replace(TILES[name], crop=False), "float32", fuse=False)(image, network, breast=breast)
    inferer = WorkingGridInferer(TileInferer(TILES[name], precision), WorkingGrid())
    moved = copy.deepcopy(network).to(device)
    found = inferer(image.to(device), moved, breast=breast.to(device))
    assert found.device.type == device and found.dtype == torch.float32
    difference = (found.cpu().sigmoid() - plain.sigmoid()).abs()[breast.expand_as(found)]
    assert difference.max() <= tolerance and plain[breast.expand_as(plain)].std() > 0
    assert (found.cpu()[~breast.expand_as(found)] == -20).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", TILES)
def test_a_training_step_changes_the_weights_as_on_the_processor(name, device):
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    label = torch.zeros(2, 1, 64, 64)
    label[:, :, 20:24, 30:34] = 1
    states = {}
    for place in ("cpu", device):
        network = network_of(name).to(place).train()
        for module in network.modules():
            if isinstance(module, nn.Dropout2d):
                module.p = 0.0
        loss, maps = (ProximityLoss(), 2) if name == "fpn" else (OHEMLoss(), 1)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        found = AutocastInferer("float32")(image.to(place), network)
        loss(found, label.expand(-1, maps, -1, -1).to(place)).backward()
        optimizer.step()
        states[place] = {key: value.cpu() for key, value in network.state_dict().items()}
    before = network_of(name).state_dict()
    for key, value in states["cpu"].items():
        torch.testing.assert_close(states[device][key], value, rtol=1e-2, atol=1e-4)
    assert any(not torch.equal(before[key], value) for key, value in states["cpu"].items() if key.endswith("weight"))
