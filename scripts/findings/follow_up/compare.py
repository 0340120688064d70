"""The comparison of two exams: refused, or every MC traced; and the figures of a part of the breast in both."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.common.checks import check
from scripts.common.deformation import Deformation
from scripts.common.objects import Microcalcification
from scripts.findings.follow_up.change import (
    Change,
    Intervals,
    count_change,
    density_change,
    hull_area_cm2,
    mean_area_change,
    statistics,
)
from scripts.findings.follow_up.comparable import Quality, QualityLimits, differences, quality_of
from scripts.findings.follow_up.exams import Exam, reduced
from scripts.findings.follow_up.matching import OUT_OF_VIEW, MatchingRule, Trace, trace
from scripts.findings.follow_up.regions import Region, polygon_area
from scripts.findings.follow_up.registration import Registration, RegistrationError

COMPARED, REFUSED, REGIONS_ONLY = "compared", "cannot be compared", "regions only"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison gave."""

    status: str  # `COMPARED`; `REFUSED`, with reasons; `REGIONS_ONLY` where no registration was wanted
    reasons: tuple[str, ...] = ()
    one_breast: bool = True  # nothing that is known of the exams says that they are not of one breast and view
    quality: Quality | None = None
    to_current: Deformation | None = None
    traces: tuple[Trace, ...] = ()


def compare(
    prior: Exam, current: Exam, registration: Registration | None, limits: QualityLimits, rule: MatchingRule
) -> Comparison:
    """Compare two exams, or say why that cannot be done. Without a registration only regions can be compared."""
    reasons = differences(prior, current)
    if reasons:
        return Comparison(REFUSED, tuple(reasons), one_breast=False)
    if registration is None:
        return Comparison(REGIONS_ONLY)
    try:
        to_current = registration.register(prior, current)
    except RegistrationError as error:
        return Comparison(REFUSED, (f"failed registration: {error}",))
    small = [reduced(exam, registration.spacing_mm) for exam in (prior, current)]
    quality = quality_of(small[0], small[1], to_current)
    if failures := limits.failures(quality):
        return Comparison(REFUSED, tuple(failures), quality=quality)
    return Comparison(COMPARED, (), True, quality, to_current, tuple(trace(prior, current, to_current, rule)))


def carried(region: Region, start: Exam, end: Exam, to_end: Callable[[np.ndarray], np.ndarray]) -> Region:
    """A rectangle or polygon of one exam as a polygon of the other, cut at the border of the image.

    A mask or members cannot be carried: mark a region in both exams (ValueError).
    """
    check("region", region.kind, region.corners_px is not None, "a rectangle or polygon, or a region in both exams")
    corners = to_end(np.asarray(region.corners_px) * start.spacing_mm) / end.spacing_mm
    corners = np.clip(corners, -0.5, np.array(end.image.shape) - 0.5)
    return Region("polygon", polygon_area(corners) * end.spacing_mm[0] * end.spacing_mm[1], corners_px=corners)


def part_figures(
    name: str,
    prior: tuple[Sequence[Microcalcification], float | None] | None,
    current: tuple[Sequence[Microcalcification], float | None] | None,
    comparison: Comparison,
    intervals: Intervals,
) -> dict[str, Any]:
    """Figures of a part of the breast: its MCs and its area in cm^2 in each exam (None: not there), and the change.

    The change is among MCs in view of both exams, and is None where the exams are not of one breast. Without
    registration all MCs count as different ones.
    """
    figures: dict[str, Any] = {"name": name, "prior": None, "current": None, "change": None}
    for key, part in (("prior", prior), ("current", current)):
        if part is not None:
            figures[key] = statistics(*part)
    if prior is None or current is None or not comparison.one_breast:
        return figures
    first, second = ({mc.id: mc.area_mm2 for mc in part[0]} for part in (prior, current))
    pairs = _pairs(first, second, comparison)
    counts = [sum(pair[exam] is not None for pair in pairs) for exam in (0, 1)]
    both = sum(None not in pair for pair in pairs)
    figures["change"] = {
        "matched": both if comparison.status == COMPARED else None,
        "count": count_change(counts[0], counts[1], both).as_json(),
        "count_per_cm2": density_change(counts[0], counts[1], prior[1], current[1]).as_json(),
        "mean_area_mm2": mean_area_change(pairs, intervals).as_json(),
        "std_area_mm2": _std_change(pairs).as_json(),
    }
    return figures


def cluster_figures(prior: Exam, current: Exam, comparison: Comparison, intervals: Intervals) -> list[dict[str, Any]]:
    """Figures of each cluster with the other exam's cluster that shares most matched MCs; areas are of convex hulls."""
    if comparison.status != COMPARED:
        return []
    partner = {entry.prior_id: entry.current_id for entry in comparison.traces if entry.distance_mm is not None}
    shared = [
        (len({partner.get(mc) for mc in members} & set(others)), cluster, other)
        for cluster, members in prior.clusters.items()
        for other, others in current.clusters.items()
    ]
    found: list[tuple[int | None, int | None]] = []
    for count, first, second in sorted(shared, key=lambda entry: (-entry[0], entry[1], entry[2])):
        if count and all(first != one and second != other for one, other in found):
            found.append((first, second))
    found += [(cluster, None) for cluster in prior.clusters if cluster not in {pair[0] for pair in found}]
    found += [(None, other) for other in current.clusters if other not in {pair[1] for pair in found}]
    figures = []
    for cluster, other in found:
        ours = (prior, cluster), (current, other)
        parts = [None if number is None else _members(exam, exam.clusters[number]) for exam, number in ours]
        name = f"cluster {'-' if cluster is None else cluster} / {'-' if other is None else other}"
        numbers = {"prior_cluster": cluster, "current_cluster": other}
        figures.append(part_figures(name, parts[0], parts[1], comparison, intervals) | numbers)
    return figures


def in_region(exam: Exam, region: Region) -> tuple[Sequence[Microcalcification], float | None]:
    """MCs and area (cm^2) of a region, as `part_figures` takes them; members have the area of their convex hull."""
    found = region.select(exam.findings)
    return found, hull_area_cm2(found) if region.area_mm2 is None else region.area_mm2 / 100


def _members(exam: Exam, ids: Collection[int]) -> tuple[Sequence[Microcalcification], float | None]:
    return in_region(exam, Region("members", None, members=frozenset(ids)))


def _pairs(
    first: dict[int, float], second: dict[int, float], comparison: Comparison
) -> list[tuple[float | None, float | None]]:
    """(prior, current) areas of each MC of a part, None where an exam does not show it there."""
    if comparison.status != COMPARED:
        return [(area, None) for area in first.values()] + [(None, area) for area in second.values()]
    found = []
    for entry in comparison.traces:
        pair = first.get(entry.prior_id or 0), second.get(entry.current_id or 0)
        if pair != (None, None) and entry.status != OUT_OF_VIEW:
            found.append(pair)
    return found


def _std_change(pairs: Sequence[tuple[float | None, float | None]]) -> Change:
    areas = [[pair[exam] for pair in pairs if pair[exam] is not None] for exam in (0, 1)]
    if not all(areas):
        return Change(None)
    return Change(float(np.std(np.array(areas[1], float)) - np.std(np.array(areas[0], float))))
