"""Which MC is which: hand-made cases, and properties of the model."""

import numpy as np
import pytest

from scripts.findings.follow_up.matching import MatchingRule, local_displacements, match, trace
from tests.findings.follow_up.factory import exam, shift

RULE = MatchingRule()


def areas(count, value=0.05):
    return np.full(count, value)


def statuses(traces):
    return {(entry.prior_id, entry.current_id): entry.status for entry in traces}


def test_every_status_once():
    prior = exam("prior", [(10, 10), (14, 10), (18, 10), (30, 20), (2, 2)], [0.05, 0.05, 0.20, 0.05, 0.05])
    current = exam("current", [(6, 13), (10, 13), (14, 13), (20, 5)], [0.05, 0.12, 0.10, 0.05])
    # everything moves 4 mm up and 3 mm to the right; the MC at (2, 2) leaves the image; the one at (30, 20) is gone
    found = statuses(trace(prior, current, shift(-4, 3), RULE))
    assert found == {
        (1, 1): "unchanged",
        (2, 2): "grown",
        (3, 3): "shrunk",
        (4, None): "gone",
        (5, None): "out of view",
        (None, 4): "new",
    }


def test_what_the_prior_exam_did_not_show_is_not_new():
    prior, current = exam("prior", []), exam("current", [(1, 10), (20, 10)])
    found = statuses(trace(prior, current, shift(5, 0), RULE))  # the current exam shows 5 mm more at the top
    assert found == {(None, 1): "out of view", (None, 2): "new"}


def test_traces_say_where_and_how_far():
    prior, current = exam("prior", [(10, 10)], [0.05]), exam("current", [(13.0, 10.4)], [0.06])
    (entry,) = trace(prior, current, shift(3, 0), RULE)
    assert (entry.number, entry.expected_row_mm, entry.expected_col_mm, entry.distance_mm) == (1, 13.0, 10.0, 0.4)
    assert (entry.prior_area_mm2, entry.current_area_mm2) == (0.05, 0.06)
    assert entry.area_change_mm2 == pytest.approx(0.01) and entry.status == "unchanged"


def test_a_cluster_that_moved_by_its_own_spacing_is_followed():
    # a row of MCs 1 mm apart, shifted by 1 mm along the row: the nearest would be the wrong one for all but one
    rng = np.random.default_rng(2)
    prior = np.stack([np.cumsum(rng.uniform(0.7, 1.4, 9)), rng.normal(0, 0.5, 9)], axis=1)
    current = prior + (1.0, 0.2)
    pairs, expected = match(prior, current, areas(9), areas(9), RULE)
    assert pairs == [(i, i) for i in range(9)]
    assert np.abs(expected - current).max() < 0.35


def test_the_assignment_is_one_to_one_and_the_least_in_sum():
    # nearest first would pair 0 with 0 and leave 1 far off
    prior, current = np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 0.45], [0.0, -0.6]])
    rule = MatchingRule(gate_mm=1.0, shift_mm=0.01)
    pairs, _ = match(prior, current, areas(2), areas(2), rule)
    assert sorted(pairs) == [(0, 1), (1, 0)]


def test_size_decides_between_equally_near_ones_and_a_gate_closes():
    prior, current = np.array([[5.0, 5.0]]), np.array([[5.0, 5.5], [5.0, 4.5]])
    assert match(prior, current, areas(1, 0.2), np.array([0.04, 0.2]), RULE)[0] == [(0, 1)]
    assert match(prior, prior + (0, 1.6), areas(1), areas(1), RULE)[0] == []
    assert match(prior, prior + (0, 1.0), areas(1), areas(1, 0.4), RULE)[0] == []  # 8 times as large, and off
    assert match(prior, np.zeros((0, 2)), areas(1), areas(0), RULE)[0] == []
    assert match(np.zeros((0, 2)), prior, areas(0), areas(1), RULE)[0] == []


def test_a_lone_mc_has_no_local_displacement():
    prior, current = np.array([[5.0, 5.0], [40.0, 40.0]]), np.array([[6.0, 5.0]])
    assert (local_displacements(prior, current, areas(2), areas(1), RULE) == 0).all()


def test_the_order_of_mcs_does_not_matter():
    rng = np.random.default_rng(5)
    prior = rng.uniform(0, 20, (30, 2))
    current = np.concatenate([prior[:24] + rng.normal(0.5, 0.2, (24, 2)), rng.uniform(0, 20, (6, 2))])
    order = rng.permutation(30)
    first = match(prior, current, areas(30), areas(30), RULE)[0]
    second = match(prior, current[order], areas(30), areas(30), RULE)[0]
    assert {(i, int(order[j])) for i, j in second} == set(first)


def test_tolerance_of_areas_by_hand():
    rule = MatchingRule(area_share=0.3, edge_px=0.5)
    # outline of a disc of pi/4 mm^2 is pi mm: 0.5 px of 0.1 mm along it is 0.157 mm^2; 30 % are 0.236
    assert rule.tolerance_mm2(np.pi / 4, 0.1) == pytest.approx(0.3 * np.pi / 4)
    assert rule.tolerance_mm2(0.0314159, 0.1) == pytest.approx(0.5 * 0.1 * 2 * np.pi * 0.1, rel=1e-3)


@pytest.mark.parametrize("wrong", [{"gate_mm": 0}, {"area_ratio": 1}, {"spread_mm": -1}, {"area_share": -0.1}])
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MatchingRule(**wrong)
