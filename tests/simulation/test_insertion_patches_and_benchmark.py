"""The training data set and the frozen benchmark on small generated backgrounds."""

import json

import cv2
import numpy as np
import pytest
import torch
from monai.transforms import Compose

from scripts.common.objects import label_objects
from scripts.common.resampling import resample, resample_label, resampled_size
from scripts.data.lists.backgrounds import background_datalist
from scripts.data.lists.generic import generic_datalist
from scripts.simulation.benchmark import freeze_benchmark
from scripts.simulation.mixture_benchmark import MixtureBenchmark, density_class
from scripts.simulation.phantom import PhantomSettings
from scripts.training.insertion_patches import InsertionPatches
from scripts.training.patches import PatchDataset
from scripts.transforms import LoadLabeld, LoadMammogramd


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven small breasts: a bright half disc with texture, 8-bit PNG, numbered 5..11."""
    root = tmp_path_factory.mktemp("backgrounds")
    rows, cols = np.indices((360, 300))
    for number in range(5, 12):
        rng = np.random.default_rng(number)
        texture = cv2.GaussianBlur(rng.standard_normal((360, 300)), (0, 0), 8) * 2 + rng.normal(0, 0.02, (360, 300))
        breast = np.hypot((rows - 180) / 1.1, cols) < 150
        cv2.imwrite(
            str(root / f"IM{number:04d}.png"),
            np.uint8(np.where(breast, np.clip(0.4 + 0.2 * texture, 0.15, 1), 0) * 255),
        )
    return root


@pytest.fixture
def loader():
    return Compose([LoadMammogramd(), LoadLabeld(keys="label")])


def dataset(folder, loader, cache, section="training", **options):
    patches = InsertionPatches(**({"patch_px": 96, "patches_per_epoch": 6, "validation_patches": 5} | options))
    data = background_datalist(folder)[section]
    return PatchDataset(data, loader, patches, cache_dir=cache, section=section, seed=2, progress=False)


def test_sections_follow_the_number_in_the_name(folder):
    parts = background_datalist(folder)
    names = {section: [item["image_id"] for item in items] for section, items in parts.items()}
    assert names == {
        "training": ["IM0007", "IM0008", "IM0009"],
        "validation": ["IM0006", "IM0011"],
        "testing": ["IM0005", "IM0010"],
    }


def test_patches_are_images_with_labels(folder, loader, tmp_path):
    items = list(dataset(folder, loader, tmp_path, patches_per_epoch=12))
    for item in items:
        assert item["image"].shape == item["label"].shape == (1, 96, 96)
        assert item["image"].dtype == torch.float32
        assert 0 <= item["image"].min() <= item["image"].max() <= 1
        assert set(item["label"].unique().tolist()) <= {0, 1, 2}
    assert any((item["label"] == 1).any() for item in items)
    assert any(not (item["label"] == 1).any() for item in items)


def test_patches_depend_on_seed_epoch_and_index_only(folder, loader, tmp_path):
    first, second = dataset(folder, loader, tmp_path), dataset(folder, loader, tmp_path)
    for made in (first, second):
        made.set_epoch(3)
    _ = second[0], second[4]  # what was drawn before does not matter
    torch.testing.assert_close(first[2]["image"], second[2]["image"], rtol=0, atol=0)
    torch.testing.assert_close(first[2]["label"], second[2]["label"], rtol=0, atol=0)
    second.set_epoch(4)
    assert not torch.equal(first[2]["image"], second[2]["image"])
    assert not torch.equal(first[2]["image"], first[3]["image"])


def test_validation_patches_stay_the_same_over_epochs(folder, loader, tmp_path):
    made = dataset(folder, loader, tmp_path, "validation")
    assert len(made) == 5
    before = made[1]["image"]
    made.set_epoch(9)
    torch.testing.assert_close(made[1]["image"], before, rtol=0, atol=0)


def test_no_mcs_when_none_are_wanted(folder, loader, tmp_path):
    assert not any(
        item["label"].any() for item in dataset(folder, loader, tmp_path, with_mcs_share=0.0, patches_per_epoch=10)
    )


def test_an_unreadable_background_is_left_out_and_reported(folder, loader, tmp_path):
    bad = tmp_path / "bad_7.png"
    bad.write_bytes(b"no image")
    data = [{"image": str(bad), "label": ""}, *background_datalist(folder)["training"]]
    made = PatchDataset(data, loader, InsertionPatches(64, 2), cache_dir=tmp_path / "c", progress=False)
    assert [failure["file"] for failure in made.failures] == [str(bad)]
    with pytest.raises(SystemExit):
        made.finish()
    with pytest.raises(ValueError, match="1 items, 1 unreadable, and no patch from them; want at least one readable"):
        PatchDataset(data[:1], loader, InsertionPatches(), cache_dir=tmp_path / "c", progress=False)


def test_benchmark_sets_load_and_repeat(folder, loader, tmp_path):
    options = {"phantoms": 2, "phantom_shape": (256, 200), "progress": False}
    counts = freeze_benchmark(folder, tmp_path / "a", LoadMammogramd(), **options)
    freeze_benchmark(folder, tmp_path / "b", LoadMammogramd(), **options)
    assert counts["datalist"] == counts["plain"] == counts["phantoms"] == 4
    assert counts["shift_blur"] == counts["shift_pixel_0.7"] == counts["shift_monochrome1"] == 2
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    lists = {n: generic_datalist(f"{n}.json", tmp_path / "a") for n in ("datalist", "plain", "shift_monochrome1")}
    phantoms = generic_datalist("phantoms.json", tmp_path / "a")
    assert [len(phantoms[part]) for part in ("training", "validation", "testing")] == [0, 2, 2]
    for entry in phantoms["validation"] + phantoms["testing"]:
        written = cv2.imread(str(tmp_path / "a" / "phantoms" / "labels" / f"{entry['image_id']}.png"), -1)
        np.testing.assert_array_equal(np.asarray(loader(dict(entry))["label"])[0], written)
        assert set(np.unique(written)) > {0} and entry["density"] in PhantomSettings().densities
    assert [len(lists["datalist"][part]) for part in ("training", "validation", "testing")] == [0, 2, 2]
    item, plain, inverted = (loader(dict(lists[name]["testing"][0])) for name in lists)
    records = json.loads((tmp_path / "a" / "records" / "IM0005.json").read_text())["mcs"]
    changed = np.abs(np.asarray(item["image"]) - np.asarray(plain["image"])) > 1e-3
    assert changed.any() == bool(records)
    assert not plain["label"].any()
    np.testing.assert_array_equal(np.asarray(item["image"]), np.asarray(inverted["image"]))


def test_resampling_keeps_every_mc():
    label = np.zeros((60, 80), np.uint8)
    label[10, 10] = label[30, 41] = label[50:53, 70:74] = 1
    image = label.astype(np.float32)
    for magnification in (0.7, 1 / 1.4, 1 / 0.7, 1.4):
        resized, moved = (
            resample(image, resampled_size(image.shape, magnification)),
            resample_label(label, magnification),
        )
        assert resized.shape == moved.shape == (round(60 * magnification), round(80 * magnification))
        objects, count = label_objects(moved == 1)
        assert count == 3
        centres = [np.argwhere(objects == i).mean(axis=0) for i in (1, 2, 3)]
        expected = (np.array([[10, 10], [30, 41], [51, 71.5]]) + 0.5) * magnification - 0.5
        np.testing.assert_allclose(sorted(map(tuple, centres)), expected, atol=0.75)


def test_a_training_part_is_written_on_demand(folder, tmp_path):
    parts = ["training", "validation"]
    freeze_benchmark(folder, tmp_path, LoadMammogramd(), sections=parts, phantoms=0, progress=False)
    lists = generic_datalist("datalist.json", tmp_path)
    assert not (tmp_path / "phantoms.json").exists() and not list(tmp_path.glob("shift_*"))
    assert [len(lists[part]) for part in ("training", "validation", "testing")] == [3, 2, 0]
    ids = {int(item["image_id"][2:6]) for item in lists["training"]}
    assert all(number % 5 not in (0, 1) for number in ids)
    with pytest.raises(ValueError, match="trainig"):
        freeze_benchmark(folder, tmp_path, LoadMammogramd(), sections=["trainig"])


def test_validation_can_be_shifted_for_choices(folder, tmp_path):
    parts = {"sections": ["validation"], "shifted_sections": ["validation"]}
    freeze_benchmark(folder, tmp_path, LoadMammogramd(), **parts, phantoms=0, progress=False)
    lists = {path.stem: generic_datalist(path.name, tmp_path) for path in tmp_path.glob("shift_*.json")}
    assert len(lists) == 9
    assert all([len(item[part]) for part in ("validation", "testing")] == [2, 0] for item in lists.values())
    together = generic_datalist("presentations.json", tmp_path)["validation"]
    each = [generic_datalist("datalist.json", tmp_path), *lists.values()]
    wanted = sorted(item["image_id"] for parts in each for item in parts["validation"])
    assert sorted(item["image_id"] for item in together) == wanted and len(set(wanted)) == 20
    with pytest.raises(ValueError, match=r"shifted_sections: got \['test'\]; want some of training, validation"):
        freeze_benchmark(folder, tmp_path, LoadMammogramd(), shifted_sections=["test"])


def test_the_second_version_labels_what_can_be_seen(folder, loader, tmp_path):
    settings = MixtureBenchmark(spacing_range_mm=(0.08, 0.08))
    options = {"settings": settings, "phantoms": 0, "progress": False}
    freeze_benchmark(folder, tmp_path / "a", LoadMammogramd(), **options)
    freeze_benchmark(folder, tmp_path / "b", LoadMammogramd(), **options)
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert json.loads((tmp_path / "a" / "benchmark.json").read_text())["version"] == 2
    shifts = {path.stem for path in (tmp_path / "a").glob("shift_*.json")}
    assert {"shift_vendor_sigmoid", "shift_vendor_power", "shift_vendor_shoulder", "shift_noise"} <= shifts
    items = generic_datalist("datalist.json", tmp_path / "a")
    seen = []
    for item in items["validation"] + items["testing"]:
        loaded, stem = loader(dict(item)), item["patient"]
        label, records = (
            np.asarray(loaded["label"])[0],
            json.loads((tmp_path / "a" / "records" / f"{stem}.json").read_text())["mcs"],
        )
        objects = cv2.imread(str(tmp_path / "a" / "objects" / f"{stem}.png"), -1)
        assert loaded["image"].meta["spacing_mm"] == pytest.approx((0.08, 0.08))
        for record in records:
            own = label[objects == record["number"]]
            assert set(own.tolist()) <= {record["label"]}
            assert (record["label"] == 1) == (record["d_prime"] >= 5 and own.size > 0)
        seen += records
        assert (objects > 0).sum() == (label > 0).sum() and item["density"]
    assert {record["label"] for record in seen} == {1, 2}


def test_density_classes_rise_with_bright_tissue():
    image, breast = np.full((100, 100), 0.3, np.float32), np.ones((100, 100), bool)
    found = []
    for share in (10, 40, 80):
        image[:share] = 0.8
        found.append(density_class(image, breast))
    assert found == ["below 0.25 bright", "0.25 to 0.5 bright", "0.5 or more bright"]
    assert density_class(image, ~breast) == ""
