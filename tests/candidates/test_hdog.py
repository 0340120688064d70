"""HDoG against plain float64 scipy / scikit-image, hand-made shapes, and its own symmetries."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import blob_dog, peak_local_max

from scripts.candidates import boxes
from scripts.candidates.dog import (
    hessian_mask,
    scale_space_maxima,
)
from scripts.candidates.hdog import HDoGParameters, hdog
from tests.candidates.hdog_reference import hdog_reference, hessian_reference

PAPER = HDoGParameters()


def texture(shape: tuple[int, int], seed: int = 0, noise: float = 0.015) -> np.ndarray:
    """Tissue-like: correlated structure plus pixel noise, in [0, 1]."""
    rng = np.random.default_rng(seed)
    image = 0.5 + noise * rng.standard_normal(shape)
    for sigma in (2, 6):
        layer = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
        image += 0.03 * layer / max(layer.std(), 1e-9)
    return image.clip(0, 1).astype(np.float32)


def disc(shape: tuple[int, int], row: float, col: float, radius: float) -> np.ndarray:
    """Anti-aliased disc: coverage by 8 x 8 samples per pixel."""
    offset = (np.arange(8) + 0.5) / 8 - 0.5
    rows = (np.arange(shape[0])[:, None] + offset).reshape(-1, 1)
    cols = (np.arange(shape[1])[:, None] + offset).reshape(1, -1)
    inside = (rows - row) ** 2 + (cols - col) ** 2 <= radius**2
    return inside.reshape(shape[0], 8, shape[1], 8).mean(axis=(1, 3)).astype(np.float32)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def as_set(blobs: np.ndarray) -> set[tuple[int, int, int]]:
    return {(int(row), int(col), round(1000 * sigma)) for row, col, sigma in blobs}


# --- against the plain statement of the formulas -------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"dog_threshold": 0.02},
        {"hessian_threshold": 0.0},
        {"hessian_threshold": 0.3, "sigma_min_px": 0.8, "sigma_max_px": 6.0},
        {"sigma_ratio": 1.2},
        {"sigma_max_px": 1.18},
    ],
    ids=str,
)
def test_equals_float64_reference(arguments: dict) -> None:
    image = texture((600, 401), seed=len(arguments))
    expected_mask, expected_blobs = hdog_reference(
        image, **{name.removesuffix("_px"): value for name, value in arguments.items()}
    )
    found = hdog(image, HDoGParameters(**arguments))
    assert 0.01 < expected_mask.mean() < 0.9
    assert iou(found.mask, expected_mask) >= 0.999
    assert len(as_set(found.blobs) ^ as_set(expected_blobs)) <= 1e-3 * len(expected_blobs)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 5), (3, 3), (32, 32), (7, 300)])
def test_tiny_images_equal_the_reference(shape: tuple[int, int]) -> None:
    image = texture(shape, seed=3, noise=0.1)
    expected_mask, expected_blobs = hdog_reference(image)
    found = hdog(image, PAPER)
    np.testing.assert_array_equal(found.mask, expected_mask)
    assert as_set(found.blobs) == as_set(expected_blobs)


def test_bright_edge_of_the_image_equals_the_reference() -> None:
    image = np.zeros((90, 90), np.float32)
    image[:3, 20:60] = image[40:44, -2:] = 1.0
    image += 0.01 * texture((90, 90))
    expected_mask, _ = hdog_reference(image)
    np.testing.assert_array_equal(hdog(image, PAPER).mask, expected_mask)
    assert expected_mask[0, 20:60].any() and expected_mask[40:44, -1].any()


def test_blobs_equal_scikit_image() -> None:
    image = texture((300, 260), seed=5)
    expected = blob_dog(image.astype(np.float64), 1.18, 3.1, sigma_ratio=1.6, threshold=0.006, overlap=1.0)
    found = hdog(image, PAPER).blobs
    assert len(expected) > 500
    assert as_set(found) == as_set(expected)
    np.testing.assert_array_equal(found[:50, :2], expected[:50, :2])  # strongest first, as there


def test_overlap_pruning_equals_scikit_image_without_chains() -> None:
    image = np.zeros((200, 200), np.float32)
    rng = np.random.default_rng(0)
    for row in range(20, 200, 40):
        for col in range(20, 200, 40):
            image += 0.5 * disc(image.shape, row, col, rng.uniform(3, 6))
            image += 0.5 * disc(image.shape, row + rng.uniform(2, 7), col + rng.uniform(2, 7), 1.5)
    counts = []
    for overlap in (0.05, 0.3, 0.6, 1.0):
        expected = blob_dog(image.astype(np.float64), 1.18, 3.1, sigma_ratio=1.6, threshold=0.02, overlap=overlap)
        found = hdog(image, HDoGParameters(dog_threshold=0.02, blob_overlap=overlap)).blobs
        assert as_set(found) == as_set(expected), overlap
        counts.append(len(found))
    assert counts[0] < counts[2] < counts[3]


def test_overlap_pruning_keeps_no_blob_that_scikit_image_drops() -> None:
    image = texture((200, 200), seed=8)
    expected = blob_dog(image.astype(np.float64), 1.18, 3.1, sigma_ratio=1.6, threshold=0.006, overlap=0.3)
    found = hdog(image, HDoGParameters(blob_overlap=0.3)).blobs
    assert 0 < len(found) <= len(expected)
    assert as_set(found) <= as_set(expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (2, 3), (3, 1), (3, 4), (4, 4), (5, 5), (20, 31)])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.4])
def test_hessian_mask_equals_np_gradient_twice(shape: tuple[int, int], threshold: float) -> None:
    # Small integers: every product is exact in float32, so that the masks must agree to the pixel.
    response = np.random.default_rng(1).integers(-9, 10, shape).astype(np.float32)
    expected = hessian_reference(response.astype(np.float64), threshold)
    np.testing.assert_array_equal(hessian_mask(response, threshold), expected)


def test_maxima_on_plateaus_and_borders_equal_scikit_image() -> None:
    cube = np.random.default_rng(2).integers(0, 4, (14, 11, 4)).astype(np.float32)  # many ties
    expected = peak_local_max(cube, threshold_abs=1.0, footprint=np.ones((3, 3, 3)), exclude_border=False)
    found, strengths = scale_space_maxima([np.ascontiguousarray(cube[..., n]) for n in range(4)], 1.0)
    assert set(map(tuple, found.tolist())) == set(map(tuple, expected.tolist()))
    np.testing.assert_array_equal(strengths, cube[tuple(found.T)])


# --- shapes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("radius", "scale"), [(1.5, 0), (2.0, 0), (3.4, 1), (5.4, 2)])
def test_disc_is_found_at_its_place_and_size(radius: float, scale: int) -> None:
    truth = disc((80, 90), 40, 50, radius)
    found = hdog(0.2 + 0.3 * truth, PAPER)
    row, col, sigma = found.blobs[0]
    assert (row, col) == (40, 50)
    assert sigma == pytest.approx(PAPER.sigmas[scale])
    rows, cols = np.nonzero(found.mask)
    assert (rows.mean(), cols.mean()) == pytest.approx((40, 50), abs=0.1)
    assert found.mask[truth == 1].all()


def test_one_pixel_is_found() -> None:
    image = np.zeros((40, 40), np.float32)
    image[11, 23] = 0.2
    found = hdog(image, PAPER)
    np.testing.assert_allclose(found.blobs, [[11, 23, 1.18]], rtol=1e-6)
    assert found.mask[11, 23]


def test_tubular_structure_is_kept_unless_the_hessian_threshold_forbids() -> None:
    line = np.full((60, 80), 0.2, np.float32)
    line[29:32, 10:70] += 0.3
    core = np.s_[30, 20:60]
    assert hdog(line, PAPER).mask[core].all()
    assert hdog(line, HDoGParameters(hessian_threshold=0.0)).mask[core].mean() < 0.5


def test_dark_blob_and_faint_blob_are_not_found() -> None:
    truth = disc((60, 60), 30, 30, 3)
    assert not hdog(0.8 - 0.02 * truth, PAPER).mask.any()
    faint, clear = 0.5 + 0.008 * truth, 0.5 + 0.03 * truth
    assert not hdog(faint, PAPER).mask.any()
    assert hdog(clear, PAPER).mask.any()


def test_shape_without_a_maximum_of_its_scale_is_dropped() -> None:
    image = 0.3 + 0.01 * disc((60, 120), 30, 30, 2) + 0.3 * disc((60, 120), 30, 90, 2)
    found = hdog(image, HDoGParameters(dog_threshold=0.02))
    assert found.mask[30, 90] and not found.mask[:, :60].any()


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant_image_has_no_candidates(value: float) -> None:
    found = hdog(np.full((64, 50), value, np.float32), PAPER)
    assert not found.mask.any() and found.blobs.shape == (0, 3) and found.blobs.dtype == np.float32


# --- symmetries, bands, masks ---------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@example(seed=136, turn=np.fliplr, shape=(20, 20))
@given(
    seed=st.integers(0, 10_000),
    turn=st.sampled_from([np.fliplr, np.flipud, np.transpose, np.rot90]),
    shape=st.tuples(st.integers(20, 140), st.integers(20, 140)),
)
def test_turning_the_image_turns_the_candidates(seed: int, turn, shape: tuple[int, int]) -> None:
    image = texture(shape, seed)
    straight, turned = hdog(image, PAPER), hdog(turn(image), PAPER)
    more = abs(len(turned.blobs) - len(straight.blobs))
    assert more <= 1  # one on a threshold, in or out by rounding; its pixels may differ with it
    differing, united = turned.mask ^ turn(straight.mask), turned.mask | turn(straight.mask)
    largest = max(np.pi * (np.sqrt(2) * sigma + 1) ** 2 for sigma in [0.0, *straight.blobs[:, 2], *turned.blobs[:, 2]])
    assert differing.sum() <= 1 + 0.002 * united.sum() + more * largest  # 1: a pixel on a threshold


def test_tiles_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    image = texture((300, 170), seed=4)
    whole = hdog(image, PAPER)
    for tile_px in ((17, 32), (64, 96), (4096, 4096)):
        monkeypatch.setattr(boxes, "TILE_PX", tile_px)
        tiled = hdog(image, PAPER)
        np.testing.assert_array_equal(tiled.mask, whole.mask)
        np.testing.assert_array_equal(tiled.blobs, whole.blobs)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data(), overlap=st.sampled_from([1.0, 1.0, 0.4]))
def test_masked_result_is_the_whole_image_under_the_mask(seed: int, data: st.DataObject, overlap: float) -> None:
    image = texture((230, 390), seed)
    parameters = HDoGParameters(blob_overlap=overlap)
    top, left = data.draw(st.integers(0, 220)), data.draw(st.integers(0, 380))
    height, width = data.draw(st.integers(1, 120)), data.draw(st.integers(1, 120))
    mask = np.zeros(image.shape, bool)
    mask[top : top + height, left : left + width] = True
    mask &= np.random.default_rng(seed).random(image.shape) < 0.9
    assert_equals_whole_under(mask, image, parameters)


def test_component_with_its_only_blob_far_outside_of_the_mask_is_still_found() -> None:
    # A line that brightens towards its far end: its maxima lie hundreds of px from the mask's box.
    image = np.full((60, 1200), 0.1, np.float32)
    image[29:32, 20:1100] += np.linspace(0.01, 0.4, 1080, dtype=np.float32)
    mask = np.zeros(image.shape, bool)
    mask[20:40, 40:80] = True
    assert_equals_whole_under(mask, image, PAPER)
    found = hdog(image, PAPER, mask)
    assert found.mask[30, 50:70].all() and not len(found.blobs)


def assert_equals_whole_under(mask: np.ndarray, image: np.ndarray, parameters: HDoGParameters) -> None:
    whole, part = hdog(image, parameters), hdog(image, parameters, mask)
    np.testing.assert_array_equal(part.mask, whole.mask & mask)
    under = mask[whole.blobs[:, 0].astype(int), whole.blobs[:, 1].astype(int)]
    np.testing.assert_array_equal(part.blobs, whole.blobs[under])


def test_empty_mask_has_no_candidates() -> None:
    found = hdog(texture((50, 60)), PAPER, np.zeros((50, 60), bool))
    assert found.mask.shape == (50, 60) and not found.mask.any() and found.blobs.shape == (0, 3)


def test_input_and_thread_settings_are_left_alone() -> None:
    image = texture((80, 70))
    before, threads = image.copy(), cv2.getNumThreads()
    hdog(image, PAPER)
    np.testing.assert_array_equal(image, before)
    assert cv2.getNumThreads() == threads


def test_views_and_float64_give_the_same_as_contiguous_float32() -> None:
    image = texture((120, 100))
    expected = hdog(image, PAPER).mask
    np.testing.assert_array_equal(hdog(image.astype(np.float64), PAPER).mask, expected)
    np.testing.assert_array_equal(hdog(np.repeat(image, 2, axis=1)[:, ::2], PAPER).mask, expected)


@pytest.mark.parametrize("side", [16, 64])
def test_a_growing_margin_ends_with_the_whole_image_under_the_mask(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    monkeypatch.setattr("scripts.candidates.hdog.MARGIN_PX", 1)
    monkeypatch.setattr(boxes, "TILE_PX", (side, 2 * side))
    image = texture((230, 390), seed=12, noise=0.004)
    mask = np.zeros(image.shape, bool)
    mask[100:104, 200:230] = mask[10, 10] = mask[-1, -1] = True
    assert_equals_whole_under(mask, image, PAPER)
