"""DICOM grey scale transformations (PS3.3 C.11.1 and C.11.2) on arrays of values, as pure functions."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from scripts.data.reader.dicom_tags import numbers, text
from scripts.data.reader.errors import MammogramReadError

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """A VOI window in modality units (after the modality LUT)."""

    center: float
    width: float
    function: str = "LINEAR"
    name: str = ""

    @property
    def valid(self) -> bool:
        """LINEAR wants a width of 1 or more, the others one above 0."""
        return self.width >= 1 if self.function == "LINEAR" else self.width > 0

    def __str__(self) -> str:
        return f"{self.function} {self.center:g}/{self.width:g} {self.name}".strip()


@dataclass(frozen=True)
class Lut:
    """A lookup table: entries (n,) for the inputs first, first + 1, ...; inputs beyond it take the end entries."""

    first: int
    entries: np.ndarray
    bits: int
    name: str = ""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Table entries (float64) for `values` rounded to whole numbers."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return self.entries[index].astype(np.float64)


def apply_window(values: np.ndarray, window: Window) -> np.ndarray:
    """Values in modality units to [0, 1], float64, by the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Args:
        values: any shape.
        window: a valid window.
    """
    x, c, w = np.asarray(values, dtype=np.float64), window.center, window.width
    if window.function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (x - c) / w, -700.0, 700.0)))
    if window.function == "LINEAR_EXACT":
        return np.where(x <= c - w / 2, 0.0, np.where(x > c + w / 2, 1.0, np.clip((x - c) / w + 0.5, 0.0, 1.0)))
    low, high = c - 0.5 - (w - 1) / 2, c - 0.5 + (w - 1) / 2
    ramp = np.clip((x - (c - 0.5)) / max(w - 1, 1e-12) + 0.5, 0.0, 1.0)
    return np.where(x <= low, 0.0, np.where(x > high, 1.0, ramp))


def windows(path: str | os.PathLike[str], dataset: Dataset) -> list[Window]:
    """The windows of the dataset in their order, valid or not.

    Raises:
        MammogramReadError: centres or widths that are no numbers.
    """
    centers, widths = numbers(path, dataset, "WindowCenter"), numbers(path, dataset, "WindowWidth")
    names = text(dataset, "WindowCenterWidthExplanation").split("\\")
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if function not in FUNCTIONS:
        logger.warning("%s: VOILUTFunction %r is unknown; LINEAR is used", path, function)
        function = "LINEAR"
    names += [""] * len(centers)
    return [Window(c, w, function, name.strip()) for c, w, name in zip(centers, widths, names, strict=False)]


def read_lut(path: str | os.PathLike[str], item: Dataset, signed_input: bool, little_endian: bool) -> Lut:
    """One item of a Modality LUT or VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Args:
        path: named in messages.
        item: with LUTDescriptor and LUTData.
        signed_input: whether the inputs can be negative, which decides how the first input is meant.
        little_endian: byte order of the file.

    Raises:
        MammogramReadError: a malformed descriptor or too few entries.
    """
    descriptor = [int(value) for value in numbers(path, item, "LUTDescriptor")]
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise MammogramReadError(path, f"LUTDescriptor {descriptor}", "entries, first input, 8 to 16 bits")
    count, first, bits = descriptor[0] % 65536 or 65536, descriptor[1] % 65536, descriptor[2]
    if signed_input and first >= 32768:
        first -= 65536
    data = item.get("LUTData")
    if isinstance(data, bytes):
        entries = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if little_endian else ">u2")
    else:
        entries = np.asarray([] if data is None else data, dtype=np.int64).reshape(-1)
    if bits == 8 and len(entries) < count <= 2 * len(entries):  # two 8-bit entries in each word
        entries = np.stack([entries & 255, entries >> 8], axis=1).reshape(-1)
    if len(entries) < count:
        raise MammogramReadError(path, f"LUTData with {len(entries)} of {count} entries", "a complete table")
    name = text(item, "LUTExplanation")
    return Lut(first, entries[:count].astype(np.int64) & (2**bits - 1), bits, name)
