"""Connected objects of a binary mask: labels, hole filling, measurements.

Objects are 8-connected components; holes are 4-connected background components that do not touch the border of
the image, so a hole always lies within one object. Pixel coordinates are (row, col) with centres at integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from scripts.common.tensors import Spacing


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


def fill_holes(labels: np.ndarray) -> np.ndarray:
    """A copy of labels, int (rows, cols), 0 background, whose holes have the number of the object around them.

    An object that lay in another one's hole is absorbed by it.
    """
    filled = labels.copy()
    boxes = {number: box for number, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None}
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
    pixels = np.flatnonzero(labels != 0)
    rows, cols = np.divmod(pixels, labels.shape[1])
    values = labels.ravel()[pixels]
    size = int(values.max()) + 1 if values.size else 1
    area = np.bincount(values, minlength=size)
    row_sum = np.bincount(values, rows, minlength=size)
    col_sum = np.bincount(values, cols, minlength=size)
    start, end = np.full((2, size), max(labels.shape)), np.zeros((2, size), np.int64)
    for first, last, places in zip(start, end, (rows, cols), strict=True):
        np.minimum.at(first, values, places)
        np.maximum.at(last, values, places + 1)
    found: list[Microcalcification] = []
    for value in np.flatnonzero(area):
        row, col = row_sum[value] / area[value], col_sum[value] / area[value]
        area_mm2 = float(area[value] * row_mm * col_mm)
        found.append(
            Microcalcification(
                id=len(found) + 1,
                row=round(float(row), 3),
                col=round(float(col), 3),
                y_mm=round(float(row * row_mm), 4),
                x_mm=round(float(col * col_mm), 4),
                area_px=int(area[value]),
                area_mm2=round(area_mm2, 6),
                equivalent_diameter_mm=round(float(2 * np.sqrt(area_mm2 / np.pi)), 4),
                score=float(scores[value]),
                bounding_box=(*start[:, value].tolist(), *end[:, value].tolist()),
            )
        )
    return found


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
