"""Decoders of the feature pyramid network: the pyramid with its branches, and the full-resolution path after it."""

import torch
from torch import nn
from torch.nn import functional as F


class ConvNormRelu(nn.Module):
    """conv3x3 without bias -> GroupNorm(32) -> ReLU -> optional doubling of the size (bilinear)."""

    def __init__(self, in_channels: int, out_channels: int, upsample: bool, align_corners: bool) -> None:
        super().__init__()
        self.upsample, self.align_corners = upsample, align_corners
        conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.block = nn.Sequential(conv, nn.GroupNorm(32, out_channels), nn.ReLU(inplace=True))

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
        inputs = [in_channels, *[out_channels] * (doublings - 1)]
        self.block = nn.Sequential(*(ConvNormRelu(n, out_channels, doublings > 0, align_corners) for n in inputs))

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
        pyramid = [p5, p4, p3, self.p2(p3, features[0])]
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
    return [nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels)]
