"""How sure is a number: bootstrap over images or patients, differences of two methods, paired Wilcoxon."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from scripts.common.checks import check, check_fields
from scripts.common.files import json_values

#: what bootstrap resamples
IMAGE, PATIENT = "image", "patient"
#: The signed-rank test is exact for so many pairs.
EXACT_PAIRS = 50


class Interval(NamedTuple):
    """A value with its bootstrap interval."""

    value: float  # on the data themselves
    low: float  # ends of the percentile interval
    high: float
    bootstrap_mean: float  # over the bootstrap samples

    def as_json(self) -> dict[str, float | None]:
        """The fields as JSON types."""
        return json_values(self._asdict())


class Difference(NamedTuple):
    """A paired difference (first - second) with its bootstrap interval."""

    value: float  # on the data themselves
    low: float  # ends of the percentile interval
    high: float
    p: float  # two-sided: twice the smaller share of samples on either side of 0, at most 1


class Wilcoxon(NamedTuple):
    """Paired signed-rank test."""

    n: int  # pairs that differ
    median: float  # of the differences (first - second)
    statistic: float  # the smaller rank sum
    p: float  # two-sided; 1 when no pair differs


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made."""

    samples: int = 1000
    unit: str = IMAGE  # what is drawn with replacement, "image" or "patient" (with all its images)
    seed: int = 0  # equal seeds give equal samples

    def __post_init__(self) -> None:
        check_fields(self, samples="[1, inf)")
        check("bootstrap::unit", self.unit, self.unit in (IMAGE, PATIENT), f"{IMAGE!r} or {PATIENT!r}")

    def weights(self, patients: Sequence[str]) -> np.ndarray:
        """`bootstrap_weights` of images, given the patient of each."""
        units = patients if self.unit == PATIENT else [str(i) for i in range(len(patients))]
        return bootstrap_weights(units, self.samples, self.seed)


def bootstrap_weights(units: Sequence[str], samples: int, seed: int) -> np.ndarray:
    """Draw bootstrap samples of images, whole units at a time: int (samples, images), how often each holds an image.

    `units` has one name per image: unique names resample images, patients' names resample patients. Every sample draws
    as many units, with replacement, as there are; equal seeds give equal samples.
    """
    check("samples", samples, samples >= 1, "1 or more")
    names, unit = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    if not names.size:
        return np.zeros((samples, 0), np.int64)
    drawn = np.random.default_rng(seed).integers(0, names.size, (samples, names.size))
    counts = np.stack([np.bincount(draw, minlength=names.size) for draw in drawn])
    return counts[:, unit]


def interval(value: float, sampled: np.ndarray) -> Interval:
    """Percentile interval of bootstrap values; samples in which the value is not defined (NaN) are left out."""
    known, low, high = _known_percentiles(sampled)
    return Interval(float(value), low, high, float(known.mean()) if known.size else math.nan)


def ratio_interval(numerator: np.ndarray, denominator: np.ndarray, weights: np.ndarray) -> Interval:
    """Interval of a ratio, such as hits / annotated or the mean over objects: numerator and denominator (images,) are
    summed over the images before dividing; weights (samples, images) are from `bootstrap_weights`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.float64(np.sum(numerator)) / np.float64(np.sum(denominator))
        sampled = (weights @ numerator) / (weights @ np.asarray(denominator, np.float64))
    return interval(value, sampled)


def bootstrap_differences(
    first: Callable[[np.ndarray], np.ndarray], second: Callable[[np.ndarray], np.ndarray], weights: np.ndarray
) -> list[Difference]:
    """Differences of the metrics (metrics,), e.g. pAUC and TPR, that `first` and `second` make of weights (images,) of
    one sample: two methods on the same images, both on the same bootstrap samples.
    """
    once = np.ones(weights.shape[1], weights.dtype)
    value = first(once) - second(once)
    sampled = np.stack([first(w) - second(w) for w in weights]).astype(np.float64)
    found = []
    for v, column in zip(value, sampled.T, strict=True):
        known, low, high = _known_percentiles(column)
        p = min(1.0, 2 * min((known <= 0).mean(), (known >= 0).mean())) if known.size else math.nan
        found.append(Difference(float(v), low, high, float(p)))
    return found


def paired_wilcoxon(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> Wilcoxon:
    """Two-sided paired Wilcoxon signed-rank test, a pair per image or object; equal pairs are left out (his own rule).

    Exact for up to 50 pairs that differ, ties included; beyond, the normal approximation with correction for ties.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    check("first, second", (a.shape, b.shape), a.shape == b.shape and a.ndim == 1, "pairs: two lists of one length")
    check("first, second", math.nan, not np.isnan([a, b]).any(), "no NaN: leave out pairs without a value")
    median = float(np.median(a - b)) if a.size else math.nan
    different = (a - b)[a != b]
    if not different.size:
        return Wilcoxon(0, median, 0.0, 1.0)
    ranks = stats.rankdata(abs(different))
    plus, minus = ranks[different > 0].sum(), ranks[different < 0].sum()
    exact = different.size <= EXACT_PAIRS
    p = _signed_rank_p(ranks, plus) if exact else stats.wilcoxon(different, method="asymptotic").pvalue
    return Wilcoxon(different.size, median, float(min(plus, minus)), float(p))


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


def _known_percentiles(sampled: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Samples that are not NaN, and the ends of their 95 % interval."""
    known = sampled[~np.isnan(sampled)]
    low, high = np.quantile(known, [(1 - 0.95) / 2, (1 + 0.95) / 2]) if known.size else (math.nan, math.nan)
    return known, float(low), float(high)
