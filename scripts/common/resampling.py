"""The one way in which training, inference and the benchmark bring an image and its label to another pixel size."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from scripts.common.checks import check_fields
from scripts.common.labels import MC
from scripts.common.objects import label_objects

Size = tuple[int, int]


@dataclass(frozen=True)
class WorkingGrid:
    """The pixel size at which networks see mammograms."""

    spacing_mm: float = 0.07  # 0 keeps every image's own pixels
    tolerance: float = 0.05  # images whose spacing differs by at most this share are left as they are

    def __post_init__(self) -> None:
        check_fields(self)

    def magnification(self, spacing_mm: float) -> float:
        """New over old number of pixels per length for an image of this pixel size; 1 where it is left alone."""
        factor = spacing_mm / self.spacing_mm if self.spacing_mm else 1.0
        return factor if abs(factor - 1) > self.tolerance else 1.0


def resample(image: np.ndarray, size: Size) -> np.ndarray:
    """An image on another pixel grid: the mean over each new pixel's area where pixels get larger, else cubic.

    Image and result are float32 in [0, 1]; `size` is the result's (rows, cols).
    """
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.clip(cv2.resize(image, size[::-1], interpolation=interpolation), 0, 1)


def resample_label(label: np.ndarray, magnification: float) -> np.ndarray:
    """A label mask (see `warp_label`) at another pixel size: nearest pixel; no MC gets lost.

    The magnification is the new over the old number of pixels per length; the result is uint8 of `resampled_size`.
    """
    rows, cols = resampled_size(label.shape, magnification)
    step, start = 1 / magnification, 0.5 / magnification - 0.5  # pixels are squares around their centres
    matrix = np.array([[step, 0, start], [0, step, start]])
    return np.ascontiguousarray(warp_label(label, matrix, max(rows, cols))[:rows, :cols])


def resampled_size(shape: tuple[int, ...], magnification: float) -> Size:
    """(rows, cols) after a magnification."""
    return max(1, round(shape[0] * magnification)), max(1, round(shape[1] * magnification))


def warp_label(label: np.ndarray, matrix: np.ndarray, crop_px: int) -> np.ndarray:
    """Nearest-neighbour warp; an MC that it would lose (a single pixel, reduced) keeps the pixel of its centroid.

    Label and result are uint8 (rows, cols) {0, 1 = MC, 2 = ignore}; the result has the side `crop_px` and is mirrored
    outside of the patch like the image. The matrix, float64 (2, 3), maps output (col, row, 1) -> input (col, row), as
    OpenCV's WARP_INVERSE_MAP.
    """
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(label, matrix, (crop_px, crop_px), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    objects, count = label_objects(label == MC)
    if not count:
        return warped
    moved = cv2.warpAffine(objects.astype(np.float32), matrix, (crop_px, crop_px), flags=flags)
    lost = np.setdiff1d(np.arange(1, count + 1), moved)
    centres = np.array(ndimage.center_of_mass(objects > 0, objects, lost)).reshape(-1, 2)[:, ::-1].T
    col, row = np.round(np.linalg.solve(matrix[:, :2], centres - matrix[:, 2:])).astype(int)
    inside = (row >= 0) & (row < crop_px) & (col >= 0) & (col < crop_px)
    warped[row[inside], col[inside]] = MC
    return warped
