"""Phantoms whose microcalcifications (MCs) have one of BI-RADS's distributions: which one is known.

`sample_distribution` draws a whole `PhantomSpec` (render it as any other); `draw_on_plain` draws its MCs alone, on a
plain background and a hundred times as fast, for what is measured of MCs and clusters.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from scripts.common.checks import check
from scripts.simulation.parameters import Parameters, Range, Rng, uniform, whole
from scripts.simulation.phantom.calcifications import SHAPES, assign_instances, mc_patch, sample_mc
from scripts.simulation.phantom.outline import contour_mm, inside_fraction_mm, nipple_mm, point_inside
from scripts.simulation.phantom.parameters import McRanges, McSpec, OutlineSpec, PhantomSpec
from scripts.simulation.phantom.sampling import sample_spec


@dataclass(frozen=True)
class DistributionRanges(Parameters):
    """What the distributions are drawn from; lengths in mm, densities in MCs per cm^2."""

    grouped_range_mm: Range = (6.0, 16.0)  # diameter of the ellipse
    grouped_count_range: tuple[int, int] = (7, 30)
    linear_range_mm: Range = (12.0, 35.0)  # length of the line
    linear_gap_range_mm: Range = (0.8, 1.8)  # from one MC to the next
    linear_offset_sd: float = 0.35  # from the line, mm
    linear_bend_range: Range = (-0.6, 0.6)  # turn of the line from end to end, rad
    segmental_opening_range: Range = (0.3, 0.6)  # of the wedge at the nipple, rad
    segmental_start_range_mm: Range = (6.0, 14.0)  # of the wedge, from the nipple
    segmental_length_range_mm: Range = (30.0, 50.0)
    segmental_density_range: Range = (5.0, 10.0)
    regional_range_mm: Range = (26.0, 40.0)  # diameter of the ellipse
    regional_density_range: Range = (5.0, 10.0)
    aspect_range: Range = (0.75, 1.0)  # width over length of ellipses
    diffuse_density_range: Range = (1.5, 3.0)
    singles_rate: float = 3.0  # scattered MCs beside, mean number
    reach: float = 0.9  # how far from the chest wall to the skin MCs lie

    intervals: ClassVar[Mapping[str, str]] = {"linear_bend_range": "(-inf, inf)"}


class PlainImage(NamedTuple):
    """MCs on a plain background."""

    image: np.ndarray  # float32 (rows, cols), [0, 1]
    labels: np.ndarray  # int32 (rows, cols), 0 background, MCs 1..n without gaps


def sample_distribution(
    rng: Rng,
    kinds: Sequence[str],  # names of `KINDS`, one cluster or spread of each
    shape: tuple[int, int] = (2560, 2048),
    spacing_mm: float = 0.07,
    ranges: DistributionRanges | None = None,
    mcs: McRanges | None = None,
) -> PhantomSpec:
    """Draw a phantom whose MCs have these distributions; `McSpec.cluster` is their place, from 1, and 0 for singles."""
    ranges, mcs = ranges or DistributionRanges(), mcs or McRanges()
    for kind in kinds:
        check("kinds", kind, kind in KINDS, f"some of {', '.join(KINDS)}")
    spec = sample_spec(rng, shape=shape, spacing_mm=spacing_mm, with_mcs=False)
    field = (shape[0] * spacing_mm, shape[1] * spacing_mm)
    found: list[McSpec] = []

    def add(points: np.ndarray, cluster: int, shares: tuple[float, ...]) -> None:
        for row, col in points.tolist():
            inside = 2 < row < field[0] - 2 and 2 < col < field[1] - 2
            inside = inside and inside_fraction_mm(spec.outline, row, col) <= ranges.reach
            if inside and all(math.hypot(row - mc.row_mm, col - mc.col_mm) > mcs.gap_mm for mc in found):
                found.append(sample_mc(rng, row, col, cluster, str(rng.choice(list(SHAPES), p=shares)), 0.0, mcs))

    for number, kind in enumerate(kinds, start=1):
        add(KINDS[kind](rng, spec.outline, ranges), number, mcs.cluster_shares)
    singles = [_point(rng, spec.outline, ranges) for _ in range(int(rng.poisson(ranges.singles_rate)))]
    add(np.array(singles).reshape(-1, 2), 0, mcs.single_shares)
    return replace(spec, mcs=tuple(found))


def breast_cm2(outline: OutlineSpec) -> float:
    """Area within the skin line."""
    row, col = (contour_mm(outline) - (outline.centre_mm, 0.0)).T
    return float(abs(row @ np.roll(col, -1) - col @ np.roll(row, -1))) / 200


def draw_on_plain(spec: PhantomSpec, level: float = 0.4, noise: float = 0.02) -> PlainImage:
    """The MCs of a phantom through its detector's blur, on a grey level with white noise of a standard deviation."""
    patches: list[Any] = []
    rng = np.random.default_rng(spec.seed)
    image = (level + noise * rng.standard_normal(spec.shape, dtype=np.float32)).astype(np.float32)
    for number, mc in enumerate(spec.mcs, start=1):
        top, left, transmission, label = mc_patch(mc, spec.spacing_mm, spec.detector.blur_px)
        signal = -np.log(transmission)
        patches.append((number, top, left, signal, label))
        rows, cols = slice(max(top, 0), top + len(signal)), slice(max(left, 0), left + signal.shape[1])
        part = image[rows, cols]
        part += (
            signal[rows.start - top :, cols.start - left :][: part.shape[0], : part.shape[1]] / spec.presentation.window
        )
    labels = assign_instances(spec.shape, patches).astype(np.int32)
    present = np.bincount(labels.ravel(), minlength=1) > 0
    present[0] = False
    return PlainImage(np.clip(image, 0, 1), np.where(present, np.cumsum(present), 0).astype(np.int32)[labels])


