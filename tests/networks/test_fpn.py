import math
import re

import pytest
import torch
from torch.nn import functional as F

from scripts.networks.encoders import ENCODERS, make_encoder
from scripts.networks.fpn import FPN
from scripts.networks.fpn_decoder import FPNDecoder
from scripts.networks.inception_v4 import InceptionV4Encoder


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def paper_network():
    torch.manual_seed(0)
    return FPN().eval()


def test_paper_variant_has_the_published_number_of_parameters(paper_network):
    assert parameters(paper_network) == 43_570_017
    assert parameters(paper_network.encoder) == 41_142_240
    assert parameters(paper_network.decoder) == 2_427_648
    assert parameters(paper_network.segmentation_head) == 129


def test_state_dict_has_the_published_keys(paper_network):
    state = paper_network.state_dict()
    outside = sorted(key for key in state if not key.startswith("encoder."))
    wanted = ["decoder.p5.weight", "decoder.p5.bias", "segmentation_head.0.weight", "segmentation_head.0.bias"]
    wanted += [f"decoder.p{level}.skip_conv.{kind}" for level in (4, 3, 2) for kind in ("weight", "bias")]
    for branch, steps in enumerate((3, 2, 1, 1)):
        for step in range(steps):
            block = f"decoder.seg_blocks.{branch}.block.{step}.block"
            wanted += [f"{block}.0.weight", f"{block}.1.weight", f"{block}.1.bias"]
    assert outside == sorted(wanted)
    inside = [key for key in state if key.startswith("encoder.")]
    assert {int(re.match(r"encoder\.features\.(\d+)\.", key)[1]) for key in inside} == set(range(22))


@pytest.mark.parametrize(
    ("key", "shape"),
    [  # read off figures 3-9 of arXiv 1602.07261
        ("features.0.conv.weight", (32, 1, 3, 3)),
        ("features.3.conv.conv.weight", (96, 64, 3, 3)),
        ("features.4.branch1.1.conv.weight", (64, 64, 1, 7)),
        ("features.4.branch1.2.conv.weight", (64, 64, 7, 1)),
        ("features.5.conv.conv.weight", (192, 192, 3, 3)),
        ("features.9.branch3.1.conv.weight", (96, 384, 1, 1)),
        ("features.10.branch1.2.conv.weight", (256, 224, 3, 3)),
        ("features.17.branch2.4.conv.weight", (256, 224, 1, 7)),
        ("features.18.branch1.3.conv.weight", (320, 320, 3, 3)),
        ("features.21.branch1_1b.conv.weight", (256, 384, 3, 1)),
        ("features.21.branch2_3b.conv.weight", (256, 512, 3, 1)),
        ("features.21.branch3.1.bn.running_var", (256,)),
    ],
)
def test_inception_v4_layers(paper_network, key, shape):
    assert paper_network.encoder.state_dict()[key].shape == shape


