"""The one way in: mammogram files of every accepted format to a [0, 1] image with its metadata.

Files are recognised by their contents, never by their names.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.checks import check, check_number
from scripts.data.reader.dicom_file import check_is_mammogram, is_dicom, open_dataset, stored_codes, stored_values
from scripts.data.reader.dicom_grey_scale import look_up, presentation_table, why_blank
from scripts.data.reader.dicom_tags import IDENTITY, identity, spacing_candidates
from scripts.data.reader.errors import MammogramReadError, NoMammogramError, PathLike, check_file
from scripts.data.reader.geometry import IN_FILE_ORDER, plain_affine, rows_first_affine
from scripts.data.reader.nifti_file import HEADER_BYTES
from scripts.data.reader.pictures import picture_format, read_picture
from scripts.data.reader.plausible import (
    BYTES_PER_PIXEL,
    DICOM_RANGE_MM,
    FILE_RANGE_MM,
    Candidates,
    check_shows_something,
    check_size,
    choose_spacing,
    to_unit_range,
)

FORMATS = "DICOM, PNG, TIFF, JPEG or NIfTI"
MIN_MEMORY_MB = 1000  # the decoders' own code takes a third of it
MAX_TIME_LIMIT_S = 86400.0
Metadata = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """How mammogram files are read."""

    #: For DICOM: "auto" (VOI LUT, else the first valid window, else the full stored range), "none" (full stored
    #: range), the index of a window, or the explanation of a window or VOI LUT.
    voi: int | str = "auto"
    allow_for_processing: bool = False  # accept FOR PROCESSING (raw) DICOM images
    default_spacing_mm: float = 0.07  # pixel spacing where the file gives no believable one (with a warning)
    #: Read in a process apart (isolation.py), where a decoder may crash, hang or want all memory without harm.
    isolated: bool = True
    time_limit_s: float = 120.0  # for one file, isolated
    memory_limit_mb: int = 4000  # of the process apart; and what the whole run may need for an image bounds its size

    def __post_init__(self) -> None:
        voi, raw, mm = self.voi, self.allow_for_processing, self.default_spacing_mm
        named = isinstance(voi, str) and voi.strip()
        want = "'auto', 'none', a window index or a preset's name"
        check("voi", voi, named or (isinstance(voi, int) and not isinstance(voi, bool)), want)
        check("allow_for_processing", raw, isinstance(raw, bool), "true or false")
        check_number("default_spacing_mm", mm, "(0, inf)")
        check("isolated", self.isolated, isinstance(self.isolated, bool), "true or false")
        check_number("time_limit_s", self.time_limit_s, f"(0, {MAX_TIME_LIMIT_S:g}]")
        check_number("memory_limit_mb", self.memory_limit_mb, f"[{MIN_MEMORY_MB}, inf)", whole=True)

    @property
    def max_pixels(self) -> int:
        """The largest image for which `memory_limit_mb` are enough."""
        return self.memory_limit_mb * 10**6 // BYTES_PER_PIXEL


AS_SHOWN = Reading()


def read_mammogram(path: PathLike, reading: Reading = AS_SHOWN) -> tuple[np.ndarray, Metadata]:
    """One mammogram as it is meant to be shown, else MammogramReadError; in this process (see isolation.py).

    Gives float32 (rows, cols) in [0, 1], MCs bright, never mirrored; and the metadata of docs/data.md.
    """
    with _recognised(path) as kind:
        return _read_dicom(path, reading) if kind == "dicom" else _read_picture(path, kind, reading)


def read_values(path: PathLike) -> np.ndarray:
    """Stored values (rows, cols) of a label file, unscaled, turned as `read_mammogram` turns images; errors likewise.

    They have the file's own type, or int32 for 16-bit DICOM, which may be of any class with one frame.
    """
    with _recognised(path) as kind:
        if kind != "dicom":
            return read_picture(path, kind).values
        codes, bits = stored_codes(path, open_dataset(path))
        values = stored_values(bits, 8 * codes.dtype.itemsize)
        return look_up(values.astype(np.uint8) if values.min() >= 0 and values.max() < 256 else values, codes)


def mammogram_of_array(
    values: Any, spacing_mm: tuple[float, float] | None = None, reading: Reading = AS_SHOWN
) -> tuple[np.ndarray, Metadata]:
    """A mammogram that is in memory, numbers (rows, cols) with MCs bright, by the rules of picture files.

    `spacing_mm` is (row, col). Image and metadata as `read_mammogram` gives them; MammogramReadError likewise.
    """
    array = np.asarray(values)
    numbers = array.ndim == 2 and array.dtype.kind in "uif"
    check_file("image", numbers, f"an array of shape {array.shape} and type {array.dtype}", "numbers (rows, cols)")
    rows, cols = array.shape
    check_size("image", rows, cols, reading.max_pixels)
    image, bits = to_unit_range("image", array)
    check_shows_something("image", image)
    spacings: Candidates = [("given", spacing_mm)]
    image, meta = _with_metadata("array", image, "array", spacings, reading.default_spacing_mm, {"bits_stored": bits})
    believed = spacing_mm is None or meta["spacing_source"] == "given"
    check_file("spacing_mm", believed, str(spacing_mm), "(row, col) pixel size in mm of a mammogram of this size")
    return image, meta


@contextmanager
def _recognised(path: PathLike) -> Iterator[str]:
    """ "dicom" or a `picture_format`, by content; whatever a decoder then raises becomes a `MammogramReadError`."""
    file = Path(path)
    check_file(path, file.exists(), "no such file", FORMATS)
    check_file(path, file.is_file(), "a directory or device", f"one {FORMATS} file")
    try:
        with file.open("rb") as stream:
            head = stream.read(HEADER_BYTES)
    except OSError as error:
        raise MammogramReadError(path, f"an unreadable file ({error.strerror})", FORMATS) from error
    check_file(path, head, "an empty file", FORMATS)
    picture = "" if head[128:132] == b"DICM" else picture_format(path, head)  # a DICOM preamble may look like a TIFF
    check_file(path, picture or is_dicom(head), "contents of no known image format", FORMATS)
    kind = picture or "dicom"
    try:
        yield kind
    except MammogramReadError:
        raise
    except MemoryError as error:
        got = f"a {kind} file that needs more memory than is allowed"
        raise MammogramReadError(path, got, "a mammogram, or a higher reading::memory_limit_mb") from error
    except Exception as error:
        got = f"a damaged or unusual {kind} file ({type(error).__name__}: {error})"
        raise MammogramReadError(path, got, "a complete and valid file") from error


def _read_dicom(path: PathLike, reading: Reading) -> tuple[np.ndarray, Metadata]:
    dataset = open_dataset(path)
    check_is_mammogram(path, dataset, reading.allow_for_processing)
    codes, bits = stored_codes(path, dataset, reading.max_pixels)
    table, applied = presentation_table(path, dataset, bits, 8 * codes.dtype.itemsize, reading.voi)
    details = identity(dataset) | {
        "photometric": str(dataset.PhotometricInterpretation),
        "bits_stored": bits.stored,
        "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID),
        "voi_applied": applied,
    }
    spacings = spacing_candidates(path, dataset)
    image = look_up(table, codes)
    check_shows_something(path, image, lambda: why_blank(path, dataset, codes, bits, applied))
    return _with_metadata(path, image, "dicom", spacings, reading.default_spacing_mm, details)


def _read_picture(path: PathLike, kind: str, reading: Reading) -> tuple[np.ndarray, Metadata]:
    picture = read_picture(path, kind, reading.max_pixels)
    check_file(path, not picture.no_mammogram, picture.no_mammogram, "a mammogram in grey values", NoMammogramError)
    image, bits = to_unit_range(path, picture.values, picture.full_scale)
    check_shows_something(path, image)
    details = {"bits_stored": bits, **picture.layout}
    if picture.white_is_zero:
        image, details["photometric"] = 1.0 - image, "MONOCHROME1"
    spacings = [("zooms" if kind == "nifti" else "resolution tag", picture.spacing_mm)]
    return _with_metadata(path, image, kind, spacings, reading.default_spacing_mm, details)


def _with_metadata(
    path: PathLike, image: np.ndarray, kind: str, spacings: Candidates, default_mm: float, details: Metadata
) -> tuple[np.ndarray, Metadata]:
    """Image and complete metadata: the same keys for every format, values that data loaders can collate."""
    plausible_mm = DICOM_RANGE_MM if kind == "dicom" else FILE_RANGE_MM
    spacing_mm, source = choose_spacing(path, spacings, default_mm, plausible_mm, image.shape)
    rows, cols = image.shape
    meta: Metadata = {
        **dict.fromkeys(IDENTITY, ""),
        "photometric": "MONOCHROME2",
        "transfer_syntax": "",
        "voi_applied": "none",
        "file_affine": plain_affine(spacing_mm),
        "file_shape": (cols, rows),
        "file_axes": IN_FILE_ORDER,
        "file_flips": (False, False),
        **details,
        "file_format": kind,
        "spacing_mm": spacing_mm,
        "spacing_source": source,
        "spatial_shape": np.asarray([rows, cols]),
        "original_channel_dim": float("nan"),
        "filename_or_obj": os.fspath(path),
    }
    meta["affine"] = rows_first_affine(meta["file_affine"], (rows, cols), meta["file_axes"], meta["file_flips"])
    return np.ascontiguousarray(image), meta
