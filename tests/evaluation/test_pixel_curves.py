"""Pixel curves against scikit-learn on the very scores, the binning error within its bounds, calibration by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from scripts.evaluation.pixel_curves import PixelCurvesHandler, Reliability, ScoreHistogram


def reliability(scores, positive, bins=15):
    counts = Reliability(bins)
    counts.add(scores, positive)
    return counts


def saturated(seed, n=40_000):
    """Scores as networks give them: nearly all close to 0 or 1; one in a hundred is positive."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.01
    logit = rng.normal(-12, 3, n) + positive * rng.normal(12, 5, n)
    return (1 / (1 + np.exp(-logit))).astype(np.float32), positive


def histogram_of(scores, positive, **options):
    histogram = ScoreHistogram(**options)
    histogram.add(scores, positive)
    return histogram


@pytest.mark.parametrize("seed", range(3))
def test_auc_and_average_precision_equal_scikit_learn_to_six_digits(seed):
    scores, positive = saturated(seed)
    histogram = histogram_of(scores, positive)
    auc, precision = histogram.roc_auc(), histogram.average_precision()
    assert auc.value == pytest.approx(roc_auc_score(positive, scores), abs=1e-5)
    assert precision.value == pytest.approx(average_precision_score(positive, scores), abs=1e-3)
    assert auc.binning_high - auc.binning_low < 1e-3 and precision.binning_high - precision.binning_low < 0.02


@pytest.mark.parametrize("bins_per_octave", [1, 2, 16, 2048])
@pytest.mark.parametrize("kind", ["saturated", "uniform", "ties", "all equal"])
def test_the_exact_values_lie_within_the_bounds_of_any_bins(bins_per_octave, kind):
    rng = np.random.default_rng(7)
    scores, positive = saturated(3, 3000)
    if kind != "saturated":
        scores = rng.random(3000).astype(np.float32)
        positive = rng.random(3000) < scores**2
    if kind == "ties":
        scores = np.round(scores, 1).astype(np.float32)
    if kind == "all equal":
        scores[:] = 0.3
    histogram = histogram_of(scores, positive, bins_per_octave=bins_per_octave)
    for found, exact in (
        (histogram.roc_auc(), roc_auc_score(positive, scores)),
        (histogram.average_precision(), average_precision_score(positive, scores)),
    ):
        assert found.binning_low - 1e-12 <= exact <= found.binning_high + 1e-12
        assert found.binning_low <= found.value <= found.binning_high


def test_bounds_are_reached_by_the_worst_and_the_best_order():
    # one bin holds 0.30 and 0.31; positives at the higher one, or at the lower one
    best = histogram_of(np.array([0.31, 0.30]), np.array([True, False]), bins_per_octave=1)
    worst = histogram_of(np.array([0.30, 0.31]), np.array([True, False]), bins_per_octave=1)
    assert best.roc_auc() == worst.roc_auc() == (0.5, 0, 1)
    assert best.average_precision() == worst.average_precision() == (0.5, 0.5, 1)
    assert histogram_of(np.array([0.31, 0.30]), np.array([True, False])).roc_auc() == (1, 1, 1)
    # two of each, both positives last: (1 / 3 + 2 / 4) / 2 is less than equal scores give
    last = histogram_of(np.array([0.30, 0.31, 0.32, 0.33]), np.array([True, True, False, False]), bins_per_octave=1)
    assert last.average_precision() == pytest.approx((0.5, (1 / 3 + 2 / 4) / 2, 1))


def test_curves_equal_scikit_learn_where_each_score_has_its_bin():
    rng = np.random.default_rng(1)
    scores = (rng.integers(0, 65, 2000) / 64).astype(np.float32)
    positive = rng.random(2000) < scores
    curve = histogram_of(scores, positive).curve()
    precision, recall, threshold = precision_recall_curve(positive, scores)
    np.testing.assert_allclose(curve["precision"][::-1], precision[:-1])
    np.testing.assert_allclose(curve["recall"][::-1], recall[:-1])
    np.testing.assert_allclose(curve["threshold"][::-1], threshold, atol=1e-3)
    rate, recall, _ = roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve["false_positive_rate"], rate[1:])
    np.testing.assert_allclose(curve["recall"], recall[1:])


@pytest.mark.parametrize("bins_per_octave", [1, 8, 2048])
def test_thresholds_select_exactly_the_scores_of_their_bins(bins_per_octave):
    tiny = np.float32(2) ** -np.arange(40, dtype=np.float32)
    scores = np.concatenate([saturated(5, 2000)[0], tiny, 1 - tiny, np.float32([0, 0.5, 1, np.nextafter(0.5, 1)])])
    histogram = histogram_of(scores, np.ones(scores.size, bool), bins_per_octave=bins_per_octave)
    thresholds = histogram.thresholds()
    assert thresholds.size == histogram.positive.size and (np.diff(thresholds) > 0).all()
    above = histogram.positive[::-1].cumsum()[::-1]
    asked = np.unique(np.concatenate([np.flatnonzero(histogram.positive), [0, thresholds.size - 1]]))
    assert above[asked].tolist() == [(scores >= t).sum() for t in thresholds[asked]]


