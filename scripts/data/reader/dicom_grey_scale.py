"""A DICOM dataset to a presentation image: bits, padding, modality LUT, VOI and polarity (PS3.3 C.11.1, C.11.2).

There are at most 65536 different pixel codes, so every step is worked out once per code in float64 and the image is
looked up in the resulting float32 table: exact, fast, and without float copies of the image.

Windows are pydicom's. Lookup tables are ours: pydicom 3.0.2 wraps inputs that exceed the table's own type, fails on a
table shorter than it states or of 11 to 15 bits in the modality module, and does not unpack two 8-bit entries a word.
"""

import logging
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from scripts.common.text import printable
from scripts.data.reader.dicom_file import Bits, stored_values
from scripts.data.reader.dicom_tags import numbers, text
from scripts.data.reader.errors import MammogramReadError, PathLike, check_file

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
    """A lookup table; inputs beyond it take the end entries."""

    first: int  # input of the first entry
    entries: np.ndarray  # (n,) for the inputs first, first + 1, ...
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


def look_up(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """table[codes] of unsigned codes (rows, cols), block by block, because numpy widens the indices to 64 bits."""
    result = np.empty(codes.shape, dtype=table.dtype)
    for start in range(0, len(codes), 256):
        rows = slice(start, start + 256)
        np.take(table, codes[rows], out=result[rows], mode="clip")
    return result


def presentation_table(
    path: PathLike, dataset: Dataset, bits: Bits, code_bits: int, voi: int | str
) -> tuple[np.ndarray, str]:
    """Presentation value of every pixel code of `code_bits`, for a `voi` as in `mammogram_reader.Reading`.

    Gives float32 (2^code_bits,) in [0, 1], MCs bright, padding 0; and what VOI was applied ("LINEAR 2047/4096 NORMAL").
    A preset that the file lacks, an invalid one, or unusable transformations are a MammogramReadError.
    """
    stored = stored_values(bits, code_bits)
    if int(dataset.get("SamplesPerPixel") or 1) == 3:  # grey in RGB: PS3.3 gives it no grey scale pipeline
        return (stored / (2**bits.stored - 1)).astype(np.float32), "none"
    modality = _modality_values(path, dataset, stored)
    low, high = modality.min(), modality.max()
    check_file(path, high > low, "a modality transformation with one output value", "a range of values")
    chosen = _choose_voi(path, dataset, voi, bool(low < 0))
    if chosen is None:
        unit, applied = (modality - low) / (high - low), "none"
    else:
        unit, applied = chosen(modality), str(chosen)
    inverse = text(dataset, "PresentationLUTShape").upper() == "INVERSE"
    if inverse or dataset.PhotometricInterpretation == "MONOCHROME1":
        unit = 1.0 - unit
    unit[is_padding(path, dataset, stored, bits)] = 0.0
    return unit.astype(np.float32), applied


def why_blank(path: PathLike, dataset: Dataset, codes: np.ndarray, bits: Bits, applied: str) -> str:
    """What makes the presentation values of these pixel codes (rows, cols) all the same; `applied` as above."""
    used = stored_values(bits, 8 * codes.dtype.itemsize)[np.unique(codes)]
    if len(used) == 1:
        return f"every pixel has the stored value {used[0]}"
    padding = is_padding(path, dataset, used, bits)
    if padding.all():
        return "every pixel is padding by PixelPaddingValue"
    return f"all stored values from {used.min()} to {used.max()} look the same after {applied}"


def read_windows(path: PathLike, dataset: Dataset) -> list[Window]:
    """The windows of the dataset in their order, valid or not; no numbers are a MammogramReadError."""
    centers, widths = numbers(path, dataset, "WindowCenter"), numbers(path, dataset, "WindowWidth")
    names = text(dataset, "WindowCenterWidthExplanation").split("\\") + [""] * len(centers)
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        logger.warning("%s: VOILUTFunction %r is unknown; LINEAR is used", printable(path), function)
        function = "LINEAR"
    return [Window(c, w, function, name.strip()) for c, w, name in zip(centers, widths, names, strict=False)]


def read_lut(path: PathLike, item: Dataset, signed_input: bool) -> Lut:
    """One item of a Modality LUT or VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Whether the inputs can be negative decides how the first input is meant. A malformed descriptor or too few entries
    are a MammogramReadError.
    """
    descriptor = [int(value) for value in numbers(path, item, "LUTDescriptor")]
    well_formed = len(descriptor) == 3 and 8 <= descriptor[2] <= 16
    check_file(path, well_formed, f"LUTDescriptor {descriptor}", "entries, first input, 8 to 16 bits")
    count, first, bits = descriptor[0] % 65536 or 65536, descriptor[1] % 65536, descriptor[2]
    if signed_input and first >= 32768:
        first -= 65536
    data = item.get("LUTData")
    if isinstance(data, bytes):
        entries = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if item.original_encoding[1] else ">u2")
    else:
        entries = np.asarray([] if data is None else data, dtype=np.int64).reshape(-1)
    if bits == 8 and len(entries) < count <= 2 * len(entries):  # two 8-bit entries in each word
        entries = np.stack([entries & 255, entries >> 8], axis=1).reshape(-1)
    check_file(path, len(entries) >= count, f"LUTData with {len(entries)} of {count} entries", "a complete table")
    return Lut(first, entries[:count].astype(np.int64) & (2**bits - 1), bits, text(item, "LUTExplanation"))


