"""Feature pyramid network that predicts the MC proximity map (arXiv 2102.00754, section II-B, figure 2).

Parameter names follow segmentation_models_pytorch's FPN, which the paper's authors used, so that such state dicts
load. ``detail_channels`` adds a full-resolution path that the paper does not have.
"""

import torch
from torch import nn
from torch.nn import functional as F

from scripts.common.checks import check
from scripts.common.settings import recorded
from scripts.networks.checkpoint import refuse_other_weights
from scripts.networks.encoders import make_encoder
from scripts.networks.fpn_decoder import DetailPath, FPNDecoder
from scripts.networks.weights import load_encoder_weights

#: The network computes on sides that are multiples of the one, and at least the other: BatchNorm cannot train on a
#: single value per channel, so that an image of 32 x 32 is extended to 2 x 2 values at 1/32.
STRIDE_PX, MINIMUM_PX = 32, 64
BRANCH_STRIDE = 4
#: What the full-resolution path sees around a pixel is 10 px; rounded up to a multiple of `BRANCH_STRIDE`.
DETAIL_MARGIN_PX = 16


@recorded
class FPN(nn.Module):
    """HDoGReg's network: images in [0, 1] to logits of the proximity map, at the size of the image.

    The defaults are the paper's variant: 43,570,017 parameters. Images of any size are accepted: rows and columns
    are extended at the bottom and right by replication to a multiple of 32 (at least 64) and the logits cropped.

    Args:
        encoder: "inception_v4" (the paper) or "residual" (small and quick on processors).
        encoder_weights: "none", "imagenet", or the path of a state dict, see ``scripts.networks.weights``.
        dropout: probability of dropping a whole merged feature map (spatial dropout).
        input_mean, input_std: `forward` first makes (x - input_mean) / input_std of the image.
        detail_channels: width of the full-resolution path; 0 (the paper) leaves it out.
        head_bias: start of the head's bias, in logits; a negative one starts at the rarity of MCs.
        align_corners: of every bilinear upsampling. True as in the authors' code; it stretches maps about the
            tile's centre, False keeps them fixed to the pixel grid, which tiled inference likes better.
    """

    def __init__(
        self,
        encoder: str = "inception_v4",
        encoder_weights: str = "none",
        in_channels: int = 1,
        out_channels: int = 1,
        pyramid_channels: int = 256,
        segmentation_channels: int = 128,
        dropout: float = 0.2,
        input_mean: float = 0.5,
        input_std: float = 0.5,
        detail_channels: int = 0,
        head_bias: float = 0.0,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(refuse_other_weights)
        fits = segmentation_channels % 32 == 0
        check("segmentation_channels", segmentation_channels, fits, "a multiple of 32 (GroupNorm)")
        check("detail_channels", detail_channels, detail_channels >= 0, "0 (off) or more")
        check("input_std", input_std, input_std > 0, "a positive number")
        self.input_mean, self.input_std = float(input_mean), float(input_std)
        self.stride_px, self.minimum_px = STRIDE_PX, MINIMUM_PX
        self.encoder = make_encoder(encoder, in_channels)
        load_encoder_weights(self.encoder, encoder, encoder_weights)
        self.decoder = FPNDecoder(self.encoder.out_channels, pyramid_channels, segmentation_channels, align_corners)
        self.dropout = nn.Dropout2d(dropout)
        self.detail: DetailPath | None = None
        head_channels = segmentation_channels
        upsample: nn.Module = nn.Upsample(scale_factor=BRANCH_STRIDE, mode="bilinear", align_corners=align_corners)
        if detail_channels:
            self.detail = DetailPath(in_channels, segmentation_channels, detail_channels, align_corners)
            head_channels, upsample = detail_channels, nn.Identity()
        self.segmentation_head = nn.Sequential(nn.Conv2d(head_channels, out_channels, kernel_size=1), upsample)
        for part in filter(None, (self.decoder, self.detail, self.segmentation_head)):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        nn.init.constant_(self.segmentation_head[0].bias, head_bias)
        self.to(memory_format=torch.channels_last)  # up to twice as fast on CPU, same numbers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, out_channels, H, W] of images in [0, 1], [B, in_channels, H, W], any size."""
        rows, cols = x.shape[2], x.shape[3]
        return self.aligned(extended(x))[:, :, :rows, :cols]

    def aligned(self, x: torch.Tensor) -> torch.Tensor:
        """The same of images whose sides are multiples of 32 px, and 64 at least."""
        x = (x - self.input_mean) / self.input_std
        merged = self.dropout(self.decoder(self.encoder(x)))
        if self.detail is not None:
            merged = self.detail(x, merged)
        return self.segmentation_head(merged)

    def part(self, x: torch.Tensor, rows: slice, cols: slice) -> torch.Tensor:
        """The logits of a part within the image: the same as `forward(x)[:, :, rows, cols]`, with less work.

        Encoder and decoder see all of the image; the full-resolution path runs on the part and
        `DETAIL_MARGIN_PX` around it. Where a stretched upsampling (`align_corners`) forbids that, all is computed.
        """
        if self.detail is None or self.detail.upsample.align_corners:
            return self(x)[:, :, rows, cols]
        x = (extended(x) - self.input_mean) / self.input_std
        merged = self.dropout(self.decoder(self.encoder(x)))
        seen = [_seen(part, size) for part, size in zip((rows, cols), x.shape[2:], strict=True)]
        coarse = [slice(part.start // BRANCH_STRIDE, part.stop // BRANCH_STRIDE) for part in seen]
        detailed = self.detail(_cut(x, seen), _cut(merged, coarse))
        inner = [slice(part.start - w.start, part.stop - w.start) for part, w in zip((rows, cols), seen, strict=True)]
        return self.segmentation_head(detailed[:, :, inner[0], inner[1]])


def extended(x: torch.Tensor, stride_px: int = STRIDE_PX, minimum_px: int = MINIMUM_PX) -> torch.Tensor:
    """Images [B, C, H, W] extended by replication, at the bottom and right, to sides that `FPN.aligned` takes."""
    rows, cols = x.shape[2], x.shape[3]
    extra_rows = max(-rows % stride_px, minimum_px - rows)
    extra_cols = max(-cols % stride_px, minimum_px - cols)
    if extra_rows > 0 or extra_cols > 0:
        x = F.pad(x, [0, extra_cols, 0, extra_rows], mode="replicate")
    return x


def _seen(part: slice, size: int) -> slice:
    """A part and the margin that the full-resolution path needs, on the grid of the coarse map."""
    stop = -(-(part.stop + DETAIL_MARGIN_PX) // BRANCH_STRIDE) * BRANCH_STRIDE
    return slice(max(part.start - DETAIL_MARGIN_PX, 0) // BRANCH_STRIDE * BRANCH_STRIDE, min(stop, size))


def _cut(x: torch.Tensor, part: list[slice]) -> torch.Tensor:
    return x[:, :, part[0], part[1]].contiguous(memory_format=torch.channels_last)