def test_adding_in_parts_is_adding_at_once_and_memory_stays():
    scores, positive = saturated(2, 5000)
    whole, parts = histogram_of(scores, positive), ScoreHistogram()
    for part in np.array_split(np.arange(5000), 7):
        parts.add(scores[part], positive[part])
    np.testing.assert_array_equal(whole.positive, parts.positive)
    np.testing.assert_array_equal(whole.negative, parts.negative)
    assert parts.positive.nbytes + parts.negative.nbytes == 2 * 8 * 126_977


def test_calibration_by_hand():
    found = reliability(np.array([0.1, 0.2, 0.5, 1.0]), np.array([False, True, True, True]), bins=2)
    assert found.count.tolist() == [2, 2]
    assert found.mean_score.tolist() == pytest.approx([0.15, 0.75]) and found.share_positive.tolist() == [0.5, 1]
    assert found.ece == pytest.approx((2 * 0.35 + 2 * 0.25) / 4)


def test_reliability_equals_scikit_learn():
    rng = np.random.default_rng(0)
    scores = rng.random(5000).astype(np.float32) ** 2
    positive = rng.random(5000) < scores**1.5
    counts = Reliability(15)
    for part in np.array_split(np.arange(5000), 3):
        counts.add(scores[part], positive[part])
    found = counts
    share, mean = calibration_curve(positive, scores, n_bins=15)
    np.testing.assert_allclose(found.share_positive, share)
    np.testing.assert_allclose(found.mean_score, mean, rtol=1e-6)
    assert found.ece == pytest.approx(np.average(abs(share - mean), weights=found.count), rel=1e-6)


def test_empty_truth_empty_rest_and_nothing():
    score = np.array([0.5])
    no_truth, only_truth = histogram_of(score, np.array([False])), histogram_of(score, np.array([True]))
    assert math.isnan(no_truth.roc_auc().value) and math.isnan(no_truth.average_precision().value)
    assert np.isnan(no_truth.curve()["recall"]).all() and no_truth.curve()["precision"].tolist() == [0]
    assert math.isnan(only_truth.roc_auc().value) and only_truth.average_precision() == (1, 1, 1)
    nothing = ScoreHistogram()
    assert math.isnan(nothing.roc_auc().value) and math.isnan(nothing.average_precision().value)
    assert nothing.curve()["threshold"].size == 0 and math.isnan(Reliability().ece)


def item(rows=6, cols=5):
    """Map of two channels; one MC inside, one outside of the breast, one ignored pixel."""
    label, breast = np.zeros((1, rows, cols), np.uint8), np.ones((1, rows, cols), bool)
    breast[:, :, 0] = False
    label[0, 1, 1], label[0, 2, 0], label[0, 3, 3] = 1, 1, 2
    channels = torch.stack([torch.full((rows, cols), 0.25), torch.linspace(0, 1, rows * cols).view(rows, cols)])
    return {"map": channels, "label": torch.from_numpy(label), "breast": torch.from_numpy(breast)}


def test_the_handler_counts_breast_pixels_that_are_not_ignored():
    handler, one = PixelCurvesHandler(channel=1), item()
    handler(SimpleNamespace(state=SimpleNamespace(output=[one, one])))
    assert handler.images == 2 and handler.histogram.positive.sum() == 2
    assert handler.histogram.negative.sum() == 2 * (6 * 4 - 2) == handler.calibration.count.sum() - 2
    counted = one["breast"][0].numpy() & (one["label"][0].numpy() != 2)
    truth = one["label"][0].numpy()[counted] == 1
    exact = roc_auc_score(truth, one["map"][1].numpy()[counted])
    assert handler.histogram.roc_auc().value == pytest.approx(exact, abs=1e-9)
    handler._start()
    assert handler.images == 0 and handler.histogram.negative.sum() == 0


def test_the_handler_takes_the_channel_asked_for_and_half_precision():
    handler, one = PixelCurvesHandler(channel=0), item()
    handler.add(one | {"map": one["map"].to(torch.bfloat16)})
    assert handler.histogram.roc_auc().value == 0.5 and handler.calibration.mean_score[3] == 0.25
    handler.add({key: value for key, value in one.items() if key != "map"})
    assert handler.images == 1  # no map, nothing counted
    with pytest.raises(ValueError, match="channel: got 2"):
        PixelCurvesHandler(channel=2).add(one)
    with pytest.raises(ValueError, match="one shape"):
        handler.add(one | {"breast": one["breast"][:, 1:]})


def test_bad_scores_and_bins_are_named():
    for scores in (np.array([1.5]), np.array([-0.1]), np.array([np.nan])):
        with pytest.raises(ValueError, match="outside of"):
            ScoreHistogram().add(scores, np.array([True]))
    with pytest.raises(ValueError, match="one length"):
        reliability(np.zeros(2), np.zeros(3, bool))
    for wrong in (0, 3, 1 << 20):
        with pytest.raises(ValueError, match="bins_per_octave"):
            ScoreHistogram(wrong)
    with pytest.raises(ValueError, match="bins"):
        Reliability(0)
