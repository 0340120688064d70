"""Breast mask on drawn mammograms with known outline: half discs, pectoral muscles, film frames, labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import erosion as skimage_erosion
from skimage.morphology import footprint_rectangle

from scripts.candidates.breast_mask import BreastRegion, breast_mask, erode_breast, otsu_threshold

SHAPE = (640, 480)


def half_disc(radius: float = 250.0, row: float = 320.0) -> np.ndarray:
    """Breast region at the left border."""
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (rows - row) ** 2 + cols**2 <= radius**2


def mammogram(region: np.ndarray, seed: int = 0, air: float = 0.0) -> np.ndarray:
    """Tissue of 0.3 to 0.7 with noise inside of the region, air outside."""
    rng = np.random.default_rng(seed)
    tissue = ndimage.gaussian_filter(rng.standard_normal(region.shape), 12)
    tissue = 0.5 + 0.1 * np.clip(tissue / tissue.std(), -2, 2) + 0.02 * rng.standard_normal(region.shape)
    return np.where(region, tissue, air + 0.01 * rng.random(region.shape)).astype(np.float32)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return np.count_nonzero(first & second) / np.count_nonzero(first | second)


def test_breast_alone() -> None:
    truth = half_disc()
    mask = breast_mask(mammogram(truth))
    assert mask.dtype == bool and mask.shape == SHAPE
    assert iou(mask, truth) > 0.98
    assert mask[320, 0]  # up to the chest wall


def test_agrees_with_the_definition_on_single_pixels() -> None:
    image = mammogram(half_disc())
    bright = image > 0.2 * threshold_otsu(image)
    labels, _ = ndimage.label(bright)
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    assert iou(breast_mask(image), ndimage.binary_fill_holes(largest)) > 0.98


@pytest.mark.parametrize("spacing_mm", [0.05, 0.07, 0.1])
@pytest.mark.parametrize("background", ["label", "frame", "closed frame", "label that touches"])
def test_bright_things_beside_the_breast_are_left_out(background: str, spacing_mm: float) -> None:
    truth = half_disc()
    image = mammogram(truth)
    if background == "label":
        image[60:90, 380:460] = 1.0
    elif background == "frame":
        image[:15] = image[-15:] = 0.95
    elif background == "closed frame":
        image[:15] = image[-15:] = image[:, -15:] = image[:, :8] = 0.95
    else:
        image[320:340, 245:400] = 1.0
    mask = breast_mask(image, spacing_mm)
    assert iou(mask, truth) > 0.93
    assert not mask[75, 420] and not mask[:30, 200:].any() and not mask[330, 350]


def test_pectoral_muscle_belongs_to_the_breast() -> None:
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    muscle = rows + 1.5 * cols < 330
    breast = half_disc(230, 380)
    image = mammogram(breast | muscle)
    image[muscle] = 0.9
    assert iou(breast_mask(image), breast | muscle) > 0.98


def test_dark_fat_within_the_breast_is_filled() -> None:
    truth = half_disc()
    image = mammogram(truth)
    image[300:360, 100:160] = 0.0  # a hole
    image[400:440, :90] = 0.0  # open to the chest wall only
    mask = breast_mask(image)
    assert mask[300:360, 100:160].all() and mask[400:440, :90].all()
    assert iou(mask, truth) > 0.98


@pytest.mark.parametrize("air", [0.0, 0.01])
def test_dark_fat_open_to_the_air_is_added(air: float) -> None:
    """As where a presentation's curve takes the fat near the skin below 0.2 x Otsu's threshold."""
    truth = half_disc()
    image = mammogram(truth, air=air)
    dark = truth & (np.arange(SHAPE[0])[:, None] < 180)
    image[dark] = air + 0.025 + 0.01 * np.random.default_rng(1).random(np.count_nonzero(dark))
    bare = breast_mask(image, dark_fat=False)
    assert np.count_nonzero(bare & dark) < 0.3 * np.count_nonzero(dark)
    mask = breast_mask(image)
    assert iou(mask, truth) > 0.97 and not (bare & ~mask).any()
    np.testing.assert_array_equal(BreastRegion(dark_fat=False).masks(image, 0.07)[0], bare)


def test_what_is_no_darker_fat_adds_nothing() -> None:
    """A skin line that fades over 2 mm, grain of the air, and letters beside the breast leave the mask as it is."""
    image = ndimage.gaussian_filter(mammogram(half_disc()), 10)
    image += 0.02 * np.random.default_rng(2).random(image.shape).astype(np.float32)
    image[60:90, 380:460] = 0.05
    np.testing.assert_array_equal(breast_mask(image), breast_mask(image, dark_fat=False))


def test_air_that_reaches_the_other_borders_is_not_filled() -> None:
    truth = half_disc(330)  # cut by the top and the bottom: air only in the corners and on the right
    mask = breast_mask(mammogram(truth))
    assert iou(mask, truth) > 0.98


@pytest.mark.parametrize(("value", "expected"), [(0.0, False), (0.6, True), (1.0, True)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (32, 32), (301, 200)])
def test_uniform_images(value: float, expected: bool, shape: tuple[int, int]) -> None:
    mask = breast_mask(np.full(shape, value, np.float32))
    assert mask.shape == shape
    assert mask.all() if expected else not mask.any()


def test_patch_of_tissue_is_breast_everywhere() -> None:
    image = mammogram(np.ones((256, 256), bool))
    assert breast_mask(image).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), radius=st.floats(120, 300), flip=st.sampled_from([np.fliplr, np.flipud]))
def test_mirrored_image_has_the_mirrored_mask(seed: int, radius: float, flip) -> None:
    image = mammogram(half_disc(radius), seed)
    np.testing.assert_array_equal(breast_mask(flip(image)), flip(breast_mask(image)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), shape=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_any_small_image_gives_a_mask_of_its_shape(seed: int, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(seed).random(shape).astype(np.float32) ** 4
    assert breast_mask(image).shape == shape


def test_otsu_equals_scikit_image_within_one_bin() -> None:
    image = mammogram(half_disc())
    assert otsu_threshold(image) == pytest.approx(threshold_otsu(image), abs=2 * float(np.ptp(image)) / 255)


@pytest.mark.parametrize(
    ("image", "spacing_mm", "message"),
    [
        (np.zeros((3, 4, 5), np.float32), 0.07, r"image: got shape \(3, 4, 5\)"),
        (np.zeros((0, 5), np.float32), 0.07, "non-empty"),
        (np.full((50, 50), np.nan, np.float32), 0.07, "NaN"),
        (np.zeros((5, 5), np.float32), 0.0, "spacing_mm: got 0.0"),
        (np.zeros((5, 5), np.float32), float("nan"), "spacing_mm"),
    ],
)
def test_bad_input_is_refused(image: np.ndarray, spacing_mm: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        breast_mask(image, spacing_mm)


@pytest.mark.parametrize("size_px", [1, 3, 45])
def test_erosion_equals_scikit_image(size_px: int) -> None:
    mask = half_disc(200) | half_disc(60, 30)
    expected = skimage_erosion(mask, footprint_rectangle((size_px, size_px)))
    np.testing.assert_array_equal(erode_breast(mask, size_px), expected)


def test_erosion_takes_22_px_off_the_skin_line_and_none_off_the_chest_wall() -> None:
    mask = np.zeros((200, 150), bool)
    mask[50:150, :100] = True
    expected = np.zeros_like(mask)
    expected[72:128, :78] = True
    np.testing.assert_array_equal(erode_breast(mask), expected)
    assert erode_breast(np.ones((60, 60), bool)).all()


@pytest.mark.parametrize("size_px", [0, -3, 44])
def test_bad_erosion_size_is_refused(size_px: int) -> None:
    with pytest.raises(ValueError, match="size_px"):
        erode_breast(np.ones((5, 5), bool), size_px)


@pytest.mark.parametrize("mask", [np.ones((5, 5)), np.ones(5, bool)])
def test_bad_mask_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mask: got"):
        erode_breast(mask)
