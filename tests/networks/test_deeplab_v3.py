"""DeepLabV3: published counts, keys and dilations, weights of torchvision's form, and what every network must do."""

from urllib.error import URLError

import pytest
import torch
from torch import nn

from scripts.networks.deeplab_v3 import DeepLabV3, adapt_state, load_pretrained
from scripts.networks.weights import EncoderWeightsError


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return DeepLabV3()


@pytest.fixture
def published(network):
    """A state dict as torchvision publishes it: three channels, 21 classes, an auxiliary classifier."""
    torch.manual_seed(1)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    state["backbone.conv1.weight"] = torch.rand(64, 3, 7, 7)
    state["classifier.4.weight"], state["classifier.4.bias"] = torch.rand(21, 256, 1, 1), torch.rand(21)
    state["aux_classifier.0.weight"], state["aux_classifier.4.bias"] = torch.rand(256, 1024, 3, 3), torch.rand(21)
    state["classifier.0.project.0.weight"] = torch.rand(256, 1280, 1, 1)
    return state


def conv(inputs, outputs, side):
    return inputs * outputs * side * side + 2 * outputs  # with BatchNorm's two numbers per channel


def test_parameters_equal_the_count_by_hand(network):
    resnet = conv(3, 64, 7)
    for inputs, width, blocks in ((64, 64, 3), (256, 128, 4), (512, 256, 6), (1024, 512, 3)):
        resnet += conv(inputs, 4 * width, 1)
        for block in range(blocks):
            resnet += conv(inputs if block == 0 else 4 * width, width, 1) + conv(width, width, 3)
            resnet += conv(width, 4 * width, 1)
    assert resnet == 25_557_032 - 2_049_000  # torchvision's ResNet-50 without its 1000 classes
    head = 2 * conv(2048, 256, 1) + 3 * conv(2048, 256, 3) + conv(1280, 256, 1) + conv(256, 256, 3)
    assert resnet + head + 257 == 39_633_729
    assert resnet + head + 257 * 21 == 39_638_869
    auxiliary = conv(1024, 256, 3) + 257 * 21
    assert resnet + head + 257 * 21 + auxiliary == 42_004_074  # as torchvision publishes it
    assert sum(p.numel() for p in network.parameters()) == 39_633_729 - 2 * 64 * 49  # one channel instead of three


def torchvision_keys():
    def norm(name):
        return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    keys = ["backbone.conv1.weight", *norm("backbone.bn1")]
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            name = f"backbone.layer{stage}.{block}"
            for i in (1, 2, 3):
                keys += [f"{name}.conv{i}.weight", *norm(f"{name}.bn{i}")]
            if block == 0:
                keys += [f"{name}.downsample.0.weight", *norm(f"{name}.downsample.1")]
    for branch in range(4):
        keys += [f"classifier.0.convs.{branch}.0.weight", *norm(f"classifier.0.convs.{branch}.1")]
    keys += ["classifier.0.convs.4.1.weight", *norm("classifier.0.convs.4.2")]
    keys += ["classifier.0.project.0.weight", *norm("classifier.0.project.1")]
    return [*keys, "classifier.1.weight", *norm("classifier.2"), "classifier.4.weight", "classifier.4.bias"]


def test_state_dict_has_torchvisions_keys(network):
    assert set(network.state_dict()) == set(torchvision_keys())


def test_strides_and_dilations(network):
    def of(stage):
        return [
            (block.conv2.stride[0], block.conv2.dilation[0]) for block in getattr(network.backbone, f"layer{stage}")
        ]

    assert of(1) == [(1, 1)] * 3 and of(2) == [(2, 1)] + [(1, 1)] * 3
    assert of(3) == [(1, 1)] + [(1, 2)] * 5 and of(4) == [(1, 2)] + [(1, 4)] * 2
    rates = [m.dilation[0] for m in network.classifier[0].convs.modules() if isinstance(m, nn.Conv2d)]
    assert rates == [1, 12, 24, 36, 1]
    assert all(m.padding == m.dilation for m in network.classifier.modules() if getattr(m, "kernel_size", 0) == (3, 3))


def test_published_weights_are_adapted(network, published):
    own = network.state_dict()
    adapted = adapt_state(published, own)
    assert set(own) - set(adapted) == {"classifier.4.weight", "classifier.4.bias"} and set(adapted) <= set(own)
    summed = published["backbone.conv1.weight"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(adapted["backbone.conv1.weight"], summed)
    grey = torch.rand(1, 1, 12, 12)
    torch.testing.assert_close(
        nn.functional.conv2d(grey, adapted["backbone.conv1.weight"]),
        nn.functional.conv2d(grey.expand(-1, 3, -1, -1), published["backbone.conv1.weight"]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_weights_load_from_a_file_of_the_network_or_of_the_classifier(network, published, tmp_path):
    torch.save(published, tmp_path / "deeplab.pth")
    load_pretrained(network, str(tmp_path / "deeplab.pth"))
    assert torch.equal(network.classifier[0].project[0].weight, published["classifier.0.project.0.weight"])
    resnet = {key[9:]: value for key, value in published.items() if key.startswith("backbone.")}
    resnet["layer4.2.conv3.weight"] = torch.rand(2048, 512, 1, 1)
    torch.save({**resnet, "fc.weight": torch.rand(10, 2048), "fc.bias": torch.rand(10)}, tmp_path / "resnet.pth")
    load_pretrained(network, str(tmp_path / "resnet.pth"))
    assert torch.equal(network.backbone.layer4[2].conv3.weight, resnet["layer4.2.conv3.weight"])
    torch.save({"backbone.conv1.weight": published["backbone.conv1.weight"]}, tmp_path / "part.pth")
    with pytest.raises(EncoderWeightsError, match=r"keys missing.*first: backbone\.bn1\.weight"):
        load_pretrained(network, str(tmp_path / "part.pth"))


def test_weights_that_cannot_be_had_are_named(network, tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise URLError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    with pytest.raises(EncoderWeightsError, match=r"deeplabv3_resnet50_coco-cd0a2569\.pth.*unreachable"):
        load_pretrained(network, "published")
    with pytest.raises(EncoderWeightsError, match=r"nowhere\.pth"):
        load_pretrained(network, str(tmp_path / "nowhere.pth"))
    (tmp_path / "damaged.pth").write_bytes(b"no weights")
    with pytest.raises(EncoderWeightsError, match=r"damaged\.pth is damaged"):
        load_pretrained(network, str(tmp_path / "damaged.pth"))
    with pytest.raises(ValueError, match="input_std: got 0"):
        DeepLabV3(input_std=0)
