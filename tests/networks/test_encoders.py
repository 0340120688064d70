"""The small residual encoder: sizes, counts, and that the FPN takes it."""

import pytest
import torch

from scripts.networks.encoders import ENCODERS, ResidualBlock, ResidualEncoder, make_encoder


def test_features_have_their_strides_and_channels():
    encoder = ResidualEncoder().eval()
    features = encoder(torch.rand(2, 1, 64, 96))
    assert [tuple(f.shape) for f in features] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.out_channels, (4, 8, 16, 32), strict=True)
    ]


def test_parameters_are_counted_by_hand():
    def block(inputs, outputs, shortcut):
        return 9 * inputs * outputs + 9 * outputs**2 + 4 * outputs + (inputs * outputs + 2 * outputs if shortcut else 0)

    expected = 25 * 32 + 64 + block(32, 32, False)
    for inputs, outputs, blocks in ((32, 64, 2), (64, 96, 2), (96, 128, 2), (128, 160, 1)):
        expected += block(inputs, outputs, True) + (blocks - 1) * block(outputs, outputs, False)
    assert sum(p.numel() for p in ResidualEncoder().parameters()) == expected == 1_465_056


def test_a_block_with_zero_convolutions_passes_its_input():
    block = ResidualBlock(4, 4, 1).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 4, 6, 6)
    torch.testing.assert_close(block(x), x)


def test_encoders_are_made_by_name():
    assert isinstance(make_encoder("residual"), ResidualEncoder)
    with pytest.raises(ValueError, match="residual"):
        make_encoder("resnet")
    assert "residual" in ENCODERS