def test_inception_v4_batch_norm_epsilon():
    norms = [module for module in InceptionV4Encoder().modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 149
    assert {norm.eps for norm in norms} == {1e-3}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_features_halve_exactly(name):
    encoder = make_encoder(name).eval()
    with torch.no_grad():
        features = encoder(torch.rand(1, 1, 64, 160))
    sizes = [(64 // stride, 160 // stride) for stride in (4, 8, 16, 32)]
    assert [tuple(feature.shape[2:]) for feature in features] == sizes
    assert tuple(feature.shape[1] for feature in features) == tuple(encoder.out_channels)


def test_inception_v4_channels():
    assert InceptionV4Encoder().out_channels == (192, 384, 1024, 1536)


def test_unknown_encoder_is_refused_with_the_known_names():
    with pytest.raises(ValueError, match="got 'resnet50'") as refusal:
        FPN(encoder="resnet50")
    assert all(name in str(refusal.value) for name in ENCODERS)


def test_decoder_equals_its_definition_written_out():
    torch.manual_seed(0)
    decoder = FPNDecoder((4, 5, 6, 7), pyramid_channels=8, segmentation_channels=64, align_corners=True).eval()
    features = [torch.rand(2, c, 16 // 2**i, 24 // 2**i) for i, c in enumerate((4, 5, 6, 7))]
    w = decoder.state_dict()

    def step(x, name, double):
        x = F.conv2d(x, w[f"{name}.0.weight"], padding=1)
        x = F.relu(F.group_norm(x, 32, w[f"{name}.1.weight"], w[f"{name}.1.bias"]))
        if not double:
            return x
        return F.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=True)

    level = F.conv2d(features[3], w["p5.weight"], w["p5.bias"])
    levels = [level]
    for name, feature in (("p4", features[2]), ("p3", features[1]), ("p2", features[0])):
        doubled = level.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        level = doubled + F.conv2d(feature, w[f"{name}.skip_conv.weight"], w[f"{name}.skip_conv.bias"])
        levels.append(level)
    merged = 0
    for branch, doublings in enumerate((3, 2, 1, 0)):
        x = levels[branch]
        for index in range(max(doublings, 1)):
            x = step(x, f"seg_blocks.{branch}.block.{index}.block", doublings > 0)
        merged = merged + x
    with torch.no_grad():
        torch.testing.assert_close(decoder(features), merged)


def test_odd_sizes_are_replicated_at_bottom_and_right():
    torch.manual_seed(0)
    network = FPN("residual").eval()
    image = torch.rand(1, 1, 70, 65)
    padded = torch.cat([image, image[:, :, -1:].expand(-1, -1, 26, -1)], dim=2)
    padded = torch.cat([padded, padded[..., -1:].expand(-1, -1, -1, 31)], dim=3)
    with torch.no_grad():
        torch.testing.assert_close(network(image), network(padded)[:, :, :70, :65])


def test_he_initialisation_and_head_bias():
    torch.manual_seed(0)
    network = FPN("residual", head_bias=-3.0, detail_channels=16)
    for convolution in (network.decoder.p2.skip_conv, network.decoder.seg_blocks[0].block[0].block[0]):
        weight = convolution.weight
        assert weight.std().item() == pytest.approx(math.sqrt(2 / weight[0].numel()), rel=0.05)
    assert torch.count_nonzero(network.decoder.p5.bias) == 0
    assert network.segmentation_head[0].bias.item() == -3.0


def test_detail_path_is_finer_than_the_pyramid():
    """With pyramid and half resolution cut off, one pixel of the image reaches exactly the 7 x 7 logits around it."""
    assert _reach("reduce_half") == (27, 33, 17, 23)
    top, bottom, left, right = _reach("reduce_quarter")  # half resolution: farther, but within 16 px
    assert 14 <= top < 27 and 33 < bottom <= 46 and 4 <= left < 17 and 23 < right <= 36


def _reach(cut):
    """First and last row and column of the logits that pixel (30, 20) changes when a layer's weights are zero."""
    torch.manual_seed(0)
    network = FPN("residual", detail_channels=8).eval()
    torch.nn.init.zeros_(getattr(network.detail, cut).weight)
    image = torch.rand(1, 1, 64, 64)
    touched = image.clone()
    touched[0, 0, 30, 20] += 1.0
    with torch.no_grad():
        changed = (network(touched) - network(image))[0, 0].abs() > 1e-7
    rows, cols = torch.nonzero(changed).T
    return tuple(int(value) for value in (rows.min(), rows.max(), cols.min(), cols.max()))


def test_detail_path_starts_around_the_head_bias_and_reaches_both_sides():
    torch.manual_seed(0)
    network = FPN("residual", detail_channels=16, head_bias=-3.0).train()
    with torch.no_grad():
        logits = network(torch.rand(2, 1, 96, 96))
    assert (logits > -3).float().mean().item() == pytest.approx(0.5, abs=0.2)
    assert logits.mean().item() == pytest.approx(-3.0, abs=0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"segmentation_channels": 100}, "segmentation_channels: got 100; want a multiple of 32"),
        ({"detail_channels": -1}, "detail_channels: got -1"),
        ({"encoder": ""}, "encoder: got ''"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FPN(**{"encoder": "residual", **arguments})


# ------------------------------------------------------------------ a part of the logits


def network_with_detail(**arguments):
    torch.manual_seed(0)
    network = FPN("residual", pyramid_channels=32, segmentation_channels=32, detail_channels=4, **arguments).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network


PARTS = [((0, 130), (0, 150)), ((37, 90), (41, 103)), ((100, 130), (0, 3)), ((64, 65), (149, 150))]


@pytest.mark.parametrize(("rows", "cols"), PARTS)
@pytest.mark.parametrize("arguments", [{"align_corners": False}, {"align_corners": True}])
def test_part_is_the_part_of_the_whole(rows, cols, arguments):
    network, part = network_with_detail(**arguments), (slice(*rows), slice(*cols))
    images = torch.rand(2, 1, 130, 150)
    with torch.no_grad():
        torch.testing.assert_close(network.part(images, *part), network(images)[:, :, *part], rtol=0, atol=1e-5)


def test_part_without_detail_path_is_cut_from_the_whole():
    network, images = FPN("residual").eval(), torch.rand(1, 1, 70, 64)
    with torch.no_grad():
        found = network.part(images, slice(3, 9), slice(5, 60))
        assert torch.equal(found, network(images)[:, :, 3:9, 5:60])


def test_part_runs_the_full_resolution_path_on_less_and_a_smaller_margin_shows(monkeypatch):
    network, images, seen = network_with_detail(align_corners=False), torch.rand(1, 1, 256, 256), []
    network.detail.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[2:])))
    part = (slice(100, 140), slice(120, 200))
    with torch.no_grad():
        whole = network(images)[:, :, *part]
        network.part(images, *part)
        assert seen == [(256, 256), (72, 112)]
        monkeypatch.setattr("scripts.networks.fpn.DETAIL_MARGIN_PX", 4)
        assert (network.part(images, *part) - whole).abs().max() > 1e-4
