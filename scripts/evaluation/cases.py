"""Scoring once: an image becomes a small table that answers every threshold without its pixels.

Objects that a method scores and keeps whole do not change shape with the threshold. So areas, overlaps and distances
are computed once, and a threshold only chooses which predictions take part (`CaseScores`). Components of {P >= t} do
change: such an image has one table for each threshold of a grid (`CaseLevels`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields
from scripts.common.labels import IGNORE, MC
from scripts.common.objects import Spacing, label_objects
from scripts.evaluation.boundaries import pair_distances

#: Centroids are rounded sums: 5 px of 0.07 mm must not fall outside of 0.35 mm.
ROUNDING_MM = 1e-9
DIAMETER = "diameter_mm"  # name of the objects' value that every image has: `equivalent_diameter_mm`


@dataclass(frozen=True)
class HitRule:
    """When a prediction may count for an annotated object: near enough, or else overlapping enough."""

    distance_mm: float = 0.35  # largest distance of the centroids in mm, inclusive (the paper's 5 px of 0.07 mm)
    iou: float = 0.3  # smallest intersection over union, inclusive

    def __post_init__(self) -> None:
        check_fields(self, iou="(0, inf)")

    def hits(self, distance_mm: np.ndarray, iou: np.ndarray) -> np.ndarray:
        """Whether each pair is a hit, bool."""
        return (distance_mm <= self.distance_mm + ROUNDING_MM) | (iou >= self.iou)


@dataclass(frozen=True, eq=False)
class Annotations:
    """The annotated objects of an image, in label order; (n,) each."""

    row: np.ndarray  # of the centroids, px
    col: np.ndarray
    area_px: np.ndarray

    def __len__(self) -> int:
        return self.area_px.size


@dataclass(frozen=True, eq=False)
class Predictions:
    """The scored objects of an image, in label order; (n,) each."""

    score: np.ndarray  # the highest threshold at which the method still keeps the object
    row: np.ndarray  # of the centroids, px
    col: np.ndarray
    area_px: np.ndarray
    truth_px: np.ndarray  # number of its pixels that are annotated as MC
    counted_px: np.ndarray  # number of its pixels outside of ignore regions
    ignored: np.ndarray  # the majority of its pixels lies in an ignore region; such an object counts nowhere

    def __len__(self) -> int:
        return self.area_px.size

    def kept(self, threshold: float) -> np.ndarray:
        """bool: counted predictions with score >= threshold."""
        return (self.score >= threshold) & ~self.ignored


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every (annotated object, counted prediction) that overlaps or is a hit, in ascending order of both numbers."""

    annotation: np.ndarray  # 0-based place in `Annotations`
    prediction: np.ndarray  # 0-based place in `Predictions`
    distance_mm: np.ndarray  # between the centroids
    iou: np.ndarray  # intersection over union of the pixels
    hit: np.ndarray  # whether the pair satisfies the hit rule
    #: Mean and 95 % Hausdorff distance of the outlines (boundaries.py), NaN for pairs that do not overlap.
    boundary_mm: np.ndarray = field(default_factory=lambda: np.zeros(0))
    hausdorff95_mm: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, eq=False)
class Cells:
    """A grid of square cells over the image, the units of Cohen's kappa."""

    side_mm: float
    inside: np.ndarray  # bool (rows, cols) of cells: more than half of its pixels lie in the breast, not ignored


@dataclass(frozen=True, eq=False)
class CaseScores:
    """All that evaluation keeps of an image."""

    case_id: str
    patient: str  # bootstrap resamples images or patients
    spacing_mm: Spacing  # (row, col) pixel spacing
    breast_cm2: float  # area of the breast, ignore regions excluded
    counted_px: int  # number of pixels of the image outside of ignore regions
    annotations: Annotations
    predictions: Predictions
    pairs: Pairs
    cells: Cells | None = None  # units of Cohen's kappa
    object_values: Mapping[str, np.ndarray] = field(default_factory=dict)  # further values, (annotations,) each
    prediction_values: Mapping[str, np.ndarray] = field(default_factory=dict)  # further values, (predictions,) each
    image_values: Mapping[str, str] = field(default_factory=dict)  # further names, e.g. the density class

    def at(self, threshold: float) -> CaseScores:
        """The table that holds at a threshold: this one, at any."""
        return self


