"""Rules on hand-made pictures whose kinds are known."""

import itertools

import cv2
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from scripts.common.calcification_kinds import COARSE, INDIVIDUAL, METAL, RIM, SKIN_LINE, VASCULAR
from scripts.common.objects import label_objects, measure_objects, renumbered
from scripts.evaluation import fit_kinds
from scripts.findings.kinds.courses import CourseRule, courses, project
from scripts.findings.kinds.geometry import measure_marks
from scripts.findings.kinds.line_filter import LineFilter
from scripts.findings.kinds.metal import MetalRule
from scripts.findings.kinds.neighbourhoods import NeighbourhoodSettings, neighbourhoods
from scripts.findings.kinds.rules import KindRules, without_kinds
from scripts.findings.kinds.vascular import VascularRule
from scripts.findings.kinds.vascular_model import BoostedTrees, read_model

SPACING = (0.07, 0.07)


def picture(shape=(700, 700), seed=0):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), (0, 0), 1.0)
    return 0.3 + 0.01 * noise / noise.std()


def dashes(walls, seed=0, bend=0.0006):
    """A line, or two 2 mm apart, of dashes over 40 mm; and the mask of the dashes."""
    rng, mask = np.random.default_rng(seed), np.zeros((700, 700), np.uint8)
    for offset in (-14, 14)[:walls] if walls > 1 else (0,):
        col = 50
        while col < 640:
            length = int(rng.integers(8, 30))
            cols = np.arange(col, col + length)
            rows = 350 + offset + bend * (cols - 350) ** 2
            cv2.polylines(mask, [np.stack([cols, rows], 1).round().astype(np.int32)], False, 1, 4)
            col += length + int(rng.integers(4, 14))
    return mask


def dots(seed=0, count=18):
    """MCs of one duct: round, about 2 mm apart, 0.35 mm off its axis; nothing between them."""
    rng, mask = np.random.default_rng(seed), np.zeros((700, 700), np.uint8)
    for place in np.linspace(80, 560, count):
        centre = (round(place + rng.normal(0, 4)), round(350 + rng.normal(0, 5)))
        cv2.circle(mask, centre, 3, 1, -1)
    return mask


def drawn(mask, contrast=0.2):
    return np.clip(picture() + cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8) * contrast, 0, 1)


def typed(image, mask, breast=None, rules=None):
    labels, count = label_objects(mask > 0)
    scores = np.ones(count + 1, np.float32)
    rules = rules or KindRules()
    breast = np.ones(mask.shape, bool) if breast is None else breast
    told = rules.tell(image, labels, scores, breast, SPACING, "L")
    return told.labels, told


def turned(array, times):
    return np.ascontiguousarray(np.rot90(array, times))


@pytest.mark.parametrize("times", [0, 1])
def test_two_parallel_lines_of_dashes_are_an_artery(times):
    mask = dashes(2)
    _, found = typed(turned(drawn(mask), times), turned(mask, times))
    kinds = [mark.kind for mark in found.marks]
    assert kinds.count(VASCULAR) >= 0.9 * len(kinds)
    artery = max(found.arteries, key=lambda artery: artery.length_mm)
    assert artery.side == "L"
    assert 30 < artery.length_mm < 50  # 41 mm were drawn
    assert artery.reason.startswith("artery of 4")
    line = np.array(artery.polyline_px)
    assert np.hypot(*np.diff(line, axis=0).T).sum() * 0.07 == pytest.approx(artery.length_mm, abs=1.0)


@pytest.mark.parametrize("seed", range(6))
def test_mcs_along_a_duct_are_no_artery(seed):
    mask = dots(seed)
    _, found = typed(drawn(mask), mask)
    assert not found.arteries
    assert {mark.kind for mark in found.marks} == {INDIVIDUAL}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_chain_in_a_wide_dense_group_stays_undecided(seed):
    chain, rng = dashes(1, seed), np.random.default_rng(seed)
    group = chain.copy()
    for _ in range(80):  # 2.5 to 5 mm from the chain, to both sides
        row = 350 + int(rng.choice([-1, 1]) * rng.integers(36, 72))
        cv2.circle(group, (int(rng.integers(60, 640)), row), 3, 1, -1)
    assert typed(drawn(chain), chain)[1].arteries  # the same chain on its own is one
    found = typed(drawn(group), group)[1]
    assert not found.arteries
    assert VASCULAR not in {mark.kind for mark in found.marks}
    lax = KindRules(vascular=VascularRule(course_log_odds=-9, around_log_odds=-9))
    assert typed(drawn(group), group, rules=lax)[1].arteries  # so it is this rule that leaves it undecided


def test_doubtful_marks_are_no_course():
    mask = dashes(2)
    assert not typed(drawn(mask), mask, rules=KindRules(vascular=VascularRule(course_log_odds=50)))[1].arteries


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


def test_a_short_chain_stays_undecided():
    mask = dashes(2)
    mask[:, 120:] = 0  # 5 mm are left
    _, found = typed(drawn(mask), mask)
    assert len(found.marks) >= 4 and not found.arteries


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


def test_a_wide_mark_in_an_artery_is_no_plaque():
    mask = dashes(2)
    cv2.circle(mask, (350, 350), 7, 1, -1)  # 1 mm
    labels, found = typed(drawn(mask), mask)
    kinds = [mark.kind for mark in found.marks]
    wide = labels[350, 350]
    assert kinds[wide - 1] != VASCULAR and kinds.count(VASCULAR) >= 0.9 * (len(kinds) - 1)


