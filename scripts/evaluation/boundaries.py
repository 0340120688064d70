"""Distances between the outlines of two masks, and of pairs of numbered objects."""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

from scripts.common.objects import Spacing

HAUSDORFF_PERCENTILE = 95  # of the distances, stands for the largest


def boundary_distances(first: np.ndarray, second: np.ndarray, spacing_mm: Spacing) -> tuple[float, float]:
    """Distances of the outlines of two masks, bool (rows, cols): their mean and the 95 % Hausdorff distance, mm.

    Outlines are the pixels with a 4-neighbour outside; the mean is over those of both masks, each to the nearest of the
    other, the Hausdorff distance the larger of both directions' 95th percentiles (as MONAI's
    `compute_average_surface_distance`, `compute_hausdorff_distance`). NaN where a mask is empty.
    """
    outlines = [mask & ~_eroded(mask) for mask in (np.pad(first, 1), np.pad(second, 1))]
    if not all(outline.any() for outline in outlines):
        return np.nan, np.nan
    to_second, to_first = (ndimage.distance_transform_edt(~outline, spacing_mm) for outline in outlines[::-1])
    there, back = to_second[outlines[0]], to_first[outlines[1]]
    worst = max(float(np.percentile(part, HAUSDORFF_PERCENTILE)) for part in (there, back))
    return float(np.concatenate([there, back]).mean()), worst


def pair_distances(
    annotated: np.ndarray, predicted: np.ndarray, pairs: Sequence[tuple[int, int]], spacing_mm: Spacing
) -> np.ndarray:
    """`boundary_distances` of pairs of objects (number in `annotated`, in `predicted`, int (rows, cols)), (n, 2)."""
    boxes = ndimage.find_objects(annotated), ndimage.find_objects(predicted)
    found = np.full((len(pairs), 2), np.nan)
    for place, (a, p) in enumerate(pairs):
        sides = zip(boxes[0][a - 1], boxes[1][p - 1], strict=True)
        box = tuple(slice(min(s.start, t.start), max(s.stop, t.stop)) for s, t in sides)
        found[place] = boundary_distances(annotated[box] == a, predicted[box] == p, spacing_mm)
    return found


def _eroded(mask: np.ndarray) -> np.ndarray:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.erode(mask.astype(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)
