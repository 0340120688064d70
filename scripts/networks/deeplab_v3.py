"""Baseline: DeepLabV3 with a ResNet-50 (arXiv 1706.05587), the comparison network of the slim FCN.

Written from the paper; names of layers, and with them state-dict keys and shapes, are those of torchvision's
`deeplabv3_resnet50`, so that its published weights load. Output stride 8: the last two stages of the ResNet keep their
resolution and dilate instead.
"""

import logging
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from scripts.common.checks import check
from scripts.common.errors import one_line
from scripts.common.settings import recorded
from scripts.networks.weights import EncoderWeightsError, fetch_state, fit_input_channels

logger = logging.getLogger(__name__)

#: COCO weights of torchvision; the digits after the dash are the start of the file's SHA-256.
PUBLISHED_URL = "https://download.pytorch.org/models/deeplabv3_resnet50_coco-cd0a2569.pth"
#: Of each stage: width, blocks, stride, dilation of the first block, dilation of the others. A stage that does not
#: halve begins with the dilation of the one before.
STAGES = ((64, 3, 1, 1, 1), (128, 4, 2, 1, 1), (256, 6, 1, 1, 2), (512, 3, 1, 2, 4))
EXPANSION = 4  # channels that leave a block, per channel of its 3x3 convolution
ASPP_CHANNELS, ASPP_RATES = 256, (12, 24, 36)
LAST_LAYER = "classifier.4."


class Bottleneck(nn.Module):
    """1x1, 3x3 (stride and dilation) and 1x1 convolution around a shortcut, each with BatchNorm."""

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.conv1, self.bn1 = _conv_bn(in_channels, width, 1)
        self.conv2, self.bn2 = _conv_bn(width, width, 3, stride, dilation)
        self.conv3, self.bn3 = _conv_bn(width, out_channels, 1)
        self.relu = nn.ReLU(inplace=True)
        projects = stride > 1 or in_channels != out_channels
        self.downsample = nn.Sequential(*_conv_bn(in_channels, out_channels, 1, stride)) if projects else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, 4 * width, H / stride, W / stride]."""
        inner = self.relu(self.bn1(self.conv1(x)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        return self.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


class DilatedResNet50(nn.Module):
    """ResNet-50 without its classifier: strides 2, 4, 8 and then dilations instead of 16 and 32."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        channels, stages = 64, []
        self.conv1, self.bn1 = _conv_bn(in_channels, channels, 7, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for width, blocks, stride, first_dilation, dilation in STAGES:
            first = Bottleneck(channels, width, stride, first_dilation)
            channels = width * EXPANSION
            others = [Bottleneck(channels, width, 1, dilation) for _ in range(1, blocks)]
            stages.append(nn.Sequential(first, *others))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, 2048, H / 8, W / 8], rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class ImagePooling(nn.Sequential):
    """Mean over the whole image, 1x1 convolution, BatchNorm, ReLU, spread over the image again."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_conv_bn(in_channels, out_channels, 1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W], constant over H and W.

        A batch of one image has one value per channel, which BatchNorm cannot train on: its running statistics serve.
        """
        pooled = self[1](self[0](x))
        if self.training and x.shape[0] == 1:
            norm = self[2]
            pooled = F.batch_norm(pooled, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        else:
            pooled = self[2](pooled)
        return self[3](pooled).expand(-1, -1, x.shape[2], x.shape[3])


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1, three dilated 3x3 convolutions and the image's mean, joined by a 1x1."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        branches = [nn.Sequential(*_conv_bn(in_channels, out_channels, 1), nn.ReLU())]
        for rate in ASPP_RATES:
            branches.append(nn.Sequential(*_conv_bn(in_channels, out_channels, 3, dilation=rate), nn.ReLU()))
        self.convs = nn.ModuleList([*branches, ImagePooling(in_channels, out_channels)])
        joined = _conv_bn(len(self.convs) * out_channels, out_channels, 1)
        self.project = nn.Sequential(*joined, nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        parallel: list[torch.Tensor] = []
        for branch in self.convs:  # TorchScript takes no comprehension here
            parallel.append(branch(x))
        return self.project(torch.cat(parallel, dim=1))


@recorded
class DeepLabV3(nn.Module):
    """DeepLabV3 with ResNet-50, output stride 8, rates 12, 24, 36; 39,627,457 parameters with one channel and class.

    Args:
        dropout: probability of dropping a value behind the ASPP (0.5 in torchvision).
        pretrained: "none"; "published" (torchvision's COCO weights, downloaded once to torch's cache); or the path of a
            state dict of torchvision's `deeplabv3_resnet50` or of its ResNet-50 classifier. Auxiliary classifier, and
            last layers of other shape, are left out.
        input_mean, input_std: `forward` first makes (x - input_mean) / input_std of the [0, 1] image; the mean of
            ImageNet's three channels.

    Raises:
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
        check("input_std", input_std, input_std > 0, "a positive number")
        self.input_mean, self.input_std = float(input_mean), float(input_std)
        self.backbone = DilatedResNet50(in_channels)
        aspp = ASPP(EXPANSION * STAGES[-1][0], ASPP_CHANNELS, dropout)
        refine = [*_conv_bn(ASPP_CHANNELS, ASPP_CHANNELS, 3), nn.ReLU()]
        self.classifier = nn.Sequential(aspp, *refine, nn.Conv2d(ASPP_CHANNELS, num_classes, 1))
        self.dropout = aspp.project[3]  # a second name for it; it has no state
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        load_pretrained(self, pretrained)
        self.to(memory_format=torch.channels_last)  # faster on CPU, same numbers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, num_classes, H, W] of images in [0, 1], [B, in_channels, H, W]; bilinearly enlarged from 1/8."""
        features = self.backbone((x - self.input_mean) / self.input_std)
        return F.interpolate(self.classifier(features), size=x.shape[2:], mode="bilinear", align_corners=False)


def load_pretrained(network: DeepLabV3, source: str) -> None:
    """Fill a network in place from torchvision's weights; `source` and errors as `pretrained` of `DeepLabV3`."""
    if source == "none":
        return
    published = fetch_state(PUBLISHED_URL if source == "published" else source, "pretrained")
    state = adapt_state(published, network.state_dict())
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise EncoderWeightsError(f"pretrained: {source} does not fit: {one_line(error, 300)}") from error
    backbone_only = not any(key.startswith("classifier.") for key in state)
    allowed = "classifier." if backbone_only else LAST_LAYER
    lost = [key for key in missing if not key.startswith(allowed) and not key.endswith("num_batches_tracked")]
    if lost or unexpected:
        raise EncoderWeightsError(
            f"pretrained: got {source}, which does not fit ({len(lost)} keys missing, {len(unexpected)} unexpected; "
            f"first: {(lost + list(unexpected))[0]}); want torchvision's deeplabv3_resnet50 or resnet50"
        )
    logger.info("DeepLabV3 starts from %s%s", source, " (backbone)" if backbone_only else "")


def adapt_state(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of torchvision's deeplabv3_resnet50 or resnet50 as those of the network with the state dict `own`.

    Keys are its keys, layers that it does not have are left out, the first convolution has its input channels (see
    `fit_input_channels`; exact if the three channels are scaled alike).
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


def _conv_bn(inputs: int, outputs: int, kernel_px: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel_px, stride, dilation * (kernel_px // 2), dilation, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]