def test_faint_marks_on_an_artery_belong_to_it():
    mask = dashes(2)
    labels, count = label_objects(mask > 0)
    image = drawn(mask)
    marks = measure_marks(labels, measure_objects(labels, np.ones(count + 1), SPACING), SPACING)
    odds = read_model().log_odds(neighbourhoods(image, marks, np.arange(count), SPACING, NeighbourhoodSettings()))
    least = float(np.quantile(odds, 0.2))  # so that a fifth is not sure
    members = [
        {
            number
            for artery in VascularRule(log_odds=least, joining_log_odds=joining).arteries(
                image, marks, np.arange(1, count + 1), SPACING
            )
            for number in artery.members
        }
        for joining in (least, -99.0)
    ]
    assert members[0] < members[1]
    assert members[1] - members[0] <= set((np.flatnonzero(odds < least) + 1).tolist())


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


def test_distances_from_a_line_are_those_of_every_segment():
    rng = np.random.default_rng(1)
    line, points = np.cumsum(rng.random((12, 2)), 0), rng.random((30, 2)) * 6
    _, across = project(points, line)
    for point, distance in zip(points, np.abs(across), strict=True):
        nearest = []
        for place, (start, end) in enumerate(itertools.pairwise(line)):
            share = (point - start) @ (end - start) / ((end - start) @ (end - start))
            low = -np.inf if place == 0 else 0
            high = np.inf if place == len(line) - 2 else 1
            nearest.append(np.hypot(*(point - start - np.clip(share, low, high) * (end - start))))
        assert distance == pytest.approx(min(nearest))


def test_courses_follow_a_chain_and_its_branch():
    rng = np.random.default_rng(3)
    along = np.linspace(0, 30, 20)
    chain = np.stack([20 + 0.01 * along**2, 10 + along], 1) + rng.normal(0, 0.1, (20, 2))
    branch = np.stack([22 + np.arange(3.5, 9, 1.5), np.full(4, 25.0)], 1)
    found = courses(np.vstack([branch, chain]), CourseRule())
    assert set(range(4, 24)) <= set(found[0].members.tolist())
    assert found[0].length_mm == pytest.approx(31.5, abs=2)
    assert sorted(np.concatenate([course.members for course in found]).tolist()) == list(range(24))
    assert len(found) == 2


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


@pytest.mark.parametrize("degrees", [0, 30, 75, 120])
def test_the_line_filter_answers_in_a_lines_direction(degrees):
    body = np.zeros((700, 700), np.uint8)
    way = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]) * 60
    cv2.line(body, tuple(np.round(350 - way).astype(int)), tuple(np.round(350 + way).astype(int)), 1, 3)
    place = np.array([[350.0, 350.0], [500.0, 150.0]]) * 0.07
    response = LineFilter().responses(drawn(body), place, SPACING)
    assert response[0].argmax() * 7.5 == pytest.approx(degrees, abs=7.5)
    assert response[0].max() > 3 * response[1].max()


@pytest.mark.parametrize("flip", [np.fliplr, np.flipud, np.transpose])
def test_log_odds_do_not_depend_on_the_pictures_orientation(flip):
    mask = dashes(2)
    image, (labels, count) = drawn(mask), label_objects(mask > 0)
    odds = []
    for turn in (np.asarray, flip):
        picture_, own = np.ascontiguousarray(turn(image)), np.ascontiguousarray(turn(labels))
        marks = measure_marks(own, measure_objects(own, np.ones(count + 1), SPACING), SPACING)
        around = neighbourhoods(picture_, marks, np.arange(count), SPACING, NeighbourhoodSettings())
        odds.append(read_model().log_odds(around))
    assert np.median(np.abs(odds[0] - odds[1])) < 0.3  # directions and the grid are discrete
    assert np.mean((odds[0] > 0.5) == (odds[1] > 0.5)) >= 0.95


def test_trees_add_up_their_leaves():
    leaves = (1.0, 2.0, 4.0, 8.0), (0.1, 0.1, 0.2, 0.2)
    model = BoostedTrees(-1.0, ((0, 1, 1), (1, 0, 0)), ((5.0, 1.0, 3.0), (2.0, 0.0, 0.0)), leaves)
    values = np.array([[5.0, 1.0], [5.0, 1.5], [6.0, 3.0], [6.0, 3.5]])
    assert model.log_odds(values) == pytest.approx([-1 + 1 + 0.1, -1 + 2 + 0.1, -1 + 4 + 0.2, -1 + 8 + 0.2])
    with pytest.raises(ValueError, match="features: got"):
        BoostedTrees(0.0, ((0, 0),), ((0.0, 0.0),), ((1.0, 2.0, 3.0),))


def test_fitted_trees_answer_as_scikit_learns():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 5))
    truth, weight = values[:, 0] * values[:, 1] + 0.3 * rng.normal(size=400) > 0.2, rng.uniform(0.5, 2, 400)
    options = {"max_depth": fit_kinds.DEPTH, "random_state": 0, **fit_kinds.TREES}
    wanted = GradientBoostingClassifier(**options).fit(values, truth, weight).decision_function(values)
    model = fit_kinds.fit_trees(values, truth, weight)
    assert model.log_odds(values) == pytest.approx(wanted, abs=1e-9)
    assert np.mean((model.log_odds(values) > 0) == truth) > 0.85


def test_a_model_of_other_features_is_refused(tmp_path):
    (tmp_path / "old.json").write_text('{"features": ["count"], "context": []}')
    with pytest.raises(ValueError, match="features: got"):
        read_model(str(tmp_path / "old.json"))
