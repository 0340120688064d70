"""Patch windows, the decoding cache, and bad files in a training set."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scripts.common.settings import describe
from scripts.training.patches import GridPatches, PatchDataset, patch_grid, window_starts


@given(length=st.integers(1, 3000), patch=st.integers(1, 600), data=st.data())
def test_windows_cover_everything_and_stay_inside(length, patch, data):
    stride = data.draw(st.integers(1, patch))
    starts = window_starts(length, patch, stride)
    covered = np.zeros(length, bool)
    for start in starts:
        assert start == 0 or start + patch <= length
        covered[start : start + patch] = True
    assert covered.all() and starts == sorted(set(starts))


def test_the_papers_grid_on_an_inbreast_image():
    # 3328 px: 0, 480, ... 2400 (2400 + 512 < 3328), 2816 = 3328 - 512
    assert window_starts(3328, 512, 480) == [0, 480, 960, 1440, 1920, 2400, 2816]


def test_only_positive_patches_are_kept_and_ignored_ones_are_no_negatives():
    label = np.zeros((8, 12), np.uint8)
    label[1, 1], label[6, 10] = 1, 2
    assert patch_grid(label, 4, 4) == ([(0, 0)], [(0, 4), (0, 8), (4, 0), (4, 4)])


class Loader:
    """Reads .npy pairs; counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, item):
        self.calls += 1
        image = np.load(item["image"])
        return {"image": torch.from_numpy(image)[None], "label": torch.from_numpy(np.load(item["label"]))[None]}


@pytest.fixture
def items(tmp_path):
    rng = np.random.default_rng(0)
    made = []
    for i in range(2):
        label = np.zeros((20, 30), np.uint8)
        label[3, 4 + i] = 1
        np.save(tmp_path / f"image{i}.npy", rng.random((20, 30)).astype(np.float32))
        np.save(tmp_path / f"label{i}.npy", label)
        image = str(tmp_path / f"image{i}.npy")
        made.append({"image": image, "label": str(tmp_path / f"label{i}.npy"), "image_id": str(i)})
    return made


def make(items, tmp_path, loader=None, transform=None, section="training", seed=0, **options):
    patches = GridPatches(**({"patch_px": 16, "stride_px": 15} | options))
    return PatchDataset(
        items, loader or Loader(), patches, transform, tmp_path / "cache", section=section, seed=seed, progress=False
    )


def test_a_patch_is_a_window_of_image_and_label(items, tmp_path):
    patches = make(items, tmp_path)
    whole, label = np.load(items[0]["image"]), np.load(items[0]["label"])
    first = patches[0]
    assert (first["row"], first["col"], first["image_id"]) == (0, 0, "0")
    np.testing.assert_allclose(first["image"][0], whole[:16, :16], atol=1 / 65535)
    np.testing.assert_array_equal(first["label"][0], label[:16, :16])
    assert first["image"].dtype == torch.float32 and first["label"].dtype == torch.uint8


def test_a_second_run_decodes_nothing_and_a_changed_file_is_read_again(items, tmp_path):
    make(items, tmp_path)
    again = Loader()
    before = make(items, tmp_path, again)
    assert again.calls == 0
    label = np.zeros((21, 30), np.uint8)
    label[20, 29] = 1
    np.save(items[1]["label"], label)
    np.save(items[1]["image"], np.zeros((21, 30), np.float32))
    after = make(items, tmp_path, again)
    assert again.calls == 1
    assert [(p["image_id"], p["row"], p["col"]) for p in before] == [("0", 0, 0), ("1", 0, 0)]
    assert [(p["image_id"], p["row"], p["col"]) for p in after] == [("0", 0, 0), ("1", 5, 14)]


def test_small_images_are_padded_with_air(items, tmp_path):
    patches = make(items, tmp_path, patch_px=32, stride_px=32)
    assert patches[0]["image"].shape == (1, 32, 32)
    assert not patches[0]["image"][0, 20:].any() and not patches[0]["image"][0, :, 30:].any()


