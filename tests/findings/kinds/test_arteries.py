"""Arteries: chains that are some and that are none, the model of a mark, courses."""

import itertools

import cv2
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from scripts.common.calcification_kinds import INDIVIDUAL, VASCULAR
from scripts.common.objects import label_objects, measure_objects
from scripts.evaluation import fit_kinds
from scripts.findings.kinds.courses import CourseRule, courses, project
from scripts.findings.kinds.geometry import measure_marks
from scripts.findings.kinds.line_filter import LineFilter
from scripts.findings.kinds.neighbourhoods import NeighbourhoodSettings, neighbourhoods
from scripts.findings.kinds.rules import KindRules
from scripts.findings.kinds.vascular import VascularRule
from scripts.findings.kinds.vascular_model import BoostedTrees, read_model
from tests.findings.kinds.pictures import SPACING, dashes, dots, drawn, turned, typed


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


def test_a_short_chain_stays_undecided():
    mask = dashes(2)
    mask[:, 120:] = 0  # 5 mm are left
    _, found = typed(drawn(mask), mask)
    assert len(found.marks) >= 4 and not found.arteries


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
