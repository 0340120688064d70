"""The 8-bit form of the shipped weights: whose it is, what it gives, and when it is not used."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from scripts.inference.precision import AutocastInferer, InferenceForm
from scripts.inference.tile_inferer import TileInferer
from scripts.inference.tiles import Tiles
from scripts.networks import int8
from scripts.networks.fpn import FPN
from scripts.networks.int8 import Int8Network, OtherWeightsError, Quantizer, int8_beside
from scripts.networks.slim_fcn import SlimFCN

CPU = torch.device("cpu")


def shipped(root):
    sizes = {"pyramid_channels": 128, "segmentation_channels": 64, "detail_channels": 16}
    network = FPN("residual", out_channels=3, align_corners=False, **sizes).eval()
    network.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    return network


@pytest.fixture(scope="module")
def weights(root):
    return root / "models" / "model.pt"


@pytest.fixture(scope="module")
def file(weights):
    return int8_beside(weights)


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


def test_the_shipped_config_runs_the_shipped_form(root, network, monkeypatch):
    monkeypatch.setattr("scripts.inference.precision.int8_pays", lambda: True)
    monkeypatch.chdir(root)
    parser = ConfigParser()
    parser.read_config("configs/inference.json")
    inferer = parser.get_parsed_content("inferer")
    assert isinstance(inferer.inferer.form.of(network, CPU)[0], Int8Network) and inferer.arithmetic == "int8"


def test_making_it_tells_nobody(root, tmp_path):
    """OpenVINO's converter would post that it was imported, from a fork; a hook that sees every connection is told."""
    code = """
import sys
sys.addaudithook(lambda name, about: name in ("socket.connect", "socket.getaddrinfo", "os.fork") and print(name, about))
import torch
from scripts.networks.fpn import FPN
from scripts.networks.int8 import Int8Network
sizes = {"pyramid_channels": 128, "segmentation_channels": 64, "detail_channels": 16}
network = FPN("residual", out_channels=3, align_corners=False, **sizes)
network.load_state_dict(torch.load("models/model.pt", weights_only=True))
Int8Network("models/model_int8.xml", network)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert (told.returncode, told.stdout) == (0, ""), told.stderr
    assert not list(tmp_path.iterdir())


def test_it_finds_what_float32_finds_at_any_size(file, network):
    images, places = spots(333, 310)
    with torch.no_grad():
        wanted = network(images).sigmoid()
    found = Int8Network(file, network, threads=1)(images).sigmoid()
    assert found.dtype == torch.float32 and found.shape == wanted.shape == (2, 3, 333, 310)
    for row, col in places:
        near = (slice(row - 2, row + 3), slice(col - 2, col + 3))
        assert wanted[0, 1][near].max() > 0.9 and found[0, 1][near].max() > 0.9
    assert (found - wanted).abs().mean() < 0.005
    assert abs((found[:, 1] > 0.5).sum() - (wanted[:, 1] > 0.5).sum()) < 0.15 * (wanted[:, 1] > 0.5).sum()


def test_it_gives_its_memory_back_between_images(file, network, monkeypatch):
    """Feature maps of a band are hundreds of MB, which nobody needs while objects are formed."""
    run, images = Int8Network(file, network, threads=1), torch.rand(1, 1, 1024, 1024)
    before = run(images)
    full = resident_mb()
    run.rest()
    assert full - resident_mb() > 50
    assert torch.equal(run(images), before)
    rested = []
    monkeypatch.setattr("scripts.inference.precision.int8_pays", lambda: True)
    monkeypatch.setattr(Int8Network, "rest", lambda self: rested.append(self))
    tiles = Tiles(tile_px=128, margin_px=32, breast_only=False)
    TileInferer(tiles, weights=file.with_name("model.pt"))(images[..., :320, :320], network)
    assert len(rested) == 1


def test_signals_are_still_handled_after_two_of_them_are_gone(root):
    """Two cores of OpenVINO, freed in the order they were made, leave the thread a freed stack for signals."""
    code = """
