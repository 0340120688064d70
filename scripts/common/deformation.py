"""Smooth maps of the plane between two pictures of one breast, as displacements on a grid."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from scripts.common.checks import check
from scripts.common.tensors import Spacing

_INVERSION_STEPS = 40


@dataclass(frozen=True, eq=False)
class Deformation:
    """Maps a point p (row, col), mm from the centre of the first pixel, to p + displacement(p)."""

    displacement_mm: np.ndarray  # float (2, rows, cols): of rows and of columns, at the points of a grid
    spacing_mm: Spacing  # of the grid, whose first point is the first pixel's centre

    def __post_init__(self) -> None:
        shape = self.displacement_mm.shape
        check("displacement_mm", shape, len(shape) == 3 and shape[0] == 2 and min(shape) > 1, "(2, rows, cols)")

    def __call__(self, points_mm: np.ndarray) -> np.ndarray:
        """Map points (n, 2); beyond the grid its border's displacement counts."""
        points = np.asarray(points_mm, float).reshape(-1, 2)
        at = points.T / np.array(self.spacing_mm)[:, None]
        moved = [ndimage.map_coordinates(part, at, order=1, mode="nearest") for part in self.displacement_mm]
        return points + np.stack(moved, axis=1)

    def inverse(self, points_mm: np.ndarray) -> np.ndarray:
        """The points (n, 2) that are mapped to these, by fixed-point iteration (displacements change less than mm)."""
        target = np.asarray(points_mm, float).reshape(-1, 2)
        points = target.copy()
        for _ in range(_INVERSION_STEPS):
            points += target - self(points)
        return points

    def jacobian(self) -> np.ndarray:
        """Local change of area, (rows, cols): 1 leaves areas as they are, 0 or less folds the plane."""
        (rr, rc), (cr, cc) = (np.gradient(part, *self.spacing_mm) for part in self.displacement_mm)
        return (1 + rr) * (1 + cc) - rc * cr

    def pull(
        self,
        image: np.ndarray,
        spacing_mm: Spacing,
        shape: tuple[int, ...],
        out_spacing_mm: Spacing,
        border: int = cv2.BORDER_CONSTANT,  # OpenCV's; by default 0 outside of the image
    ) -> np.ndarray:
        """The picture whose value at p is `image` at the point that p is mapped to, (rows, cols) = `shape`, linear.

        Pixels of the image are `spacing_mm`, those of the picture `out_spacing_mm` apart.
        """
        (row, col), (out_row, out_col), (grid_row, grid_col) = spacing_mm, out_spacing_mm, self.spacing_mm
        matrix = np.array([[out_col / grid_col, 0, 0], [0, out_row / grid_row, 0]])
        flags, edge = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
        parts = (part.astype(np.float32) for part in self.displacement_mm)
        moved = [cv2.warpAffine(part, matrix, shape[::-1], flags=flags, borderMode=edge) for part in parts]
        rows = (np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(out_row) + moved[0]) / np.float32(row)
        cols = (np.arange(shape[1], dtype=np.float32)[None, :] * np.float32(out_col) + moved[1]) / np.float32(col)
        return cv2.remap(image, cols, rows, cv2.INTER_LINEAR, borderMode=border)
