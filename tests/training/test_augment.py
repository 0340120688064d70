"""The warp against hand-made cases and against transforming coordinates one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from scripts.common.resampling import WorkingGrid, warp_label
from scripts.training.augment import clahe, sample_warp, warp_image
from scripts.transforms.training import WorkingGridd

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def test_identity_crops_the_corner():
    image = np.arange(36, dtype=np.float32).reshape(6, 6)
    np.testing.assert_array_equal(warp_image(image, IDENTITY, 4), image[:4, :4])
    label = (image.astype(int) % 5 == 0).astype(np.uint8)
    np.testing.assert_array_equal(warp_label(label, IDENTITY, 4), label[:4, :4])


def test_a_pure_shift_moves_the_image_by_whole_pixels():
    image = np.random.default_rng(0).random((8, 8), np.float32)
    matrix = np.array([[1.0, 0, 3], [0, 1, 2]])  # output (col, row) -> input (col + 3, row + 2)
    np.testing.assert_allclose(warp_image(image, matrix, 4), image[2:6, 3:7], atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_every_single_pixel_inside_the_crop_survives(seed):
    rng = np.random.default_rng(seed)
    label = np.zeros((64, 64), np.uint8)
    points = rng.integers(0, 64, (6, 2))
    label[points[:, 0], points[:, 1]] = 1
    matrix = sample_warp(np.random.RandomState(seed), label.shape, 40, 0.5, 0.1, 35)
    warped = warp_label(label, matrix, 40)
    full = np.vstack([matrix, [0, 0, 1]])
    for row, col in points:
        if label[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2].sum() > 1:
            continue  # touching pixels are one object: its centroid is marked, not each pixel
        u, v, _ = np.linalg.inv(full) @ (col, row, 1)
        if 0 <= u <= 39 and 0 <= v <= 39:
            near = warped[max(round(v) - 1, 0) : round(v) + 2, max(round(u) - 1, 0) : round(u) + 2]
            assert (near == 1).any()


def test_magnification_two_doubles_a_disc_and_keeps_image_and_label_together():
    rows, cols = np.mgrid[:65, :65]
    disc = (np.hypot(rows - 32, cols - 32) <= 8).astype(np.uint8)
    # output = input magnified twice about the centre: input = (output - 32) / 2 + 32
    matrix = np.array([[0.5, 0, 16.0], [0, 0.5, 16.0]])
    label = warp_label(disc, matrix, 65)
    image = warp_image(disc.astype(np.float32), matrix, 65)
    assert label.sum() == pytest.approx(4 * disc.sum(), rel=0.02)
    assert ((image > 0.5) != (label == 1)).mean() < 0.02


def test_ignore_regions_travel_along():
    label = np.zeros((20, 20), np.uint8)
    label[10:, :] = 2
    warped = warp_label(label, np.array([[1.0, 0, 0], [0, 1, 5]]), 10)
    assert (warped[5:] == 2).all() and (warped[:5] == 0).all()


def test_the_drawn_warp_stays_within_its_ranges():
    rng = np.random.RandomState(3)
    for _ in range(200):
        matrix = sample_warp(rng, (512, 512), 320, 0.5, 0.1, 0)
        assert 1 / 1.5 <= matrix[0, 0] <= 1 / 0.5 and matrix[0, 1] == 0
        centre = np.linalg.solve(matrix[:, :2], np.array([255.5, 255.5]) - matrix[:, 2])
        assert (np.abs(centre - 255.5 + (512 - 320) / 2) <= 51.2 + 96 + 1e-6).all()
    with pytest.raises(ValueError, match="scale_range"):
        sample_warp(rng, (512, 512), 320, 1.0)


def test_clahe_raises_contrast_and_keeps_the_range():
    rng = np.random.default_rng(1)
    image = (0.5 + 0.01 * rng.standard_normal((128, 128))).astype(np.float32)
    out = clahe(image, 4.0)
    assert out.dtype == np.float32 and out.min() >= 0 and out.max() <= 1
    assert out.std() > 2 * image.std()


def test_clahe_shows_a_faint_dot_more_than_the_noise_around_it():
    rng = np.random.default_rng(2)
    image = (0.3 + 0.004 * rng.standard_normal((256, 256))).astype(np.float32)
    image[100:104, 100:104] += 0.06
    out = clahe(image, 3.0)
    assert out[100:104, 100:104].mean() > out[80:130, 80:130].mean() + 2 * out[80:130, 80:130].std()


def loaded(image, label, spacing_mm):
    meta = {"spacing_mm": (spacing_mm, spacing_mm)}
    return {
        "image": MetaTensor(torch.as_tensor(image, dtype=torch.float32)[None], meta=meta),
        "label": torch.as_tensor(label, dtype=torch.uint8)[None],
    }


@pytest.mark.parametrize(("spacing_mm", "side"), [(0.14, 80), (0.035, 20)])
def test_the_working_grid_keeps_image_and_label_together(spacing_mm, side):
    rows, cols = np.indices((40, 40))
    disc = (rows - 14.5) ** 2 + (cols - 24.5) ** 2 < 64
    item = WorkingGridd(grid=WorkingGrid(0.07))(loaded(disc, disc, spacing_mm))
    image, label = item["image"][0].numpy(), item["label"][0].numpy()
    assert image.shape == label.shape == (side, side)
    assert item["image"].meta["spacing_mm"] == pytest.approx((0.07, 0.07))
    scale = spacing_mm / 0.07
    assert label.sum() == pytest.approx(disc.sum() * scale**2, rel=0.03)
    centre = np.argwhere(label).mean(0)
    np.testing.assert_allclose(centre, (np.array([14.5, 24.5]) + 0.5) * scale - 0.5, atol=0.3)
    assert image[label == 1].mean() > 0.85 and image[label == 0].mean() < 0.05


def test_a_single_labelled_pixel_survives_a_coarser_grid():
    label = np.zeros((60, 60), np.uint8)
    label[31, 17], label[40:44, 8:12] = 1, 2
    item = WorkingGridd(grid=WorkingGrid(0.07))(loaded(np.zeros((60, 60)), label, 0.03))
    assert (item["label"] == 1).sum() == 1 and (item["label"] == 2).any()


@pytest.mark.parametrize(("working_mm", "spacing_mm"), [(0.0, 0.2), (0.07, 0.0728)])
def test_own_pixels_without_a_grid_and_near_it(working_mm, spacing_mm):
    item = loaded(np.zeros((9, 9)), np.zeros((9, 9)), spacing_mm)
    assert WorkingGridd(grid=WorkingGrid(working_mm))(item)["image"] is item["image"]
