"""Scored tables and matching: each rule by hand, and against matching anew by brute force."""

import numpy as np
import pytest

from scripts.evaluation.cases import HitRule, score_case
from scripts.evaluation.matching import match, match_events
from scripts.findings.combining import combine
from tests.evaluation import brute_force as brute

DOT = (20, 20, 1, 1)


@pytest.mark.parametrize(
    ("col", "spacing", "hit"),
    [
        (25, (0.07, 0.07), True),  # 5 px of 0.07 mm: 0.35 mm, inclusive
        (26, (0.07, 0.07), False),
        (27, (0.05, 0.05), True),  # the bound is in mm: 7 px of 0.05 mm
        (28, (0.05, 0.05), False),
        (24, (0.07, 0.0875), True),  # along columns the column spacing counts
        (25, (0.07, 0.0875), False),
    ],
)
def test_distance_bound_is_in_mm_and_inclusive(make_case, col, spacing, hit):
    case = make_case([DOT], [((20, col, 1, 1), 0.5)], spacing=spacing)
    assert match(case, 0.5).tolist() == [0 if hit else -1]


def test_distance_is_between_centroids_not_borders(make_case):
    case = make_case([(20, 2, 1, 9)], [((20, 12, 1, 9), 0.5)])  # 1 px of gap, centroids 10 px apart
    assert match(case, 0).tolist() == [-1]
    diagonal = make_case([DOT], [((23, 24, 1, 1), 0.5), ((24, 16, 1, 1), 0.5)])  # 3-4-5, and 4-4
    assert diagonal.pairs.distance_mm.tolist() == pytest.approx([0.35])
    assert diagonal.pairs.hit.tolist() == [True]


@pytest.mark.parametrize(("width", "iou", "hit"), [(19, 6 / 20, True), (20, 6 / 21, False)])
def test_iou_bound_is_inclusive_and_only_asked_beyond_the_distance(make_case, width, iou, hit):
    # 7 px annotated, 6 of them shared, centroids more than 0.35 mm apart: 6 / (7 + 19 - 6) = 0.3
    case = make_case([(20, 10, 1, 7)], [((20, 11, 1, width), 0.5)], shape=(30, 60))
    assert case.pairs.iou.tolist() == pytest.approx([iou]) and case.pairs.distance_mm[0] > 0.36
    assert case.pairs.hit.tolist() == [hit] and match(case, 0.5).tolist() == [0 if hit else -1]


def test_each_prediction_is_used_once_and_first_comes_first(make_case):
    one = make_case([(20, 20, 1, 1), (20, 24, 1, 1)], [((20, 22, 1, 1), 0.5)])
    assert match(one, 0).tolist() == [0, -1]
    # the first object takes the only prediction that the second could have: greedy 1 hit, optimal 2
    case = make_case([(20, 20, 1, 1), (20, 26, 1, 1)], [((18, 22, 1, 1), 0.5), ((20, 16, 1, 1), 0.5)])
    assert match(case, 0).tolist() == [0, -1]
    assert match(case, 0, "optimal").tolist() == [1, 0]


def test_greedy_takes_the_first_in_label_order_optimal_the_nearest(make_case):
    case = make_case([DOT], [((21, 20, 1, 1), 0.5), ((17, 20, 1, 1), 0.9)])
    assert case.predictions.score.tolist() == [0.9, 0.5]  # raster order, whatever their numbers were
    assert match(case, 0).tolist() == [0] and match(case, 0, "optimal").tolist() == [1]
    assert match(case, 0.9, "optimal").tolist() == [0] and match(case, 0.91).tolist() == [-1]


def test_optimal_prefers_more_hits_to_nearer_ones(make_case):
    predicted = [((20, 19, 1, 1), 0.5), ((20, 28, 1, 1), 0.5)]  # two far hits, or one at distance 0
    case = make_case([(20, 10, 1, 1), (20, 19, 1, 1)], predicted, spacing=(1.0, 1.0), rule=HitRule(distance_mm=10))
    assert match(case, 0, "optimal").tolist() == [0, 1]


def test_threshold_is_inclusive(make_case):
    case = make_case([DOT], [(DOT, 0.25)])
    assert match(case, 0.25).tolist() == [0] and match(case, 0.2500001).tolist() == [-1]


def test_majority_in_an_ignore_region_counts_nowhere(make_case):
    region = (0, 0, 60, 30)
    case = make_case([(40, 50, 1, 1)], [((5, 26, 1, 8), 0.5), ((9, 25, 1, 9), 0.5)], [region])
    assert case.predictions.ignored.tolist() == [False, True]  # 4 of 8 is no majority, 5 of 9 is
    assert case.predictions.kept(0).tolist() == [True, False]
    near = make_case([(20, 31, 1, 1)], [((20, 28, 1, 2), 0.5)], [region])  # near an object, but ignored
    assert near.pairs.hit.size == 0 and match_events(near).prediction.size == 0
    assert case.breast_cm2 == pytest.approx(60 * 30 * 0.0049 / 100) and case.counted_px == 60 * 30


