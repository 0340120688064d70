"""The 8-bit form of the shipped weights: whose it is, what it gives, and when it is not used."""

import logging

import numpy as np
import pytest
import torch

from scripts.inference.precision import InferenceForm
from scripts.networks import int8
from scripts.networks.checkpoint import weights_digest
from scripts.networks.fpn import FPN
from scripts.networks.int8 import Int8FPN, Quantizer

CPU = torch.device("cpu")


def shipped(root):
    sizes = {"pyramid_channels": 128, "segmentation_channels": 64, "detail_channels": 16}
    network = FPN("residual", out_channels=2, align_corners=False, **sizes).eval()
    network.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    return network


@pytest.fixture(scope="module")
def file(root):
    return root / "models" / "model_int8.xml"


@pytest.fixture(scope="module")
def network(root):
    return shipped(root)


def spots(rows, cols):
    """Two images [2, 1, rows, cols] of smooth tissue with grain; in the first are nine bright spots: where they are."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0.35, 0.55, (2, 1, 6, 6)))
    images = torch.nn.functional.interpolate(coarse, size=(rows, cols), mode="bicubic").float()
    images += torch.from_numpy(rng.normal(0, 0.005, images.shape)).float()
    places = [(row, col) for row in (60, 150, 260) for col in (70, 160, 250)]
    y, x = np.mgrid[:rows, :cols]
    for row, col in places:
        images[0, 0] += torch.from_numpy(0.25 * np.exp(-(np.hypot(y - row, x - col) ** 2) / 8)).float()
    return images.clamp(0, 1), places


def test_the_shipped_form_is_of_the_shipped_weights(file, network):
    assert Int8FPN(file).digest == weights_digest(network)


def test_it_finds_what_float32_finds_at_any_size(file, network):
    images, places = spots(333, 310)
    with torch.no_grad():
        wanted = network(images).sigmoid()
    found = Int8FPN(file, threads=1)(images).sigmoid()
    assert found.dtype == torch.float32 and found.shape == wanted.shape == (2, 2, 333, 310)
    for row, col in places:
        near = (slice(row - 2, row + 3), slice(col - 2, col + 3))
        assert wanted[0, 1][near].max() > 0.9 and found[0, 1][near].max() > 0.9
    assert (found - wanted).abs().mean() < 0.005
    assert abs((found[:, 1] > 0.5).sum() - (wanted[:, 1] > 0.5).sum()) < 0.15 * (wanted[:, 1] > 0.5).sum()


def test_it_is_used_where_it_pays_and_never_on_a_gpu(file, network, monkeypatch):
    for pays in (True, False):
        monkeypatch.setattr("scripts.inference.precision.int8_pays", lambda pays=pays: pays)
        assert isinstance(InferenceForm("auto", int8=file).of(network, CPU)[0], Int8FPN) == pays
        assert isinstance(InferenceForm("int8", int8=file).of(network, CPU)[0], Int8FPN)
        assert InferenceForm("int8", int8=file).of(network, torch.device("cuda"))[0] is network
    assert InferenceForm("bfloat16", int8=file).of(network, CPU)[0] is network
    assert InferenceForm("auto", int8=file.with_name("none.xml")).of(network, CPU)[0] is network


def test_other_weights_do_without_it(root, file, monkeypatch, caplog):
    monkeypatch.setattr("scripts.inference.precision.int8_pays", lambda: True)
    network, form = shipped(root), InferenceForm("auto", int8=file)
    assert isinstance(form.of(network, CPU)[0], Int8FPN)
    with torch.no_grad():
        network.segmentation_head[0].bias.add_(1)  # as training does
    with caplog.at_level(logging.INFO):
        assert form.of(network, CPU)[0] is network
        assert form.of(network, CPU)[0] is network  # and is told once
    assert caplog.text.count("is of other weights") == 1
    with pytest.raises(ValueError, match=r"precision: got 'int8'; want another one: .*model_int8\.xml is of other"):
        InferenceForm("int8", int8=file).of(network, CPU)


@pytest.mark.parametrize("content", [b"", b"<net/>", b"no graph at all", None])
def test_a_file_that_is_no_network_is_named(tmp_path, file, content):
    path = tmp_path / "model_int8.xml"
    path.write_bytes(file.read_bytes() if content is None else content)  # None: its .bin is missing
    with pytest.raises(ValueError, match=r"model_int8\.xml: cannot be read as a network of OpenVINO"):
        Int8FPN(path)


def test_without_nncf_the_command_to_get_it_is_told(monkeypatch):
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"nncf: got None; want it with pip install -r requirements-export\.txt"):
        Quantizer("model.pt")


def test_a_form_is_made_of_weights_and_images(tmp_path, root, network):
    pytest.importorskip("nncf", reason="needs requirements-export.txt")
    images, places = spots(320, 320)
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    fresh = FPN(**network.arguments)
    file = Quantizer(tmp_path / "mine.pt").write(fresh, [{"image": image} for image in images])
    run = Int8FPN(file)
    assert run.digest == weights_digest(network)
    assert min(run(images)[0, 1, row, col] for row, col in places) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.pt", "mine_int8.bin", "mine_int8.xml"]