import faulthandler, signal
import torch
from scripts.networks.int8 import Int8Network
from scripts.networks.slim_fcn import SlimFCN
faulthandler.enable()
network = SlimFCN(dropout=0.0).eval()
network.load_state_dict(torch.load("models/slim_fcn.pt", weights_only=True))
first = Int8Network("models/slim_fcn_int8.xml", network, threads=1)
second = Int8Network("models/slim_fcn_int8.xml", network, threads=1)
del first
del second
signal.signal(signal.SIGUSR1, lambda *about: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_the_slim_fcn_has_one_too(root, monkeypatch):
    """Its map is as float32's, the first block not being rounded to 256 grey levels."""
    monkeypatch.setattr("scripts.inference.precision.int8_pays", lambda: True)
    weights = root / "models" / "slim_fcn.pt"
    network = SlimFCN(dropout=0.0).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    form = InferenceForm("auto", weights=weights)
    run, _ = form.of(network, CPU)
    assert isinstance(run, Int8Network) and form.arithmetic == "int8"
    images, places = spots(187, 301)
    with torch.no_grad():
        wanted = network(images).sigmoid()
    found = run(images).sigmoid()
    assert found.shape == wanted.shape == (2, 1, 187, 301)
    for row, col in places[:6]:
        near = (slice(row - 2, row + 3), slice(col - 2, col + 3))
        assert abs(wanted[0, 0][near].max() - found[0, 0][near].max()) < 0.1
    assert (found - wanted).abs().mean() < 0.005


def test_it_is_used_where_it_pays_and_never_on_a_gpu(weights, network, monkeypatch):
    for pays in (True, False):
        monkeypatch.setattr("scripts.inference.precision.int8_pays", lambda pays=pays: pays)
        form = InferenceForm("auto", weights=weights)
        assert isinstance(form.of(network, CPU)[0], Int8Network) == pays == (form.arithmetic == "int8")
        assert isinstance(InferenceForm("int8", weights=str(weights)).of(network, CPU)[0], Int8Network)
    for form, device in (("bfloat16", CPU), ("float32", CPU), ("auto", torch.device("cuda"))):
        assert InferenceForm(form, weights=weights).of(network, device)[0] is network
    for none in (weights.with_name("none.pt"), "", None):
        assert InferenceForm("auto", weights=none).of(network, CPU)[0] is network


def test_where_it_cannot_be_had_asking_for_it_is_an_error(weights, network):
    for other, device in ((network, torch.device("cuda")), (torch.nn.Conv2d(1, 1, 3), CPU)):
        with pytest.raises(
            ValueError, match="precision: got 'int8'; want auto: this network on this device has no such"
        ):
            InferenceForm("int8", weights=weights).of(other, device)
    with pytest.raises(ValueError, match=r"none_int8\.xml: does not exist; want the files of `run quantizing`"):
        InferenceForm("int8", weights=weights.with_name("none.pt")).of(network, CPU)
    with pytest.raises(ValueError, match="precision: got 'int8'; want another one: 8-bit integers are for inference"):
        AutocastInferer("int8")


@pytest.mark.parametrize("change", ["weights", "input_mean"])
def test_other_networks_do_without_it(change, root, weights, monkeypatch, caplog):
    monkeypatch.setattr("scripts.inference.precision.int8_pays", lambda: True)
    network, form = shipped(root), InferenceForm("auto", weights=weights)
    if change == "weights":
        assert isinstance(form.of(network, CPU)[0], Int8Network)
        with torch.no_grad():
            network.segmentation_head[0].bias.add_(1)  # as training does
    else:
        network.input_mean = 0.4
    with caplog.at_level(logging.INFO):
        assert form.of(network, CPU)[0] is network
        assert form.of(network, CPU)[0] is network  # and is told once
    assert caplog.text.count("is of other weights") == 1
    with pytest.raises(OtherWeightsError, match=r"model_int8\.xml: is of other weights"):
        InferenceForm("int8", weights=weights).of(network, CPU)


@pytest.mark.parametrize("content", [b"", b"<net/>", b"no graph at all", None])
def test_a_file_that_is_no_network_is_named(tmp_path, file, network, content):
    path = tmp_path / "model_int8.xml"
    path.write_bytes(file.read_bytes() if content is None else content)  # None: its .bin is missing
    with pytest.raises(ValueError, match=r"model_int8\.xml: cannot be read .*; want the files of `run quantizing`"):
        Int8Network(path, network)


def test_a_bin_of_another_form_is_refused(tmp_path, file, network):
    path = Path(shutil.copy(file, tmp_path))
    content = bytearray(file.with_suffix(".bin").read_bytes())
    content[len(content) // 2] ^= 1
    path.with_suffix(".bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"model_int8\.xml: its \.bin is not the one that it was written with"):
        Int8Network(path, network)


def test_without_openvino_or_avx2_it_does_not_pay(monkeypatch):
    for has_avx2 in (False, True):
        monkeypatch.setattr("torch.cpu._is_avx2_supported", lambda has_avx2=has_avx2: has_avx2)
        assert int8.int8_pays() == has_avx2
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    assert not int8.int8_pays()


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
    run = Int8Network(file, network)
    assert min(run(images)[0, 1, row, col] for row, col in places) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.pt", "mine_int8.bin", "mine_int8.xml"]