def test_a_bad_file_is_left_out_recorded_and_logged(items, tmp_path, caplog):
    bad = {"image": str(tmp_path / "gone.npy"), "label": "", "image_id": "gone"}
    patches = make([*items, bad], tmp_path)
    assert {p["image_id"] for p in patches} == {"0", "1"}
    assert patches.failures[0]["file"] == bad["image"] and "gone.npy" in caplog.text
    with pytest.raises(SystemExit) as stop:
        patches.finish()
    assert stop.value.code == 1
    make(items, tmp_path).finish()  # nothing bad: no exit


def test_no_patch_at_all_is_an_error_that_counts(tmp_path):
    gone = [{"image": str(tmp_path / "gone.npy"), "label": ""}]
    for section in ("training", "validation"):
        with pytest.raises(ValueError, match=f"{section} data: got 1 items, 1 unreadable, and no patch"):
            make(gone, tmp_path, section=section)
    with pytest.raises(ValueError, match="stride_px: got 17; want 1"):
        GridPatches(16, 17)
    with pytest.raises(ValueError, match="section: got 'testing'; want one of training, validation"):
        make([], tmp_path, section="testing")


def test_training_without_validation_data_is_allowed_and_without_training_data_is_not(tmp_path):
    assert len(make([], tmp_path, section="validation")) == 0
    with pytest.raises(ValueError, match="training data: got 0 items"):
        make([], tmp_path)


def test_negatives_are_drawn_by_seed_and_never_from_air(items, tmp_path):
    image = np.load(items[0]["image"])
    image[:, 15:] = 0.001
    np.save(items[0]["image"], image)
    label = np.zeros((20, 30), np.uint8)
    label[0, 0] = 1
    np.save(items[0]["label"], label)
    options = {"patch_px": 5, "stride_px": 5}

    def corners(seed, section="training"):
        patches = make(items[:1], tmp_path, negatives_per_positive=4.0, seed=seed, section=section, **options)
        return [(p["row"], p["col"]) for p in patches]

    assert corners(1)[0] == (0, 0) and len(corners(1)) == 5 and all(col < 15 for _, col in corners(1))
    assert corners(1) == corners(1) and any(corners(1) != corners(seed) for seed in range(2, 8))
    assert corners(1, "validation") == [(0, 0)]


def test_the_transform_sees_each_patch(items, tmp_path):
    patches = make(items, tmp_path, transform=lambda item: item["image_id"])
    assert {patches[i] for i in range(len(patches))} == {"0", "1"}


def test_settings_are_the_patches_the_chains_the_section_and_the_seed(items, tmp_path):
    described = describe(make(items, tmp_path, seed=3, negatives_per_positive=0.5))
    assert described["class"] == "PatchDataset" and described["section"] == "training" and described["seed"] == 3
    assert described["patches"]["negatives_per_positive"] == 0.5 and described["patches"]["class"] == "GridPatches"
    assert set(described) == {"class", "patches", "loader", "transform", "section", "seed", "images"}


def test_a_corrected_label_makes_other_data_and_a_moved_file_does_not(items, tmp_path):
    def described(entries, cache):
        return PatchDataset(entries, Loader(), GridPatches(16, 16), None, tmp_path / cache, progress=False).settings

    first = described(items, "a")
    assert first["images"].startswith("2 images, ")
    (tmp_path / "moved").mkdir()
    for item in items:
        for key in ("image", "label"):
            array = np.load(item[key])
            item[key] = str(tmp_path / "moved" / f"{key}{item['image_id']}.npy")
            np.save(item[key], array)
    assert described(items, "b")["images"] == first["images"]
    corrected = np.load(items[1]["label"])
    corrected[10, 10] = 1
    np.save(items[1]["label"], corrected)
    assert described(items, "b")["images"] != first["images"] != described(items[:1], "b")["images"]