def _grouped(rng: Rng, outline: OutlineSpec, ranges: DistributionRanges) -> np.ndarray:
    return _ellipse(rng, outline, uniform(rng, ranges.grouped_range_mm), whole(rng, ranges.grouped_count_range), ranges)


def _regional(rng: Rng, outline: OutlineSpec, ranges: DistributionRanges) -> np.ndarray:
    diameter_mm = uniform(rng, ranges.regional_range_mm)
    count = round(uniform(rng, ranges.regional_density_range) * math.pi * diameter_mm**2 / 400)
    return _ellipse(rng, outline, diameter_mm, count, ranges)


def _ellipse(rng: Rng, outline: OutlineSpec, diameter_mm: float, count: int, ranges: DistributionRanges) -> np.ndarray:
    radius, turn = diameter_mm / 2 * np.sqrt(rng.random(count)), rng.uniform(0, 2 * math.pi, count)
    along, across = radius * np.cos(turn), radius * np.sin(turn) * uniform(rng, ranges.aspect_range)
    return _centre(rng, outline, diameter_mm) + _turned(along, across, uniform(rng, (0, math.pi)))


def _linear(rng: Rng, outline: OutlineSpec, ranges: DistributionRanges) -> np.ndarray:
    length_mm = uniform(rng, ranges.linear_range_mm)
    count = max(6, round(length_mm / uniform(rng, ranges.linear_gap_range_mm)))
    place = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / (count - 1) - 0.5
    heading, step = uniform(rng, ranges.linear_bend_range) * place, length_mm * np.diff(place, prepend=place[0])
    along, across = np.cumsum(step * np.cos(heading)), np.cumsum(step * np.sin(heading))
    offset = rng.normal(0, ranges.linear_offset_sd, count)
    along, across = along - along.mean() - offset * np.sin(heading), across - across.mean() + offset * np.cos(heading)
    return _centre(rng, outline, length_mm) + _turned(along, across, uniform(rng, (0, math.pi)))


def _segmental(rng: Rng, outline: OutlineSpec, ranges: DistributionRanges) -> np.ndarray:
    start, opening = uniform(rng, ranges.segmental_start_range_mm), uniform(rng, ranges.segmental_opening_range)
    end = start + uniform(rng, ranges.segmental_length_range_mm)
    area_cm2 = opening * (end**2 - start**2) / 200
    count = round(uniform(rng, ranges.segmental_density_range) * area_cm2)
    nipple = np.array(nipple_mm(outline))
    inwards = np.array([outline.centre_mm, 0.0]) - nipple
    heading = math.atan2(inwards[0], inwards[1]) + uniform(rng, (-0.6, 0.6))
    radius, turn = np.sqrt(rng.uniform(start**2, end**2, count)), rng.uniform(-opening / 2, opening / 2, count)
    return nipple + _turned(radius * np.cos(turn), radius * np.sin(turn), heading)


def _diffuse(rng: Rng, outline: OutlineSpec, ranges: DistributionRanges) -> np.ndarray:
    area_cm2 = breast_cm2(outline) * ranges.reach**2
    count = round(uniform(rng, ranges.diffuse_density_range) * area_cm2)
    return np.array([_point(rng, outline, ranges) for _ in range(count)])


#: name of the distribution -> draws its points, (n, 2) [row, col] in mm; the names are those of BI-RADS
KINDS: dict[str, Callable[[Rng, OutlineSpec, DistributionRanges], np.ndarray]] = {
    "grouped": _grouped,
    "linear": _linear,
    "segmental": _segmental,
    "regional": _regional,
    "diffuse": _diffuse,
}


def _point(rng: Rng, outline: OutlineSpec, ranges: DistributionRanges) -> np.ndarray:
    return point_inside(rng, outline, ranges.reach, (0, 361))


def _centre(rng: Rng, outline: OutlineSpec, extent_mm: float) -> np.ndarray:
    """A centre for something of this extent: deeper in the breast for larger ones."""
    reach = max(0.3, 0.85 - extent_mm / (2 * outline.depth_mm))
    return point_inside(rng, outline, reach, (90, 271), 0.2)


def _turned(along: np.ndarray, across: np.ndarray, angle: float) -> np.ndarray:
    """Rows and columns of places along and across a direction at an angle from the columns', (n, 2)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return np.stack([along * sine + across * cosine, along * cosine - across * sine], axis=1)
