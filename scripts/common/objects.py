"""Connected objects of a binary mask: labels, hole filling, measurements.

Objects are 8-connected components; holes are 4-connected background components that do not touch the border of
the image, so a hole always lies within one object. Pixel coordinates are (row, col) with centres at integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.common.tensors import Spacing

Box = tuple[slice, slice]  # rows, cols


@dataclass(frozen=True)
class Microcalcification:
    """One segmented microcalcification (MC)."""

    id: int  # 1-based number; the object's value in the instance map
    row: float  # centroid in px of the input image
    col: float
    y_mm: float  # centroid in mm from the centre of the first pixel, down and to the right
    x_mm: float
    area_px: int
    area_mm2: float
    equivalent_diameter_mm: float  # diameter of the circle of the same area
    score: float  # [0, 1]; the highest threshold at which the method still keeps the object
    bounding_box: tuple[int, int, int, int]  # first row, first col, last row + 1, last col + 1


def label_objects(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the 8-connected components of a mask, bool (rows, cols): int32 (rows, cols), 0 background, 1..n; and n."""
    if mask.ndim != 2:
        raise ValueError(f"mask: got {mask.ndim} dimensions, want 2 (rows, cols)")
    if mask.size == 0:
        return np.zeros(mask.shape, np.int32), 0
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return labels, count - 1


def object_pixels(labels: np.ndarray) -> np.ndarray:
    """Flat places of the pixels of all objects, int (rows, cols), 0 background, ascending.

    A mammogram has millions of pixels and some ten thousand in objects: what is measured on these costs nothing beside.
    """
    return np.flatnonzero(labels != 0)  # of a bool array: six times as fast as of an int one


def object_boxes(labels: np.ndarray) -> dict[int, Box]:
    """The box of each object of labels, int (rows, cols), 0 background: number -> box, ascending.

    As `scipy.ndimage.find_objects`.
    """
    pixels = object_pixels(labels)
    values = labels.ravel()[pixels]
    present, ends = _ends(values, *np.divmod(pixels, labels.shape[1]))
    return {
        number: (slice(top, bottom), slice(left, right))
        for number, top, left, bottom, right in zip(present.tolist(), *ends[:, present].tolist(), strict=True)
    }


def _ends(values: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that pixels have, ascending, and (4, highest number + 1): first row, first col, last row + 1, last
    col + 1 of each number."""
    size = int(values.max(initial=0)) + 1
    ends = np.zeros((4, size), np.int64)
    ends[:2] = np.iinfo(np.int64).max
    for first, last, places in ((ends[0], ends[2], rows), (ends[1], ends[3], cols)):
        np.minimum.at(first, values, places)
        np.maximum.at(last, values, places + 1)
    return np.flatnonzero(ends[2]), ends


def renumbered(
    labels: np.ndarray, scores: np.ndarray, score_threshold: float = -np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """The same objects numbered 1..k without gaps, as `measure_objects` does: int32 labels and scores (k + 1,).

    Objects below a score are left out. Labels that are in order already are given back as they are, not copied.
    """
    scores, pixels = np.asarray(scores), object_pixels(labels)
    values = labels.ravel()[pixels]
    is_present = np.bincount(values, minlength=len(scores)) > 0
    is_present[: len(scores)] &= scores >= score_threshold
    present = np.flatnonzero(is_present)
    found = np.concatenate([[0], scores[present]])
    if present.size == is_present.size - 1 and labels.dtype == np.int32:
        return labels, found
    numbers = np.zeros(is_present.size, np.int32)
    numbers[present] = np.arange(1, present.size + 1)
    result = np.zeros(labels.shape, np.int32)
    result.ravel()[pixels] = numbers[values]
    return result, found


def fill_holes(labels: np.ndarray) -> np.ndarray:
    """A copy of labels, int (rows, cols), 0 background, whose holes have the number of the object around them.

    An object that lay in another one's hole is absorbed by it.
    """
    filled = labels.copy()
    boxes = object_boxes(labels)
    # low boxes first, so that an enclosing object has the last word
    for number, box in sorted(boxes.items(), key=lambda item: item[1][0].stop - item[1][0].start):
        if min(box[0].stop - box[0].start, box[1].stop - box[1].start) < 3:
            continue
        own = labels[box] == number
        around = cv2.copyMakeBorder(own.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        cv2.floodFill(around, None, (0, 0), 2)  # 4-connected
        filled[box][around[1:-1, 1:-1] != 2] = number
    return filled


def measure_objects(labels: np.ndarray, scores: np.ndarray, spacing_mm: Spacing) -> list[Microcalcification]:
    """Measure every object of a label image: one record per present number, ascending, renumbered 1..k in that order.

    Labels are int (rows, cols), 0 background; numbers may have gaps. Scores are float (n + 1,), that of object i at
    index i (index 0 unused).
    """
    row_mm, col_mm = spacing_mm
    pixels = object_pixels(labels)
    rows, cols = np.divmod(pixels, labels.shape[1])
    values = labels.ravel()[pixels]
    present, ends = _ends(values, rows, cols)
    area = np.bincount(values, minlength=ends.shape[1])[present]
    row, col = (np.bincount(values, places, minlength=ends.shape[1])[present] / area for places in (rows, cols))
    area_mm2 = area * row_mm * col_mm
    diameter_mm = 2 * np.sqrt(area_mm2 / np.pi)
    y_mm, x_mm, own = row * row_mm, col * col_mm, np.asarray(scores)[present]
    columns = (row, col, y_mm, x_mm, area, area_mm2, diameter_mm, own.astype(np.float64), ends[:, present].T)
    return [
        Microcalcification(
            id=number,
            row=round(row, 3),
            col=round(col, 3),
            y_mm=round(y_mm, 4),
            x_mm=round(x_mm, 4),
            area_px=px,
            area_mm2=round(area_mm2, 6),
            equivalent_diameter_mm=round(diameter_mm, 4),
            score=score,
            bounding_box=tuple(box),
        )
        for number, (row, col, y_mm, x_mm, px, area_mm2, diameter_mm, score, box) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True), start=1
        )
    ]


def summarise(findings: Sequence[Microcalcification], breast_area_cm2: float) -> dict[str, float | int | None]:
    """Numbers about one image's MCs: count, count per cm^2 of breast, mean and standard deviation of the area (mm^2).

    The area statistics are those of the slim FCN paper's follow-up table (population standard deviation); they are
    None without findings.
    """
    areas = np.array([mc.area_mm2 for mc in findings])
    return {
        "count": len(findings),
        "count_per_cm2": round(len(findings) / breast_area_cm2, 4) if breast_area_cm2 > 0 else None,
        "mean_area_mm2": round(float(areas.mean()), 5) if areas.size else None,
        "std_area_mm2": round(float(areas.std()), 5) if areas.size else None,
    }
