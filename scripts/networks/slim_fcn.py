"""Slim FCN: a full-resolution network of parallel 3-5-7-9 convolutions (arXiv 2102.00811, section 2).

No sub-sampling at all: the output lies on the pixel grid of the input and each output pixel sees exactly
45 x 45 input pixels, so a tile computed with a margin of 22 px equals the whole-image pass.
"""

from collections.abc import Sequence

import torch
from torch import nn

from scripts.common.checks import check
from scripts.common.settings import recorded
from scripts.networks.checkpoint import refuse_other_weights

KERNEL_SIZES_PX = (3, 5, 7, 9)
RECEPTIVE_FIELD_PX = 45


class ParallelBlock(nn.Module):
    """Convolutions of 3, 5, 7 and 9 px, a quarter of ``out_channels`` each -> concatenation -> BatchNorm -> ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        branch_channels, rest = divmod(out_channels, len(KERNEL_SIZES_PX))
        check("out_channels", out_channels, rest == 0, f"a multiple of {len(KERNEL_SIZES_PX)}")
        self.conv3 = nn.Conv2d(in_channels, branch_channels, kernel_size=3, padding=1)
        self.conv5 = nn.Conv2d(in_channels, branch_channels, kernel_size=5, padding=2)
        self.conv7 = nn.Conv2d(in_channels, branch_channels, kernel_size=7, padding=3)
        self.conv9 = nn.Conv2d(in_channels, branch_channels, kernel_size=9, padding=4)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        parallel = torch.cat([self.conv3(x), self.conv5(x), self.conv7(x), self.conv9(x)], dim=1)
        return self.relu(self.bn(parallel))


@recorded
class SlimFCN(nn.Module):
    """The slim FCN: five parallel blocks and a 5x5 convolution to one logit per pixel.

    447,553 trainable parameters with the defaults. State-dict keys are those of the authors' published weights:
    ``block{1..5}.conv{3,5,7,9}.{weight,bias}``, ``block{1..5}.bn.*``, ``pred.{weight,bias}``.

    Args:
        widths: channels that leave each of the five blocks (multiples of 4).
        dropout: probability of dropping a whole feature map before ``pred`` (0 in the paper).
        input_mean, input_std: `forward` first makes (x - input_mean) / input_std of the [0, 1] image.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        widths: Sequence[int] = (4, 16, 32, 64, 128),
        dropout: float = 0.0,
        input_mean: float = 0.157,
        input_std: float = 0.163,
    ) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(refuse_other_weights)
        check("widths", list(widths), len(widths) == 5, "five block widths")
        check("input_std", input_std, input_std > 0, "a positive number")
        self.input_mean, self.input_std = float(input_mean), float(input_std)
        self.block1 = ParallelBlock(in_channels, widths[0])
        self.block2 = ParallelBlock(widths[0], widths[1])
        self.block3 = ParallelBlock(widths[1], widths[2])
        self.block4 = ParallelBlock(widths[2], widths[3])
        self.block5 = ParallelBlock(widths[3], widths[4])
        self.dropout = nn.Dropout2d(dropout)
        self.pred = nn.Conv2d(widths[4], out_channels, kernel_size=5, padding=2)
        self.to(memory_format=torch.channels_last)  # faster on CPU, same numbers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of MC [B, out_channels, H, W] of images in [0, 1], [B, in_channels, H, W], any size."""
        x = (x - self.input_mean) / self.input_std
        x = self.block5(self.block4(self.block3(self.block2(self.block1(x)))))
        return self.pred(self.dropout(x))
