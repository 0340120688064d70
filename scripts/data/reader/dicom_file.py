"""A DICOM file to its dataset and its stored pixel codes; everything that is no single mammogram is refused."""

from __future__ import annotations

import logging
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from scripts.data.reader.errors import MammogramReadError, PathLike
from scripts.data.reader.intensity import check_size

PROJECTIONS = "1.2.840.10008.5.1.4.1.1."
IMAGE_CLASSES = frozenset(
    PROJECTIONS + tail
    for tail in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "7", "7.1", "7.2", "7.3", "7.4")  # CR, DX, MG, SC
)
RAW_CLASSES = frozenset(PROJECTIONS + tail for tail in ("1.1.1", "1.2.1"))  # DX and MG For Processing
TOMOSYNTHESIS_CLASSES = frozenset(PROJECTIONS + tail for tail in ("13.1.3", "13.1.4", "13.1.5"))
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
DECODERS = {  # gdcm crashes on some damaged or 12-bit lossy streams, so it decodes only what nothing else can
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit), "pillow"),
    **dict.fromkeys((JPEGLossless, JPEGLosslessSV1), "gdcm"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "pyjpegls"),
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pylibjpeg"),
}
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG and JPEG-LS
START_OF_J2K = b"\xff\x4f\xff\x51"
WANTED = "one MG, DX, CR or SC image"

