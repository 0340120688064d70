"""Bootstrap and Wilcoxon against enumeration and known answers."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from scripts.evaluation.statistics import (
    bootstrap_differences,
    bootstrap_weights,
    interval,
    paired_wilcoxon,
    ratio_interval,
)


def test_samples_draw_as_many_units_as_there_are_and_patients_stay_together():
    weights = bootstrap_weights(["a", "b", "a", "c"], 500, seed=3)
    assert weights.shape == (500, 4)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])  # both images of patient a
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    assert weights[:, 1].mean() == pytest.approx(1, abs=0.15)
    assert (weights == 0).any() and (weights > 1).any()  # with replacement


def test_seeds_decide():
    units = [str(i) for i in range(20)]
    one, same, other = (bootstrap_weights(units, 5, seed) for seed in (1, 1, 2))
    assert (one == same).all() and (one != other).any()
    assert bootstrap_weights([], 5, 0).shape == (5, 0)
    with pytest.raises(ValueError, match="samples"):
        bootstrap_weights(units, 0, 0)


def test_interval_is_the_middle_95_percent_without_undefined_samples():
    sampled = np.append(np.arange(1001.0), [np.nan] * 50)
    assert interval(7.0, sampled) == pytest.approx((7.0, 25.0, 975.0, 500.0))
    undefined = interval(math.nan, np.array([np.nan]))
    assert all(math.isnan(value) for value in undefined)


def test_interval_of_a_mean_is_that_of_theory():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, 400)
    weights = bootstrap_weights([str(i) for i in range(400)], 2000, 0)
    found = ratio_interval(values, np.ones(400), weights)
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_ratio_is_pooled_and_undefined_without_a_denominator():
    weights = np.array([[1, 1], [2, 0], [0, 2]])
    found = ratio_interval(np.array([1.0, 9.0]), np.array([10.0, 10.0]), weights)
    assert found.value == 0.5 and found.bootstrap_mean == pytest.approx((0.5 + 0.1 + 0.9) / 3)
    assert math.isnan(ratio_interval(np.zeros(2), np.zeros(2), weights).value)


def bootstrap_difference(first, second, weights):
    """Of one metric."""
    return bootstrap_differences(lambda w: np.array([first(w)]), lambda w: np.array([second(w)]), weights)[0]


def test_difference_of_two_methods_uses_the_same_samples():
    values = np.random.default_rng(1).normal(0, 10, 60)
    weights = bootstrap_weights([str(i) for i in range(60)], 400, 0)

    def mean_of(numbers):
        return lambda w: float(w @ numbers / w.sum())

    found = bootstrap_difference(mean_of(values + 0.5), mean_of(values), weights)  # wide apart, yet always 0.5 better
    assert found == pytest.approx((0.5, 0.5, 0.5, 0.0))
    same = bootstrap_difference(mean_of(values), mean_of(values), weights)
    assert same == (0, 0, 0, 1)
    noise = bootstrap_difference(mean_of(values), mean_of(-values), weights)
    assert noise.low < noise.value < noise.high and 0 < noise.p <= 1


def test_several_differences_at_once_are_each_alone():
    rng = np.random.default_rng(2)
    values, weights = rng.normal(0, 1, (30, 3)), bootstrap_weights([str(i) for i in range(30)], 100, 0)

    def means(w):
        return w @ values / w.sum()

    found = bootstrap_differences(means, lambda w: np.array([0.1, 0.0, math.nan]), weights)
    for i in range(2):
        alone = bootstrap_difference(lambda w, i=i: means(w)[i], lambda w, i=i: [0.1, 0.0][i], weights)
        assert found[i] == alone and alone.low < alone.value < alone.high
    assert all(math.isnan(value) for value in found[2])


def test_p_of_a_difference_is_two_sided():
    weights = np.array([[1, 0]] * 8 + [[0, 1]] * 2)  # first better by 1 in eight samples, worse by 1 in two
    found = bootstrap_difference(lambda w: float(w @ [1.0, -1.0]), lambda w: 0.0, weights)
    assert found.p == pytest.approx(0.4) and found.value == 0


def test_wilcoxon_equals_enumerating_all_signs():
    a, b = np.array([3.1, 2.0, 5.5, 1.0, 4.0, 9.0, 2.5]), np.array([1.0, 2.5, 1.1, 0.9, 1.0, 2.0, 2.2])
    difference = a - b
    ranks = np.argsort(np.argsort(abs(difference))) + 1
    sums = [ranks[np.array(signs)].sum() for signs in itertools.product([False, True], repeat=7)]
    observed = min(ranks[difference > 0].sum(), ranks[difference < 0].sum())
    expected = min(1.0, 2 * np.mean([s <= observed for s in sums]))
    found = paired_wilcoxon(a, b)
    assert found == pytest.approx((7, np.median(difference), observed, expected))


@pytest.mark.parametrize("seed", range(8))
def test_wilcoxon_is_exact_with_ties(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, (2, 11)) / 4
    different = (a - b)[a != b]
    size, n = abs(different), different.size
    ranks = [(size < s).sum() + ((size == s).sum() + 1) / 2 for s in size]
    sums = [sum(itertools.compress(ranks, signs)) for signs in itertools.product([0, 1], repeat=n)]
    plus = sum(itertools.compress(ranks, different > 0))
    expected = min(1, 2 * min(np.mean([s <= plus for s in sums]), np.mean([s >= plus for s in sums])))
    assert paired_wilcoxon(a, b) == pytest.approx((n, np.median(a - b), min(plus, sum(ranks) - plus), expected))


@pytest.mark.parametrize("n", [20, 50, 51, 400])
def test_wilcoxon_equals_scipy(n):
    a, b = np.random.default_rng(n).normal(0, 1, (2, n))
    expected = stats.wilcoxon(a + 0.2, b, method="exact" if n <= 50 else "asymptotic")
    found = paired_wilcoxon(a + 0.2, b)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_wilcoxon_leaves_out_equal_pairs_and_needs_pairs():
    assert paired_wilcoxon([1, 2, 3], [1, 2, 3]) == (0, 0, 0, 1)
    assert paired_wilcoxon([1, 2, 3, 7], [1, 1, 1, 1]).n == 3
    assert math.isnan(paired_wilcoxon([], []).median) and paired_wilcoxon([], []).p == 1
    with pytest.raises(ValueError, match="one length"):
        paired_wilcoxon([1, 2], [1])
    with pytest.raises(ValueError, match="NaN"):
        paired_wilcoxon([1, math.nan], [1, 2])
