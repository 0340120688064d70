"""What lies around objects: gap to the nearest annotated one, number of neighbours, distance to large ones.

Distances between objects are the shortest ones between the centres of their pixels.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.spatial import cKDTree

from scripts.common.checks import check
from scripts.common.objects import Spacing
from scripts.evaluation.cases import (
    ROUNDING_MM,
    Annotations,
    CaseScores,
    ImageArrays,
    equivalent_diameter_mm,
    places_mm,
)

#: names of the values in tables
GAP, NEIGHBOURS = "gap_px", "neighbours"
#: predictions' distance to the nearest large annotated object, mm
TO_LARGE = "to_large_mm"
#: For an outline of more pixels a search tree of all others is cheaper than asking for that many neighbours.
LONG_OUTLINE_PX = 300


@dataclass(frozen=True)
class Neighbourhood:
    """Measures what lies around annotated objects and predictions."""

    radius_mm: float = 5.0  # neighbours are other annotated objects with centroids at most this far away
    large_mm: float = 0.5  # "large" annotated objects have a circle of equal area of at least this diameter
    names: ClassVar[tuple[str, ...]] = (GAP, NEIGHBOURS, TO_LARGE)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check(name, value, value > 0, "a value above 0")

    def of_annotations(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """Gap and number of neighbours of the annotated objects, (annotations,) each."""
        near = neighbours_within(places_mm(case.annotations, case.spacing_mm), self.radius_mm)
        return {GAP: nearest_gaps_px(arrays.annotated), NEIGHBOURS: near.astype(np.float64)}

    def of_predictions(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """Distance of the predictions to the nearest large annotated object, (predictions,)."""
        large = np.append(False, self.large(case.annotations, case.spacing_mm))[arrays.annotated]
        return {TO_LARGE: distances_mm(arrays.predicted, large, case.spacing_mm)}

    def large(self, annotations: Annotations, spacing_mm: Spacing) -> np.ndarray:
        """bool (annotations,)."""
        return equivalent_diameter_mm(annotations.area_px, spacing_mm) >= self.large_mm


def nearest_gaps_px(objects: np.ndarray) -> np.ndarray:
    """Distance of each object 1..n of int (rows, cols) to the nearest other one, px; with one pixel between them 2.

    float (n,); infinity for an object without another one.
    """
    places, owner, count = _outlines(objects)
    gaps = np.full(count, np.inf)
    if count < 2:
        return gaps
    tree = cKDTree(places)
    for number, own in enumerate(np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])):
        if own.size > LONG_OUTLINE_PX:
            gaps[number] = cKDTree(places[owner != number]).query(places[own])[0].min()
            continue
        # of its nearest outline pixels at least one belongs to another object
        distance, near = tree.query(places[own], k=own.size + 1)
        gaps[number] = distance[owner[near] != number].min()
    return gaps


def neighbours_within(points_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    """Number of other points at most `radius_mm` away; int (n,) of points (n, 2)."""
    near = cKDTree(points_mm).query_ball_point(points_mm, radius_mm + ROUNDING_MM, return_length=True)
    return np.asarray(near, np.int64) - 1


def distances_mm(objects: np.ndarray, targets: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Distance of each object 1..n of int (rows, cols) to the nearest target pixel, mm; 0 where they overlap.

    float (n,); infinity without targets (bool (rows, cols)). `spacing_mm` is (row, col).
    """
    check("objects, targets", (objects.shape, targets.shape), objects.shape == targets.shape, "one shape")
    places, owner, count = _outlines(objects)
    found = np.full(count, np.inf)
    goals, _, _ = _outlines(targets.astype(np.int64))
    if count and len(goals):
        distance, _ = cKDTree(goals * spacing_mm).query(places * spacing_mm)
        np.minimum.at(found, owner, distance)
        found[np.unique(objects[targets & (objects > 0)]) - 1] = 0  # one may lie inside of the other
    return found


def _outlines(objects: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Pixels of objects that have a 4-neighbour outside, (m, 2) row and column; their objects from 0, (m,); n."""
    padded = np.pad(objects, 1)
    inner = (objects > 0) & (padded[:-2, 1:-1] == objects) & (padded[2:, 1:-1] == objects)
    inner &= (padded[1:-1, :-2] == objects) & (padded[1:-1, 2:] == objects)
    rows, cols = np.nonzero((objects > 0) & ~inner)
    return np.stack([rows, cols], 1), objects[rows, cols] - 1, int(objects.max(initial=0))
