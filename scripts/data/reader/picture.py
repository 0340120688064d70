"""What every picture format is read to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.data.reader.dicom_file import grey_channel
from scripts.data.reader.errors import PathLike, check_file
from scripts.data.reader.plausible import Spacing

SCREEN_DPI = 96.0  # what image programs fill in; it says nothing about the film


@dataclass(frozen=True)
class Picture:
    """A picture as stored, in display order, and what its file states."""

    values: np.ndarray  # (rows, cols)
    spacing_mm: Spacing | None = None
    full_scale: int | None = None  # value of white
    white_is_zero: bool = False
    layout: Mapping[str, Any] = field(default_factory=dict)  # of a NIfTI: how it lay in the file (see geometry.py)
    no_mammogram: str = ""  # why it may be a label, but is no mammogram: "a palette image"


def from_resolution(rows: float, cols: float, mm: float) -> Spacing | None:
    """Spacing of a resolution in px per unit of `mm`; None for a screen's or an unusable one."""
    if not (math.isfinite(rows) and math.isfinite(cols)) or min(rows, cols) <= 0:
        return None
    of_a_screen = all(abs(25.4 / mm * value - SCREEN_DPI) < 0.5 for value in (rows, cols))
    return None if of_a_screen else (mm / rows, mm / cols)


def one_channel(path: PathLike, values: np.ndarray) -> np.ndarray:
    """(rows, cols) of an array that may have identical colour channels and an opaque alpha channel."""
    if values.ndim == 2:
        return values
    usable = values.ndim == 3 and values.shape[2] <= 4
    check_file(path, usable, f"an array of shape {values.shape}", "one 2-D image")
    channels = values.shape[2]
    if channels in (2, 4):
        full = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
        check_file(path, np.all(values[..., -1] == full), "a transparent image", "an opaque one")
    return np.ascontiguousarray(values[..., 0]) if channels < 3 else grey_channel(path, values[..., :3])
