"""FROC: hand-worked curves, the brute-force twin, and what must hold for every curve."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.evaluation.cases import Annotations, CaseScores, Pairs, Predictions, score_case
from scripts.evaluation.evaluate import PresetLimits, choose_presets
from scripts.evaluation.froc import CM2, IMAGE, FrocTable, point_of
from tests.evaluation import brute_force as brute

A, B, FAR, FURTHER = (10, 10, 2, 2), (30, 30, 2, 2), (50, 10, 2, 2), (10, 50, 2, 2)
#: 50 x 40 px of 1 mm: 20 cm^2
AREA = {"spacing": (1.0, 1.0), "shape": (60, 60)}


def froc(cases, matching="greedy"):
    return FrocTable(cases, matching).curve()


def breast(cm2, shape=(60, 60)):
    mask = np.zeros(shape[0] * shape[1], bool)
    mask[: round(cm2 * 100)] = True
    return mask.reshape(shape)


@pytest.fixture
def hand_worked(make_case):
    """Two images, 20 cm^2 together. Scores: A 0.9 hit, false 0.7, B 0.5 hit, false 0.5, last false 0.2."""
    first = make_case([A, B], [(A, 0.9), (FAR, 0.7), (B, 0.5)], breast=breast(15), case_id="a", **AREA)
    second = make_case([A], [(B, 0.5), (FURTHER, 0.2)], breast=breast(5), case_id="b", **AREA)
    return [first, second]


def test_a_hand_worked_curve(hand_worked):
    curve = froc(hand_worked)
    assert curve.threshold.tolist() == [math.inf, 0.9, 0.7, 0.5, 0.2]
    assert curve.tp.tolist() == [0, 1, 1, 2, 2] and curve.fp.tolist() == [0, 0, 1, 2, 3]
    assert curve.tpr.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert curve.fp_per_cm2.tolist() == pytest.approx([0, 0, 0.05, 0.1, 0.15])
    assert curve.fp_per_image.tolist() == [0, 0, 0.5, 1, 1.5]


def test_tpr_at_a_rate_is_a_step_not_a_line(hand_worked):
    curve = froc(hand_worked)
    asked = [0, 0.049, 0.0999, 0.1, 0.12, 9]
    assert curve.tpr_at(np.array(asked)).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert float(curve.tpr_at(0.1)) == pytest.approx(2 / 3)


def test_pauc_is_the_normalised_area_under_the_steps(hand_worked):
    curve = froc(hand_worked)
    assert curve.pauc(0.2) == pytest.approx((0.1 * 1 / 3 + 0.1 * 2 / 3) / 0.2)
    assert curve.pauc() == pytest.approx(0.1 * 1 / 3 + 0.9 * 2 / 3)
    assert curve.pauc(0.04) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="fp_limit"):
        curve.pauc(0)


def test_paucs_limit_is_in_false_positives_per_square_centimetre(make_case):
    # one false positive above the hit on 2 cm^2 (0.5 per cm^2) counts for half of 0..1; on 1 mm^2 pixels
    case = make_case([A], [(FAR, 0.9), (A, 0.5)], breast=breast(2), **AREA)
    assert froc([case]).pauc() == pytest.approx(0.5)


def test_rates_per_image_are_asked_for_by_name(hand_worked):
    curve = froc(hand_worked)  # 0, 0, 1, 2, 3 false positives on two images
    asked = [0, 0.49, 0.5, 0.99, 1, 9]
    assert curve.tpr_at(np.array(asked), "image").tolist() == pytest.approx([1 / 3] * 4 + [2 / 3] * 2)
    assert curve.pauc(2.0, "image") == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert curve.fp_rate("image").tolist() == [0, 0, 0.5, 1, 1.5] and curve.fp_rate() is curve.fp_per_cm2
    with pytest.raises(ValueError, match="'cm2' or 'image'"):
        curve.tpr_at(1.0, "breast")


def test_a_table_comes_back_from_its_arrays(hand_worked):
    table = FrocTable(hand_worked)
    again = FrocTable.from_arrays({name: values.copy() for name, values in table.arrays().items()})
    for weights in (None, np.array([2, 0]), np.array([1, 3])):
        for name in vars(table.curve()):
            np.testing.assert_array_equal(getattr(again.curve(weights), name), getattr(table.curve(weights), name))


def test_the_lowest_threshold_stays_when_every_target_is_hit(make_case):
    case = make_case([A], [(A, 0.9), (FAR, 0.4), (FURTHER, 0.1)], **AREA)
    curve = froc([case])
    assert curve.threshold.tolist() == [math.inf, 0.9, 0.4, 0.1]
    assert curve.tpr.tolist() == [0, 1, 1, 1] and curve.fp.tolist() == [0, 0, 1, 2]


def test_equal_scores_of_two_images_are_one_point(make_case):
    cases = [make_case([A], [(A, 0.5)], **AREA), make_case([A], [(B, 0.5)], **AREA)]
    curve = froc(cases)
    assert curve.threshold.tolist() == [math.inf, 0.5] and (curve.tp[1], curve.fp[1]) == (1, 1)


@pytest.mark.parametrize("matching", ["greedy", "optimal"])
@pytest.mark.parametrize("seed", range(25))
def test_equals_matching_anew_at_each_threshold(random_image, seed, matching):
    images = [random_image(100 + 3 * seed + i) for i in range(3)]
    cases = [score_case(label, inst, scores, label < 3, spacing) for label, inst, scores, spacing in images]
    curve, expected = froc(cases, matching), brute.froc(images, matching)
    for threshold, tp, fp in zip(curve.threshold[1:], curve.tp[1:], curve.fp[1:], strict=True):
        assert (tp, fp) == expected[threshold]
    # thresholds of ignored predictions alone add no point, and no other one is missing
    missing = set(expected) - set(curve.threshold)
    ignored = {s for case in cases for s in case.predictions.score[case.predictions.ignored]}
    assert missing <= ignored


@pytest.mark.parametrize("matching", ["greedy", "optimal"])
def test_curves_only_ever_rise(random_image, matching):
    for seed in range(40):
        label, inst, scores, spacing = random_image(seed)
        curve = froc([score_case(label, inst, scores, label < 3, spacing)], matching)
        assert (np.diff(curve.threshold) < 0).all()
        assert (np.diff(curve.tp) >= 0).all() and (np.diff(curve.fp) >= 0).all()


def test_hit_from_is_the_highest_threshold_that_hits(hand_worked):
    table = FrocTable(hand_worked)
    assert [values.tolist() for values in table.hit_from] == [[0.9, 0.5], [-math.inf]]


@pytest.mark.parametrize("score", [0.05, 0.6, 1.0])
def test_a_far_false_positive_never_raises_any_tpr(make_case, score):
    predicted = [(A, 0.9), (FAR, 0.7), (B, 0.5)]
    rates = np.linspace(0, 1, 101)
    before = froc([make_case([A, B], predicted, **AREA)])
    after = froc([make_case([A, B], [*predicted, (FURTHER, score)], **AREA)])
    assert (after.tpr_at(rates) <= before.tpr_at(rates)).all() and after.pauc() <= before.pauc()
    assert after.fp[-1] == before.fp[-1] + 1 and after.tp[-1] == before.tp[-1]


def abstract_case(hits, scores, annotated, cm2):
    """A case from its hit table alone."""
    n = len(scores)
    pairs = sorted({(a % annotated, p % n) for a, p in hits}) if annotated and n else []
    a, p = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    zeros, ones = np.zeros(n), np.ones(n, np.int64)
    return CaseScores(
        *("", "", (1.0, 1.0), cm2, 100, Annotations(np.zeros(annotated), np.zeros(annotated), np.ones(annotated))),
        Predictions(np.array(scores, float), zeros, zeros, ones, ones, ones, np.zeros(n, bool)),
        Pairs(a, p, np.zeros(a.size), np.zeros(a.size), np.ones(a.size, bool)),
    )


CASE = st.builds(
    abstract_case,
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25),
    st.lists(st.integers(0, 6).map(float), max_size=10),
    st.integers(0, 6),
    st.floats(0.5, 20),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CASE, min_size=1, max_size=3), st.floats(0.05, 3))
def test_pauc_is_the_mean_of_tpr_at_over_the_range(cases, limit):
    curve = froc(cases)
    middles = (np.arange(4000) + 0.5) / 4000 * limit
    expected = curve.tpr_at(middles).mean()
    if sum(len(case.annotations) for case in cases):
        assert curve.pauc(limit) == pytest.approx(expected, abs=31 / 4000)
        assert 0 <= curve.pauc(limit) <= 1
    else:
        assert math.isnan(curve.pauc(limit)) and math.isnan(expected)


@settings(max_examples=150, deadline=None)
@given(st.lists(CASE, min_size=1, max_size=3))
def test_weights_are_repeated_images(cases):
    table, weights = FrocTable(cases), np.arange(len(cases))
    repeated = froc([case for case, times in zip(cases, weights, strict=True) for _ in range(times)])
    sample = table.curve(weights)
    rates = np.linspace(0, 5, 50)
    if repeated.tp.size and weights.sum():
        np.testing.assert_allclose(sample.tpr_at(rates), repeated.tpr_at(rates))
        assert (sample.tp[-1], sample.fp[-1]) == (repeated.tp[-1], repeated.fp[-1])


@settings(max_examples=100, deadline=None)
@given(st.lists(CASE, min_size=1, max_size=3))
def test_corners_hold_the_same_step_function(cases):
    curve = froc(cases)
    kept = curve.corners()
    thin = type(curve)(**{name: getattr(curve, name)[kept] for name in vars(curve)})
    rates = np.linspace(0, 5, 200)
    np.testing.assert_array_equal(thin.tpr_at(rates), curve.tpr_at(rates))
    np.testing.assert_allclose(thin.pauc(), curve.pauc())


def test_empty_prediction_empty_truth_and_both(make_case):
    no_prediction = froc([make_case([A], **AREA)])
    assert no_prediction.threshold.tolist() == [math.inf]
    assert no_prediction.tpr.tolist() == [0] and no_prediction.pauc() == 0 == no_prediction.tpr_at(0.4)
    assert no_prediction.nearest_to_ideal() is None and no_prediction.corners().tolist() == [0]
    no_truth = froc([make_case([], [(A, 0.5)], **AREA)])
    assert no_truth.fp.tolist() == [0, 1] == no_truth.fp_per_image.tolist() and np.isnan(no_truth.tpr).all()
    assert math.isnan(no_truth.pauc()) and math.isnan(no_truth.tpr_at(0.4)) and no_truth.nearest_to_ideal() is None
    neither = froc([make_case(**AREA)])
    assert neither.fp_per_cm2.tolist() == [0] and math.isnan(neither.pauc())
    for cases in ([], [make_case([A], [(A, 1)], breast=np.zeros((60, 60), bool), **AREA)]):
        nothing = froc(cases)  # no image, or no breast
        assert np.isnan(nothing.fp_per_cm2).all() and math.isnan(nothing.pauc()) and np.isnan(nothing.tpr_at([0.4]))


def curve_of(points):
    """A curve from (threshold, fp, tpr of 10, area 10 cm^2) via one abstract case per step."""
    scores, hits, tp, fp = [], [], 0, 0
    for threshold, more_fp, tpr in points:
        scores += [threshold] * (round(more_fp * 10) - fp)
        fp = round(more_fp * 10)
        for a in range(tp, round(tpr * 10)):
            hits.append((a, len(scores)))
            scores.append(threshold)
        tp = round(tpr * 10)
    case = abstract_case([], scores, 10, 10.0)
    a, p = (np.array([h[i] for h in hits], np.int64) for i in (0, 1))
    order = np.lexsort((p, a))
    pairs = Pairs(a[order], p[order], np.zeros(a.size), np.zeros(a.size), np.ones(a.size, bool))
    return froc([CaseScores("", "", (1, 1), 10.0, 1, case.annotations, case.predictions, pairs)])


@pytest.mark.parametrize("until", [{CM2: 0.5}, {IMAGE: 3.0}, {CM2: 0.8, IMAGE: 0.5}, {CM2: 1e9}])
@pytest.mark.parametrize("first", [1, 2, 7])
def test_a_curve_that_ends_early_is_the_same_up_to_there(monkeypatch, until, first):
    monkeypatch.setattr("scripts.evaluation.froc.FIRST_POINTS", first)
    rng = np.random.default_rng(first)
    arrays = {"score": np.round(rng.random(300), 2), "case": rng.integers(0, 6, 300), "hit": rng.random(300) < 0.3}
    table = FrocTable.from_arrays(arrays | {"annotated": np.full(6, 40), "breast_cm2": rng.uniform(5, 30, 6)})
    lengths = set()
    for _ in range(30):
        weights = rng.multinomial(6, np.full(6, 1 / 6))
        whole, short = table.curve(weights), table.curve(weights, until)
        lengths.add(short.tp.size < whole.tp.size)
        for per, limit in until.items():
            rates = np.linspace(0, limit, 50)
            np.testing.assert_array_equal(short.tpr_at(rates, per), whole.tpr_at(rates, per))
            np.testing.assert_array_equal(short.threshold_at(rates, per), whole.threshold_at(rates, per))
            assert short.pauc(limit, per) == pytest.approx(whole.pauc(limit, per), rel=1e-12)
    assert (True in lengths) == (max(until.values()) < 1e9)


def test_presets_are_the_papers_point_and_two_limits():
    curve = curve_of([(0.9, 0.0, 0.3), (0.8, 0.1, 0.5), (0.6, 0.3, 0.8), (0.4, 1.0, 0.9), (0.3, 1.1, 1.0)])
    assert curve.tpr.tolist() == pytest.approx([0, 0.3, 0.5, 0.8, 0.9, 1.0])
    presets = choose_presets(curve)
    assert {name: preset["threshold"] for name, preset in presets.items()} == {
        "sensitive": 0.4,  # 1.0 FP/cm^2 is within 1
        "balanced": 0.6,  # sqrt(0.3^2 + 0.2^2) = 0.36 is the smallest distance
        "specific": 0.8,
    }
    assert presets["balanced"] == point_of(curve, 3) | {"within_limit": True}
    assert presets["balanced"]["tpr"] == pytest.approx(0.8) and presets["balanced"]["fp_per_cm2"] == 0.3


def test_presets_say_when_no_threshold_is_within_the_limit():
    presets = choose_presets(curve_of([(0.9, 0.5, 0.3), (0.8, 2.0, 0.5)]))
    assert presets["specific"]["threshold"] == 0.9 and presets["specific"]["within_limit"] is False
    assert presets["sensitive"]["threshold"] == 0.9 and presets["sensitive"]["within_limit"] is True
    assert presets["balanced"]["threshold"] == 0.9


def test_presets_need_something_to_choose_from(make_case):
    for case in (make_case([A], **AREA), make_case([], [(A, 0.5)], **AREA)):
        with pytest.raises(ValueError, match="labelled validation set"):
            choose_presets(froc([case]))


def test_bad_weights_and_matching(hand_worked):
    with pytest.raises(ValueError, match="one per image"):
        FrocTable(hand_worked).curve(np.ones(3))
    with pytest.raises(ValueError, match="matching"):
        froc(hand_worked, "anything")


def test_presets_are_in_order_and_a_tie_goes_to_the_higher_threshold():
    # reported: the rate of 0.1 is first passed below the balanced point, with no hit more
    curve = curve_of([(0.9679, 0.0, 0.9), (0.9553, 0.1, 0.9), (0.5, 0.2, 0.9), (0.4, 1.0, 0.9)])
    thresholds = {name: point["threshold"] for name, point in choose_presets(curve).items()}
    assert thresholds == {"specific": 0.9679, "balanced": 0.9679, "sensitive": 0.9679}
    # more hits within the limit of "specific", below the balanced point
    curve = curve_of([(0.9679, 0.0, 0.9), (0.9553, 0.2, 1.0)])
    presets = choose_presets(curve, PresetLimits(1.0, 0.5))
    assert presets["balanced"]["threshold"] == presets["specific"]["threshold"] == 0.9679
    assert presets["sensitive"]["threshold"] == 0.9553 and presets["specific"]["within_limit"]
    # the balanced point has more false positives than "sensitive" may have: the order comes first, and it says so
    presets = choose_presets(curve_of([(0.9, 0.0, 0.1), (0.8, 0.5, 0.9)]), PresetLimits(0.2, 0.1))
    assert presets["balanced"]["threshold"] == presets["sensitive"]["threshold"] == 0.8
    assert presets["specific"]["threshold"] == 0.9 and presets["sensitive"]["within_limit"] is False
    with pytest.raises(ValueError, match="specific_fp_per_cm2"):
        PresetLimits(0.1, 1.0)
