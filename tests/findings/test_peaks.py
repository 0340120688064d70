"""Objects around the peaks of a map: hand-made spots of known width, height and distance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from scripts.common.objects import label_objects
from scripts.findings import peaks
from scripts.findings.peaks import PeakObjects

ROWS, COLS = np.indices((60, 80))


def peak_objects(probability, *, within=None, lowest=0.0, **rule):
    """With half of the peak where a test does not say otherwise."""
    return peaks.peak_objects(probability, PeakObjects(**{"share": 0.5} | rule), within, lowest)


def spot(row, col, sigma, height):
    return height * np.exp(-((ROWS - row) ** 2 + (COLS - col) ** 2) / 2 / sigma**2)


@pytest.mark.parametrize("height", [0.1, 0.5, 1.0])
def test_the_width_at_half_of_the_peak_does_not_depend_on_the_height(height):
    labels, scores = peak_objects(spot(30, 40, 4, height))
    assert len(scores) == 2
    # a Gaussian is over half of its peak within sigma * sqrt(2 ln 2); its mean there is 0.5 / ln 2 of the peak
    assert np.count_nonzero(labels) == pytest.approx(np.pi * 2 * np.log(2) * 16, rel=0.05)
    assert scores[1] == pytest.approx(height * 0.5 / np.log(2), rel=0.03)


def test_close_spots_are_parted_and_plain_ripple_is_not():
    two = np.maximum(spot(30, 30, 2.5, 0.9), spot(30, 38, 2.5, 0.6))
    labels, scores = peak_objects(two)
    assert len(scores) == 3
    assert labels[30, 30] != labels[30, 38]
    ripple = spot(30, 30, 5, 0.8) * (1 + 0.1 * np.cos(2 * np.pi * COLS / 4))
    assert len(peak_objects(ripple)[1]) == 2


def test_a_large_plateau_is_one_object():
    flat = np.zeros((40, 40))
    flat[10:25, 5:30] = 1.0
    labels, scores = peak_objects(flat)
    np.testing.assert_array_equal(labels > 0, flat > 0)
    np.testing.assert_array_equal(scores, [0, 1])


def test_floor_and_mask_bound_the_objects():
    values = np.maximum(spot(20, 20, 2, 0.9), spot(40, 60, 2, 0.015))
    assert len(peak_objects(values, floor=0.02)[1]) == 2
    assert len(peak_objects(values, floor=0.01)[1]) == 3
    within = np.zeros(values.shape, bool)
    assert peak_objects(values, within=within)[0].max() == 0
    within[:, 20:] = True
    labels, _ = peak_objects(values, floor=0.02, within=within)
    assert not labels[:, :20].any()
    assert labels[20, 20] == 1


def test_an_object_is_only_the_piece_around_its_peak():
    ring = np.zeros((9, 30))
    ring[4, 4:26] = 0.3
    ring[4, 4], ring[4, 25] = 1.0, 0.55
    labels, _ = peak_objects(ring, prominence=0.9)  # one basin, two pieces over half of the peak
    np.testing.assert_array_equal(np.argwhere(labels), [[4, 4]])


@pytest.mark.parametrize("name", ["floor", "share", "prominence"])
def test_values_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=name):
        peak_objects(np.zeros((4, 4)), **{name: 0.0})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_every_object_is_connected_and_over_its_bound(seed):
    values = np.clip(np.random.default_rng(seed).normal(0.1, 0.3, (25, 30)), 0, 1)
    labels, scores = peak_objects(values, floor=0.1, share=0.5, prominence=0.3)
    for number in range(1, len(scores)):
        own = labels == number
        assert label_objects(own)[1] == 1
        assert values[own].min() >= 0.5 * values[own].max()
        assert scores[number] == pytest.approx(values[own].mean(), rel=1e-5)
    assert {0, *np.unique(labels)} == set(range(len(scores)))


def plain_peak_objects(values, floor, share, prominence, within):
    """The definition on the whole image, component by component, without boxes."""
    eight = np.ones((3, 3), bool)
    components, count = label_objects((values >= floor) & within)
    labels, scores = np.zeros(values.shape, int), [0.0]
    for number in range(1, count + 1):
        inside = np.pad(components == number, 1)  # as if the image went on
        own = np.where(inside, np.pad(values, 1), 0)
        flooded = reconstruction(np.where(inside, own * (1 - prominence), 0), own, footprint=eight)
        tops, peaks = ndimage.label(inside & local_maxima(flooded, connectivity=2), eight)
        several = inside.sum() > 4 and peaks > 1
        basins = watershed(-own, tops, connectivity=2, mask=inside) if several else inside.astype(int)
        for basin in range(1, basins.max() + 1):
            part = np.where(basins == basin, own, 0)
            pieces, _ = ndimage.label(part >= share * part.max(), eight)
            piece = (pieces == pieces.flat[part.argmax()])[1:-1, 1:-1]
            labels[piece] = len(scores)
            scores.append(values[piece].mean())
    return labels, scores


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.2]), st.sampled_from([0.3, 0.5, 1.0]))
def test_objects_equal_the_definition_without_boxes(seed, floor, share):
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.random((26, 33)), rng.uniform(0.5, 2)).astype(np.float32)
    values = ((values - values.min()) / np.ptp(values)) ** 3
    within = rng.random(values.shape) < 0.95
    labels, scores = peak_objects(values, floor=floor, share=share, prominence=0.2, within=within)
    expected = plain_peak_objects(values, floor, share, 0.2, within)
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5)


@pytest.mark.parametrize("lowest", [0.05, 0.3, 2.0])
def test_left_out_are_only_objects_that_score_below_the_lowest_peak(lowest):
    values = np.random.default_rng(5).random((60, 80)).astype(np.float32) ** 8
    labels, scores = peak_objects(values, floor=0.02)
    fewer, remaining = peak_objects(values, floor=0.02, lowest=lowest)
    peaks = ndimage.maximum(values, labels, np.arange(1, len(scores)))
    assert list(remaining[1:]) == list(scores[1:][peaks >= lowest])
    np.testing.assert_array_equal(fewer > 0, np.isin(labels, 1 + np.flatnonzero(peaks >= lowest)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.4]))
def test_a_breast_in_part_of_the_image_changes_nothing(seed, lowest):
    """Objects are formed in the box of `within`: as if everything outside of it were 0."""
    rng = np.random.default_rng(seed)
    probability = ndimage.gaussian_filter(rng.random((60, 80)) ** 6, 1.2).astype(np.float32) * 2
    within = np.zeros((60, 80), bool)
    (top, bottom), (left, right) = (np.sort(rng.integers(0, size, 2)) for size in (60, 80))
    within[top : bottom + 1, left : right + 1] = rng.random((bottom + 1 - top, right + 1 - left)) > 0.1
    labels, scores = peak_objects(probability, within=within, lowest=lowest)
    wanted, values = peak_objects(np.where(within, probability, 0), lowest=lowest)
    np.testing.assert_array_equal(labels, wanted)
    np.testing.assert_array_equal(scores, values)
