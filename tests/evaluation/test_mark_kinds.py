"""Kinds of marks in the evaluation: told as the product tells them; FROC without those that are excluded."""

import cv2
import numpy as np
import pytest

from scripts.common.calcification_kinds import INDIVIDUAL, KINDS, METAL, VASCULAR
from scripts.evaluation.cases import CaseLevels, number_objects, score_arrays
from scripts.evaluation.mark_kinds import KIND, MarkKinds
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections import KindSection
from scripts.evaluation.statistics import Bootstrap
from scripts.findings.kinds.rules import KindRules

SPACING = (0.07, 0.07)


def clip_and_spot(clip_score=0.9, spot_score=0.8):
    """A metal clip marked in two halves, and a small round spot."""
    image, marks = np.full((300, 300), 0.35, np.float32), np.zeros((300, 300), np.int32)
    cv2.rectangle(image, (100, 100), (105, 140), 1.0, -1)
    marks[100:120, 100:106], marks[121:141, 100:106] = 1, 2
    image[200:204, 200:204], marks[200:204, 200:204] = 0.6, 3
    scores = np.array([0, clip_score, clip_score, spot_score])
    return number_objects((marks == 3).astype(np.uint8), marks, scores, image > 0, SPACING, image)


def kinds_of(arrays, measure=None):
    values = (measure or MarkKinds()).of_predictions(arrays, score_arrays(arrays))[KIND]
    return [KINDS[int(value)] for value in values]


def test_both_halves_of_a_clip_are_metal_and_faint_marks_are_not_typed():
    assert kinds_of(clip_and_spot()) == [METAL, METAL, INDIVIDUAL]
    assert kinds_of(clip_and_spot(clip_score=0.01)) == [INDIVIDUAL] * 3
    assert kinds_of(clip_and_spot(), MarkKinds(KindRules(metal=None), 0.05))[2] == INDIVIDUAL
    nothing = number_objects(
        *(np.zeros((9, 9), int),) * 2, np.zeros(1), np.ones((9, 9), bool), SPACING, np.ones((9, 9))
    )
    assert kinds_of(nothing) == []


def typed_case(make_case, kinds, truth=((5, 5, 2, 2), (5, 20, 2, 2))):
    """Marks on both MCs and beside them, scores falling, with kinds as given."""
    boxes = [(5, 5, 2, 2), (5, 20, 2, 2), (20, 5, 2, 2), (20, 20, 2, 2)]
    case = make_case(list(truth), [(box, 0.9 - 0.1 * n) for n, box in enumerate(boxes)])
    values = np.array([KINDS.index(kind) for kind in kinds], float)
    return type(case)(**{**vars(case), "prediction_values": {KIND: values}})


def test_marks_are_counted_by_kind_and_lost_mcs_are_told(make_case):
    case = typed_case(make_case, [INDIVIDUAL, VASCULAR, VASCULAR, INDIVIDUAL])
    scored = ScoredSet([case], bootstrap=Bootstrap(samples=5), operating_threshold=0.5)
    found = KindSection().results(scored)
    kinds = found.metrics["kinds"]
    counts = {kind: (row["true_positives"], row["false_positives"]) for kind, row in kinds["by_kind"].items()}
    assert counts[INDIVIDUAL] == (1, 1) and counts[VASCULAR] == (1, 1) and counts[METAL] == (0, 0)
    assert kinds["mcs_excluded"]["value"] == 0.5  # one of the two MCs is hit by a mark that is taken for an artery's
    assert sum(row["marks"] for row in found.tables["kinds.csv"][1]) == 4
    area = case.breast_cm2
    assert kinds["by_kind"][VASCULAR]["fp_per_cm2"]["value"] == pytest.approx(1 / area)


def test_curve_without_excluded_marks_is_that_of_the_others_alone(make_case):
    case = typed_case(make_case, [INDIVIDUAL, VASCULAR, VASCULAR, INDIVIDUAL])
    alone = make_case([(5, 5, 2, 2), (5, 20, 2, 2)], [((5, 5, 2, 2), 0.9), ((20, 20, 2, 2), 0.6)])
    section = KindSection()
    first, second = (ScoredSet([one]).curve for one in (section.without_excluded(case), alone))
    np.testing.assert_allclose(first.tpr[-1], second.tpr[-1])
    np.testing.assert_allclose(first.fp_per_cm2[-1], second.fp_per_cm2[-1])
    kept = section.without_excluded(typed_case(make_case, [INDIVIDUAL] * 4))
    assert ScoredSet([kept]).curve.tp.tolist() == ScoredSet([case]).curve.tp.tolist()


def test_images_of_several_levels_lose_the_marks_of_each(make_case):
    case = typed_case(make_case, [INDIVIDUAL, VASCULAR, VASCULAR, INDIVIDUAL])
    levels = CaseLevels(**vars(case), thresholds=np.array([0.5, 0.1]), levels=(case, case))
    made = KindSection().without_excluded(levels)
    assert [level.predictions.ignored.sum() for level in (made, *made.levels)] == [2, 2, 2]


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="exclude_kinds: got 'dust'; want"):
        KindSection(exclude_kinds=("dust",))
