"""Combining against hand-made arrays, a brute-force sweep of thresholds, and scipy's hole filling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scripts.common.objects import label_objects, measure_objects, summarise
from scripts.findings.combining import combine, overlap_scores


def test_score_is_the_last_threshold_that_keeps_the_object():
    # ten pixels, o_thr 0.3: more than 3 pixels must reach the threshold, so the 4th largest value decides
    labels = np.ones((1, 10), np.int32)
    proximity = np.linspace(0.1, 1.0, 10, dtype=np.float32)[None]
    assert overlap_scores(labels, proximity, 0.3)[1] == pytest.approx(0.7)
    kept, _ = combine(labels > 0, proximity, score_threshold=0.7, overlap_fraction=0.3)
    lost, _ = combine(labels > 0, proximity, score_threshold=0.7001, overlap_fraction=0.3)
    assert kept.any() and not lost.any()


def test_exactly_the_overlap_fraction_is_not_enough():
    # 3 of 10 pixels in the region: 0.3 > 0.3 is false (released code), so the object goes
    proximity = np.array([[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]], np.float32)
    kept, scores = combine(np.ones((1, 10), bool), proximity, score_threshold=0.5, overlap_fraction=0.3)
    assert not kept.any() and scores[1] == 0
    proximity[0, 3] = 0.6
    kept, scores = combine(np.ones((1, 10), bool), proximity, score_threshold=0.5, overlap_fraction=0.3)
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
        score_threshold=threshold,
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
    kept, scores = combine(candidates & within, proximity, score_threshold=0.5, overlap_fraction=0.5)
    assert kept.tolist() == [[0, 0, 1, 1]] and scores[1] == pytest.approx(0.9)


def test_nothing_in_nothing_out():
    empty = np.zeros((5, 5), bool)
    kept, scores = combine(empty, np.ones((5, 5), np.float32), score_threshold=0.1, overlap_fraction=0.3)
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
