"""A small network that marks the centre of every MC in a window around one object, to part those that touch."""

import torch
from torch import nn
from torch.nn import functional as F

from scripts.common.settings import recorded
from scripts.networks.checkpoint import refuse_other_weights


@recorded
class CentreNet(nn.Module):
    """U-Net (arXiv 1505.04597) of three levels: windows around objects to logits of a map that peaks at centres.

    66,913 parameters with the defaults.

    Args:
        in_channels: of a window, see ``object_window`` in scripts/inference/object_windows.py.
        widths: channels at full, half and quarter resolution.
        head_bias: start of the head's bias, in logits; centres are rare.
    """

    def __init__(
        self, in_channels: int = 3, widths: tuple[int, int, int] = (12, 24, 48), head_bias: float = -3.0
    ) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(refuse_other_weights)
        self.in_channels = in_channels
        full, half, quarter = widths
        self.down_full, self.down_half = _twice(in_channels, full), _twice(full, half)
        self.deepest = _twice(half, quarter)
        self.up_half, self.up_full = _twice(quarter + half, half), _twice(half + full, full)
        self.head = nn.Conv2d(full, 1, kernel_size=1)
        nn.init.constant_(self.head.bias, head_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1, H, W] of windows [B, in_channels, H, W], sides divisible by 4."""
        full = self.down_full(x)
        half = self.down_half(F.max_pool2d(full, 2))
        deepest = self.deepest(F.max_pool2d(half, 2))
        half = self.up_half(torch.cat([_doubled(deepest), half], dim=1))
        return self.head(self.up_full(torch.cat([_doubled(half), full], dim=1)))


def _twice(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        conv = nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
