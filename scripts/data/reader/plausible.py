"""What files leave open, settled by what is plausible: size in px, scale of grey values, pixel spacing."""

import logging
import math
from collections.abc import Callable, Sequence

import numpy as np

from scripts.common.text import printable
from scripts.data.reader.errors import MammogramReadError, PathLike, check_file

BIT_DEPTHS = (8, 10, 12, 14, 16)  # what detectors and film scanners store
BYTES_PER_PIXEL = 64  # peak memory of a whole run per pixel of its image, breast all over it (docs/log/hardening.md)
MAX_PIXELS = 4000 * 10**6 // BYTES_PER_PIXEL  # of the default `Reading.memory_limit_mb`: twice the largest detector
MIN_SIDE_PX = 64  # no mammogram is smaller; icons and cut-outs are
MAX_SIDE_PX = 32767  # beyond it pictures and many programs fail
DICOM_RANGE_MM = (0.01, 0.99)  # placeholders such as 1\1 lie outside, reduced copies inside
FILE_RANGE_MM = (0.02, 0.3)  # resolution tags and zooms are often left over from a screen or a printer
MAX_FIELD_MM = 400.0  # no detector or film is longer

Spacing = tuple[float, float]  # (row_mm, col_mm)
Candidates = Sequence[tuple[str, Spacing | None]]  # (source, spacing or None if absent), best first

logger = logging.getLogger(__name__)


def check_size(path: PathLike, rows: int, cols: int, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse empty and absurdly large images before they are decoded (MammogramReadError)."""
    check_file(path, min(rows, cols) >= 1, f"an empty image ({rows} x {cols} px)", "at least one pixel")
    check_file(path, max(rows, cols) <= MAX_SIDE_PX, f"{rows} x {cols} px", f"at most {MAX_SIDE_PX} px a side")
    want = f"at most {max_pixels / 10**6:.0f} million pixels (reading::memory_limit_mb / {BYTES_PER_PIXEL} bytes)"
    check_file(path, rows * cols <= max_pixels, f"{rows} x {cols} px", want)


def check_shows_something(path: PathLike, image: np.ndarray, why_blank: Callable[[], str] | None = None) -> None:
    """Refuse a mammogram (rows, cols) that is tiny or of one value (MammogramReadError), which `why_blank` explains.

    In a blank image nothing would be found, which is not the same as an image without findings.
    """
    tiny = f"{image.shape[0]} x {image.shape[1]} px"
    check_file(path, min(image.shape) >= MIN_SIDE_PX, tiny, f"a mammogram of at least {MIN_SIDE_PX} px a side")
    low = float(image.min())
    if low == float(image.max()):
        why = why_blank() if why_blank else "every pixel has the same value"
        raise MammogramReadError(path, f"a blank image ({why})", "more than one grey value")


def to_unit_range(path: PathLike, values: np.ndarray, full_scale: int | None = None) -> tuple[np.ndarray, int]:
    """Values scaled to [0, 1] over the range that they were most likely stored with.

    Integers (or floats that are all whole numbers) are divided by 2^bits - 1 with the smallest of `BIT_DEPTHS` that
    holds the maximum: 12-bit detector data in a 16-bit file then fills [0, 1] as its DICOM would. Floats within [0, 1]
    are kept. Anything else (negative, beyond 16 bits, other floats) is stretched from its minimum to its maximum, with
    a warning, because its scale is unknown. NaN or infinity is an error. Where the file states it, `full_scale` is the
    value that maps to 1. Returned are float32 in [0, 1] and the bits stored (for floats: the bits of their type).
    """
    low, high = values.min(), values.max()
    is_float = np.issubdtype(values.dtype, np.floating)
    finite = not is_float or (np.isfinite(low) and np.isfinite(high))  # min and max propagate NaN
    check_file(path, finite, "NaN or infinite pixel values", "finite values")
    type_bits = 8 * values.dtype.itemsize
    if full_scale is not None:
        return values.astype(np.float32) / np.float32(full_scale), int(full_scale).bit_length()
    if is_float and low >= 0 and high <= 1:
        return values.astype(np.float32), type_bits
    if low >= 0 and high < 2 ** BIT_DEPTHS[-1] and (not is_float or np.array_equal(values, np.rint(values))):
        bits = next(bits for bits in BIT_DEPTHS if high < 2**bits)
        return values.astype(np.float32) / np.float32(2**bits - 1), bits
    logger.warning("%s: values from %g to %g are on no known scale; stretched to [0, 1]", printable(path), low, high)
    span = float(high) - float(low)
    return ((values.astype(np.float64) - float(low)) / (span or 1.0)).astype(np.float32), type_bits


def choose_spacing(
    path: PathLike, candidates: Candidates, default_mm: float, plausible_mm: tuple[float, float], shape: tuple[int, ...]
) -> tuple[Spacing, str]:
    """The first believable spacing and its source; else, with one warning, (default_mm, default_mm) and "default".

    Believable is what lies within `plausible_mm` and makes no image of `shape` (rows, cols) longer than MAX_FIELD_MM.
    """
    rejected = []
    for source, spacing in candidates:
        if spacing is None:
            continue
        believable = all(math.isfinite(mm) and plausible_mm[0] <= mm <= plausible_mm[1] for mm in spacing)
        if believable and max(mm * n for mm, n in zip(spacing, shape, strict=True)) <= MAX_FIELD_MM:
            return (float(spacing[0]), float(spacing[1])), source
        rejected.append(f"{source} = {spacing[0]:g} x {spacing[1]:g} mm")
    why = f"implausible {', '.join(rejected)}" if rejected else "no pixel spacing"
    logger.warning("%s: %s; the default of %g mm is used", printable(path), why, default_mm)
    return (default_mm, default_mm), "default"
