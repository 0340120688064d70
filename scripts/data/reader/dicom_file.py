"""A DICOM file to its dataset and its stored pixel codes; everything that is no single mammogram is refused."""

import io
import logging
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import get_expected_length
from pydicom.tag import BaseTag

from scripts.data.reader.dicom_tags import text, whole_number
from scripts.data.reader.errors import MammogramReadError, NoMammogramError, PathLike, check_file
from scripts.data.reader.inflating import RAW, inflate
from scripts.data.reader.jpeg_stream import check_jpeg
from scripts.data.reader.plausible import MAX_PIXELS, check_size

PROJECTIONS = "1.2.840.10008.5.1.4.1.1."
IMAGE_CLASSES = frozenset(  # CR, DX, MG, SC
    PROJECTIONS + tail for tail in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "7", "7.1", "7.2", "7.3", "7.4")
)
RAW_CLASSES = frozenset(PROJECTIONS + tail for tail in ("1.1.1", "1.2.1"))  # DX and MG For Processing
TOMOSYNTHESIS_CLASSES = frozenset(PROJECTIONS + tail for tail in ("13.1.3", "13.1.4", "13.1.5"))
DECODERS = {  # gdcm crashes on some damaged or 12-bit lossy streams, so it decodes only what nothing else can
    **dict.fromkeys((uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit), "pillow"),
    **dict.fromkeys((uid.JPEGLossless, uid.JPEGLosslessSV1), "gdcm"),
    **dict.fromkeys(uid.JPEGLSTransferSyntaxes, "pyjpegls"),
    **dict.fromkeys(uid.JPEG2000TransferSyntaxes, "pylibjpeg"),
}
SIZED = (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, *uid.JPEG2000TransferSyntaxes)
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG and JPEG-LS
WANTED = "one MG, DX, CR or SC image"
HEADER_BYTES = 16 << 20  # what a dataset may hold besides its pixel data before it is taken for a decompression bomb
PIXEL_DATA = BaseTag(0x7FE00010)
LAST_GROUPS = (0x7FE0, 0x7FE1, 0xFFFA, 0xFFFC)  # of elements after it: a vendor's, signatures, padding
RLE_EXCESS = re.compile(r"(\d+) vs\. (\d+) bytes expected")  # in a warning of pydicom's