def test_area_is_the_breasts_in_square_centimetres(make_case):
    breast = np.zeros((60, 60), bool)
    breast[:50, :40] = True
    assert make_case(spacing=(0.1, 0.2), breast=breast).breast_cm2 == pytest.approx(0.4)  # 5 mm x 8 mm


def test_annotated_objects_are_8_connected_and_ignore_is_none(make_case):
    case = make_case([(3, 3, 1, 1), (4, 4, 1, 1), (9, 9, 2, 3)], ignored=[(30, 30, 5, 5)])
    assert case.annotations.area_px.tolist() == [2, 6]
    assert case.annotations.row.tolist() == [3.5, 9.5] and case.annotations.col.tolist() == [3.5, 10]


def test_bad_input_says_what_is_wanted(make_case):
    zeros, yes = np.zeros((4, 4), np.int32), np.ones((4, 4), bool)
    with pytest.raises(ValueError, match="one 2-D shape"):
        score_case(zeros, zeros[:3], np.zeros(1), yes, (1, 1))
    with pytest.raises(ValueError, match="got 3 entries, want 6"):
        score_case(zeros, zeros + 5, np.zeros(3), yes, (1, 1))
    with pytest.raises(ValueError, match="finite"):
        score_case(zeros, zeros + 1, np.array([0, np.nan]), yes, (1, 1))
    with pytest.raises(ValueError, match="'greedy' or 'optimal'"):
        match(make_case(), 0, "best")
    for wrong in ({"distance_mm": -1}, {"iou": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HitRule(**wrong)


@pytest.mark.parametrize("seed", range(60))
def test_equals_brute_force_at_every_threshold(random_image, seed):
    label, instances, scores, spacing = random_image(seed)
    case = score_case(label, instances, scores, label < 3, spacing)
    for threshold in (*np.unique(scores), 2):
        truth, found = brute.objects_of(label, instances, scores, threshold)
        assert case.predictions.kept(threshold).sum() == len(found)
        greedy, best = match(case, threshold), match(case, threshold, "optimal")
        assert set(np.flatnonzero(greedy >= 0)) == brute.greedy_hits(truth, found, spacing)
        assert (best >= 0).sum() == brute.most_hits(truth, found, spacing) >= (greedy >= 0).sum()
        for held in (greedy, best):
            used = held[held >= 0]
            assert len(set(used)) == len(used) and case.predictions.kept(threshold)[used].all()


@pytest.mark.parametrize("matching", ["greedy", "optimal"])
@pytest.mark.parametrize("seed", range(60))
def test_events_equal_matching_anew_after_every_single_prediction(random_image, seed, matching):
    label, instances, scores, spacing = random_image(seed)
    distinct = scores + np.random.default_rng(seed).permutation(scores.size) * 1e-6
    case = score_case(label, instances, distinct, label < 3, spacing)
    order, gained, _ = match_events(case, matching)
    for end in range(order.size + 1):
        threshold = 2.0 if end == 0 else case.predictions.score[order[end - 1]]
        hit = match(case, threshold, matching) >= 0
        now = gained[:end][gained[:end] >= 0]
        assert len(set(now)) == now.size == hit.sum()
        assert matching == "optimal" or set(now) == set(np.flatnonzero(hit))


def test_numbering_does_not_matter(random_image):
    for seed in range(20):
        label, instances, scores, spacing = random_image(seed)
        other = np.random.default_rng(seed).permutation(12) + 1
        renumbered = np.concatenate([[0], other])[instances]
        moved = np.zeros(13)
        moved[other] = scores[1:]
        one, two = (score_case(label, i, s, label < 3, spacing) for i, s in ((instances, scores), (renumbered, moved)))
        for name in ("score", "row", "col", "area_px", "truth_px", "ignored"):
            np.testing.assert_array_equal(getattr(one.predictions, name), getattr(two.predictions, name))
        np.testing.assert_array_equal(one.pairs.prediction, two.pairs.prediction)


def test_threshold_of_the_table_is_the_threshold_of_the_method():
    """Scored once at 0, then thresholded, equals HDoGReg run at that threshold."""
    rng = np.random.default_rng(3)
    candidates = np.zeros((60, 60), bool)
    for r, c in rng.integers(0, 56, (60, 2)):
        candidates[r : r + rng.integers(1, 4), c : c + rng.integers(1, 4)] = True
    proximity = rng.random((60, 60)).astype(np.float32)
    labels, scores = combine(candidates, proximity, score_threshold=0, overlap_fraction=0.3)
    case = score_case(np.zeros((60, 60)), labels, scores, candidates, (0.07, 0.07))
    for threshold in (0.2, 0.6, float(scores[5]), 0.9):
        kept, _ = combine(candidates, proximity, score_threshold=threshold, overlap_fraction=0.3)
        now = case.predictions.kept(threshold)
        assert now.sum() == len(np.unique(kept)) - 1 > 0
        assert case.predictions.area_px[now].sum() == (kept > 0).sum()
