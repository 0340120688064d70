"""The Python function: the command line's findings, of files and arrays; texts are never evaluated."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Event

import nibabel
import numpy as np
import pytest
import torch

from scripts.api import Choice, Segmenter, as_literal, segment
from scripts.command import main
from scripts.common.files import write_png
from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.mammogram_reader import read_mammogram


@pytest.fixture(scope="module")
def image(phantoms):
    return Path(phantoms[1]["testing"][0]["image"])


@pytest.fixture(scope="module")
def options(tiny_weights):
    return {
        "hdogreg": {"weights": tiny_weights / "model.pt", "score_threshold": 0.01},
        "slim_fcn": {"weights": tiny_weights / "slim_fcn.pt", "score_threshold": 0.3},
        "hdog_alone": {},
    }


@pytest.fixture(scope="module")
def hdogreg(options):
    return Segmenter(**options["hdogreg"])


def words(choice):
    return [part for key, value in choice.items() for part in (f"--{key.replace('_', '-')}", str(value))]


@pytest.mark.parametrize("method", ["hdogreg", "slim_fcn", "hdog_alone"])
def test_the_function_finds_what_the_command_line_finds(image, options, tmp_path, method):
    assert main(["segment", str(image), str(tmp_path), "--method", method, "--quiet", *words(options[method])]) == 0
    found = segment(image, method=method, **options[method])
    folder = tmp_path / image.stem
    assert json.loads(json.dumps(found.report)) == json.loads((folder / "findings.json").read_text())
    for name, array in (("mask", found.mask), ("instances", found.instances)):
        assert np.array_equal(np.asarray(nibabel.load(folder / f"{name}.nii.gz").dataobj).T, array)
    assert len(found.microcalcifications) == found.instances.max() > 0
    for mc, mark in zip(found.microcalcifications, found.report["microcalcifications"], strict=True):
        assert asdict(mc) == {key: mark[key] for key in asdict(mc)}
    assert found.map.shape == found.mask.shape and found.mask.dtype == np.uint8


def test_an_array_gives_what_its_file_gives(image, hdogreg):
    array, meta = read_mammogram(image)
    whole = np.rint(array * 4095).astype(np.uint16)
    assert np.array_equal(hdogreg(array, meta["spacing_mm"]).instances, hdogreg(image).instances)
    as_float = (whole / np.float32(4095)).astype(np.float32)
    assert np.array_equal(hdogreg(whole, 0.07).map, hdogreg(as_float, 0.07).map)  # scaled as a 12-bit PNG
    other = hdogreg(array, (0.05, 0.06))
    assert other.report["spacing_mm"] == [0.05, 0.06] and other.report["reading"]["spacing_source"] == "given"


def test_spacing_of_a_file_counts_where_it_tells_none(image, hdogreg, tmp_path):
    array, _ = read_mammogram(image)
    nameless = tmp_path / "a.png"
    write_png(nameless, np.rint(array * 65535).astype(np.uint16))
    assert hdogreg(nameless, 0.05).report["spacing_mm"] == [0.05, 0.05]
    assert hdogreg(image, 0.05).report["spacing_mm"] == [0.07, 0.07]  # the file tells


def test_the_network_is_loaded_once(image, options, caplog):
    caplog.set_level("INFO")
    segmenter = Segmenter(**options["hdogreg"])
    first, second = segmenter(image), segmenter(image)
    assert np.array_equal(first.instances, second.instances)
    assert caplog.text.count("weights of FPN loaded") == 1


def test_threads_may_share_a_segmenter(image, options):
    segmenter = Segmenter(**options["hdogreg"])
    alone, infer = segmenter(image).map, segmenter.inferer
    first_is_in, second_is_in, first_is_done = Event(), Event(), Event()

    def in_turn(*args, **kwargs):  # the first call ends while the second one waits for its network
        came, waited_for = (second_is_in, first_is_done) if first_is_in.is_set() else (first_is_in, second_is_in)
        came.set()
        assert waited_for.wait(60)
        return infer(*args, **kwargs)

    segmenter.inferer = in_turn
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(segmenter, image)
        first.add_done_callback(lambda _: first_is_done.set())
        assert first_is_in.wait(60)
        second = pool.submit(segmenter, image)
        assert np.array_equal(first.result().map, alone) and np.array_equal(second.result().map, alone)


def test_nothing_found_is_a_result(image, tiny_weights):
    found = segment(image, weights=tiny_weights / "model.pt", score_threshold=1.0)
    assert found.report["status"] == "nothing found" and found.microcalcifications == [] and not found.mask.any()


@pytest.mark.parametrize(
    ("array", "spacing", "said"),
    [
        (np.zeros((1, 64, 64)), None, r"shape \(1, 64, 64\)"),
        (np.full((64, 64), np.nan), None, "NaN"),
        (np.array([["a", "b"]]), None, "want numbers"),
        (np.zeros((0, 5)), None, "empty image"),
        (np.random.default_rng(0).random((64, 64)), -0.07, "spacing_mm"),
        (np.random.default_rng(0).random((64, 64)), (0.07, 40.0), "spacing_mm"),
    ],
)
def test_what_is_no_mammogram_says_so(hdogreg, array, spacing, said):
    with pytest.raises(MammogramReadError, match=said):
        hdogreg(array, spacing)


def test_a_spacing_of_three_numbers_is_one_error(hdogreg):
    with pytest.raises(ValueError, match=r"spacing_mm: got \(1, 2, 3\); want one number, or \(row, col\)"):
        hdogreg(np.zeros((64, 64)), (1, 2, 3))


def test_a_bad_file_is_the_readers_error(hdogreg, tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"no image")
    with pytest.raises(MammogramReadError, match=r"x\.dcm: got"):
        hdogreg(tmp_path / "x.dcm")


EVIL = ("$print(1)", "@weights", "%x.json#y", "a#b", "a@::b")


@pytest.mark.parametrize("names", [EVIL[:3], EVIL[1:4], (EVIL[4], EVIL[3], EVIL[0])])
def test_names_of_files_are_never_evaluated_resolved_or_changed(image, tiny_weights, tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    source, out, weights = names
    (tmp_path / source).mkdir()
    (tmp_path / source / f"{source}.dcm").write_bytes(image.read_bytes())
    (tmp_path / weights).write_bytes((tiny_weights / "model.pt").read_bytes())
    choice = {"weights": weights, "score_threshold": 0.01}
    assert main(["segment", source, out, "--quiet", "--outputs", "mask", *words(choice)]) == 0
    report = json.loads((tmp_path / out / "run_report.json").read_text())
    assert report["images_done"] == 1 and report["weights"]["file"] == weights
    assert report["images"][0]["file"] == f"{source}/{source}.dcm" and report["inputs"]["input_dir"] == source
    found = segment(f"{source}/{source}.dcm", **choice)
    assert found.report["file"] == f"{source}/{source}.dcm"


@pytest.mark.parametrize("text", EVIL)
def test_other_texts_that_would_be_evaluated_are_refused(text, monkeypatch):
    monkeypatch.setattr("builtins.eval", lambda *_: pytest.fail("evaluated"))
    for choice in ({"preset": text}, {"settings": {"tiles::tile_px": text}}, {"settings": {"outputs": ["mask", text]}}):
        with pytest.raises(ValueError, match="want a plain text"):
            Choice(**choice).values()
    with pytest.raises(ValueError, match="method: got"):
        Choice(text)


def test_literals():
    assert as_literal("x", [1, 0.5, True, None, "word", Path("$x")]) == [1, 0.5, True, None, "word", Path("$x")]
    with pytest.raises(ValueError, match="x: got"):
        as_literal("x", {"_target_": "os.system", "command": "true"})


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"preset": "best"}, "preset: got 'best'; want one of sensitive, balanced, specific"),
        ({"preset": "specific", "score_threshold": 0.3}, "score_threshold: got 0.3; want none beside the preset"),
        ({"method": "hdog_alone", "preset": "specific"}, "want none: the threshold of hdog_alone is 0.0"),
        ({"score_threshold": 2}, "score_threshold: got 2; want a number in"),
        ({"score_threshold": float("nan")}, "score_threshold: got nan"),
        ({"device": "gpu"}, "device: got 'gpu'; want one that is here: cpu"),
        ({"settings": {"tiles::tile": 512}}, "tiles::tile: got an argument that its object does not take"),
        ({"settings": {"tile::px": 512}}, "tile::px: got a key that is not there"),
        ({"settings": {"spacing": 512}}, "spacing: got a key or option that nothing reads"),
        ({"weights": "no.pt"}, "no.pt does not exist"),
    ],
)
def test_what_cannot_be_is_one_error(choice, said):
    with pytest.raises((ValueError, OSError)) as caught:
        Segmenter(**choice)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_settings_reach_the_objects(image, tiny_weights):
    choice = {"weights": tiny_weights / "model.pt", "score_threshold": 0.01}
    small = Segmenter(**choice, settings={"tiles::tile_px": 320, "objects::share": 0.9})
    assert small.inferer.inferer.tiles.tile_px == 320
    assert small(image).mask.sum() < segment(image, **choice).mask.sum()  # an object is less of its peak
    assert next(small.network.parameters()).device == torch.device("cpu")
