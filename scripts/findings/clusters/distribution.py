"""The distribution of a cluster's microcalcifications (MCs) by the words of BI-RADS, from geometry alone.

The first rule that holds, in this order; lengths and limits are `DistributionRule`'s.

    diffuse    throughout the breast: the hull covers a good part of it; or the cluster hardly stands out of MCs that do
    linear     in a line, straight or bent as a parabola
    segmental  larger than a group, longer than wide, and pointing at the nipple (not known: narrowing to one end)
    regional   larger than a group, and none of these
    grouped    at most 2 cm

BI-RADS (5th edition) defines these in words only; the numbers beside its 2 cm are choices, checked on phantoms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.objects import Microcalcification
from scripts.common.tensors import Spacing
from scripts.findings.clusters.cluster import Cluster, hull_of, points_of, polygon_area

DISTRIBUTIONS = ("grouped", "linear", "segmental", "regional", "diffuse")


class Breast(NamedTuple):
    """What a distribution is judged against; None for what is not known."""

    area_cm2: float | None = None
    nipple_mm: tuple[float, float] | None = None  # (y, x)


class Distribution(NamedTuple):
    """A class of `DISTRIBUTIONS` and the measure that decided."""

    name: str
    reason: str


@dataclass(frozen=True)
class DistributionRule:
    """Limits of the rules."""

    diffuse_share: float = 0.35  # of the breast's area that the hull covers
    diffuse_density_ratio: float = 3.0  # a cluster below so many times the density of the other MCs does not stand out
    diffuse_least: int = 20  # other MCs; fewer are no diffuse distribution
    linear_elongation: float = 4.0  # length over width of the band that holds the MCs
    linear_width_mm: float = 6.0  # of the band, at most
    segmental_elongation: float = 1.4  # length over width, as standard deviations
    segmental_heading_deg: float = 30.0  # between the long axis and the direction to the nipple, at most
    segmental_narrowing: float = 0.35  # correlation of place along the axis and distance from it; nipple not known
    grouped_mm: float = 20.0  # largest distance of two MCs of a group

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value in vars(self).items():
            check(name, value, value > 0, "a value above 0")
        check("diffuse_share", self.diffuse_share, self.diffuse_share <= 1, "a value in (0, 1]")

    def of_cluster(self, cluster: Cluster, mcs: Sequence[Microcalcification], breast: Breast) -> Distribution:
        """The distribution of one of an image's clusters; `mcs` are all MCs of the image."""
        members = set(cluster.members)
        own, others = [mc for mc in mcs if mc.id in members], [mc for mc in mcs if mc.id not in members]
        return self.of_points(points_of(own), points_of(others), breast)

    def of_points(self, points_mm: np.ndarray, others_mm: np.ndarray, breast: Breast) -> Distribution:
        """The distribution of points (n, 2), y and x in mm, n >= 1, beside the others (m, 2) of the breast."""
        if (reason := self._diffuse(points_mm, others_mm, breast.area_cm2)) is not None:
            return Distribution("diffuse", reason)
        length, width = band_mm(points_mm)
        if width <= self.linear_width_mm and length >= self.linear_elongation * width and len(points_mm) > 3:
            return Distribution("linear", f"a band of {length:.1f} x {width:.1f} mm")
        offset = points_mm[:, None] - points_mm
        extent = float(np.sqrt((offset**2).sum(axis=-1)).max())
        if extent <= self.grouped_mm:
            return Distribution("grouped", f"an extent of {extent:.1f} mm")
        if (reason := self._segmental(points_mm, breast.nipple_mm)) is not None:
            return Distribution("segmental", reason)
        return Distribution("regional", f"an extent of {extent:.1f} mm")

    def _diffuse(self, points_mm: np.ndarray, others_mm: np.ndarray, breast_cm2: float | None) -> str | None:
        if not breast_cm2:
            return None
        share = _hull_cm2(points_mm) / breast_cm2
        if share >= self.diffuse_share:
            return f"{share:.0%} of the breast"
        if len(others_mm) < self.diffuse_least or _hull_cm2(others_mm) < self.diffuse_share * breast_cm2:
            return None
        centre = points_mm.mean(axis=0)
        reach = max(np.linalg.norm(points_mm - centre, axis=1).max(), self.grouped_mm / 2)
        circle_cm2 = np.pi * reach**2 / 100
        within = len(points_mm) + int((np.linalg.norm(others_mm - centre, axis=1) <= reach).sum())
        beyond = len(points_mm) + len(others_mm) - within
        if circle_cm2 >= breast_cm2 or beyond == 0:
            return None
        ratio = within / circle_cm2 / (beyond / (breast_cm2 - circle_cm2))
        return f"{ratio:.1f} times as dense as elsewhere" if ratio < self.diffuse_density_ratio else None

    def _segmental(self, points_mm: np.ndarray, nipple_mm: tuple[float, float] | None) -> str | None:
        along, across, axis = principal_mm(points_mm)
        if along.std() < self.segmental_elongation * across.std():
            return None
        if nipple_mm is None:
            narrowing = abs(float(np.corrcoef(along, np.abs(across))[0, 1])) if across.std() > 0 else 1.0
            return f"narrowing to one end ({narrowing:.2f})" if narrowing >= self.segmental_narrowing else None
        to_nipple = np.array(nipple_mm) - points_mm.mean(axis=0)
        cosine = abs(float(to_nipple @ axis)) / max(float(np.linalg.norm(to_nipple)), 1e-9)
        heading = float(np.degrees(np.arccos(min(cosine, 1.0))))
        return f"{heading:.0f} degrees off the nipple" if heading <= self.segmental_heading_deg else None


