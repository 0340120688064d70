from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from scripts.inference.tile_inferer import TileInferer
from scripts.inference.tiles import Tiles
from scripts.networks.slim_fcn import SlimFCN
from scripts.networks.slim_fcn_fused import EmbeddedConvs, embed_kernels, fuse


def trained_like(**arguments):
    """A slim FCN whose BatchNorm statistics and scales are those of no fresh network."""
    torch.manual_seed(0)
    network = SlimFCN(**arguments).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.2, 2.0)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    network.pred.weight.data *= 50  # logits that spread over some units
    return network


@pytest.fixture(scope="module")
def network():
    return trained_like()


@pytest.fixture
def images():
    return torch.rand(2, 1, 61, 90, generator=torch.Generator().manual_seed(1))


def test_smaller_kernel_stands_in_the_middle_of_the_larger():
    small, large = torch.ones(1, 1, 1, 1), torch.full((2, 1, 3, 3), 7.0)
    embedded = embed_kernels([small, large])
    np.testing.assert_array_equal(embedded[0, 0], [[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(embedded[1:], large)


@pytest.mark.parametrize("fourier", [False, True, None])
def test_float32_logits_are_the_same(network, images, fourier):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        wanted, found = network(images), fuse(network, fourier=fourier)(images)
    assert wanted.std() > 0.5
    assert found.dtype == torch.float32 and found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-4
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


@pytest.mark.parametrize("fourier", [False, True])
def test_bfloat16_probabilities_are_close(network, images, fourier):
    with torch.no_grad():
        wanted, found = network(images), fuse(network, torch.bfloat16, fourier)(images)
    assert 0 < (found.sigmoid() - wanted.sigmoid()).abs().max() <= 0.03


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (24, 24), (70, 33)])
def test_any_size_and_several_channels(size):
    network = trained_like(in_channels=2, out_channels=3, widths=(4, 8, 8, 32, 12))
    images = torch.rand(1, 2, *size)
    with torch.no_grad():
        torch.testing.assert_close(fuse(network)(images), network(images), rtol=0, atol=1e-4)


def test_two_kernels_equal_four(network):
    block, image = network.block3, torch.rand(1, 20, 31, 16)
    convs = [block.conv3, block.conv5, block.conv7, block.conv9]
    bias = torch.cat([conv.bias for conv in convs])
    layer = EmbeddedConvs([conv.weight for conv in convs], bias, (2, 2), torch.float32)
    assert [conv.kernel_size[0] for conv in layer.convs] == [5, 9]
    with torch.no_grad():
        wanted = torch.cat([conv(image.permute(0, 3, 1, 2)) for conv in convs], dim=1).permute(0, 2, 3, 1)
        torch.testing.assert_close(layer(image, lambda x: x), wanted, rtol=0, atol=1e-5)


# ------------------------------------------------------------------ in the inferer


def test_inferer_runs_the_fused_form_and_follows_the_weights(images):
    network, tiles = trained_like(), Tiles(80, 22, align_px=1, breast_only=False)
    inferer, plain = (TileInferer(tiles, "float32", fuse) for fuse in (True, False))
    first = inferer(images, network)
    assert (first - plain(images, network)).abs().max() <= 1e-4
    form = inferer.form.of(network, images.device)[0]
    inferer(images, network)
    assert inferer.form.of(network, images.device)[0] is form  # made once
    network.load_state_dict(SlimFCN().state_dict())
    second = inferer(images, network)
    assert (second - plain(images, network)).abs().max() <= 1e-4
    assert (second - first).abs().max() > 1e-2


def test_cropped_tiles_compute_less_and_give_the_same():
    network, seen = trained_like(widths=(4, 8, 8, 8, 8)), []
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0].numel()))
    rows, cols = np.mgrid[:200, :160]
    inside = np.hypot(rows - 100, cols) < 80
    image = torch.from_numpy(np.where(inside, 0.5 + 0.1 * np.sin(rows + cols**1.5), 0)).float()[None, None]
    tiles = Tiles(100, 22, align_px=1, crop=False)
    wanted = TileInferer(tiles, "float32", fuse=False)(image, network)
    plain = sum(seen)
    seen.clear()
    found = TileInferer(replace(tiles, crop=True), "float32", fuse=False)(image, network)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert sum(seen) < 0.8 * plain


def test_given_breast_mask_is_used(images):
    breast = torch.zeros(2, 1, 61, 90, dtype=torch.bool)
    breast[0, 0, 10:20, 30:50] = True
    inferer = TileInferer(Tiles(80, 22, align_px=1), outside_logit=-9.0)
    logits = inferer(images, SlimFCN(widths=(4, 4, 4, 4, 4)).eval(), breast=breast)
    assert torch.equal(logits != -9.0, breast)
    with pytest.raises(ValueError, match="breast: got shape"):
        inferer(images, SlimFCN(), breast=breast[:1])