@dataclass(frozen=True, eq=False)
class CaseLevels(CaseScores):
    """An image whose objects are formed anew at every threshold. The predictions are those of the lowest threshold."""

    thresholds: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (levels,), descending
    levels: tuple[CaseScores, ...] = ()  # one scored image per threshold

    def at(self, threshold: float) -> CaseScores:
        """The table of the nearest threshold of the grid."""
        return self.levels[nearest_level(self.thresholds, threshold)]


def nearest_level(thresholds: np.ndarray, threshold: float) -> int:
    """Place of the nearest of some thresholds; beyond their range that of the last one on that side."""
    return int(np.abs(thresholds - np.clip(threshold, thresholds.min(), thresholds.max())).argmin())


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """One image's pixels with its objects numbered 1..n in label order.

    Label order is the raster order (row, then column) of the objects' first pixels, for annotated objects and
    predictions alike, so that nothing depends on how the objects happen to be numbered.
    """

    label: np.ndarray  # (rows, cols), 0 background, 1 MC, 2 ignore
    annotated: np.ndarray  # int64 (rows, cols), 0 or the number of the object
    predicted: np.ndarray  # likewise
    score: np.ndarray  # float64 (n,), of the predictions
    breast: np.ndarray  # bool (rows, cols), the area that false positives are counted per
    spacing_mm: Spacing  # (row, col) pixel spacing
    image: np.ndarray | None = None  # float (rows, cols), [0, 1], where it is at hand
    kinds: np.ndarray | None = None  # int (n,), of the predictions: place in `KINDS`, where they were told


def number_objects(
    label: np.ndarray,
    instances: np.ndarray,
    scores: np.ndarray,
    breast: np.ndarray,
    spacing_mm: Spacing,
    image: np.ndarray | None = None,
    annotated: np.ndarray | None = None,
    kinds: np.ndarray | None = None,
) -> ImageArrays:
    """Number annotated objects (8-connected components of label 1) and predictions in label order (see `ImageArrays`).

    `instances` is int (rows, cols), 0 background, else the number of the object, gaps allowed; `scores`, (n + 1,), has
    that of object i at index i, n at least the highest number; `annotated` is what an earlier call found of this label.
    """
    shapes = (label.shape, instances.shape, breast.shape)
    check("label, instances, breast", shapes, len(set(shapes)) == 1 and label.ndim == 2, "one 2-D shape")
    predicted, numbers = _raster_order(instances)
    if numbers.size and numbers.max() >= len(scores):
        raise ValueError(f"scores: got {len(scores)} entries, want {numbers.max() + 1} (index = number of the object)")
    score = np.asarray(scores, np.float64)[numbers]
    check("scores", score[~np.isfinite(score)].tolist(), np.isfinite(score).all(), "finite numbers")
    annotated = annotated_objects(label) if annotated is None else annotated
    told = None if kinds is None else np.asarray(kinds)[numbers]
    return ImageArrays(label, annotated, predicted, score, breast, spacing_mm, image, told)


def score_case(
    label: np.ndarray,
    instances: np.ndarray,
    scores: np.ndarray,
    breast: np.ndarray,
    spacing_mm: Spacing,
    rule: HitRule | None = None,
    case_id: str = "",
    patient: str = "",
) -> CaseScores:
    """Turn one image's annotation and scored objects into tables: `number_objects`, then `score_arrays`."""
    return score_arrays(number_objects(label, instances, scores, breast, spacing_mm), rule, case_id, patient)


