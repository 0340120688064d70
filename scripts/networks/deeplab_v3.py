"""Baseline: DeepLabV3 with a ResNet-50 (arXiv 1706.05587), the comparison network of the slim FCN.

Written from the paper; names of layers, and with them state-dict keys and shapes, are those of torchvision's
`deeplabv3_resnet50`, so that its published weights load. Output stride 8: the last two stages of the ResNet keep their
resolution and dilate instead.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from scripts.common.settings import recorded
from scripts.networks.weights import EncoderWeightsError, fetch_state, fit_input_channels, shortened

logger = logging.getLogger(__name__)

PUBLISHED_URL = "https://download.pytorch.org/models/deeplabv3_resnet50_coco-cd0a2569.pth"
"""COCO weights of torchvision; the digits after the dash are the start of the file's SHA-256."""

BLOCKS = (3, 4, 6, 3)
FEATURES, ASPP_CHANNELS, ASPP_RATES = 2048, 256, (12, 24, 36)
EXPANSION = 4
LAST_LAYER = "classifier.4."


class Bottleneck(nn.Module):
    """1x1, 3x3 (stride and dilation) and 1x1 convolution around a shortcut, each with BatchNorm."""

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int, project: bool) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, 4 * width, H / stride, W / stride]."""
        inner = self.relu(self.bn1(self.conv1(x)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        return self.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


class DilatedResNet50(nn.Module):
    """ResNet-50 without its classifier: strides 2, 4, 8 and then dilations instead of 16 and 32."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(64, 64, BLOCKS[0], stride=1, first_dilation=1, dilation=1)
        self.layer2 = self._stage(256, 128, BLOCKS[1], stride=2, first_dilation=1, dilation=1)
        # a stage that does not halve begins with the dilation of the one before
        self.layer3 = self._stage(512, 256, BLOCKS[2], stride=1, first_dilation=1, dilation=2)
        self.layer4 = self._stage(1024, 512, BLOCKS[3], stride=1, first_dilation=2, dilation=4)

    @staticmethod
    def _stage(
        in_channels: int, width: int, blocks: int, stride: int, first_dilation: int, dilation: int
    ) -> nn.Sequential:
        first = Bottleneck(in_channels, width, stride, first_dilation, project=True)
        others = [Bottleneck(width * EXPANSION, width, 1, dilation, project=False) for _ in range(1, blocks)]
        return nn.Sequential(first, *others)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, 2048, H / 8, W / 8], rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class ImagePooling(nn.Sequential):
    """Mean over the whole image, 1x1 convolution, BatchNorm, ReLU, spread over the image again."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )
        self.out_channels = out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W], constant over H and W.

        A batch of one image has one value per channel, which BatchNorm cannot train on: its running statistics serve.
        """
        pooled = self[1](self[0](x))
        if self.training and x.shape[0] == 1:
            norm = self[2]
            pooled = F.batch_norm(
                pooled, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
            )
        else:
            pooled = self[2](pooled)
        return self[3](pooled).expand(-1, -1, x.shape[2], x.shape[3])


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1, three dilated 3x3 convolutions and the image's mean, joined by a 1x1."""

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        branches: list[nn.Module] = [_conv_bn_relu(in_channels, out_channels, kernel_size=1)]
        branches += [_conv_bn_relu(in_channels, out_channels, 3, dilation=rate) for rate in rates]
        self.convs = nn.ModuleList([*branches, ImagePooling(in_channels, out_channels)])
        self.project = nn.Sequential(
            *_conv_bn_relu(len(self.convs) * out_channels, out_channels, kernel_size=1), nn.Dropout(dropout)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        parallel: list[torch.Tensor] = []
        for branch in self.convs:
            parallel.append(branch(x))
        return self.project(torch.cat(parallel, dim=1))


@recorded
class DeepLabV3(nn.Module):
    """DeepLabV3 with ResNet-50, output stride 8, rates 12, 24, 36; 39,627,457 parameters with one channel and class.

    Args:
        in_channels: channels of the image.
        num_classes: logits per pixel.
        dropout: probability of dropping a value behind the ASPP (0.5 in torchvision).
        pretrained: "none"; "published" (torchvision's COCO weights, downloaded once to torch's cache); or the path of a
            state dict of torchvision's `deeplabv3_resnet50` or of its ResNet-50 classifier. Auxiliary classifier, and
            last layers of other shape, are left out.
        input_mean: subtracted from the [0, 1] image inside ``forward``; the mean of ImageNet's three channels.
        input_std: divides the difference; the mean of ImageNet's three channels.

    Raises:
        ValueError: ``input_std`` is not positive.
        EncoderWeightsError: the weights cannot be had or do not fit.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        dropout: float = 0.5,
        pretrained: str = "none",
        input_mean: float = 0.449,
        input_std: float = 0.226,
    ) -> None:
        super().__init__()
        if input_std <= 0:
            raise ValueError(f"input_std: got {input_std}; want a positive number")
        self.input_mean, self.input_std = float(input_mean), float(input_std)
        self.backbone = DilatedResNet50(in_channels)
        aspp = ASPP(FEATURES, ASPP_CHANNELS, ASPP_RATES, dropout)
        self.classifier = nn.Sequential(
            aspp, *_conv_bn_relu(ASPP_CHANNELS, ASPP_CHANNELS, 3), nn.Conv2d(ASPP_CHANNELS, num_classes, 1)
        )
        self.dropout = aspp.project[3]  # a second name for it; it has no state
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        load_pretrained(self, pretrained)
        self.to(memory_format=torch.channels_last)  # faster on CPU, same numbers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits for every pixel, bilinearly enlarged from 1/8.

        Args:
            x: images in [0, 1], [B, in_channels, H, W], any size.

        Returns:
            Logits [B, num_classes, H, W].
        """
        features = self.backbone((x - self.input_mean) / self.input_std)
        return F.interpolate(self.classifier(features), size=x.shape[2:], mode="bilinear", align_corners=False)


def load_pretrained(network: DeepLabV3, source: str) -> None:
    """Fill a network in place from torchvision's weights.

    Args:
        network: to fill.
        source: see `DeepLabV3`.

    Raises:
        EncoderWeightsError: no such file, no network, a damaged file, or unfitting keys.
    """
    if source == "none":
        return
    state = adapt_state(
        fetch_state(PUBLISHED_URL if source == "published" else source, "pretrained"), network.state_dict()
    )
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise EncoderWeightsError(f"pretrained: {source} does not fit: {shortened(error)}") from error
    backbone_only = not any(key.startswith("classifier.") for key in state)
    allowed = ("classifier.",) if backbone_only else (LAST_LAYER,)
    lost = [key for key in missing if not key.startswith(allowed) and not key.endswith("num_batches_tracked")]
    if lost or unexpected:
        raise EncoderWeightsError(
            f"pretrained: got {source}, which does not fit ({len(lost)} keys missing, {len(unexpected)} unexpected; "
            f"first: {(lost + list(unexpected))[0]}); want torchvision's deeplabv3_resnet50 or resnet50"
        )
    logger.info("DeepLabV3 starts from %s%s", source, " (backbone)" if backbone_only else "")


def adapt_state(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Published weights as this network's: keys, input channels, and no layers that it does not have.

    The first convolution is summed over its input channels: a grey image shown to the RGB network is the same image in
    each channel (see `fit_input_channels`; exact if the three channels are scaled alike).

    Args:
        state: of torchvision's deeplabv3_resnet50 or resnet50.
        own: state dict of the network to fill.
    """
    if "conv1.weight" in state:
        state = {f"backbone.{key}": value for key, value in state.items() if not key.startswith("fc.")}
    state = {key: value for key, value in state.items() if not key.startswith("aux_classifier.")}
    first, last = "backbone.conv1.weight", f"{LAST_LAYER}weight"
    if first in state:
        state[first] = fit_input_channels(state[first], own[first].shape[1])
    if last in state and state[last].shape != own[last].shape:
        state = {key: value for key, value in state.items() if not key.startswith(LAST_LAYER)}
    return state


def _conv_bn_relu(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())
