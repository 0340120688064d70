"""Ciecholewski's morphology against brute force, hand-worked pyramids and discs of known size."""

import numpy as np
import pytest
from scipy import ndimage

from scripts.candidates.morphology import (
    MorphologyParameters,
    closing_opening,
    expand,
    extended_maxima,
    morphology_objects,
    object_markers,
    pyramid_differences,
    watershed_shapes,
)


def discs(shape, places, height=0.2, base=0.3, noise=0.004):
    """Flat discs (row, col, radius) on noise, and the truth."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    image, truth = np.random.default_rng(0).normal(base, noise, shape), np.zeros(shape, int)
    for number, (row, col, radius) in enumerate(places, start=1):
        truth[np.hypot(rows - row, cols - col) <= radius] = number
    return np.clip(image + height * (truth > 0), 0, 1).astype(np.float32), truth


def test_closing_opening_equals_scipys_grey_morphology():
    image = np.random.default_rng(1).random((23, 31)).astype(np.float32)
    # beyond the border: the lowest value for a dilation, the highest for an erosion, so that it never counts
    wide = np.pad(image, 4, mode="constant", constant_values=-1)
    closed = ndimage.grey_dilation(wide, (3, 3))[4:-4, 4:-4]
    closed = ndimage.grey_erosion(np.pad(closed, 4, constant_values=2), (3, 3))[4:-4, 4:-4]
    opened = ndimage.grey_erosion(np.pad(closed, 4, constant_values=2), (3, 3))[4:-4, 4:-4]
    opened = ndimage.grey_dilation(np.pad(opened, 4, constant_values=-1), (3, 3))[4:-4, 4:-4]
    np.testing.assert_array_equal(closing_opening(image), opened)


def test_expansion_keeps_even_pixels_and_takes_the_largest_neighbour_between():
    level = np.array([[1, 3], [2, 0]], np.float32)
    np.testing.assert_array_equal(expand(level, (3, 4)), [[1, 3, 3, 3], [2, 3, 3, 3], [2, 2, 0, 0]])
    np.testing.assert_array_equal(expand(level, (4, 3))[3], [2, 2, 0])


def test_a_single_pixel_stands_out_of_both_levels_and_a_wide_plateau_of_none():
    image = np.full((40, 40), 0.25, np.float32)
    image[8, 8] += 0.5  # holds no 3x3 square at all
    image[20:24, 20:24] += 0.5  # four wide: one on the image, gone on the half grid
    image[0:40, 32:40] += 0.5  # wide
    fine, coarse = pyramid_differences(image)
    assert fine[8, 8] == coarse[8, 8] == 0.5
    assert fine[20:24, 20:24].max() == 0 and coarse[20:24, 20:24].min() == 0.5
    assert fine[:, 34:].max() == coarse[:, 36:].max() == 0
    assert fine.min() >= 0 and coarse.min() >= 0 and np.count_nonzero(fine) == 1


def brute_force_extended_maxima(image, height):
    """h-maxima by repeated dilation under the image, then regional maxima plateau by plateau."""
    marker = image - np.float32(height)
    while True:
        grown = np.minimum(ndimage.grey_dilation(marker, (3, 3), mode="nearest"), image)
        if np.array_equal(grown, marker):
            break
        marker = grown
    found = np.zeros(image.shape, bool)
    for value in np.unique(marker):
        plateaus, count = ndimage.label(marker == value, structure=np.ones((3, 3)))
        for number in range(1, count + 1):
            plateau = plateaus == number
            rim = ndimage.binary_dilation(plateau, np.ones((3, 3))) & ~plateau
            found |= plateau & bool(rim.any() and (marker[rim] < value).all())
    return found


def test_extended_maxima_equal_brute_force():
    image = ndimage.gaussian_filter(np.random.default_rng(2).random((24, 24)), 1.2).astype(np.float32)
    for height in (0.02, 0.1):
        found = extended_maxima(image, height)
        np.testing.assert_array_equal(found, brute_force_extended_maxima(image, height))
        assert found.any()
    assert not extended_maxima(np.full((5, 5), 0.4, np.float32), 0.02).any()


def test_a_low_top_beside_a_higher_one_is_no_extended_maximum():
    image = np.zeros((5, 9), np.float32)
    image[2, 1:8] = [0.5, 0.6, 0.58, 0.59, 0.58, 0.4, 0.5]
    assert np.argwhere(extended_maxima(image, 0.05))[:, 1].tolist() == [2, 3, 4, 5, 7]
    # 0.59 rises by 0.01 only: it lies on the plateau 0.55 of the top; 0.5 at the right rises by 0.1


def test_markers_are_whole_maxima_that_a_detection_touches():
    image = np.full((12, 20), 0.2, np.float32)
    image[4:7, 3:6] = image[4:7, 13:16] = 0.5
    difference = np.zeros_like(image)
    difference[4, 3] = 11 / 256  # of the first only, and of one of its pixels
    difference[5, 14] = 10 / 256  # not above the threshold
    markers, count = object_markers(image, [difference, np.zeros_like(image)], MorphologyParameters())
    assert count == 1
    np.testing.assert_array_equal(markers > 0, np.pad(np.ones((3, 3), bool), ((4, 5), (3, 14))))


def test_watershed_of_a_step_follows_the_step():
    image, truth = discs((60, 60), [(20, 20, 4), (40, 42, 6)], noise=0)
    markers = np.zeros(image.shape, np.int32)
    markers[20, 20], markers[40, 42] = 1, 2
    shapes = watershed_shapes(image, markers)
    for number in (1, 2):
        both, either = (shapes == number) & (truth == number), (shapes == number) | (truth == number)
        assert both.sum() / either.sum() > 0.7
    one = watershed_shapes(image, np.where(markers == 1, 1, 0).astype(np.int32))  # the frame alone is background
    assert one[20, 20] == 1 and one[0, 0] == 0 and one[40, 42] == 0


def test_discs_are_found_with_their_shape_and_contrast():
    places = [(40, 40, 1), (40, 120, 2), (150, 60, 2)]
    image, truth = discs((200, 200), places)
    labels, scores = morphology_objects(image, MorphologyParameters())
    assert labels.dtype == np.int32 and scores[0] == 0 and scores.size == labels.max() + 1 == 4
    for number in (1, 2, 3):
        objects = np.unique(labels[truth == number])
        assert objects.size == 1 and np.array_equal(labels == objects[0], truth == number)
        assert scores[objects[0]] == pytest.approx(0.2, abs=0.03)


def test_objects_end_at_tiles_and_at_the_mask_and_the_rest_is_not_looked_at():
    image, truth = discs((64, 64), [(31, 16, 2), (50, 50, 2)])
    whole, _ = morphology_objects(image, MorphologyParameters(tile_px=64))
    cut, scores = morphology_objects(image, MorphologyParameters(tile_px=32))
    assert np.unique(whole[truth == 1]).size == 1
    assert np.intersect1d(cut[:32], cut[32:]).tolist() == [0] and scores.size == cut.max() + 1
    within = np.zeros(image.shape, bool)
    within[:, :16] = True
    masked, scores = morphology_objects(image, MorphologyParameters(tile_px=64), within)
    assert not masked[:, 16:].any() and masked[31, 15] == 1 and scores.size == 2


def test_large_objects_are_dropped_and_dark_pixels_zeroed():
    image, _ = discs((80, 80), [(40, 40, 2)], noise=0)
    assert morphology_objects(image, MorphologyParameters(max_area_px=13))[0].any()
    assert not morphology_objects(image, MorphologyParameters(max_area_px=12))[0].any()
    assert not morphology_objects(image * 0.1, MorphologyParameters())[0].any()  # 0.05 < 21 / 255


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (3, 50), (9, 8)])
def test_plain_images_of_any_size_have_no_objects(shape):
    labels, scores = morphology_objects(np.full(shape, 0.5, np.float32), MorphologyParameters())
    assert labels.shape == shape and not labels.any() and scores.tolist() == [0]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="maxima_height: got 0"):
        MorphologyParameters(maxima_height=0)
    with pytest.raises(ValueError, match="image: got uint8"):
        morphology_objects(np.zeros((5, 5), np.uint8), MorphologyParameters())
    with pytest.raises(ValueError, match=r"within: got float64 of shape \(5, 5\)"):
        morphology_objects(np.zeros((5, 5)), MorphologyParameters(), np.zeros((5, 5)))