# pydicom reports every slip of a header twice, as a warning and in its log: errors are raised here, slips are not news.
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Bits:
    """How a value sits in its pixel cell."""

    stored: int  # number of bits
    shift: int  # of the lowest one above the cell's lowest
    signed: bool  # two's complement


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` (132 bytes or more) is DICOM, with or without the preamble."""
    bare = head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00"
    return head[128:132] == b"DICM" or bare or head[:3] == b"\x00\x08\x00"


def open_dataset(path: PathLike) -> Dataset:
    """Parse a DICOM file with image pixel data (else MammogramReadError); a missing file meta header is tolerated."""
    try:
        inflated = _check_inflated_size(path)
        dataset = dcmread(path, force=True)
        sop = uid.UID(str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
    except (MammogramReadError, MemoryError):
        raise
    except Exception as error:
        raise MammogramReadError(path, f"unreadable DICOM ({error})", "a complete DICOM file") from error
    got = f"DICOM without integer pixel data ({sop.name or 'no image'}), or cut before it"
    other = bool(sop) and sop not in IMAGE_CLASSES
    check_file(path, "PixelData" in dataset, got, WANTED, NoMammogramError if other else MammogramReadError)
    _check_end(path, dataset, inflated)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit
    return dataset


def check_is_mammogram(path: PathLike, dataset: Dataset, allow_for_processing: bool) -> None:
    """Refuse tomosynthesis, foreign SOP classes, and FOR PROCESSING without leave (MammogramReadError)."""
    sop = uid.UID(str(dataset.get("SOPClassUID") or ""))
    check_file(path, sop not in TOMOSYNTHESIS_CLASSES, f"tomosynthesis ({sop.name})", WANTED, NoMammogramError)
    check_file(path, not sop or sop in IMAGE_CLASSES, f"SOP class {sop.name}", WANTED, NoMammogramError)
    intent = str(dataset.get("PresentationIntentType") or "").strip().upper()
    raw = intent == "FOR PROCESSING" or (not intent and sop in RAW_CLASSES)
    want = "FOR PRESENTATION, or allow_for_processing=True"
    check_file(path, allow_for_processing or not raw, "a FOR PROCESSING (raw) image", want, NoMammogramError)


def stored_codes(path: PathLike, dataset: Dataset, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Bits]:
    """Decode the pixel cells of an `open_dataset`, bit for bit; missing optional elements are filled in there.

    Gives uint8 or uint16 (rows, cols), and how to take stored values out of it (`stored_values`). Multi-frame, colour,
    palette, truncated, inconsistent or undecodable pixel data are a MammogramReadError.
    """
    high_bit_stated = dataset.get("HighBit") is not None
    bits, samples = _check_pixel_module(path, dataset, max_pixels)
    frame = _check_length(path, dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        with warnings.catch_warnings(record=True) as slips:
            warnings.simplefilter("always")
            pixels, _ = get_decoder(syntax).as_array(
                dataset,
                index=0,
                decoding_plugin=DECODERS.get(syntax, ""),
                raw=samples == 1,  # colour is converted to RGB, to compare its channels
                correct_unused_bits=False,
                apply_j2k_sign_correction=False,
                apply_jls_sign_correction=False,
            )
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).strip().splitlines())[:300]
        if reason.endswith(":"):  # pydicom drops the type of the error, and only MemoryError says nothing else
            reason += " out of memory"
        got = f"pixel data ({syntax.name}) that no decoder reads: {reason}"
        raise MammogramReadError(path, got, "complete and valid pixel data") from error
    for held, wanted in (map(int, found) for slip in slips for found in RLE_EXCESS.findall(str(slip.message))):
        got = f"an RLE segment of {held} bytes for {dataset.Rows} x {dataset.Columns} px"
        check_file(path, held <= wanted + 1, got, f"{wanted} bytes")
    if DECODERS.get(syntax) == "pillow":
        check_jpeg(path, frame)
    if samples == 3:
        pixels = grey_channel(path, pixels)
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if not high_bit_stated:  # then one of the two may be lost, and every grey value would be wrong
        cells = native.view(f"{'i' if bits.signed else 'u'}{native.dtype.itemsize}")
        low, top = (-(2 ** (bits.stored - 1)), 2 ** (bits.stored - 1)) if bits.signed else (0, 2**bits.stored)
        fits = low <= int(cells.min()) and int(cells.max()) < top
        check_file(
            path, fits, f"pixel values beyond BitsStored {bits.stored} and no HighBit", "a complete pixel module"
        )
    return native.view(np.dtype(f"u{native.dtype.itemsize}")), bits


def stored_values(bits: Bits, code_bits: int) -> np.ndarray:
    """The stored value of every code of a `code_bits` wide cell, int32 (2^code_bits,)."""
    values = (np.arange(2**code_bits, dtype=np.int32) >> bits.shift) & (2**bits.stored - 1)
    return values - ((values >> (bits.stored - 1)) << bits.stored) if bits.signed else values


def grey_channel(path: PathLike, colours: np.ndarray) -> np.ndarray:
    """The one channel of (rows, cols, 3) whose channels are identical (else MammogramReadError)."""
    first = colours[..., 0]
    identical = all(np.array_equal(first, colours[..., k]) for k in (1, 2))
    check_file(path, identical, "a colour image", "grey values (or three identical channels)", NoMammogramError)
    return np.ascontiguousarray(first)


def _check_inflated_size(path: PathLike) -> int:
    """Bytes of a deflated dataset, 0 of another; one that inflates to much more than its Rows and Columns ask for is a
    MammogramReadError."""
    with Path(path).open("rb") as file:
        read_preamble(file, force=True)
        meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
            return 0
        head, size, limit = bytearray(), 0, HEADER_BYTES
        for piece in inflate(file, RAW):
            size += len(piece)
            if size <= HEADER_BYTES:
                head += piece
            elif head:
                limit, head = HEADER_BYTES + _stated_bytes(path, bytes(head)), bytearray()
            got = f"a deflated dataset of more than {limit} bytes"
            check_file(path, size <= limit, got, "as much as its rows and columns ask for")
        return size


def _check_end(path: PathLike, dataset: Dataset, inflated: int) -> None:
    """Refuse what follows the pixel data and is neither zeros nor an element that may: bytes were inserted before."""
    element = dataset["PixelData"]
    if element.is_undefined_length or not isinstance(element.value, bytes):
        return
    tags = list(dataset.keys())  # iterating the dataset would parse all of it
    strange = [tag for tag in tags if tag > PIXEL_DATA and tag.group not in LAST_GROUPS]
    end = (element.file_tell or 0) + len(element.value)
    left = inflated - end
    if not inflated:
        with Path(path).open("rb") as file:
            file.seek(end)
            left = len(file.read().strip(b"\0"))
    sound = not strange and (left <= 0 or max(tags) > PIXEL_DATA)
    check_file(
        path, sound, f"{left} bytes after the pixel data that are no element", "a file that ends with its dataset"
    )


def _stated_bytes(path: PathLike, head: bytes) -> int:
    """Bytes of pixel data after the first ones of a dataset; 0 where these do not tell."""
    try:
        dataset = read_dataset(io.BytesIO(head), False, True, stop_when=lambda tag, vr, length: tag >= PIXEL_DATA)
        rows, cols, samples = (whole_number(path, dataset, key) for key in ("Rows", "Columns", "SamplesPerPixel"))
    except Exception:  # of pydicom, on a head that ends in the middle
        return 0
    check_size(path, rows, cols)
    return 2 * rows * cols * min(max(samples, 1), 3)


def _check_pixel_module(path: PathLike, dataset: Dataset, max_pixels: int) -> tuple[Bits, int]:
    """Bits and samples per pixel after checks of PS3.3 C.7.6.3; fills in what a lax writer left out."""
    photometric = dataset.PhotometricInterpretation = text(dataset, "PhotometricInterpretation")
    for key in ("Rows", "Columns", "BitsAllocated"):
        setattr(dataset, key, whole_number(path, dataset, key))
    missing = [
        key for key in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if not dataset[key].value
    ]
    check_file(path, not missing, f"no {', '.join(missing)}", "a complete image pixel module")
    frames = whole_number(path, dataset, "NumberOfFrames")
    check_file(path, frames <= 1, f"{frames} frames (multi-frame or tomosynthesis)", WANTED, NoMammogramError)
    check_size(path, dataset.Rows, dataset.Columns, max_pixels)
    samples = whole_number(path, dataset, "SamplesPerPixel") or 1
    grey = samples == 1 and photometric in ("MONOCHROME1", "MONOCHROME2")
    colour = samples == 3 and photometric.startswith(("RGB", "YBR"))
    check_file(path, grey or colour, f"{photometric} with {samples} samples a pixel", "MONOCHROME1 or MONOCHROME2")
    allocated = dataset.BitsAllocated
    stored = whole_number(path, dataset, "BitsStored") or allocated % 16  # 16 bits are seldom all used
    check_file(path, stored, "no BitsStored", "a complete image pixel module")
    high = whole_number(path, dataset, "HighBit") or stored - 1
    fits = allocated in (1, 8, 16) and 1 <= stored <= allocated and stored - 1 <= high < allocated
    got = f"BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}"
    check_file(path, fits, got, "8 or 16 bits allocated that hold the bits stored")
    dataset.SamplesPerPixel, dataset.BitsStored, dataset.HighBit, dataset.NumberOfFrames = samples, stored, high, 1
    representation = whole_number(path, dataset, "PixelRepresentation")
    check_file(path, representation in (0, 1), f"PixelRepresentation {representation}", "0 or 1")
    dataset.PixelRepresentation = representation
    # A HighBit above the stored bits only means something where cells are stored as such.
    as_such = dataset.file_meta.TransferSyntaxUID in (*uid.UncompressedTransferSyntaxes, uid.RLELossless)
    return Bits(stored, high + 1 - stored if as_such else 0, representation == 1), samples


def _check_length(path: PathLike, dataset: Dataset) -> bytes:
    """The code stream of compressed pixel data; b"" for others.

    Refused are native pixel data with more than a padding byte too many (pydicom notices what is missing), and
    compressed ones whose encapsulation is cut or whose size is not the header's: decoders notice a code stream that
    stops early, but not one of as many pixels in other rows and columns.
    """
    syntax, size = dataset.file_meta.TransferSyntaxUID, (dataset.Rows, dataset.Columns)
    data = dataset.PixelData
    check_file(path, isinstance(data, bytes), f"pixel data of VR {dataset['PixelData'].VR}", "OB or OW")
    if syntax in uid.UncompressedTransferSyntaxes:
        wanted = get_expected_length(dataset)
        got = f"{len(data)} bytes of pixel data for {size[0]} x {size[1]} px"
        check_file(path, len(data) <= wanted + 1, got, f"{wanted} bytes")
        return b""
    check_file(path, _fragments_end(data) == len(data), "fragments of wrong lengths", "complete pixel data")
    try:
        frame = b"".join(generate_frames(data, number_of_frames=1))
    except Exception as error:
        raise MammogramReadError(path, f"broken encapsulation ({error})", "complete pixel data") from error
    inside = _code_stream_size(frame) if syntax in SIZED else size
    check_file(path, inside == size, f"a code stream of (rows, cols) {inside}", f"{size} as in the header")
    ends = syntax not in uid.JPEGLSTransferSyntaxes or frame.rstrip(b"\0").endswith(
        b"\xff\xd9"
    )  # CharLS tries for seconds without
    check_file(path, ends, f"a code stream that is cut ({syntax.name})", "complete pixel data")
    return frame


def _fragments_end(data: bytes) -> int:
    """Where the last whole item of encapsulated pixel data ends; beyond the data if that is cut."""
    place = 0
    while place + 8 <= len(data) and data[place : place + 4] == b"\xfe\xff\x00\xe0":
        place += 8 + int.from_bytes(data[place + 4 : place + 8], "little")
    return place


def _code_stream_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, cols) in the header of a JPEG, JPEG-LS or JPEG 2000 code stream; None if there is none."""
    if frame.startswith(b"\xff\x4f\xff\x51") and len(frame) >= 24:  # JPEG 2000
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        return bottom - top, right - left
    position = 2
    while frame[position : position + 1] == b"\xff" and position + 9 < len(frame):
        if frame[position + 1] in START_OF_FRAME:
            rows, cols = struct.unpack_from(">HH", frame, position + 5)
            return rows, cols
        fill_byte = frame[position + 1] == 0xFF
        position += 1 if fill_byte else 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None
