"""How sure is a number: bootstrap over images or patients, differences of two methods, paired Wilcoxon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from scripts.common.files import json_values

#: what bootstrap resamples
IMAGE, PATIENT = "image", "patient"
#: The signed-rank test is exact for so many pairs.
EXACT_PAIRS = 50


class Interval(NamedTuple):
    """A value with its bootstrap interval.

    Attributes:
        value: on the data themselves.
        low, high: percentile interval.
        bootstrap_mean: mean over the bootstrap samples.
    """

    value: float
    low: float
    high: float
    bootstrap_mean: float

    def as_json(self) -> dict[str, float | None]:
        """The fields as JSON types."""
        return json_values(self._asdict())


class Difference(NamedTuple):
    """A paired difference (first - second) with its bootstrap interval.

    Attributes:
        value: on the data themselves.
        low, high: percentile interval.
        p: two-sided: twice the smaller share of samples on either side of 0, at most 1.
    """

    value: float
    low: float
    high: float
    p: float


class Wilcoxon(NamedTuple):
    """Paired signed-rank test.

    Attributes:
        n: pairs that differ.
        median: of the differences (first - second).
        statistic: the smaller rank sum.
        p: two-sided; 1 when no pair differs.
    """

    n: int
    median: float
    statistic: float
    p: float


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        samples: number of samples.
        unit: what is drawn with replacement, "image" or "patient" (with all its images).
        seed: equal seeds give equal samples.
    """

    samples: int = 1000
    unit: str = IMAGE
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"bootstrap_samples: got {self.samples}, want 1 or more")
        if self.unit not in (IMAGE, PATIENT):
            raise ValueError(f"bootstrap_unit: got {self.unit!r}, want {IMAGE!r} or {PATIENT!r}")

    def weights(self, patients: Sequence[str]) -> np.ndarray:
        """`bootstrap_weights` of images, given the patient of each."""
        units = patients if self.unit == PATIENT else [str(i) for i in range(len(patients))]
        return bootstrap_weights(units, self.samples, self.seed)


def bootstrap_weights(units: Sequence[str], samples: int, seed: int) -> np.ndarray:
    """Draw bootstrap samples of images, whole units at a time.

    Args:
        units: one name per image: unique names resample images, patients' names resample patients.
        samples: number of samples.
        seed: equal seeds give equal samples.

    Returns:
        int (samples, images): how often each image is in each sample. Every sample draws as many units, with
        replacement, as there are.

    Raises:
        ValueError: fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"samples: got {samples}, want 1 or more")
    names, unit = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    if not names.size:
        return np.zeros((samples, 0), np.int64)
    drawn = np.random.default_rng(seed).integers(0, names.size, (samples, names.size))
    counts = np.stack([np.bincount(draw, minlength=names.size) for draw in drawn])
    return counts[:, unit]


def interval(value: float, sampled: np.ndarray, level: float = 0.95) -> Interval:
    """Percentile interval of bootstrap values; samples in which the value is not defined (NaN) are left out."""
    low, high = _percentiles(sampled, level)
    known = sampled[~np.isnan(sampled)]
    return Interval(float(value), low, high, float(known.mean()) if known.size else float("nan"))


def ratio_interval(numerator: np.ndarray, denominator: np.ndarray, weights: np.ndarray) -> Interval:
    """Interval of a pooled ratio, such as hits / annotated or the mean over objects.

    Args:
        numerator, denominator: (images,), summed over images before dividing.
        weights: (samples, images) from `bootstrap_weights`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.float64(np.sum(numerator)) / np.float64(np.sum(denominator))
        sampled = (weights @ numerator) / (weights @ np.asarray(denominator, np.float64))
    return interval(value, sampled)


def bootstrap_difference(
    first: Callable[[np.ndarray], float], second: Callable[[np.ndarray], float], weights: np.ndarray
) -> Difference:
    """Difference of a metric between two methods on the same images, both on the same bootstrap samples.

    Args:
        first, second: from weights (images,) to the metric, e.g. ``lambda w: table.curve(w).pauc()``.
        weights: (samples, images) from `bootstrap_weights`.
    """
    return bootstrap_differences(lambda w: np.array([first(w)]), lambda w: np.array([second(w)]), weights)[0]


def bootstrap_differences(
    first: Callable[[np.ndarray], np.ndarray], second: Callable[[np.ndarray], np.ndarray], weights: np.ndarray
) -> list[Difference]:
    """`bootstrap_difference` of several metrics at once: `first` and `second` give them as (metrics,)."""
    once = np.ones(weights.shape[1], weights.dtype)
    value = first(once) - second(once)
    sampled = np.stack([first(w) - second(w) for w in weights]).astype(np.float64)
    found = []
    for v, column in zip(value, sampled.T, strict=True):
        low, high = _percentiles(column)
        known = column[~np.isnan(column)]
        p = min(1.0, 2 * min((known <= 0).mean(), (known >= 0).mean())) if known.size else float("nan")
        found.append(Difference(float(v), low, high, float(p)))
    return found


def paired_wilcoxon(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> Wilcoxon:
    """Two-sided paired Wilcoxon signed-rank test; pairs that are equal are left out (Wilcoxon's own rule).

    Exact for up to 50 pairs that differ, ties included; beyond, the normal approximation with correction for ties.

    Args:
        first, second: one value per image or object, in the same order.

    Raises:
        ValueError: the lengths differ, or a value is NaN.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"first, second: got {a.shape} and {b.shape}, want pairs: two lists of one length")
    if np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("first, second: got NaN; leave out pairs without a value")
    median = float(np.median(a - b)) if a.size else float("nan")
    different = (a - b)[a != b]
    count = different.size
    if not count:
        return Wilcoxon(0, median, 0.0, 1.0)
    ranks = stats.rankdata(abs(different))
    plus, minus = ranks[different > 0].sum(), ranks[different < 0].sum()
    if count <= EXACT_PAIRS:
        p = _signed_rank_p(ranks, plus)
    else:
        p = stats.wilcoxon(different, zero_method="wilcox", correction=False, method="asymptotic").pvalue
    return Wilcoxon(count, median, float(min(plus, minus)), float(p))


def _signed_rank_p(ranks: np.ndarray, plus: float) -> float:
    """Exact two-sided p of a sum of positive ranks, ties included: all 2^n signs are equally likely."""
    twice = np.round(2 * ranks).astype(np.int64)  # mean ranks of ties are halves
    share = np.zeros(int(twice.sum()) + 1)  # share of the signs that give each doubled sum
    share[0] = 1.0
    for rank in twice:
        share[rank:] += share[:-rank].copy()
        share /= 2
    place = round(2 * plus)
    return min(1.0, 2 * min(share[: place + 1].sum(), share[place:].sum()))


def _percentiles(sampled: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    known = sampled[~np.isnan(sampled)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
