"""Kinds of marks in the evaluation: as they were told; FROC without those that are excluded."""

import numpy as np
import pytest

from scripts.common.calcification_kinds import INDIVIDUAL, KINDS, METAL, VASCULAR
from scripts.evaluation.cases import CaseLevels, number_objects, score_arrays
from scripts.evaluation.mark_kinds import KIND, MarkKinds
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections import KindSection
from scripts.evaluation.statistics import Bootstrap

SPACING = (0.07, 0.07)


def test_kinds_are_those_that_were_told_in_the_order_of_the_marks():
    marks = np.zeros((30, 30), np.int32)
    marks[2:4, 2:4], marks[8:10, 2:4] = 4, 2  # the upper one is the first
    told = np.array([0, 0, KINDS.index(METAL), 0, KINDS.index(VASCULAR)])
    given = marks > 0, marks, np.array([0, 0, 0.5, 0, 0.9]), marks >= 0, SPACING
    for kinds, wanted in ((told, [VASCULAR, METAL]), (None, [INDIVIDUAL, INDIVIDUAL])):
        arrays = number_objects(*given, kinds=kinds)
        values = MarkKinds().of_predictions(arrays, score_arrays(arrays))[KIND]
        assert [KINDS[int(value)] for value in values] == wanted
    nothing = number_objects(*(np.zeros((9, 9), int),) * 2, np.zeros(1), np.ones((9, 9), bool), SPACING)
    assert MarkKinds().of_predictions(nothing, score_arrays(nothing))[KIND].size == 0


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
