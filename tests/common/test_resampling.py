"""The one resampler: pixel grids, brightness and labels; training uses it as it stands."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.common.objects import label_objects
from scripts.common.resampling import WorkingGrid, resample, resample_label, resampled_size
from scripts.transforms import WorkingGridd

SPACINGS = (0.05, 0.085, 0.1)


def bright_spot(spacing_mm, sigma_mm=0.15):
    """A Gaussian spot of height 0.6 on 0.2, in the middle of 9 mm."""
    axis = np.arange(round(9 / spacing_mm)) * spacing_mm - 4.5
    return (0.2 + 0.6 * np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / sigma_mm**2)).astype(np.float32)


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_training_sees_the_pixels_of_the_one_resampler(spacing_mm):
    image, grid = bright_spot(spacing_mm), WorkingGrid(0.07)
    meta = {"spacing_mm": (spacing_mm, spacing_mm)}
    label = torch.zeros(1, *image.shape, dtype=torch.uint8)
    item = WorkingGridd(grid=grid)({"image": MetaTensor(torch.from_numpy(image)[None], meta=meta), "label": label})
    size = resampled_size(image.shape, grid.magnification(spacing_mm))
    np.testing.assert_array_equal(item["image"][0], resample(image, size))
    assert item["image"].meta["spacing_mm"][0] == pytest.approx(0.07)


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_a_bright_spot_keeps_nearly_all_of_its_height(spacing_mm):
    image = bright_spot(spacing_mm)
    resized = resample(image, resampled_size(image.shape, spacing_mm / 0.07))
    kept = (resized.max() - 0.2) / (image.max() - 0.2)
    assert 0.93 < kept < 1.02


def test_shrinking_by_two_is_the_mean_of_four_pixels_and_one_bright_pixel_keeps_a_quarter():
    image = np.zeros((6, 8), np.float32)
    image[2, 4] = 1
    np.testing.assert_allclose(resample(image, (3, 4)), image.reshape(3, 2, 4, 2).mean(axis=(1, 3)), atol=1e-7)


def test_values_stay_in_range_where_cubic_overshoots():
    step = np.repeat(np.array([[0.0, 1.0]], np.float32), 8, axis=0).repeat(4, axis=1)
    resized = resample(step, (20, 20))
    assert resized.min() == 0 and resized.max() == 1


@pytest.mark.parametrize("magnification", [0.5, 0.7, 1.4, 1 / 0.7])
def test_no_mc_gets_lost_and_ignore_regions_keep_their_place(magnification):
    label = np.zeros((40, 60), np.uint8)
    label[5, 5] = label[20, 31] = 1
    label[30:36, 40:50] = 2
    resized = resample_label(label, magnification)
    assert resized.shape == resampled_size(label.shape, magnification) and resized.dtype == np.uint8
    assert label_objects(resized == 1)[1] == 2
    assert np.count_nonzero(resized == 2) == pytest.approx(60 * magnification**2, rel=0.35)


def test_an_image_near_the_grid_is_left_alone():
    grid = WorkingGrid(0.07, tolerance=0.05)
    assert grid.magnification(0.0725) == 1 and grid.magnification(0.085) == pytest.approx(0.085 / 0.07)
    assert WorkingGrid(0.0).magnification(0.05) == 1
    with pytest.raises(ValueError, match="spacing_mm: got -1; want 0 or more"):
        WorkingGrid(-1)