def score_arrays(arrays: ImageArrays, rule: HitRule | None = None, case_id: str = "", patient: str = "") -> CaseScores:
    """Turn numbered objects into tables; `rule` None is the paper's, `patient` "" takes `case_id`."""
    ignore = arrays.label == IGNORE
    annotations = Annotations(*_geometry(arrays.annotated))
    row, col, area = _geometry(arrays.predicted)
    masks = (arrays.annotated > 0, ignore)
    truth_px, ignored_px = (np.bincount(arrays.predicted[mask], minlength=area.size + 1)[1:] for mask in masks)
    predictions = Predictions(arrays.score, row, col, area, truth_px, area - ignored_px, 2 * ignored_px > area)
    row_mm, col_mm = arrays.spacing_mm
    return CaseScores(
        case_id=case_id,
        patient=patient or case_id,
        spacing_mm=arrays.spacing_mm,
        breast_cm2=float(np.count_nonzero(arrays.breast & ~ignore) * row_mm * col_mm / 100),
        counted_px=int(ignore.size - np.count_nonzero(ignore)),
        annotations=annotations,
        predictions=predictions,
        pairs=_pairs(arrays, annotations, predictions, rule or HitRule()),
    )


def places_mm(objects: Annotations | Predictions, spacing_mm: Spacing) -> np.ndarray:
    """Centroids, (n, 2) row and column in mm."""
    return np.stack([objects.row, objects.col], 1) * spacing_mm


def equivalent_diameter_mm(area_px: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Diameter in mm of the circle of the same area."""
    return 2 * np.sqrt(np.asarray(area_px) * (spacing_mm[0] * spacing_mm[1] / math.pi))


def annotated_objects(label: np.ndarray) -> np.ndarray:
    """Number the 8-connected components of label 1 in label order, int64 (rows, cols)."""
    return _raster_order(label_objects(label == MC)[0])[0]


def _raster_order(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Renumber objects 1..n by their first pixel; also the former number of each."""
    places = np.flatnonzero(labels)
    numbers, first, which = np.unique(labels.ravel()[places], return_index=True, return_inverse=True)
    order = np.argsort(first)
    renumbered = np.zeros(labels.size, np.int64)
    renumbered[places] = (np.argsort(order) + 1)[which]  # the inverse permutation: rank of each number
    return renumbered.reshape(labels.shape), numbers[order].astype(np.int64)


def _geometry(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centroid rows, columns and areas (px) of objects 1..n."""
    rows, cols = np.nonzero(labels)
    values = labels[rows, cols]
    area = np.bincount(values, minlength=1)[1:]
    row, col = (np.bincount(values, place, minlength=1)[1:] / area for place in (rows, cols))
    return row, col, area


def _pairs(arrays: ImageArrays, annotations: Annotations, predictions: Predictions, rule: HitRule) -> Pairs:
    width = len(predictions) + 1  # a pair's key: place of the annotated object * width + place of the prediction
    both = (arrays.annotated > 0) & (arrays.predicted > 0)
    overlapping = (arrays.annotated[both] - 1) * width + arrays.predicted[both] - 1
    overlaps, shared_px = np.unique(overlapping, return_counts=True)
    wanted, offered = (places_mm(objects, arrays.spacing_mm) for objects in (annotations, predictions))
    reach = (rule.distance_mm + ROUNDING_MM) * (1 + 1e-9)
    near = cKDTree(wanted).sparse_distance_matrix(cKDTree(offered), reach, output_type="ndarray")
    keys = np.union1d(overlaps, near["i"] * width + near["j"])
    keys = keys[~predictions.ignored[keys % width]]
    a, p = keys // width, keys % width
    shared = np.zeros(keys.size, np.int64)
    where = np.flatnonzero(np.isin(keys, overlaps))
    shared[where] = shared_px[np.searchsorted(overlaps, keys[where])]
    distance = np.hypot(*(wanted[a] - offered[p]).T)
    iou = shared / (annotations.area_px[a] + predictions.area_px[p] - shared)
    outlines = np.full((2, keys.size), np.nan)
    numbers = [(int(one) + 1, int(other) + 1) for one, other in zip(a[where], p[where], strict=True)]
    outlines[:, where] = pair_distances(arrays.annotated, arrays.predicted, numbers, arrays.spacing_mm).T
    return Pairs(a, p, distance, iou, rule.hits(distance, iou), *outlines)
