"""Places, lengths and directions of marks, measured once for all rules."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scripts.common.objects import Microcalcification, object_pixels
from scripts.common.tensors import Spacing


@dataclass(frozen=True, eq=False)
class Marks:
    """Numbered objects 1..n of an image; (n,) or (n, 2) arrays, that of object i at index i - 1. Lengths in mm."""

    place_mm: np.ndarray  # centroids, (row, col)
    length_mm: np.ndarray  # 4 x the root of the larger second central moment: the axis of the ellipse alike
    width_mm: np.ndarray
    angle: np.ndarray  # of the long axis, rad: (row, col) = (sin, cos)
    area_mm2: np.ndarray
    box: np.ndarray  # first row, first col, last row + 1, last col + 1, px

    def __len__(self) -> int:
        return len(self.length_mm)

    @property
    def diameter_mm(self) -> np.ndarray:
        """Diameter of the circle of the same area."""
        return 2 * np.sqrt(self.area_mm2 / np.pi)


def measure_marks(labels: np.ndarray, findings: Sequence[Microcalcification], spacing_mm: Spacing) -> Marks:
    """Measure the objects of labels, int (rows, cols), numbered by the ids 1..n of the findings."""
    n, (row_mm, col_mm) = len(findings), spacing_mm
    pixels = object_pixels(labels)
    values = labels.ravel()[pixels]
    rows, cols = np.divmod(pixels, labels.shape[1])
    y, x = rows * row_mm, cols * col_mm
    area = np.bincount(values, minlength=n + 1)[1:].astype(np.float64)
    count = np.maximum(area, 1)
    cy, cx = (np.bincount(values, v, minlength=n + 1)[1:] / count for v in (y, x))
    dy, dx = y - np.append(0, cy)[values], x - np.append(0, cx)[values]
    yy, xx, xy = (np.bincount(values, v, minlength=n + 1)[1:] / count for v in (dy * dy, dx * dx, dy * dx))
    yy, xx = yy + row_mm**2 / 12, xx + col_mm**2 / 12  # of the pixels themselves
    mean, spread = (yy + xx) / 2, np.hypot((xx - yy) / 2, xy)
    box = np.array([mc.bounding_box for mc in findings], np.int64).reshape(-1, 4)
    return Marks(
        place_mm=np.stack([cy, cx], 1),
        length_mm=4 * np.sqrt(mean + spread),
        width_mm=4 * np.sqrt(np.maximum(mean - spread, 0)),
        angle=0.5 * np.arctan2(2 * xy, xx - yy),
        area_mm2=area * row_mm * col_mm,
        box=box,
    )


def angle_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between two undirected lines, rad in [0, pi / 2]."""
    difference = np.abs(first - second) % np.pi
    return np.minimum(difference, np.pi - difference)
