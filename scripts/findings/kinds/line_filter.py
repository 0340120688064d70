"""Bright lines at marks: how strongly the image goes on in each direction, as a plaque or a vessel's wall does."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing

GRID_MM = 0.14  # pixel size at which lines are looked for
DIRECTIONS = 24  # over half a turn: direction i is i * pi / DIRECTIONS, (row, col) = (sin, cos)


@dataclass(frozen=True)
class LineFilter:
    """A line's grey values over their surroundings, averaged along it. Lengths in mm."""

    length_mm: float = 4.0  # full width at half maximum of the Gaussian along the line
    reach_mm: float = 3.08  # where it is cut off
    background_mm: float = 0.9  # the mean of a square of this side is taken off
    texture_mm: float = 4.2  # the contrast is in units of the texture's sd in a square of this side, ...
    most_sd: float = 2.5  # ... at most this much, so that a bright spot is no line

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("length_mm", "reach_mm", "background_mm", "texture_mm", "most_sd"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a number above 0")

    def responses(self, image: np.ndarray, place_mm: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
        """Line strength at places (n, 2) of an image, float32 (rows, cols): (n, DIRECTIONS), in sd of the texture.

        The best of three parallel lines, a pixel of the grid apart, counts: a mark's centroid need not lie on its line.
        """
        rows, cols = (max(1, round(n * mm / GRID_MM)) for n, mm in zip(image.shape, spacing_mm, strict=True))
        small = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA)
        contrast = small - cv2.blur(small, _square(self.background_mm))
        texture = cv2.blur(np.abs(contrast), _square(self.texture_mm)) * np.float32(np.sqrt(np.pi / 2))
        contrast = np.clip(contrast / (texture + np.float32(1e-4)), -self.most_sd, self.most_sd)
        half = round(self.reach_mm / GRID_MM)
        padded = cv2.copyMakeBorder(contrast, half, half, half, half, cv2.BORDER_REPLICATE)
        scale = np.array([rows, cols]) / image.shape / spacing_mm
        at = np.round((place_mm + np.array(spacing_mm) / 2) * scale - 0.5).astype(int)
        at = np.clip(at, 0, np.array([rows, cols]) - 1)
        patches = np.lib.stride_tricks.sliding_window_view(padded, (2 * half + 1,) * 2)[at[:, 0], at[:, 1]]
        values = patches.reshape(len(at), -1) @ _lines(self.length_mm, half)
        return values.reshape(len(at), 3, DIRECTIONS).max(1)


def _square(side_mm: float) -> tuple[int, int]:
    return (max(1, round(side_mm / GRID_MM)) | 1,) * 2


@lru_cache(maxsize=4)
def _lines(length_mm: float, half: int) -> np.ndarray:
    """Weights of the pixels of a patch for each line, float32 ((2 half + 1)^2, 3 x DIRECTIONS); their sum is 1."""
    y, x = (axis.ravel() * GRID_MM for axis in np.mgrid[-half : half + 1, -half : half + 1])
    turns = np.arange(DIRECTIONS) * (np.pi / DIRECTIONS)
    along = y[:, None] * np.sin(turns) + x[:, None] * np.cos(turns)
    across = y[:, None] * np.cos(turns) - x[:, None] * np.sin(turns)
    sigma = length_mm / np.sqrt(8 * np.log(2))
    offsets = np.array([-1, 0, 1])[:, None] * GRID_MM
    weight = np.exp(-0.5 * (along[:, None] / sigma) ** 2 - 0.5 * ((across[:, None] - offsets) / (0.6 * GRID_MM)) ** 2)
    weight *= (along**2 + across**2 <= (half * GRID_MM) ** 2)[:, None]
    return (weight / weight.sum(0)).reshape(y.size, -1).astype(np.float32)
