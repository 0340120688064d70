"""Augmentation of patches: one affine warp for image and label, and CLAHE.

The warp's matrix maps output (col, row) to input (col, row), px centres at integers, as OpenCV's WARP_INVERSE_MAP.
"""

from __future__ import annotations

import cv2
import numpy as np


def sample_warp(
    rng: np.random.RandomState,
    shape: tuple[int, ...],
    crop_px: int,
    scale_range: float = 0.5,
    shift_range: float = 0.1,
    rotation_deg: float = 0.0,
) -> np.ndarray:
    """Draw a random magnification, shift, rotation about the patch's centre, and crop position.

    Args:
        rng: random state.
        shape: (rows, cols) of the patch.
        crop_px: side of the square crop.
        scale_range: magnification uniform in 1 +- this; must be below 1.
        shift_range: shift uniform in +- this share of the side.
        rotation_deg: rotation uniform in +- this.

    Returns:
        float64 (2, 3): output (col, row, 1) -> input (col, row).
    """
    if not 0 <= scale_range < 1:
        raise ValueError(f"scale_range: got {scale_range}, want a value in [0, 1)")
    rows, cols = shape
    scale = 1 + rng.uniform(-scale_range, scale_range)
    shift = rng.uniform(-shift_range, shift_range, 2) * (cols, rows)
    angle = np.deg2rad(rng.uniform(-rotation_deg, rotation_deg))
    corner = rng.uniform(0, 1, 2) * (cols - crop_px, rows - crop_px)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    centre = (np.array([cols, rows]) - 1) / 2
    # output pixel u shows the warped patch at corner + u; it comes from turn @ (corner + u - centre - shift) + centre
    return np.hstack([turn, (turn @ (corner - centre - shift) + centre)[:, None]])


def warp_image(image: np.ndarray, matrix: np.ndarray, crop_px: int) -> np.ndarray:
    """Bilinear warp; outside of the patch the image is mirrored.

    Args:
        image: float32 (rows, cols).
        matrix: from `sample_warp`.
        crop_px: side of the result.

    Returns:
        float32 (crop_px, crop_px).
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (crop_px, crop_px), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def clahe(image: np.ndarray, clip_limit: float, grid: int = 8) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation of a [0, 1] image, at 8 bits as in the authors' program.

    (At 16 bits OpenCV spreads a tile's few pixels over 65,536 bins, and all that is left is the rank of the noise.)

    Args:
        image: float (rows, cols), [0, 1].
        clip_limit: contrast limit, 1 or more.
        grid: tiles per side.

    Returns:
        float32 (rows, cols), [0, 1].
    """
    levels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    equalised = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(grid, grid)).apply(levels)
    return equalised.astype(np.float32) / 255
