"""Augmentation of patches: one affine warp for image and label, CLAHE, brightness and gamma.

The warp's matrix maps output (col, row) to input (col, row), px centres at integers, as OpenCV's WARP_INVERSE_MAP.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from scripts.common.checks import check_fields


@dataclass(frozen=True)
class Warp:
    """Ranges of a random magnification, shift, rotation about the patch's centre, and crop."""

    crop_px: int = 320  # side of the square crop
    scale_range: float = 0.5  # magnification uniform in 1 +- this; below 1
    shift_range: float = 0.1  # shift uniform in +- this share of the patch's side
    rotation_deg: float = 0.0  # rotation uniform in +- this

    def __post_init__(self) -> None:
        check_fields(self, crop_px="[1, inf)", scale_range="[0, 1)")

    def sample(self, rng: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
        """Draw a warp for a patch of (rows, cols): float64 (2, 3), output (col, row, 1) -> input (col, row)."""
        rows, cols = shape
        scale = 1 + rng.uniform(-self.scale_range, self.scale_range)
        shift = rng.uniform(-self.shift_range, self.shift_range, 2) * (cols, rows)
        angle = np.deg2rad(rng.uniform(-self.rotation_deg, self.rotation_deg))
        corner = rng.uniform(0, 1, 2) * (cols - self.crop_px, rows - self.crop_px)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
        centre = (np.array([cols, rows]) - 1) / 2
        # output pixel u shows the warped patch at corner + u, from turn @ (corner + u - centre - shift) + centre
        return np.hstack([turn, (turn @ (corner - centre - shift) + centre)[:, None]])


def warp_image(image: np.ndarray, matrix: np.ndarray, crop_px: int) -> np.ndarray:
    """Bilinear warp of float32 (rows, cols) to (crop_px, crop_px); outside of the patch the image is mirrored."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (crop_px, crop_px), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def clahe(image: np.ndarray, clip_limit: float) -> np.ndarray:
    """Contrast-limited (1 or more) adaptive histogram equalisation of a [0, 1] image, on 8 x 8 tiles.

    It has 8 bits, as in the authors' program: at 16 bits OpenCV spreads a tile's few pixels over 65,536 bins, and all
    that is left is the rank of the noise.
    """
    levels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(8, 8)).apply(levels).astype(np.float32) / 255


def brightness(image: np.ndarray, offset: float) -> np.ndarray:
    """A [0, 1] image shifted by an offset; what leaves [0, 1] is clipped, as a detector or a display would."""
    return np.clip(image + np.float32(offset), 0, 1)


def gamma(image: np.ndarray, exponent: float) -> np.ndarray:
    """A [0, 1] image to a power: 0 and 1 stay what they are, whatever range the patch itself spans."""
    return np.clip(image, 0, 1) ** np.float32(exponent)