def principal_mm(points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places along and across the principal axis of points (n, 2), from their mean, (n,) each, and the axis, (2,)."""
    offset = points_mm - points_mm.mean(axis=0)
    axes = np.linalg.eigh(offset.T @ offset)[1]
    return offset @ axes[:, 1], offset @ axes[:, 0], axes[:, 1]


def band_mm(points_mm: np.ndarray) -> tuple[float, float]:
    """Length and width of the band, straight or a parabola, that points (n, 2) lie in.

    The length is that along the principal axis; the width is four standard deviations about the parabola that fits
    best (three numbers are fitted, so of n - 3 degrees of freedom). Of three points or fewer no width is known: 0.
    """
    along, across, _ = principal_mm(points_mm)
    if len(points_mm) <= 3 or np.ptp(along) == 0:
        return float(np.ptp(along)), 0.0
    scaled = along / np.abs(along).max()
    powers = np.stack([np.ones_like(scaled), scaled, scaled**2], 1)
    rest = across - powers @ np.linalg.lstsq(powers, across, rcond=None)[0]
    return float(np.ptp(along)), 4 * float(np.sqrt((rest**2).sum() / (len(points_mm) - 3)))


def nipple_estimate_mm(breast: np.ndarray, spacing_mm: Spacing) -> tuple[float, float] | None:
    """(y, x) of the breast's point farthest from the chest wall, of a mask, bool (rows, cols); None for an empty one.

    The chest wall is the left or right side on which the mask's outermost column is the longer one. A nipple that is
    not in profile, or an oblique view whose lowest part reaches farthest, puts it off by some cm: good for directions.
    """
    cols = np.flatnonzero(breast.any(axis=0))
    if not cols.size:
        return None
    first, last = int(cols[0]), int(cols[-1])
    rim = max(1, round(1 / spacing_mm[1]))
    left = breast[:, first : first + rim].sum() >= breast[:, max(last + 1 - rim, 0) : last + 1].sum()
    tip = np.argwhere(breast[:, max(last + 1 - rim, 0) : last + 1] if left else breast[:, first : first + rim])
    return float(tip[:, 0].mean() * spacing_mm[0]), float((last if left else first) * spacing_mm[1])


def _hull_cm2(points_mm: np.ndarray) -> float:
    return polygon_area(hull_of(points_mm, np.zeros(len(points_mm)))) / 100
