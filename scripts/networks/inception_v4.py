"""Inception-v4 as a feature encoder (Szegedy et al., arXiv 1602.07261, figures 3-9), 41 million parameters.

Module names follow the published ImageNet weights (``features.{0..21}...``), so that those load. Two differences
to the classifier: every 3x3 convolution and max pooling is padded, so that sizes halve exactly, and there is no
pooling and linear layer at the end.
"""

from collections import OrderedDict

import torch
from torch import nn

Kernel = int | tuple[int, int]


class BasicConv2d(nn.Module):
    """Convolution without bias -> BatchNorm (eps 1e-3) -> ReLU, padded to keep (or exactly halve) the size."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Kernel = 1, stride: int = 1) -> None:
        super().__init__()
        rows, cols = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.conv = nn.Conv2d(in_channels, out_channels, (rows, cols), stride, (rows // 2, cols // 2), bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H / stride, W / stride]."""
        return self.relu(self.bn(self.conv(x)))


class Branches(nn.Sequential):
    """Named branches that all see the same input; their outputs are concatenated in the given order."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__(OrderedDict(branches))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Concatenate every branch's output along the channels."""
        outputs: list[torch.Tensor] = []
        for branch in self:  # TorchScript takes no comprehension here
            outputs.append(branch(x))
        return torch.cat(outputs, dim=1)


class InceptionC(nn.Module):
    """Inception-C (figure 6 of the source): two branches that end in a pair of 1x3 and 3x1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = BasicConv2d(1536, 256)
        self.branch1_0 = BasicConv2d(1536, 384)
        self.branch1_1a = BasicConv2d(384, 256, (1, 3))
        self.branch1_1b = BasicConv2d(384, 256, (3, 1))
        self.branch2_0 = BasicConv2d(1536, 384)
        self.branch2_1 = BasicConv2d(384, 448, (3, 1))
        self.branch2_2 = BasicConv2d(448, 512, (1, 3))
        self.branch2_3a = BasicConv2d(512, 256, (1, 3))
        self.branch2_3b = BasicConv2d(512, 256, (3, 1))
        self.branch3 = _pooled_conv(1536, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 1536, H, W] to the same shape."""
        short = self.branch1_0(x)
        long = self.branch2_2(self.branch2_1(self.branch2_0(x)))
        pairs = [self.branch1_1a(short), self.branch1_1b(short), self.branch2_3a(long), self.branch2_3b(long)]
        return torch.cat([self.branch0(x)] + pairs + [self.branch3(x)], dim=1)


def _pooled_conv(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), BasicConv2d(in_channels, out_channels))


def _max_pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, padding=1)


def _chain(in_channels: int, *steps: tuple[int, Kernel] | tuple[int, Kernel, int]) -> nn.Sequential:
    """Basic convolutions in a row, each step (out_channels, kernel[, stride])."""
    layers: list[nn.Module] = []
    for out_channels, kernel, *stride in steps:
        layers.append(BasicConv2d(in_channels, out_channels, kernel, *stride))
        in_channels = out_channels
    return nn.Sequential(*layers)


def _inception_a() -> nn.Module:
    return Branches(
        branch0=BasicConv2d(384, 96),
        branch1=_chain(384, (64, 1), (96, 3)),
        branch2=_chain(384, (64, 1), (96, 3), (96, 3)),
        branch3=_pooled_conv(384, 96),
    )


def _inception_b() -> nn.Module:
    return Branches(
        branch0=BasicConv2d(1024, 384),
        branch1=_chain(1024, (192, 1), (224, (1, 7)), (256, (7, 1))),
        branch2=_chain(1024, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
        branch3=_pooled_conv(1024, 128),
    )


class InceptionV4Encoder(nn.Module):
    """Features of Inception-v4 at 1/4, 1/8, 1/16 and 1/32; 41,142,240 parameters for images of one channel."""

    out_channels = (192, 384, 1024, 1536)
    first_conv = "features.0.conv.weight"

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            # features[0:6]: the stem, from the image to 384 channels at 1/8 (figure 3)
            BasicConv2d(in_channels, 32, 3, stride=2),
            BasicConv2d(32, 32, 3),
            BasicConv2d(32, 64, 3),
            Branches(maxpool=_max_pool(), conv=BasicConv2d(64, 96, 3, stride=2)),
            Branches(
                branch0=_chain(160, (64, 1), (96, 3)),
                branch1=_chain(160, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3)),
            ),
            Branches(conv=BasicConv2d(192, 192, 3, stride=2), maxpool=_max_pool()),
            *[_inception_a() for _ in range(4)],
            Branches(  # reduction A
                branch0=BasicConv2d(384, 384, 3, stride=2),
                branch1=_chain(384, (192, 1), (224, 3), (256, 3, 2)),
                branch2=_max_pool(),
            ),
            *[_inception_b() for _ in range(7)],
            Branches(  # reduction B
                branch0=_chain(1024, (192, 1), (192, 3, 2)),
                branch1=_chain(1024, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2)),
                branch2=_max_pool(),
            ),
            *[InceptionC() for _ in range(3)],
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map [B, in_channels, H, W], H and W multiples of 32, to the four feature maps, finest first."""
        stages: list[torch.Tensor] = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index == 4 or index == 8 or index == 14 or index == 21:
                stages.append(x)
        return stages
