"""Combining against hand-made arrays, a brute-force sweep of thresholds, and scipy's hole filling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scripts.common.objects import fill_holes, label_objects, measure_objects, summarise
from scripts.findings.combining import combine, overlap_scores, threshold_objects


def test_score_is_the_last_threshold_that_keeps_the_object():
    # ten pixels, o_thr 0.3: more than 3 pixels must reach the threshold, so the 4th largest value decides
    labels = np.ones((1, 10), np.int32)
    proximity = np.linspace(0.1, 1.0, 10, dtype=np.float32)[None]
    assert overlap_scores(labels, proximity, 0.3)[1] == pytest.approx(0.7)
    kept, _ = combine(labels > 0, proximity, proximity_threshold=0.7, overlap_fraction=0.3)
    lost, _ = combine(labels > 0, proximity, proximity_threshold=0.7001, overlap_fraction=0.3)
    assert kept.any() and not lost.any()


def test_exactly_the_overlap_fraction_is_not_enough():
    # 3 of 10 pixels in the region: 0.3 > 0.3 is false (released code), so the object goes
    proximity = np.array([[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]], np.float32)
    kept, scores = combine(np.ones((1, 10), bool), proximity, proximity_threshold=0.5, overlap_fraction=0.3)
    assert not kept.any() and scores[1] == 0
    proximity[0, 3] = 0.6
    kept, scores = combine(np.ones((1, 10), bool), proximity, proximity_threshold=0.5, overlap_fraction=0.3)
    assert kept.all() and scores[1] == pytest.approx(0.6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), overlap=st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.6, 0.9]))
def test_scores_agree_with_a_sweep_of_the_papers_rule(seed, overlap):
    rng = np.random.default_rng(seed)
    labels, count = label_objects(rng.random((14, 15)) < 0.35)
    proximity = (rng.integers(0, 12, labels.shape) / 11).astype(np.float32)
    scores = overlap_scores(labels, proximity, overlap)
    for value in range(1, count + 1):
        inside = proximity[labels == value]
        kept_at = [v for v in np.unique(proximity) if (inside >= v).sum() > overlap * inside.size + 1e-9]
        assert scores[value] == max(kept_at)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.floats(0, 1))
def test_combining_only_keeps_whole_candidates(seed, threshold):
    rng = np.random.default_rng(seed)
    candidates = rng.random((20, 20)) < 0.3
    kept, _ = combine(
        candidates,
        rng.random((20, 20), np.float32),
        proximity_threshold=threshold,
        overlap_fraction=0.3,
    )
    labels, count = label_objects(candidates)
    for value in range(1, count + 1):
        assert len(set((kept[labels == value] > 0).tolist())) == 1
    whole = ndimage.binary_fill_holes(np.isin(labels, labels[(kept > 0) & candidates]) & candidates)
    np.testing.assert_array_equal(kept > 0, whole)


def test_the_breast_mask_cuts_candidates_before_they_are_scored():
    candidates = np.ones((1, 4), bool)
    proximity = np.array([[0, 0, 0.9, 0.9]], np.float32)
    within = np.array([[False, False, True, True]])
    kept, scores = combine(candidates, proximity, proximity_threshold=0.5, overlap_fraction=0.5, within=within)
    assert kept.tolist() == [[0, 0, 1, 1]] and scores[1] == pytest.approx(0.9)


def test_nothing_in_nothing_out():
    empty = np.zeros((5, 5), bool)
    kept, scores = combine(empty, np.ones((5, 5), np.float32), proximity_threshold=0.1, overlap_fraction=0.3)
    assert not kept.any() and scores.tolist() == [0]
    assert measure_objects(kept, scores, (0.07, 0.07)) == []
    assert summarise([], 10.0) == {
        "count": 0,
        "count_per_cm2": 0.0,
        "mean_area_mm2": None,
        "std_area_mm2": None,
    }


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_overlap_fraction_outside_its_range_is_refused(overlap):
    with pytest.raises(ValueError, match="overlap_fraction"):
        overlap_scores(np.zeros((2, 2), int), np.zeros((2, 2)), overlap)


def test_a_ring_is_filled_and_a_neighbour_is_not_touched():
    mask = np.zeros((7, 9), bool)
    mask[1:6, 1:6] = True
    mask[2:5, 2:5] = False
    mask[3, 3] = True  # a dot in the hole is absorbed
    mask[3, 7] = True
    labels, count = label_objects(mask)
    assert count == 3
    filled = fill_holes(labels)
    assert (filled == labels[1, 1]).sum() == 25
    assert filled[3, 7] == labels[3, 7] and (filled > 0).sum() == 26


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_holes_are_those_of_scipy_object_by_object(seed, is_touching):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 20, 2)
    labels = rng.integers(0, 3, shape).astype(np.int32) if is_touching else label_objects(rng.random(shape) < 0.6)[0]
    expected = labels.copy()
    boxes = ndimage.find_objects(labels)
    heights = [(box[0].stop - box[0].start, i) for i, box in enumerate(boxes, start=1) if box is not None]
    for _, number in sorted(heights):  # low objects first
        expected[ndimage.binary_fill_holes(labels == number)] = number
    np.testing.assert_array_equal(fill_holes(labels), expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_measurements_equal_scipys(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(9, rng.integers(1, 15, 2), p=[0.6] + [0.05] * 8).astype(np.int32)
    found = measure_objects(labels, np.arange(9) / 8, (0.1, 0.2))
    present = np.unique(labels[labels > 0])
    assert [mc.score for mc in found] == [number / 8 for number in present]
    for mc, number in zip(found, present, strict=True):
        rows, cols = ndimage.find_objects((labels == number).astype(int))[0]
        assert mc.bounding_box == (rows.start, cols.start, rows.stop, cols.stop)
        assert mc.area_px == (labels == number).sum()
        assert (mc.row, mc.col) == pytest.approx(ndimage.center_of_mass(labels == number), abs=1e-3)


def test_measurements_by_hand():
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 2:5] = 1  # 2 x 3 px: centroid (1.5, 3)
    labels[5, 7] = 4  # numbers may have gaps
    first, second = measure_objects(labels, np.array([0, 0.5, 0, 0, 0.25]), (0.1, 0.2))
    assert (first.row, first.col, first.area_px, first.score) == (1.5, 3.0, 6, 0.5)
    assert (first.y_mm, first.x_mm) == (0.15, 0.6)
    assert first.area_mm2 == pytest.approx(0.12) and first.bounding_box == (1, 2, 3, 5)
    assert first.equivalent_diameter_mm == pytest.approx(2 * (0.12 / np.pi) ** 0.5, abs=1e-4)
    assert (second.id, second.row, second.col, second.area_px) == (2, 5.0, 7.0, 1)
    summary = summarise([first, second], 2.0)
    assert summary["count_per_cm2"] == 1.0 and summary["mean_area_mm2"] == pytest.approx(0.07)
    assert summary["std_area_mm2"] == pytest.approx(0.05)


def test_slim_fcn_objects_and_scores():
    probability = np.array([[0.9, 0.6, 0.0, 0.7], [0.0, 0.0, 0.8, 0.0], [0.4, 0.0, 0.0, 0.0]], np.float32)
    labels, scores = threshold_objects(probability, probability_threshold=0.5)
    assert labels[0, 3] == labels[1, 2] == labels[0, 1] == labels[0, 0]  # 8-connected through the diagonals
    assert labels[2, 0] == 0 and scores[1] == pytest.approx(0.9)
    labels, scores = threshold_objects(
        probability, probability_threshold=0.3, within=np.arange(4)[None].repeat(3, 0) < 1
    )
    assert labels.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]]
    np.testing.assert_allclose(scores, [0, 0.9, 0.4])
