"""The one way in which training, inference and the benchmark bring an image to another pixel size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class WorkingGrid:
    """The pixel size at which networks see mammograms.

    Attributes:
        spacing_mm: pixel size; 0 keeps every image's own pixels.
        tolerance: images whose spacing differs by at most this share are left as they are.
    """

    spacing_mm: float = 0.07
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        for name, value in (("spacing_mm", self.spacing_mm), ("tolerance", self.tolerance)):
            if not value >= 0:
                raise ValueError(f"{name}: got {value}; want 0 or more")

    def magnification(self, spacing_mm: float) -> float:
        """New over old number of pixels per length for an image of this pixel size; 1 where it is left alone."""
        factor = spacing_mm / self.spacing_mm if self.spacing_mm else 1.0
        return factor if abs(factor - 1) > self.tolerance else 1.0


def resample(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image on another pixel grid: the mean over each new pixel's area where pixels get larger, else cubic.

    Args:
        image: float32 (rows, cols), [0, 1].
        size: (rows, cols) of the result.

    Returns:
        float32 of that size, [0, 1].
    """
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.clip(cv2.resize(image, size[::-1], interpolation=interpolation), 0, 1)


def resampled_size(shape: tuple[int, int], magnification: float) -> tuple[int, int]:
    """(rows, cols) after a magnification."""
    return max(1, round(shape[0] * magnification)), max(1, round(shape[1] * magnification))
