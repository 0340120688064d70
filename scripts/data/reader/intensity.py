"""Stored values without a DICOM header (PNG, TIFF, JPEG, NIfTI) to the [0, 1] presentation scale."""

from __future__ import annotations

import logging

import numpy as np

from scripts.data.reader.errors import MammogramReadError, PathLike

BIT_DEPTHS = (8, 10, 12, 14, 16)  # what detectors and film scanners store
MAX_PIXELS = 150_000_000  # six times the largest detector; beyond it a file is taken for a decompression bomb

logger = logging.getLogger(__name__)


def check_size(path: PathLike, rows: int, cols: int) -> None:
    """Refuse empty and absurdly large images before they are decoded.

    Raises:
        MammogramReadError: no pixels, or more than MAX_PIXELS.
    """
    if rows < 1 or cols < 1:
        raise MammogramReadError(path, f"an empty image ({rows} x {cols} px)", "at least one pixel")
    if rows * cols > MAX_PIXELS:
        raise MammogramReadError(path, f"{rows} x {cols} px", f"at most {MAX_PIXELS // 10**6} million pixels")


def to_unit_range(path: PathLike, values: np.ndarray, full_scale: int | None = None) -> tuple[np.ndarray, int]:
    """Values scaled to [0, 1] over the range that they were most likely stored with.

    Integers (or floats that are all whole numbers) are divided by 2^bits - 1 with the smallest of 8, 10, 12, 14 and
    16 bits that holds the maximum: 12-bit detector data in a 16-bit file then fills [0, 1] as its DICOM would. Floats
    within [0, 1] are kept. Anything else (negative, beyond 16 bits, other floats) is stretched from its minimum to
    its maximum, with a warning, because its scale is unknown.

    Args:
        path: named in messages.
        values: (rows, cols), any numeric dtype.
        full_scale: the value that maps to 1, where the file states it.

    Returns:
        float32 (rows, cols) in [0, 1], and the bits stored (for floats: the bits of their type).

    Raises:
        MammogramReadError: NaN or infinity among the values.
    """
    low, high = values.min(), values.max()
    is_float = np.issubdtype(values.dtype, np.floating)
    if is_float and not (np.isfinite(low) and np.isfinite(high)):  # min and max propagate NaN
        raise MammogramReadError(path, "NaN or infinite pixel values", "finite values")
    type_bits = 8 * values.dtype.itemsize
    if full_scale is not None:
        return values.astype(np.float32) / np.float32(full_scale), int(full_scale).bit_length()
    if is_float and low >= 0 and high <= 1:
        return values.astype(np.float32), type_bits
    if low >= 0 and high < 2 ** BIT_DEPTHS[-1] and (not is_float or np.array_equal(values, np.rint(values))):
        bits = next(bits for bits in BIT_DEPTHS if high < 2**bits)
        return values.astype(np.float32) / np.float32(2**bits - 1), bits
    logger.warning("%s: values from %g to %g are on no known scale; stretched to [0, 1]", path, low, high)
    span = float(high) - float(low)
    stretched = (values.astype(np.float64) - float(low)) / (span or 1.0)
    return stretched.astype(np.float32), type_bits
