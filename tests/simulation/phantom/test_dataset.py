"""The phantom data set: layout, cache, resume, splits."""

import json
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from scripts.simulation.phantom import PhantomSettings, dataset, phantom_datalist, phantom_images
from scripts.simulation.phantom.parameters import StructureRates

FIELD: dict = {"shape": (256, 200), "spacing_mm": 0.07}
OPTIONS: dict = {"shape": (256, 200), "workers": 0, "progress": False}


def _snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    phantom_datalist(folder, 5, 2, 1, seed=3, empty_fraction=0.25, **OPTIONS)
    return folder


def test_items_point_at_matching_files(root: Path) -> None:
    found = phantom_datalist(root, 5, 2, 1, seed=3, empty_fraction=0.25, **OPTIONS)
    assert {split: len(items) for split, items in found.items()} == {"training": 5, "validation": 2, "testing": 1}
    for item in [item for items in found.values() for item in items]:
        ds = pydicom.dcmread(item["image"])
        mask = cv2.imread(item["label"], cv2.IMREAD_UNCHANGED)
        assert mask.shape == ds.pixel_array.shape == (256, 200)
        assert set(np.unique(mask)) <= {0, 1, 2} and mask.dtype == np.uint8
        facts = json.loads(Path(item["records"]).read_text())
        labelled = sum(mc["labelled"] for mc in facts["mcs"])
        assert bool((mask == 1).any()) == bool(labelled)
        assert (ds.ImageLaterality, ds.PatientID) == (item["laterality"], item["patient"])
        assert item["annotation"] == "full" and item["view"] in ("CC", "MLO")


def test_datalist_file_is_relative(root: Path) -> None:
    text = (root / "datalist.json").read_text()
    assert str(root) not in text
    listed = json.loads(text)
    assert len(listed["training"]) == 5
    assert (root / listed["training"][0]["image"]).is_file()


def test_patients_stay_in_one_split(root: Path) -> None:
    listed = json.loads((root / "datalist.json").read_text())
    patients = [{item["patient"] for item in listed[split]} for split in dataset.SPLITS]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    assert [item["view"] for item in listed["training"][:2]] == ["CC", "MLO"]


def test_share_of_empty_images() -> None:
    jobs = dataset.phantom_jobs({"training": 40, "validation": 0, "testing": 0}, 0, 0.25, **FIELD)
    assert sum(not job.options["with_mcs"] for job in jobs) == 10
    jobs = dataset.phantom_jobs({"training": 10, "validation": 0, "testing": 0}, 0, 0.0, **FIELD)
    assert all(job.options["with_mcs"] for job in jobs)


def test_second_call_only_reads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _snapshot(root)
    monkeypatch.setattr(dataset, "render", lambda spec: pytest.fail("rendered again"))
    phantom_datalist(root, 5, 2, 1, seed=3, empty_fraction=0.25, **OPTIONS)
    assert _snapshot(root) == before


@pytest.mark.parametrize("harm", ["truncate", "remove", "json"])
def test_damage_is_noticed_and_mended(tmp_path: Path, harm: str) -> None:
    items = phantom_images(tmp_path, 2, seed=1, **OPTIONS)
    before = {name: content for name, (content, _) in _snapshot(tmp_path).items()}
    target = Path(items[1]["records" if harm == "json" else "image"])
    if harm == "remove":
        target.unlink()
    else:
        target.write_bytes(target.read_bytes()[:-10])
    phantom_images(tmp_path, 2, seed=1, **OPTIONS)
    assert {name: content for name, (content, _) in _snapshot(tmp_path).items()} == before


def test_an_interrupted_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = dataset.render, []

    def fails_at_third(spec: object) -> object:
        calls.append(spec)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(spec)  # type: ignore[arg-type]

    monkeypatch.setattr(dataset, "render", fails_at_third)
    with pytest.raises(KeyboardInterrupt):
        phantom_images(tmp_path, 4, **OPTIONS)
    assert not (tmp_path / "datalist.json").exists()
    assert not list(tmp_path.rglob("*.part"))
    phantom_images(tmp_path, 4, **OPTIONS)
    assert len(calls) == 5  # two made before, one interrupted, two after


def test_other_parameters_make_other_images_and_more_keep_the_old(tmp_path: Path) -> None:
    phantom_images(tmp_path, 1, seed=1, **OPTIONS)
    first = _snapshot(tmp_path)
    items = phantom_images(tmp_path, 2, seed=1, **OPTIONS)
    image = str(Path(items[0]["image"]).relative_to(tmp_path))
    assert _snapshot(tmp_path)[image] == first[image]
    phantom_images(tmp_path, 1, seed=2, **OPTIONS)
    assert len(list((tmp_path / "images").iterdir())) >= 2
    again = phantom_images(tmp_path, 1, seed=2, **OPTIONS)
    assert Path(again[0]["image"]).read_bytes() != first[image][0]


def test_worker_processes_write_the_same_bytes(tmp_path: Path) -> None:
    phantom_images(tmp_path / "a", 2, seed=4, **OPTIONS)
    phantom_images(tmp_path / "b", 2, seed=4, **(OPTIONS | {"workers": 2}))
    one, two = ({n: c for n, (c, _) in _snapshot(tmp_path / side).items()} for side in "ab")
    assert one == two


@pytest.mark.parametrize("options", [{"training": -1}, {"empty_fraction": 1.5}])
def test_wrong_arguments_are_named(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        phantom_datalist(tmp_path, **(OPTIONS | options))


def test_other_settings_make_other_images_and_the_settings_of_the_config_the_same(tmp_path: Path, root: Path) -> None:
    dense = PhantomSettings(density_shares=[0, 0, 0, 1])
    items = phantom_images(tmp_path, 2, seed=3, settings=dense, **OPTIONS)
    assert [item["density"] for item in items] == ["dense", "dense"]
    image = _snapshot(tmp_path)[str(Path(items[0]["image"]).relative_to(tmp_path))]
    rarer = PhantomSettings(density_shares=[0, 0, 0, 1], structures=StructureRates(ligaments_rate=10.0))
    phantom_images(tmp_path, 2, seed=3, settings=rarer, **OPTIONS)
    assert _snapshot(tmp_path)[str(Path(items[0]["image"]).relative_to(tmp_path))] != image


def test_four_views_are_one_study_of_a_patient(tmp_path: Path) -> None:
    items = phantom_datalist(tmp_path, 5, 0, 0, four_views=True, **OPTIONS)["training"]
    views = [(item["patient"], item["laterality"], item["view"]) for item in items]
    first = [("P00000", side, view) for side in "RL" for view in ("CC", "MLO")]
    assert views == [*first, ("P00001", "R", "CC")]
    studies = [pydicom.dcmread(item["image"]).StudyInstanceUID for item in items]
    assert len(set(studies[:4])) == 1 and studies[4] != studies[0]
    assert len({item["density"] for item in items[:4]}) == 1
