"""Intervals of a change: published and hand-computed values."""

import pytest

from scripts.findings.follow_up.change import (
    Intervals,
    count_change,
    density_change,
    hull_area_cm2,
    mean_area_change,
    poisson_limits,
)
from tests.findings.follow_up.factory import mc


@pytest.mark.parametrize(("count", "limits"), [(0, (0, 3.6889)), (1, (0.0253, 5.5716)), (10, (4.7954, 18.3904))])
def test_exact_poisson_limits_are_those_of_the_tables(count, limits):
    assert poisson_limits(count) == pytest.approx(limits, abs=1e-4)


def test_nothing_new_and_nothing_gone_is_not_certainty():
    assert count_change(8, 8, both=8).value == 0
    assert (count_change(8, 8, both=8).low, count_change(8, 8, both=8).high) == pytest.approx(
        (-3.6889, 3.6889), abs=1e-4
    )


def test_count_change_by_hand_and_matching_narrows_it():
    # 10 new (4.7954 to 18.3904), 0 gone (0 to 3.6889): 10 - hypot(5.2046, 3.6889), 10 + hypot(8.3904, 0)
    found = count_change(20, 30, both=20)
    assert (found.value, found.low, found.high) == pytest.approx((10, 3.6207, 18.3904), abs=1e-3)
    apart = count_change(20, 30)
    assert apart.low < found.low and apart.high > found.high and apart.value == 10


def test_density_change_is_scaled_counts():
    alike = density_change(20, 30, 2.0, 2.0)
    counts = count_change(20, 30)
    assert (alike.value, alike.low, alike.high) == pytest.approx((5, counts.low / 2, counts.high / 2))
    assert density_change(3, 4, None, 1.0).value is None and density_change(3, 4, 0.0, 1.0).value is None


def test_mean_area_change():
    same = [(1.0, 1.5), (2.0, 2.5), (4.0, 4.5)]  # each grew by 0.5: pairs are drawn together, so it is certain
    found = mean_area_change(same, Intervals(samples=200))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    apart = mean_area_change([(a, None) for a, _ in same] + [(None, b) for _, b in same], Intervals())
    assert apart.value == pytest.approx(0.5) and apart.low < 0 < apart.high
    assert mean_area_change([(1.0, None)], Intervals()).value is None
    one = mean_area_change([(1.0, 2.0)], Intervals())
    assert one.value == 1.0 and one.low is None


def test_hull_of_a_cluster():
    square = [mc(n, *at) for n, at in enumerate([(0, 0), (0, 10), (10, 10), (10, 0), (5, 5)], start=1)]
    assert hull_area_cm2(square) == pytest.approx(1.0)
    assert hull_area_cm2(square[:2]) is None
    assert hull_area_cm2([mc(1, 0, 0), mc(2, 1, 1), mc(3, 2, 2)]) is None
