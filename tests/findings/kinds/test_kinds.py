"""Rules on hand-made pictures whose kinds are known; those of arteries have a file of their own."""

import itertools

import cv2
import numpy as np
import pytest

from scripts.common.calcification_kinds import COARSE, INDIVIDUAL, METAL, RIM, SKIN_LINE, VASCULAR
from scripts.common.objects import label_objects, measure_objects, renumbered
from scripts.findings.kinds.geometry import measure_marks
from scripts.findings.kinds.metal import MetalRule
from scripts.findings.kinds.rules import KindRules, without_kinds
from scripts.findings.kinds.vascular import VascularRule
from tests.findings.kinds.pictures import SPACING, dashes, drawn, picture, typed


def test_telling_is_joining_then_numbering_then_typing():
    mask = dashes(2)
    metal = np.zeros((700, 700), np.uint8)
    cv2.polylines(metal, [np.array([[300, 100], [300, 160], [330, 165]])], False, 1, 7)
    image = np.maximum(drawn(mask), cv2.GaussianBlur(metal.astype(np.float32), (0, 0), 0.5))
    metal[110:130] = 0  # in parts
    rules, breast = KindRules(), np.ones(mask.shape, bool)
    labels, count = label_objects((mask | metal) > 0)
    scores = np.linspace(0.9, 0.1, count + 1).astype(np.float32)
    told = rules.tell(image, labels, scores, breast, SPACING, "R")
    joined, own = renumbered(*rules.join(image, labels, scores, breast, SPACING))
    typed_ = rules.kinds(image, joined, measure_objects(joined, own, SPACING), breast, SPACING, "R")
    np.testing.assert_array_equal(told.labels, joined)
    np.testing.assert_array_equal(told.scores, own)
    assert (told.marks, told.arteries) == (typed_.marks, typed_.arteries)
    assert {mark.kind for mark in told.marks} >= {METAL, VASCULAR}
    assert len(told.marks) < count


def test_a_piece_of_metal_in_a_ring_of_metal_is_found():
    body = np.zeros((700, 700), np.uint8)
    cv2.circle(body, (350, 350), 60, 1, 7)
    cv2.line(body, (330, 350), (370, 350), 1, 7)
    image = np.maximum(picture(), cv2.GaussianBlur(body.astype(np.float32), (0, 0), 0.5))
    pieces = MetalRule().pieces(image, np.ones(body.shape, bool), SPACING)
    assert len(pieces) == 2
    assert sum(int(piece.mask.sum()) for piece in pieces) == pytest.approx(body.sum(), rel=0.1)


def test_metal_in_parts_becomes_one_object():
    body = np.zeros((700, 700), np.uint8)
    cv2.polylines(body, [np.array([[300, 300], [300, 340], [320, 345], [320, 300]])], False, 1, 7)
    image = np.maximum(picture(), cv2.GaussianBlur(body.astype(np.float32), (0, 0), 0.5))
    marks = body.copy()
    marks[310:330] = 0  # what a network leaves of it
    labels, found = typed(image, marks)
    assert [mark.kind for mark in found.marks] == [METAL]
    assert np.count_nonzero(labels) >= 0.95 * body.sum()  # whole again
    assert not without_kinds(labels, found.marks).any()


def test_a_white_lump_is_no_metal():
    lump = np.zeros((700, 700), np.uint8)
    cv2.ellipse(lump, (350, 350), (22, 14), 30, 0, 360, 1, -1)
    soft = cv2.GaussianBlur(lump.astype(np.float32), (0, 0), 2.0)
    _, found = typed(np.clip(picture() + soft, 0, 1), lump)
    assert [mark.kind for mark in found.marks] == [COARSE]


@pytest.mark.parametrize(("blur", "kind"), [(0.4, METAL), (3.0, COARSE)])
def test_a_white_disc_is_metal_if_its_edge_is_sharp(blur, kind):
    bead = np.zeros((700, 700), np.uint8)
    cv2.circle(bead, (350, 350), 12, 1, -1)
    _, found = typed(np.clip(picture() + 0.8 * cv2.GaussianBlur(bead.astype(np.float32), (0, 0), blur), 0, 1), bead)
    assert [mark.kind for mark in found.marks] == [kind]


@pytest.mark.parametrize(("hollow", "kind"), [(True, RIM), (False, COARSE)])
def test_a_ring_is_a_rim_and_a_disc_is_coarse(hollow, kind):
    body = np.zeros((700, 700), np.uint8)
    cv2.circle(body, (350, 350), 16, 1, 5 if hollow else -1)
    image = np.clip(picture() + 0.3 * cv2.GaussianBlur(body.astype(np.float32), (0, 0), 1), 0, 1)
    filled = np.zeros_like(body)
    cv2.circle(filled, (350, 350), 18, 1, -1)
    for mask in (body, filled):  # the mark may be hollow itself
        _, found = typed(image, mask)
        assert found.marks[0].kind == kind or (mask is body and not hollow)


