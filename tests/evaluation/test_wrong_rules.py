"""Every rule of the evaluation, replaced by a wrong one, is noticed by the comparison with the brute-force twin.

Wrong rules are put in as functions, so nothing here depends on how the code is written. `compare_with_twin` is what the
evaluation must satisfy; with a wrong rule in place it must fail.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from scripts.evaluation import cases as case_module
from scripts.evaluation import froc as froc_module
from scripts.evaluation import iou as iou_module
from scripts.evaluation import matching as matching_module
from scripts.evaluation.cases import HitRule, Predictions, score_case
from scripts.evaluation.froc import Froc, FrocTable
from scripts.evaluation.iou import iou_per_image, iou_per_object
from scripts.evaluation.matching import MatchEvents, match, match_events
from tests.evaluation import brute_force as brute


def boundary_image():
    """0.35 mm and IoU 0.3 exactly, half in an ignore region, diagonal neighbours, a prediction that is taken back."""
    label, instances = np.zeros((60, 60), np.uint8), np.zeros((60, 60), np.int32)
    label[5, 5], instances[5, 10] = 1, 1  # 5 px of 0.07 mm
    label[20, 5:25], instances[20, 5:11] = 1, 2  # 6 of 20 px
    label[30:40, 30:40], instances[32, 38:42] = 2, 3  # two of four px
    label[50, 50], label[51, 51] = 1, 1
    instances[50:52, 50:52] = 4
    label[40, 5] = label[40, 9] = 1  # the better prediction hits both, the other one the first alone
    instances[41, 7], instances[39, 3] = 5, 6
    return label, instances, np.array([0, 0.5, 0.5, 0.75, 0.25, 0.75, 0.25]), (0.07, 0.07)


@pytest.fixture
def images(random_image):
    return [boundary_image(), *(random_image(seed) for seed in range(40))]


def compare_with_twin(images):
    cases = [score_case(label, inst, scores, label < 3, spacing) for label, inst, scores, spacing in images]
    curve, points = FrocTable(cases).curve(), brute.froc(images)
    found = {t: (tp, fp) for t, tp, fp in zip(curve.threshold[1:], curve.tp[1:], curve.fp[1:], strict=True)}
    assert found == {threshold: points[threshold] for threshold in found} and set(points) == set(found)
    areas = [(label != 2).sum() * spacing[0] * spacing[1] / 100 for label, _, _, spacing in images]
    assert [case.breast_cm2 for case in cases] == pytest.approx(areas)
    total = sum(len(case.annotations) for case in cases)
    steps = sorted((fp / sum(areas), tp / total) for tp, fp in [(0, 0), *points.values()])
    for rate in (0.0, *(fp + gap for fp, _ in steps for gap in (0, 0.3 * steps[1][0]))):
        best = max(tpr for fp, tpr in steps if fp <= rate)
        assert curve.tpr_at(rate) == pytest.approx(best)
    limit = steps[-1][0] / 2
    heights = [max(t for f, t in steps if f <= x) for x in (np.arange(4000) + 0.5) * limit / 4000]
    assert curve.pauc(limit) == pytest.approx(np.mean(heights), abs=1e-3)
    nearest = min((np.hypot(fp / sum(areas), 1 - tp / total), -t) for t, (tp, fp) in points.items())
    assert curve.threshold[curve.nearest_to_ideal()] == -nearest[1]
    for image, case in zip(images, cases, strict=True):
        label, instances, scores, spacing = image
        for threshold in (0.25, 0.5):
            truth, predicted = brute.objects_of(label, instances, scores, threshold)
            assert set(np.flatnonzero(match(case, threshold) >= 0)) == brute.greedy_hits(truth, predicted, spacing)
            best = [max((len(t & p) / len(t | p) for p in predicted), default=0) for t in truth if len(t) > 1]
            assert iou_per_object(case, threshold).tolist() == pytest.approx(best)
            assert iou_per_image(case, threshold)[:2] == pytest.approx(brute.pixel_iou(*image[:3], threshold))


def test_the_evaluation_agrees_with_the_twin(images):
    compare_with_twin(images)


def majority_includes_half(*fields):
    made = Predictions(*fields)
    return replace(made, ignored=2 * (made.area_px - made.counted_px) >= made.area_px)


def every_prediction_twice(case, kept):
    partner = np.full(len(case.annotations), -1)
    for a, p in zip(case.pairs.annotation[case.pairs.hit], case.pairs.prediction[case.pairs.hit], strict=True):
        if partner[a] < 0 and kept[p]:
            partner[a] = p
    return partner


def without_pushing_out(case, matching="greedy"):
    """Each prediction, best first, takes the first free object and never gives way."""
    order = match_events(case, matching).prediction
    taken = {}
    for p in order.tolist():
        own = case.pairs.annotation[case.pairs.hit & (case.pairs.prediction == p)].tolist()
        taken[p] = next((a for a in own if a not in taken.values()), -1)
    annotation = np.array([taken[p] for p in order.tolist()], np.int64)
    return MatchEvents(order, annotation, np.where(annotation < 0, order, -1))


def hits(near, overlap):
    return lambda self, distance, iou: near(distance) | overlap(iou)


def places(factor):
    return lambda objects, spacing: np.stack([objects.row, objects.col], 1) * factor(spacing)


def four_connected(mask):
    return ndimage.label(mask)


def any_overlap(case, threshold):
    best, pairs = np.zeros(len(case.annotations)), case.pairs
    best[pairs.annotation] = pairs.iou
    return best


WRONG = {
    "0.35 mm is a hit": (HitRule, "hits", hits(lambda d: d < 0.35 - 1e-9, lambda i: i >= 0.3)),
    "IoU 0.3 is a hit": (HitRule, "hits", hits(lambda d: d <= 0.35 + 1e-9, lambda i: i > 0.3)),
    "one of both is enough": (HitRule, "hits", lambda self, d, i: (d <= 0.35 + 1e-9) & (i >= 0.3)),
    "distances are in mm": (case_module, "places_mm", places(lambda spacing: 0.07)),
    "rows have the row spacing": (case_module, "places_mm", places(lambda spacing: spacing[::-1])),
    "objects are 8-connected": (case_module, "label_objects", four_connected),
    "half in an ignore region counts": (case_module, "Predictions", majority_includes_half),
    "thresholds are inclusive": (Predictions, "kept", lambda self, t: (self.score > t) & ~self.ignored),
    "ignored ones never take part": (Predictions, "kept", lambda self, t: self.score >= t),
    "each prediction is used once": (matching_module, "greedy_match", every_prediction_twice),
    "an earlier object takes a prediction back": (froc_module, "match_events", without_pushing_out),
    "the best IoU of those that take part": (iou_module, "best_iou", any_overlap),
    "TPR is not interpolated": (
        Froc,
        "tpr_at",
        lambda self, rate, per="cm2": np.interp(rate, self.fp_per_cm2, self.tpr),
    ),
    "pAUC ends at its limit": (Froc, "pauc", lambda self, limit=1.0, per="cm2": float(self.tpr.mean())),
    "the operating point is nearest to (0, 1)": (Froc, "nearest_to_ideal", lambda self: int(self.tpr.argmax())),
    "the area is the breast's": (froc_module, "breast_areas", lambda cases: np.ones(len(cases))),
}


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_rule_is_noticed(images, monkeypatch, rule):
    monkeypatch.setattr(*WRONG[rule])
    with pytest.raises(AssertionError):
        compare_with_twin(images)
