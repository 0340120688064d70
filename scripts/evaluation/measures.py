"""Further values of objects: how well they stand out of a ring around them, and what else lies around them.

Contrast-to-noise ratio (CNR), gap to the nearest annotated object, number of neighbours, distance to large ones.
Distances between objects are the shortest ones between the centres of their pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields
from scripts.common.labels import BACKGROUND
from scripts.common.objects import Spacing
from scripts.evaluation.cases import ROUNDING_MM, CaseScores, ImageArrays, equivalent_diameter_mm, places_mm

#: names of the values in tables; the last one is predictions' distance to the nearest large annotated object
CONTRAST, GAP, NEIGHBOURS, TO_LARGE = "contrast_to_noise", "gap_px", "neighbours", "to_large_mm"
#: A mean and a standard deviation of fewer pixels say nothing.
LEAST_RING_PX = 10
#: For an outline of more pixels a search tree of all others is cheaper than asking for that many neighbours.
LONG_OUTLINE_PX = 300


class Measure(Protocol):
    """Further values of an image's objects, such as `Contrast` and `Neighbourhood`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values."""

    def of_annotations(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """{name: (annotations,)}."""

    def of_predictions(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """{name: (predictions,)}."""


@dataclass(frozen=True)
class Contrast:
    """Measures the CNR of annotated objects and of the predictions of the highest scores."""

    gap_mm: float = 0.2  # keeps blurred borders out of the ring; see `of_objects`
    width_mm: float = 1.0  # of the ring
    predictions: int = 200  # so many of an image get a value (about a millisecond each); NaN for the others
    names: ClassVar[tuple[str, ...]] = (CONTRAST,)

    def __post_init__(self) -> None:
        check_fields(self, width_mm="(0, inf)")

    def of_annotations(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """CNR of the annotated objects, (annotations,)."""
        return {CONTRAST: self.of_objects(arrays, arrays.annotated, range(1, len(case.annotations) + 1))}

    def of_predictions(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """CNR of the predictions of the highest scores, (predictions,)."""
        values = np.full(arrays.score.size, np.nan)
        chosen = np.sort(np.argsort(-arrays.score, kind="stable")[: self.predictions])
        values[chosen] = self.of_objects(arrays, arrays.predicted, (chosen + 1).tolist())
        return {CONTRAST: values}

    def of_objects(self, arrays: ImageArrays, objects: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
        """CNR of some `objects`, (numbers,): (mean of the object - mean of the ring) / standard deviation of the ring.

        The ring holds the unlabelled pixels farther than `gap_mm` from the object's pixels, and at most `gap_mm` +
        `width_mm`. The standard deviation is the population's, anatomy included. NaN where the ring has fewer than
        `LEAST_RING_PX` or is flat. MCs are bright in the image; `objects`, int (rows, cols), holds them by number.
        """
        image, label, spacing_mm = arrays.image, arrays.label, arrays.spacing_mm
        if image is None:
            raise ValueError(f"{CONTRAST}: got no image; want the grey values of the objects")
        shapes = (image.shape, label.shape, objects.shape)
        check("image, label, objects", shapes, len(set(shapes)) == 1, "one shape")
        reach, boxes = self.gap_mm + self.width_mm, ndimage.find_objects(objects)
        margin, values = [int(np.ceil(reach / side)) for side in spacing_mm], []
        for number in numbers:
            box = zip(boxes[number - 1], margin, strict=True)
            crop = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in box)
            inside = objects[crop] == number
            distance = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
            around = (distance > self.gap_mm) & (distance <= reach) & (label[crop] == BACKGROUND)
            ring = image[crop][around].astype(np.float64)
            noise = ring.std() if ring.size >= LEAST_RING_PX else 0.0
            values.append((image[crop][inside].mean(dtype=np.float64) - ring.mean()) / noise if noise > 0 else np.nan)
        return np.array(values, np.float64)


@dataclass(frozen=True)
class Neighbourhood:
    """Measures what lies around annotated objects and predictions."""

    radius_mm: float = 5.0  # neighbours are other annotated objects with centroids at most this far away
    large_mm: float = 0.5  # "large" annotated objects have a circle of equal area of at least this diameter
    names: ClassVar[tuple[str, ...]] = (GAP, NEIGHBOURS, TO_LARGE)

    def __post_init__(self) -> None:
        check_fields(self, radius_mm="(0, inf)", large_mm="(0, inf)")

    def of_annotations(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """Gap and number of neighbours of the annotated objects, (annotations,) each."""
        near = neighbours_within(places_mm(case.annotations, case.spacing_mm), self.radius_mm)
        return {GAP: nearest_gaps_px(arrays.annotated), NEIGHBOURS: near.astype(np.float64)}

    def of_predictions(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """Distance of the predictions to the nearest large annotated object, (predictions,)."""
        large = np.append(False, self.large(case))[arrays.annotated]
        return {TO_LARGE: distances_mm(arrays.predicted, large, case.spacing_mm)}

    def large(self, case: CaseScores) -> np.ndarray:
        """bool (annotations,)."""
        return equivalent_diameter_mm(case.annotations.area_px, case.spacing_mm) >= self.large_mm


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
        else:  # of its nearest outline pixels at least one belongs to another object
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
