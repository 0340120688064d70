"""DICOM grey scale transformations (PS3.3 C.11.1 and C.11.2) on arrays of values.

Windows are pydicom's. Lookup tables are ours: pydicom 3.0.2 wraps inputs that exceed the table's own type, fails on a
table shorter than it states or of 11 to 15 bits in the modality module, and does not unpack two 8-bit entries a word.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from scripts.data.reader.dicom_tags import numbers, text
from scripts.data.reader.errors import MammogramReadError, PathLike

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

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values in modality units, of any shape, to [0, 1], float64 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
        window = Dataset()
        window.PhotometricInterpretation, window.VOILUTFunction = "MONOCHROME2", self.function
        window.BitsStored, window.PixelRepresentation = 1, 0  # pydicom's output then runs from 0 to 1
        window.add_new("WindowCenter", "FD", self.center)  # as binary numbers: text would be cut to 16 characters
        window.add_new("WindowWidth", "FD", self.width)
        with np.errstate(over="ignore"):
            return np.clip(apply_windowing(np.asarray(values), window), 0.0, 1.0)


@dataclass(frozen=True)
class Lut:
    """A lookup table: entries (n,) for the inputs first, first + 1, ...; inputs beyond it take the end entries."""

    first: int
    entries: np.ndarray
    bits: int
    name: str = ""

    def __str__(self) -> str:
        return f"VOI LUT {self.name}".strip()

    def entries_of(self, values: np.ndarray) -> np.ndarray:
        """Table entries (float64) for `values` rounded to whole numbers."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return self.entries[index].astype(np.float64)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values in modality units to [0, 1] over the range of the table's bits."""
        return self.entries_of(values) / (2**self.bits - 1)


def windows(path: PathLike, dataset: Dataset) -> list[Window]:
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


def read_lut(path: PathLike, item: Dataset, signed_input: bool, little_endian: bool) -> Lut:
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
    return Lut(first, entries[:count].astype(np.int64) & (2**bits - 1), bits, text(item, "LUTExplanation"))
