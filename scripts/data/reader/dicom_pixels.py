"""A DICOM dataset to a presentation image: bits, padding, modality LUT, VOI and polarity as one table lookup.

There are at most 65536 different pixel codes, so every step is worked out once per code in float64 and the image is
looked up in the resulting float32 table: exact, fast, and without float copies of the image.
"""

from __future__ import annotations

import logging

import numpy as np
from pydicom import Dataset

from scripts.data.reader.dicom_file import Bits, stored_values
from scripts.data.reader.dicom_tags import numbers, text
from scripts.data.reader.dicom_voi import Lut, Window, read_lut, windows
from scripts.data.reader.errors import MammogramReadError, PathLike

BLOCK_ROWS = 256

logger = logging.getLogger(__name__)


def look_up(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """table[codes] block by block, because numpy widens the indices to 64 bits.

    Args:
        table: (2^bits of the codes,).
        codes: unsigned (rows, cols).
    """
    result = np.empty(codes.shape, dtype=table.dtype)
    for start in range(0, len(codes), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        np.take(table, codes[rows], out=result[rows], mode="clip")
    return result


def presentation_table(
    path: PathLike, dataset: Dataset, bits: Bits, code_bits: int, voi: int | str = "auto"
) -> tuple[np.ndarray, str]:
    """Presentation value in [0, 1] of every pixel code, and what VOI was applied.

    Args:
        path: named in messages.
        dataset: the image's tags.
        bits: from `stored_codes`.
        code_bits: width of a pixel cell, 8 or 16.
        voi: see `scripts.data.reader.mammogram_reader.Reading`.

    Returns:
        float32 (2^code_bits,), MCs bright, padding 0; and a description such as "LINEAR 2047/4096 NORMAL".

    Raises:
        MammogramReadError: a preset that the file lacks, an invalid one, or unusable transformations.
    """
    stored = stored_values(bits, code_bits)
    if int(dataset.get("SamplesPerPixel") or 1) == 3:  # grey in RGB: PS3.3 gives it no grey scale pipeline
        return (stored / (2**bits.stored - 1)).astype(np.float32), "none"
    little_endian = bool(dataset.original_encoding[1])
    modality = _modality_values(path, dataset, stored, little_endian)
    chosen = _choose_voi(path, dataset, voi, bool(modality.min() < 0), little_endian)
    if chosen is None:
        low, high = modality.min(), modality.max()
        if high <= low:
            raise MammogramReadError(path, "a modality transformation with one output value", "a range of values")
        unit, applied = (modality - low) / (high - low), "none"
    else:
        unit, applied = chosen(modality), str(chosen)
    inverse = text(dataset, "PresentationLUTShape").upper() == "INVERSE"
    if inverse or dataset.PhotometricInterpretation == "MONOCHROME1":
        unit = 1.0 - unit
    unit[_is_padding(path, dataset, stored, bits)] = 0.0
    return unit.astype(np.float32), applied


def _modality_values(path: PathLike, dataset: Dataset, stored: np.ndarray, little_endian: bool) -> np.ndarray:
    """Stored values through the Modality LUT Sequence or the rescale slope and intercept (one may be missing: pydicom's
    own function then leaves both out), float64."""
    if items := dataset.get("ModalityLUTSequence"):
        return read_lut(path, items[0], bool(stored.min() < 0), little_endian).entries_of(stored)
    slope = numbers(path, dataset, "RescaleSlope") or [1.0]
    intercept = numbers(path, dataset, "RescaleIntercept") or [0.0]
    return stored * slope[0] + intercept[0]


def _choose_voi(
    path: PathLike, dataset: Dataset, voi: int | str, signed: bool, little_endian: bool
) -> Window | Lut | None:
    """The VOI transformation that `voi` asks for; None for the full range."""
    if voi == "none":
        return None
    items = dataset.get("VOILUTSequence") or []
    if voi == "auto" and items:
        return read_lut(path, items[0], signed, little_endian)
    presets = windows(path, dataset)
    if voi == "auto":
        valid = next((number for number, preset in enumerate(presets) if preset.valid), len(presets))
        for preset in presets[:valid]:
            logger.warning("%s: invalid VOI window %s is ignored", path, preset)
        return presets[valid] if valid < len(presets) else None
    chosen: Window | Lut | None
    if isinstance(voi, int):
        chosen = presets[voi] if 0 <= voi < len(presets) else None
    else:
        named: list[Window | Lut] = [*presets, *(read_lut(path, item, signed, little_endian) for item in items)]
        chosen = next((preset for preset in named if preset.name.lower() == voi.strip().lower()), None)
    if chosen is None:
        names = [preset.name for preset in presets] + [text(item, "LUTExplanation") for item in items]
        raise MammogramReadError(path, f"no VOI preset {voi!r} among {names}", "'auto', 'none' or one of these")
    if isinstance(chosen, Window) and not chosen.valid:
        raise MammogramReadError(path, f"VOI window {chosen}", "a width of 1 or more (LINEAR) or above 0")
    return chosen


def _is_padding(path: PathLike, dataset: Dataset, stored: np.ndarray, bits: Bits) -> np.ndarray:
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
