"""Pixel spacing: what a file says if that is believable, else the configured default."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

from scripts.data.reader.errors import PathLike

DICOM_RANGE_MM = (0.01, 0.99)  # placeholders such as 1\1 lie outside, reduced copies inside
FILE_RANGE_MM = (0.02, 0.3)  # resolution tags and zooms are often left over from a screen or a printer
MAX_FIELD_MM = 400.0  # no detector or film is longer

logger = logging.getLogger(__name__)

Candidate = tuple[str, tuple[float, float] | None]


def choose_spacing(
    path: PathLike,
    candidates: Iterable[Candidate],
    default_mm: float,
    plausible_mm: tuple[float, float],
    shape: tuple[int, int],
) -> tuple[tuple[float, float], str]:
    """The first believable spacing, with one warning if it has to be the default.

    Args:
        path: named in the warning.
        candidates: (source, (row_mm, col_mm) or None if absent), best first.
        default_mm: isotropic fallback in mm.
        plausible_mm: least and largest believable value in mm.
        shape: (rows, cols); the whole image must not be longer than MAX_FIELD_MM.

    Returns:
        ((row_mm, col_mm), source); the source is "default" for the fallback.
    """
    low, high = plausible_mm
    rejected = []
    for source, spacing in candidates:
        if spacing is None:
            continue
        believable = all(math.isfinite(mm) and low <= mm <= high for mm in spacing)
        if believable and max(mm * n for mm, n in zip(spacing, shape, strict=True)) <= MAX_FIELD_MM:
            return (float(spacing[0]), float(spacing[1])), source
        rejected.append(f"{source} = {spacing[0]:g} x {spacing[1]:g} mm")
    why = f"implausible {', '.join(rejected)}" if rejected else "no pixel spacing"
    logger.warning("%s: %s; the default of %g mm is used", path, why, default_mm)
    return (default_mm, default_mm), "default"
