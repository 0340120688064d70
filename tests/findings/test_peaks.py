"""Objects around the peaks of a map: hand-made spots of known width, height and distance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import expit, logit
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from scripts.common.objects import label_objects
from scripts.findings import peaks
from scripts.findings.forming import Scene
from scripts.findings.peaks import PeakObjects

ROWS, COLS = np.indices((60, 80))


def peak_objects(probability, *, within=None, lowest=0.0, **rule):
    """With half of the peak where a test does not say otherwise."""
    labels = peaks.peak_objects(probability, PeakObjects(**{"share": 0.5} | rule), within, lowest)
    return labels, peaks.scores_of(logit(np.clip(probability, 1e-7, 1 - 1e-7)), labels)


def spot(row, col, sigma, height):
    return height * np.exp(-((ROWS - row) ** 2 + (COLS - col) ** 2) / 2 / sigma**2)


@pytest.mark.parametrize("height", [0.1, 0.5, 1.0])
def test_the_width_at_half_of_the_peak_does_not_depend_on_the_height(height):
    labels, scores = peak_objects(spot(30, 40, 4, height))
    assert len(scores) == 2
    # a Gaussian is over half of its peak within sigma * sqrt(2 ln 2)
    assert np.count_nonzero(labels) == pytest.approx(np.pi * 2 * np.log(2) * 16, rel=0.05)
    assert 0.5 * height < scores[1] < height


def test_the_score_by_hand():
    """Logits 2, 2 and -1: their mean is 1, and its probability 1 / (1 + 1 / e). Numbers without pixels have 0."""
    labels = np.array([[0, 1, 1], [0, 1, 3]], np.int32)
    logits = np.array([[9, 2, 2], [9, -1, 0]], np.float32)
    np.testing.assert_allclose(peaks.scores_of(logits, labels), [0, 1 / (1 + np.exp(-1)), 0, 0.5], rtol=1e-6)
    assert peaks.scores_of(logits, np.zeros_like(labels)).tolist() == [0]


def test_scores_tell_apart_what_the_mean_probability_cannot():
    scene = Scene(np.zeros((20, 30), np.float32), np.full((1, 20, 30), -20, np.float32), None, (0.07, 0.07))
    scene.logits[0, 5:8, 5:8], scene.logits[0, 5:8, 20:23] = 9, 12
    made = PeakObjects(map=0).form(scene, 0.0)
    assert 0.999 < made.scores[made.labels[6, 6]] < made.scores[made.labels[6, 21]] < 1


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
    np.testing.assert_allclose(scores, [0, 1], atol=1e-6)


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
        assert scores[number] == pytest.approx(expit(logit(values[own].clip(1e-7, 1 - 1e-7)).mean()), rel=1e-4)
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
            scores.append(expit(logit(values[piece].clip(1e-7, 1 - 1e-7)).mean()))
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
    np.testing.assert_allclose(scores, expected[1], rtol=1e-4)


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


def two_in_one():
    """One long object of the map, 0.8, in logits, and two cores in it, 0.9 and 0.6, 0.2 between and 0.05 elsewhere."""
    probability, cores = np.full((30, 60), 1e-6), np.full((30, 60), 0.05)
    probability[10:16, 10:40] = 0.8
    cores[12:14, 12:38] = 0.2
    cores[12:14, 14:20], cores[12:14, 28:36] = 0.9, 0.6
    maps = np.stack([probability, cores])
    return Scene(np.zeros((30, 60), np.float32), np.log(maps / (1 - maps)).astype(np.float32), None, (0.07, 0.07))


def test_cores_part_an_object_and_each_part_has_its_own_score():
    scene, rule = two_in_one(), {"map": 0, "cores": 1}
    scene.logits[0, 10:16, 30:40] = np.log(0.6 / 0.4)
    whole = PeakObjects(map=0).form(scene, 0.0)
    assert whole.labels.max() == 1
    made = PeakObjects(**rule).form(scene, 0.0)
    np.testing.assert_array_equal(made.labels > 0, whole.labels > 0)
    assert made.labels[12, 15] == 1 and made.labels[12, 30] == 2  # the highest core keeps the number
    means = [expit(scene.logits[0][made.labels == number].mean()) for number in (1, 2)]
    np.testing.assert_allclose(made.scores[1:], means, rtol=1e-6)
    assert made.scores[1] > 0.75 and made.scores[2] < 0.7
    assert PeakObjects(**rule).form(scene, 0.7).labels.max() == 1  # a part below the threshold is dropped


@pytest.mark.parametrize("rule", [{"core_prominence": 0.7}, {"core_floor": 0.7}, {"cores": None}])
def test_shallow_low_or_no_cores_part_nothing(rule):
    made = PeakObjects(**{"map": 0, "cores": 1} | rule).form(two_in_one(), 0.0)
    assert made.labels.max() == 1 and len(made.scores) == 2


def test_cores_of_another_object_part_nothing():
    scene = two_in_one()
    scene.logits[0, :, 24:26] = -20  # two objects of the map, a core in each
    made, plain = (PeakObjects(map=0, cores=cores).form(scene, 0.0) for cores in (1, None))
    np.testing.assert_array_equal(made.labels, plain.labels)
    np.testing.assert_array_equal(made.scores, plain.scores)
