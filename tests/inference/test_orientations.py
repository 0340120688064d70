"""Mean logits of mirrored tiles."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scripts.inference.tile_inferer import ORIENTATIONS, TileInferer, mean_of_orientations
from scripts.inference.tiles import Tiles
from scripts.networks.fpn import FPN


class Lopsided(nn.Module):
    """Each logit is the mean of the pixel, two of the one to its right and three of the one below."""

    def forward(self, x):
        kernel = torch.tensor([[0, 0, 0], [0, 1, 2], [0, 3, 0]], dtype=x.dtype)[None, None] / 6
        return F.conv2d(F.pad(x, [1, 1, 1, 1], mode="replicate"), kernel)


def test_orientations_average_what_the_network_says_of_the_mirrored_images():
    images = torch.rand(2, 1, 141, 118, generator=torch.Generator().manual_seed(0))
    network = Lopsided()
    axes = ((), (2, 3), (2,), (3,))
    with torch.no_grad():
        wanted = [network(images.flip(one)).flip(one) if one else network(images) for one in axes]
    for orientations in (1, 2, 4):
        inferer = TileInferer(Tiles(512, breast_only=False, crop=False), "float32", orientations=orientations)
        torch.testing.assert_close(inferer(images, network), torch.stack(wanted[:orientations]).mean(0))
    assert not torch.allclose(wanted[0], wanted[1], atol=1e-3)
    with pytest.raises(ValueError, match="orientations: got 3; want one of 1, 2, 4"):
        TileInferer(Tiles(), orientations=3)


def test_orientations_of_a_part_are_those_of_the_whole():
    torch.manual_seed(0)
    network = FPN("residual", out_channels=1, pyramid_channels=8, segmentation_channels=32, detail_channels=4).eval()
    image, part = torch.rand(1, 1, 256, 192), (slice(128, 256), slice(0, 128))
    with torch.no_grad():
        whole = mean_of_orientations(lambda x, *_: network(x), image, part, ORIENTATIONS[4])
        found = mean_of_orientations(network.part, image, part, ORIENTATIONS[4])
    torch.testing.assert_close(found, whole[:, :, part[0], part[1]], atol=1e-5, rtol=1e-5)
