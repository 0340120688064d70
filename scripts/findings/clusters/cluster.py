"""Clusters of microcalcifications (MCs) as records: members, centre, hull."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from scripts.common.objects import Microcalcification
from scripts.common.tensors import Spacing
from scripts.findings.clusters.rules import ClusterRule

CORNERS = 16  # of the polygon that stands for an MC in a hull
_ANGLE = 2 * np.pi * np.arange(CORNERS) / CORNERS
#: Corners of a regular polygon with the area of the circle of diameter 1, (corners, 2).
ROUND = np.sqrt(np.pi / (2 * CORNERS * np.sin(2 * np.pi / CORNERS))) * np.stack([np.sin(_ANGLE), np.cos(_ANGLE)], 1)

Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cluster:
    """A group of MCs. Pixels and mm as in `Microcalcification`."""

    id: int  # 1-based; the cluster of most MCs first, equal ones from the top, then from the left
    members: tuple[int, ...]  # ids of its MCs, ascending
    row: float  # mean of the members' centroids
    col: float
    y_mm: float
    x_mm: float
    hull_px: Polygon  # (row, col) of the corners, see `hull_of`
    hull_mm: Polygon  # (y, x)


def form_clusters(rule: ClusterRule, mcs: Sequence[Microcalcification], spacing_mm: Spacing) -> list[Cluster]:
    """The clusters of an image's MCs, in the order of their ids; coordinates are rounded as those of MCs."""
    points = points_of(mcs)
    groups = rule.groups(points)
    parts = [np.flatnonzero(groups == number) for number in range(groups.max(initial=-1) + 1)]
    order = sorted(parts, key=lambda part: (-part.size, *points[part].mean(0).round(9).tolist()))
    return [_cluster(number, [mcs[i] for i in part.tolist()], spacing_mm) for number, part in enumerate(order, start=1)]


def points_of(mcs: Sequence[Microcalcification]) -> np.ndarray:
    """Centroids, float64 (n, 2), y and x in mm."""
    return np.array([(mc.y_mm, mc.x_mm) for mc in mcs], np.float64).reshape(-1, 2)


def hull_of(points_mm: np.ndarray, diameters_mm: np.ndarray) -> np.ndarray:
    """Convex hull of MCs, each as a round polygon with the area of the circle of its diameter.

    Corners (k, 2) of points (n, 2) and diameters (n,), one way round. So the hull of MCs in a line has an area, too;
    only diameters of 0 (points) give a line or a point, two corners or one.
    """
    round_ = points_mm[:, None] + diameters_mm[:, None, None] * ROUND
    corners = round_.reshape(-1, 2) if diameters_mm.any() else points_mm
    middle = corners.mean(axis=0)
    try:
        hull = corners[ConvexHull(corners - middle).vertices]
    except QhullError:  # all corners on a line
        offset = corners - middle
        along = offset @ np.linalg.svd(offset, full_matrices=False)[2][0]
        hull = np.unique(corners[[along.argmin(), along.argmax()]], axis=0)
    first = np.lexsort((hull[:, 1], hull[:, 0]))[0]
    return np.roll(hull, -first, axis=0)


def polygon_area(corners: np.ndarray) -> float:
    """Area of a polygon without crossings, corners (k, 2) one way round, in the square of their unit."""
    y, x = (corners - corners[0]).T
    return float(abs(y @ np.roll(x, -1) - x @ np.roll(y, -1)) / 2)


def _cluster(number: int, members: Sequence[Microcalcification], spacing_mm: Spacing) -> Cluster:
    points = points_of(members)
    hull = hull_of(points, np.array([mc.equivalent_diameter_mm for mc in members]))
    row, col = (float(np.mean([getattr(mc, name) for mc in members])) for name in ("row", "col"))
    y_mm, x_mm = points.mean(axis=0).tolist()
    return Cluster(
        id=number,
        members=tuple(sorted(mc.id for mc in members)),
        row=round(row, 3),
        col=round(col, 3),
        y_mm=round(y_mm, 4),
        x_mm=round(x_mm, 4),
        hull_px=_rounded(hull / spacing_mm, 2),
        hull_mm=_rounded(hull, 3),
    )


def _rounded(hull: np.ndarray, digits: int) -> Polygon:
    return tuple((round(row, digits), round(col, digits)) for row, col in hull.tolist())
