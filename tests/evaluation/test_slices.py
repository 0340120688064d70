"""Figures of the slices on hand-made marks: each case counted by eye."""

import numpy as np
import pytest

from scripts.evaluation.cases import score_case
from scripts.evaluation.slices import FIGURES, figures_of, summary_of
from scripts.simulation.insertion.slices import LARGE, PAIR, SINGLE, SliceScene

SPACING = (0.1, 0.1)


def scene_of(*groups):
    """Squares of 6 x 6 px: groups are (slice, visible, [columns of the members])."""
    objects, records = np.zeros((40, 200), np.int32), []
    for group, (name, visible, columns) in enumerate(groups, start=1):
        for col in columns:
            number = len(records) + 1
            objects[10:16, col : col + 6] = number
            records.append({"number": number, "group": group, "slice": name, "kind": "punctate", "visible": visible})
    return SliceScene(np.zeros((40, 200), np.float32), objects, (objects > 0).astype(np.uint8), records)


def marks_of(*boxes):
    marks = np.zeros((40, 200), np.int32)
    for number, (left, right) in enumerate(boxes, start=3):  # numbers with gaps
        marks[10:16, left:right] = number
    return marks


@pytest.mark.parametrize(
    ("boxes", "wanted"),
    [
        ([(10, 16), (16, 22)], {"pair parted": 1, "pair marks": 2, "pair missed": 0, "pair in pieces": 0, "false": 0}),
        ([(10, 22)], {"pair parted": 0, "pair marks": 1, "pair missed": 0}),
        ([(10, 16), (16, 19), (19, 22)], {"pair parted": 0, "pair in pieces": 1, "pair marks": 3}),
        ([(10, 13), (13, 16)], {"pair parted": 0, "pair marks": 2}),  # both on the same member
        ([(10, 16), (21, 22)], {"pair parted": 0, "pair marks": 2}),  # the other overlaps too little
        ([(60, 66)], {"pair parted": 0, "pair missed": 1, "pair marks": 0, "false": 1}),
        ([], {"pair groups": 1, "pair parted": 0, "pair missed": 1, "false": 0}),
    ],
)
def test_a_touching_pair(boxes, wanted):
    found = figures_of(scene_of((PAIR, True, [10, 16])), marks_of(*boxes), SPACING)
    assert {name: found[name] for name in wanted} == wanted


def test_a_large_mc_whole_in_pieces_and_missed():
    scene = scene_of((LARGE, True, [10]))
    whole = figures_of(scene, marks_of((10, 16)), SPACING)
    assert (whole["large whole"], whole["large iou"], whole["large hit"]) == (1, 1, 1)
    pieces = figures_of(scene, marks_of((10, 14), (14, 16)), SPACING)
    assert (pieces["large whole"], pieces["large marks"]) == (0, 2) and pieces["large iou"] == pytest.approx(2 / 3)
    small = figures_of(scene, marks_of((10, 12)), SPACING)
    assert small["large whole"] == 0 and small["large iou"] == pytest.approx(1 / 3)


def test_groups_with_a_faint_member_count_nowhere_and_their_marks_are_not_false():
    found = figures_of(scene_of((SINGLE, False, [10])), marks_of((10, 16)), SPACING)
    assert found == {"false": 0}


def test_summary_divides_sums_over_images():
    rows = [{"pair parted": 1.0, "pair groups": 2.0, "false": 3.0, "cm2": 10.0}, {"pair groups": 2.0, "cm2": 20.0}]
    image = np.zeros((20, 20), np.uint8)
    cases = [score_case(image, image, np.zeros(1), image == 0, SPACING, case_id=name) for name in "ab"]
    found = summary_of(rows, cases)
    assert found["pairs parted"]["value"] == 0.25 and found["false marks per cm²"]["value"] == 0.1
    assert found["large MCs whole"]["value"] is None and set(FIGURES) < set(found)
