"""Feature pyramid network that predicts the MC proximity map (arXiv 2102.00754, section II-B, figure 2).

Parameter names follow segmentation_models_pytorch's FPN, which the paper's authors used, so that such state dicts
load. ``detail_channels`` adds a full-resolution path that the paper does not have.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from scripts.networks.encoders import make_encoder
from scripts.networks.weights import load_encoder_weights

STRIDE_PX = 32
# BatchNorm cannot train on a single value per channel, so one image of 32 x 32 is padded to 2 x 2 values at 1/32.
MINIMUM_SIZE_PX = 64
BRANCH_STRIDE = 4
DETAIL_MARGIN_PX = 16
"""What the full-resolution path sees around a pixel is 10 px; rounded up to a multiple of `BRANCH_STRIDE`."""


class ConvNormRelu(nn.Module):
    """conv3x3 without bias -> GroupNorm(32) -> ReLU -> optional doubling of the size (bilinear)."""

    def __init__(self, in_channels: int, out_channels: int, upsample: bool, align_corners: bool) -> None:
        super().__init__()
        self.upsample = upsample
        self.align_corners = align_corners
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.GroupNorm(32, out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H or 2H, W or 2W]."""
        x = self.block(x)
        if self.upsample:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=self.align_corners)
        return x


class SegmentationBranch(nn.Module):
    """One pyramid level brought to 1/4 of the image: one step per doubling, one step without for 1/4 itself."""

    def __init__(self, in_channels: int, out_channels: int, doublings: int, align_corners: bool) -> None:
        super().__init__()
        steps = [ConvNormRelu(in_channels, out_channels, doublings > 0, align_corners)]
        steps += [ConvNormRelu(out_channels, out_channels, True, align_corners) for _ in range(1, doublings)]
        self.block = nn.Sequential(*steps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H * 2^doublings, W * 2^doublings]."""
        return self.block(x)


class TopDown(nn.Module):
    """A pyramid level: the coarser level doubled (nearest) plus the encoder's feature through a 1x1 convolution."""

    def __init__(self, pyramid_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_channels, pyramid_channels, kernel_size=1)

    def forward(self, coarser: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Map [B, P, H / 2, W / 2] and [B, skip_channels, H, W] to [B, P, H, W]."""
        return F.interpolate(coarser, scale_factor=2.0, mode="nearest").add_(self.skip_conv(skip))


class FPNDecoder(nn.Module):
    """256-channel pyramid from the four encoder features, four branches at 1/4, merged by addition."""

    def __init__(
        self, skip_channels: tuple[int, ...], pyramid_channels: int, segmentation_channels: int, align_corners: bool
    ) -> None:
        super().__init__()
        channels2, channels3, channels4, channels5 = skip_channels
        self.p5 = nn.Conv2d(channels5, pyramid_channels, kernel_size=1)
        self.p4 = TopDown(pyramid_channels, channels4)
        self.p3 = TopDown(pyramid_channels, channels3)
        self.p2 = TopDown(pyramid_channels, channels2)
        self.seg_blocks = nn.ModuleList(
            SegmentationBranch(pyramid_channels, segmentation_channels, doublings, align_corners)
            for doublings in (3, 2, 1, 0)
        )

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Map the features at 1/4, 1/8, 1/16, 1/32 to [B, segmentation_channels, H / 4, W / 4]."""
        p5 = self.p5(features[3])
        p4 = self.p4(p5, features[2])
        p3 = self.p3(p4, features[1])
        p2 = self.p2(p3, features[0])
        pyramid = [p5, p4, p3, p2]
        merged = torch.zeros(1, device=p5.device, dtype=p5.dtype)
        for level, branch in enumerate(self.seg_blocks):
            merged = merged + branch(pyramid[level])
        return merged


class DetailPath(nn.Module):
    """Our extension: joins the 1/4 map with 3x3 convolutions at 1/2 and at full resolution: a map finer than 4 px.

    The norm is BatchNorm, not GroupNorm: statistics of a single tile just before the head would stretch a tile
    without MCs to the same spread of logits as one with MCs. The last layer is not rectified, so that the head can
    reach both signs; the rectified sums before it let the context gate the detail.
    """

    def __init__(self, in_channels: int, coarse_channels: int, channels: int, align_corners: bool) -> None:
        super().__init__()
        half = 2 * channels
        relu = nn.ReLU(inplace=True)  # saves memory and time; not for `full`, which is used twice
        self.stem = nn.Sequential(*_conv_bn(in_channels, channels), relu, *_conv_bn(channels, channels))
        self.down = nn.Sequential(nn.ReLU(), *_conv_bn(channels, half, stride=2), relu, *_conv_bn(half, half))
        self.reduce_quarter = nn.Conv2d(coarse_channels, half, kernel_size=1)
        self.refine_half = nn.Sequential(relu, *_conv_bn(half, half), relu)
        self.reduce_half = nn.Conv2d(half, channels, kernel_size=1)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=align_corners)
        self.refine = nn.Sequential(relu, *_conv_bn(channels, channels))

    def forward(self, image: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Map the scaled image [B, C, H, W] and the map [B, D, H / 4, W / 4] to [B, channels, H, W]."""
        full = self.stem(image)
        half = self.refine_half(self.upsample(self.reduce_quarter(coarse)).add_(self.down(full)))
        return self.refine(self.upsample(self.reduce_half(half)).add_(full))


def _conv_bn(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


class FPN(nn.Module):
    """HDoGReg's network: images in [0, 1] to logits of the proximity map, at the size of the image.

    The defaults are the paper's variant: 43,570,017 parameters. Images of any size are accepted: rows and columns
    are extended at the bottom and right by replication to a multiple of 32 (at least 64) and the logits cropped.

    Args:
        encoder: "inception_v4" (the paper) or a lighter encoder, see ``scripts.networks.encoders.ENCODERS``.
        encoder_weights: "none", "imagenet", or the path of a state dict, see ``scripts.networks.weights``.
        in_channels: channels of the image.
        out_channels: logits per pixel.
        pyramid_channels: channels of the pyramid levels.
        segmentation_channels: channels of the segmentation branches (a multiple of 32).
        dropout: probability of dropping a whole merged feature map (spatial dropout).
        input_mean: subtracted from the image inside ``forward``.
        input_std: divides the difference.
        detail_channels: width of the full-resolution path; 0 (the paper) leaves it out.
        head_bias: start of the head's bias, in logits; a negative one starts at the rarity of MCs.
        align_corners: of every bilinear upsampling. True as in the authors' code; it stretches maps about the
            tile's centre, False keeps them fixed to the pixel grid, which tiled inference likes better.

    Raises:
        ValueError: unknown encoder, unfitting weights, or impossible sizes.
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
        if segmentation_channels % 32:
            raise ValueError(f"segmentation_channels: got {segmentation_channels}; wanted a multiple of 32 (GroupNorm)")
        if detail_channels < 0:
            raise ValueError(f"detail_channels: got {detail_channels}; wanted 0 (off) or more")
        if input_std <= 0:
            raise ValueError(f"input_std: got {input_std}; wanted a positive number")
        self.input_mean = float(input_mean)
        self.input_std = float(input_std)
        self.stride_px, self.minimum_px = STRIDE_PX, MINIMUM_SIZE_PX  # TorchScript sees no module constants
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
        self._initialise(head_bias)
        self.to(memory_format=torch.channels_last)  # up to twice as fast on CPU, same numbers

    def _initialise(self, head_bias: float) -> None:
        """He initialisation of every convolution outside the encoder."""
        for part in (self.decoder, self.detail, self.segmentation_head):
            for module in part.modules() if part is not None else ():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        nn.init.constant_(self.segmentation_head[0].bias, head_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the proximity map.

        Args:
            x: images in [0, 1], [B, in_channels, H, W], any size.

        Returns:
            Logits [B, out_channels, H, W].
        """
        rows, cols = x.shape[2], x.shape[3]
        x = self._scaled_and_extended(x)
        merged = self.dropout(self.decoder(self.encoder(x)))
        if self.detail is not None:
            merged = self.detail(x, merged)
        return self.segmentation_head(merged)[:, :, :rows, :cols]

    def _scaled_and_extended(self, x: torch.Tensor) -> torch.Tensor:
        rows, cols = x.shape[2], x.shape[3]
        x = (x - self.input_mean) / self.input_std
        extra_rows = max(-rows % self.stride_px, self.minimum_px - rows)
        extra_cols = max(-cols % self.stride_px, self.minimum_px - cols)
        if extra_rows > 0 or extra_cols > 0:
            x = F.pad(x, [0, extra_cols, 0, extra_rows], mode="replicate")
        return x

    def part(self, x: torch.Tensor, rows: slice, cols: slice) -> torch.Tensor:
        """The logits of a part: the same as `forward(x)[:, :, rows, cols]`, with less work.

        Encoder and decoder see all of the image; the full-resolution path runs on the part and
        `DETAIL_MARGIN_PX` around it. Where a stretched upsampling (`align_corners`) forbids that, all is computed.

        Args:
            x: as for `forward`.
            rows, cols: the part, within the image, with start and stop.
        """
        if self.detail is None or self.detail.upsample.align_corners:
            return self(x)[:, :, rows, cols]
        x = self._scaled_and_extended(x)
        merged = self.dropout(self.decoder(self.encoder(x)))
        seen = [_seen(part, size) for part, size in zip((rows, cols), x.shape[2:], strict=True)]
        coarse = [slice(part.start // BRANCH_STRIDE, part.stop // BRANCH_STRIDE) for part in seen]
        detailed = self.detail(_cut(x, seen), _cut(merged, coarse))
        inner = [slice(part.start - w.start, part.stop - w.start) for part, w in zip((rows, cols), seen, strict=True)]
        return self.segmentation_head(detailed[:, :, inner[0], inner[1]])


def _seen(part: slice, size: int) -> slice:
    """A part and the margin that the full-resolution path needs, on the grid of the coarse map."""
    stop = -(-(part.stop + DETAIL_MARGIN_PX) // BRANCH_STRIDE) * BRANCH_STRIDE
    return slice(max(part.start - DETAIL_MARGIN_PX, 0) // BRANCH_STRIDE * BRANCH_STRIDE, min(stop, size))


def _cut(x: torch.Tensor, part: list[slice]) -> torch.Tensor:
    return x[:, :, part[0], part[1]].contiguous(memory_format=torch.channels_last)
