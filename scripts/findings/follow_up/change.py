"""Figures of a region in two exams (slim FCN paper, figure 7) and the change between them, with intervals."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.special import gammaincinv

from scripts.common.checks import check_fields
from scripts.common.objects import Microcalcification, summarise

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Change:
    """Current less prior value, with its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, float | None]:
        """The fields as JSON types."""
        return {name: None if value is None else round(value, 5) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Intervals:
    """How the intervals of mean areas are made: bootstrap over MCs, a matched pair is drawn together."""

    samples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, samples="[1, inf)")


def statistics(findings: Sequence[Microcalcification], area_cm2: float | None) -> dict[str, Any]:
    """Count, count per cm^2 of the region, mean and population std of the MCs' areas, all of them in mm^2."""
    return summarise(findings, area_cm2 or 0.0) | {"area_cm2": None if area_cm2 is None else round(area_cm2, 4)}


def hull_area_cm2(findings: Sequence[Microcalcification]) -> float | None:
    """Area of the convex hull of the MCs' centroids: that of a cluster; None where they lie on one line."""
    points = np.array([(mc.y_mm, mc.x_mm) for mc in findings], float)
    if len(points) < 3:
        return None
    try:
        return float(ConvexHull(points).volume) / 100  # in the plane its volume is the area
    except QhullError:
        return None


def poisson_limits(count: int) -> tuple[float, float]:
    """Exact 95 % interval of the mean of a Poisson count (Garwood, Biometrika 28:437, 1936)."""
    tail = (1 - _CONFIDENCE) / 2  # quantiles of the gamma distribution: half of those of chi-square
    low = gammaincinv(count, tail) if count else 0.0
    return float(low), float(gammaincinv(count + 1, 1 - tail))


def count_change(prior: int, current: int, both: int = 0) -> Change:
    """Change of a count of which `both` are the same MCs: new ones less gone ones, two Poisson counts.

    Interval of a difference from those of its parts (MOVER; Zou and Donner, Stat. Med. 27:1693, 2008). Without
    matching (`both` 0) every MC counts as another one, which is wider.
    """
    return _difference(current - both, prior - both, 1.0, 1.0)


def density_change(prior: int, current: int, prior_cm2: float | None, current_cm2: float | None) -> Change:
    """Change of the count per cm^2, from the same intervals of both counts (no matching is used)."""
    if not prior_cm2 or not current_cm2:
        return Change(None)
    return _difference(current, prior, 1 / current_cm2, 1 / prior_cm2)


def mean_area_change(pairs: Sequence[tuple[float | None, float | None]], intervals: Intervals) -> Change:
    """Change of the mean area, mm^2, from (prior, current) areas of each MC, None where an exam does not show it.

    Percentile interval of a bootstrap over MCs; None unless each exam shows two or more.
    """
    areas = np.array([[math.nan if area is None else area for area in pair] for pair in pairs], float).reshape(-1, 2)
    shown = ~np.isnan(areas)
    if not shown.any(axis=0).all():
        return Change(None)
    filled = np.where(shown, areas, 0.0)
    value = float(np.subtract(*(filled.sum(axis=0) / shown.sum(axis=0))[::-1]))
    if shown.sum(axis=0).min() < 2:
        return Change(value)
    drawn = np.random.default_rng(intervals.seed).integers(0, len(areas), (intervals.samples, len(areas)))
    counts, sums = shown[drawn].sum(axis=1), filled[drawn].sum(axis=1)
    sums, counts = sums[(counts > 0).all(axis=1)], counts[(counts > 0).all(axis=1)]
    means = sums / counts
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(means[:, 1] - means[:, 0], (tail, 100 - tail))
    return Change(value, float(low), float(high))


def _difference(plus: int, minus: int, plus_factor: float, minus_factor: float) -> Change:
    """MOVER interval of plus * plus_factor - minus * minus_factor."""
    first, second = plus * plus_factor, minus * minus_factor
    first_low, first_high = (plus_factor * limit for limit in poisson_limits(plus))
    second_low, second_high = (minus_factor * limit for limit in poisson_limits(minus))
    value = first - second
    low = value - math.hypot(first - first_low, second_high - second)
    high = value + math.hypot(first_high - first, second - second_low)
    return Change(value, low, high)