def test_skin_line_marks_lie_near_the_edge_and_along_it():
    breast = np.zeros((700, 700), bool)
    breast[:, 100:] = True  # the left of the image is air
    mask = np.zeros((700, 700), np.uint8)
    mask[300:325, 130:134] = 1  # 2 mm deep, along the edge
    mask[400:404, 125:150] = 1  # across it
    mask[500:525, 400:404] = 1  # deep inside
    cv2.circle(mask, (130, 600), 4, 1, -1)  # round
    _, found = typed(drawn(mask), mask, breast)
    assert [mark.kind for mark in found.marks] == [SKIN_LINE, INDIVIDUAL, INDIVIDUAL, INDIVIDUAL]


def test_a_long_mark_of_a_cluster_near_the_skin_is_no_skin_line():
    breast = np.zeros((700, 700), bool)
    breast[:, 100:] = True
    mask = np.zeros((700, 700), np.uint8)
    mask[300:325, 130:134] = 1
    for row in (260, 290, 335):  # within 6 mm, round
        cv2.circle(mask, (150, row), 4, 1, -1)
    assert [mark.kind for mark in typed(drawn(mask), mask, breast)[1].marks].count(SKIN_LINE) == 1
    cv2.circle(mask, (150, 365), 4, 1, -1)
    assert {mark.kind for mark in typed(drawn(mask), mask, breast)[1].marks} == {INDIVIDUAL}
    mask[360:370, 140:160] = 0
    mask[350:375, 130:134] = 1  # its like is no company
    assert [mark.kind for mark in typed(drawn(mask), mask, breast)[1].marks].count(SKIN_LINE) == 2


def test_kinds_can_be_left_out():
    mask = dashes(2)
    labels, found = typed(drawn(mask), mask, rules=KindRules(vascular=None))
    assert not found.arteries
    assert without_kinds(labels, found.marks).any()
    with pytest.raises(ValueError, match="exclude_kinds"):
        KindRules(exclude_kinds=("arteries",))
    with pytest.raises(ValueError, match="least_marks"):
        VascularRule(least_marks=1)


def test_an_image_without_marks_has_no_kinds():
    mask = np.zeros((700, 700), np.uint8)
    _, found = typed(picture(), mask)
    assert found.marks == []
    assert found.arteries == []


def test_marks_without_any_neighbour_in_reach_have_kinds():
    mask = np.zeros((700, 700), np.uint8)
    for row, col in itertools.product(range(50, 700, 200), repeat=2):  # 14 mm apart
        cv2.circle(mask, (col, row), 3, 1, -1)
    found = typed(drawn(mask), mask)[1]
    assert [mark.kind for mark in found.marks] == [INDIVIDUAL] * 16 and not found.arteries


def test_marks_are_measured_as_the_ellipse_that_they_are():
    mask = np.zeros((700, 700), np.uint8)
    cv2.ellipse(mask, (350, 300), (40, 12), 25, 0, 360, 1, -1)
    labels, _ = label_objects(mask > 0)
    marks = measure_marks(labels, measure_objects(labels, np.ones(2), SPACING), SPACING)
    assert marks.length_mm[0] == pytest.approx(81 * 0.07, rel=0.03)
    assert marks.width_mm[0] == pytest.approx(25 * 0.07, rel=0.05)
    assert np.degrees(marks.angle[0]) == pytest.approx(25, abs=1)


def test_metal_that_no_mark_touches_is_an_object_as_long_as_metal_is_excluded():
    body = np.zeros((700, 700), np.uint8)
    cv2.polylines(body, [np.array([[300, 300], [300, 360]])], False, 1, 7)
    image = np.maximum(picture(), cv2.GaussianBlur(body.astype(np.float32), (0, 0), 0.5))
    none = np.zeros_like(body)
    labels, found = typed(image, none)
    assert [mark.kind for mark in found.marks] == [METAL]
    assert np.count_nonzero(labels) == pytest.approx(body.sum(), rel=0.1)
    assert not typed(image, none, rules=KindRules(exclude_kinds=(VASCULAR,)))[1].marks
    assert not typed(image, none, breast=np.zeros(body.shape, bool))[1].marks  # as a letter beside the breast


def test_metal_in_bright_tissue_is_found_at_the_higher_level():
    body = np.zeros((700, 700), np.uint8)
    cv2.polylines(body, [np.array([[300, 300], [300, 360]])], False, 1, 7)
    image = picture()
    image[297:303, 100:600] = 0.81  # bright tissue that the metal crosses
    image = np.maximum(image, cv2.GaussianBlur(body.astype(np.float32), (0, 0), 0.5))
    _, found = typed(image, np.zeros_like(body))
    assert [mark.kind for mark in found.marks] == [METAL]
    assert not typed(image, np.zeros_like(body), rules=KindRules(metal=MetalRule(levels=(0.8,), edges=(0.25,))))[
        1
    ].marks
