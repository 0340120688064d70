"""Encoders by name: Inception-v4 (the paper's) and a small residual one.

An encoder is a module with ``out_channels`` (four numbers) and ``first_conv`` (the state-dict key of its first
convolution) whose forward maps [B, C, H, W], H and W multiples of 32, to the feature maps at 1/4, 1/8, 1/16, 1/32.
"""

import torch
from torch import nn

from scripts.common.checks import check
from scripts.networks.inception_v4 import InceptionV4Encoder

#: (channels, residual blocks) of the small encoder at 1/2, 1/4, 1/8, 1/16, 1/32.
STAGES = ((32, 1), (64, 2), (96, 2), (128, 2), (160, 1))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm around a shortcut; the first may halve the size."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            project = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), project, nn.BatchNorm2d(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H / stride, W / stride]."""
        inner = self.bn2(self.conv2(torch.relu_(self.bn1(self.conv1(x)))))
        return torch.relu_(inner.add_(self.shortcut(x)))


class ResidualEncoder(nn.Module):
    """A small encoder of plain 3x3 convolutions, which CPUs run several times faster than depthwise ones.

    A 5x5 convolution of stride 2, then residual blocks at 1/2, 1/4, 1/8, 1/16 and 1/32; 1,465,056 parameters.
    """

    first_conv = "stem.0.weight"

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        channels = STAGES[0][0]
        conv = nn.Conv2d(in_channels, channels, 5, stride=2, padding=2, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        stages = []
        for level, (width, count) in enumerate(STAGES):
            first = ResidualBlock(channels, width, 2 if level else 1)
            stages.append(nn.Sequential(first, *(ResidualBlock(width, width, 1) for _ in range(1, count))))
            channels = width
        self.stages = nn.ModuleList(stages)
        self.out_channels = tuple(width for width, _ in STAGES[1:])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map [B, in_channels, H, W], H and W multiples of 32, to the four feature maps, finest first."""
        x = self.stem(x)
        features: list[torch.Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[1:]


ENCODERS = {"inception_v4": InceptionV4Encoder, "residual": ResidualEncoder}


def make_encoder(name: str, in_channels: int = 1) -> nn.Module:
    """An encoder of ``ENCODERS`` with fresh weights."""
    check("encoder", name, name in ENCODERS, f"one of {', '.join(ENCODERS)}")
    return ENCODERS[name](in_channels)