def _modality_values(path: PathLike, dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """Stored values through the Modality LUT Sequence or the rescale slope and intercept (one may be missing: pydicom's
    own function then leaves both out), float64."""
    if items := dataset.get("ModalityLUTSequence"):
        return read_lut(path, items[0], bool(stored.min() < 0)).entries_of(stored)
    slope = numbers(path, dataset, "RescaleSlope") or [1.0]
    intercept = numbers(path, dataset, "RescaleIntercept") or [0.0]
    return stored * slope[0] + intercept[0]


def _choose_voi(path: PathLike, dataset: Dataset, voi: int | str, signed: bool) -> Window | Lut | None:
    """The VOI transformation that `voi` asks for; None for the full range."""
    if voi == "none":
        return None
    items = dataset.get("VOILUTSequence") or []
    if voi == "auto" and items:
        return read_lut(path, items[0], signed)
    windows = read_windows(path, dataset)
    if voi == "auto":
        for window in windows:
            if window.valid:
                return window
            logger.warning("%s: invalid VOI window %s is ignored", printable(path), window)
        return None
    chosen: Window | Lut | None
    if isinstance(voi, int):
        chosen = windows[voi] if 0 <= voi < len(windows) else None
    else:
        named: list[Window | Lut] = [*windows, *(read_lut(path, item, signed) for item in items)]
        chosen = next((preset for preset in named if preset.name.lower() == voi.strip().lower()), None)
    if chosen is None:
        names = [window.name for window in windows] + [text(item, "LUTExplanation") for item in items]
        raise MammogramReadError(path, f"no VOI preset {voi!r} among {names}", "'auto', 'none' or one of these")
    usable = not isinstance(chosen, Window) or chosen.valid
    check_file(path, usable, f"VOI window {chosen}", "a width of 1 or more (LINEAR) or above 0")
    return chosen


def is_padding(path: PathLike, dataset: Dataset, stored: np.ndarray, bits: Bits) -> np.ndarray:
    """Which stored values PixelPaddingValue (to PixelPaddingRangeLimit) declares to be no image, bool."""
    ends = numbers(path, dataset, "PixelPaddingValue")[:1]
    if not ends:
        return np.zeros(stored.shape, dtype=bool)
    ends += numbers(path, dataset, "PixelPaddingRangeLimit")[:1]
    if bits.signed:  # often written with the wrong one of US and SS
        ends = [end - 65536 if end >= 32768 else end for end in ends]
    else:
        ends = [end + 65536 if end < 0 else end for end in ends]
    return (stored >= min(ends)) & (stored <= max(ends))