# pydicom reports every slip of a header twice, as a warning and in its log: errors are raised here, slips are not news.
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
logging.getLogger("pydicom").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Bits:
    """How a value sits in its pixel cell: `stored` bits, `shift` above the lowest one, two's complement or not."""

    stored: int
    shift: int
    signed: bool


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` (132 bytes or more) is DICOM, with or without the preamble."""
    bare = head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00"
    return head[128:132] == b"DICM" or bare or head[:3] == b"\x00\x08\x00"


def open_dataset(path: PathLike) -> Dataset:
    """Parse a DICOM file; a missing file meta header is tolerated.

    Raises:
        MammogramReadError: unparsable, or without image pixel data.
    """
    try:
        dataset = dcmread(path, force=True)
        sop_class = UID(str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
    except Exception as error:
        raise MammogramReadError(path, f"unreadable DICOM ({error})", "a complete DICOM file") from error
    if "PixelData" not in dataset:
        what = sop_class.name or "no image"
        raise MammogramReadError(path, f"DICOM without integer pixel data ({what}), or cut before it", WANTED)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        guess = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = guess
    return dataset


def check_is_mammogram(path: PathLike, dataset: Dataset, allow_for_processing: bool) -> None:
    """Refuse what is no single presentation image.

    Raises:
        MammogramReadError: tomosynthesis, a foreign SOP class, or FOR PROCESSING without leave.
    """
    sop_class = UID(str(dataset.get("SOPClassUID") or ""))
    if sop_class in TOMOSYNTHESIS_CLASSES:
        raise MammogramReadError(path, f"tomosynthesis ({sop_class.name})", WANTED)
    if sop_class and sop_class not in IMAGE_CLASSES:
        raise MammogramReadError(path, f"SOP class {sop_class.name}", WANTED)
    intent = str(dataset.get("PresentationIntentType") or "").strip().upper()
    if (intent == "FOR PROCESSING" or (not intent and sop_class in RAW_CLASSES)) and not allow_for_processing:
        raise MammogramReadError(path, "a FOR PROCESSING (raw) image", "FOR PRESENTATION, or allow_for_processing=True")


def stored_codes(path: PathLike, dataset: Dataset) -> tuple[np.ndarray, Bits]:
    """Decode the pixel cells, bit for bit.

    Args:
        path: named in messages.
        dataset: from `open_dataset`; missing optional elements of the pixel module are filled in.

    Returns:
        uint8 or uint16 (rows, cols), and how to take stored values out of it (`stored_values`).

    Raises:
        MammogramReadError: multi-frame, colour, palette, truncated, inconsistent or undecodable pixel data.
    """
    bits, samples = _check_pixel_module(path, dataset)
    _check_encapsulation(path, dataset)
    try:
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
        pixels, _ = decoder.as_array(
            dataset,
            index=0,
            decoding_plugin=DECODERS.get(dataset.file_meta.TransferSyntaxUID, ""),
            raw=samples == 1,  # colour is converted to RGB, to compare its channels
            correct_unused_bits=False,
            apply_j2k_sign_correction=False,
            apply_jls_sign_correction=False,
        )
    except Exception as error:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        reason = str(error).strip().splitlines()
        got = f"pixel data ({syntax}) that no decoder reads: {' '.join(reason)[:300]}"
        raise MammogramReadError(path, got, "complete and valid pixel data") from error
    if samples == 3:
        pixels = grey_channel(path, pixels)
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native.view(np.dtype(f"u{native.dtype.itemsize}")), bits


def stored_values(bits: Bits, code_bits: int) -> np.ndarray:
    """The stored value of every code of a `code_bits` wide cell, int32 (2^code_bits,)."""
    values = (np.arange(2**code_bits, dtype=np.int32) >> bits.shift) & (2**bits.stored - 1)
    return values - ((values >> (bits.stored - 1)) << bits.stored) if bits.signed else values


def grey_channel(path: PathLike, colours: np.ndarray) -> np.ndarray:
    """The one channel of (rows, cols, 3) whose channels are identical.

    Raises:
        MammogramReadError: they differ.
    """
    first = colours[..., 0]
    if any(not np.array_equal(first, colours[..., k]) for k in (1, 2)):
        raise MammogramReadError(path, "a colour image", "grey values (or three identical channels)")
    return np.ascontiguousarray(first)


def _check_pixel_module(path: PathLike, dataset: Dataset) -> tuple[Bits, int]:
    """Bits and samples per pixel after checks of PS3.3 C.7.6.3; fills in what a lax writer left out."""
    missing = [key for key in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if not dataset.get(key)]
    if missing:
        raise MammogramReadError(path, f"no {', '.join(missing)}", "a complete image pixel module")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise MammogramReadError(path, f"{frames} frames (multi-frame or tomosynthesis)", WANTED)
    check_size(path, dataset.Rows, dataset.Columns)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    photometric = dataset.PhotometricInterpretation
    grey = samples == 1 and photometric in ("MONOCHROME1", "MONOCHROME2")
    if not grey and not (samples == 3 and photometric.startswith(("RGB", "YBR"))):
        raise MammogramReadError(path, f"{photometric} with {samples} samples a pixel", "MONOCHROME1 or MONOCHROME2")
    allocated = int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or allocated)
    high = int(dataset.get("HighBit") or stored - 1)
    if allocated not in (1, 8, 16) or stored > allocated or not stored - 1 <= high < allocated:
        got = f"BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}"
        raise MammogramReadError(path, got, "8 or 16 bits allocated that hold the bits stored")
    dataset.SamplesPerPixel, dataset.BitsStored, dataset.HighBit, dataset.NumberOfFrames = samples, stored, high, 1
    dataset.PixelRepresentation = int(dataset.get("PixelRepresentation") or 0)
    # A HighBit above the stored bits only means something where cells are stored as such.
    shift = high + 1 - stored if dataset.file_meta.TransferSyntaxUID in (*NATIVE, RLELossless) else 0
    return Bits(stored, shift, dataset.PixelRepresentation == 1), samples


def _check_encapsulation(path: PathLike, dataset: Dataset) -> None:
    """Refuse compressed pixel data whose encapsulation is cut or whose size is not the header's.

    Decoders notice a code stream that stops early, but not one of as many pixels in other rows and columns.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in NATIVE:
        return  # pydicom compares the length
    try:
        frame = b"".join(generate_frames(dataset.PixelData, number_of_frames=1))
    except Exception as error:
        raise MammogramReadError(path, f"broken encapsulation ({error})", "complete pixel data") from error
    sized = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes)
    size = (dataset.Rows, dataset.Columns)
    if syntax in sized and (inside := _code_stream_size(frame)) != size:
        raise MammogramReadError(path, f"a code stream of (rows, cols) {inside}", f"{size} as in the header")


def _code_stream_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, cols) in the header of a JPEG, JPEG-LS or JPEG 2000 code stream; None if there is none."""
    if frame.startswith(START_OF_J2K) and len(frame) >= 24:
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        return bottom - top, right - left
    position = 2
    while frame[position : position + 1] == b"\xff" and position + 9 < len(frame):
        if frame[position + 1] in START_OF_FRAME:
            rows, cols = struct.unpack_from(">HH", frame, position + 5)
            return rows, cols
        if frame[position + 1] == 0xFF:  # fill byte
            position += 1
        else:
            position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None
