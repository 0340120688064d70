"""The one way in: mammogram files of every accepted format to a [0, 1] image with its metadata.

Files are recognised by their contents, never by their names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader
from monai.utils import ensure_tuple

from scripts.data.reader.dicom_file import check_is_mammogram, is_dicom, open_dataset, stored_codes, stored_values
from scripts.data.reader.dicom_pixels import look_up, presentation_table
from scripts.data.reader.dicom_tags import IDENTITY, identity, spacing_candidates
from scripts.data.reader.errors import MammogramReadError, PathLike
from scripts.data.reader.geometry import IN_FILE_ORDER, plain_affine, rows_first_affine
from scripts.data.reader.intensity import to_unit_range
from scripts.data.reader.nifti import HEADER_BYTES, nifti_version, read_nifti
from scripts.data.reader.raster import raster_format, read_raster
from scripts.data.reader.spacing import DICOM_RANGE_MM, FILE_RANGE_MM, choose_spacing

FORMATS = "DICOM, PNG, TIFF, JPEG or NIfTI"
Metadata = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """How mammogram files are read.

    Attributes:
        voi: for DICOM: "auto" (VOI LUT, else the first valid window, else the full stored range), "none" (full stored
            range), the index of a window, or the explanation of a window or VOI LUT.
        allow_for_processing: accept FOR PROCESSING (raw) DICOM images.
        default_spacing_mm: pixel spacing in mm where the file gives no believable one (with a warning).

    Raises:
        ValueError: a value outside its domain.
    """

    voi: int | str = "auto"
    allow_for_processing: bool = False
    default_spacing_mm: float = 0.07

    def __post_init__(self) -> None:
        voi, mm = self.voi, self.default_spacing_mm
        if isinstance(voi, bool) or not isinstance(voi, int | str) or (isinstance(voi, str) and not voi.strip()):
            raise ValueError(f"voi: got {voi!r}; want 'auto', 'none', a window index or a preset's name")
        if not isinstance(self.allow_for_processing, bool):
            raise ValueError(f"allow_for_processing: got {self.allow_for_processing!r}; want true or false")
        if isinstance(mm, bool) or not isinstance(mm, int | float) or not (math.isfinite(mm) and mm > 0):
            raise ValueError(f"default_spacing_mm: got {mm!r}; want a positive number of mm")


AS_SHOWN = Reading()


def read_mammogram(path: PathLike, reading: Reading = AS_SHOWN) -> tuple[np.ndarray, Metadata]:
    """Read one mammogram as it is meant to be shown.

    Args:
        path: a DICOM, PNG, TIFF, JPEG or NIfTI file.
        reading: how.

    Returns:
        float32 (rows, cols) in [0, 1], MCs bright, never mirrored; and the metadata of docs/data.md.

    Raises:
        MammogramReadError: names the file, what it holds and what is wanted.
    """
    kind, version = _recognise(path)
    with _decoding(path, kind):
        if kind == "dicom":
            return _read_dicom(path, reading)
        if kind == "nifti":
            return _read_nifti(path, version, reading)
        return _read_raster(path, kind, reading)


def read_values(path: PathLike) -> np.ndarray:
    """Stored values of a label file (PNG, TIFF, JPEG, NIfTI, DICOM), unscaled, turned as `read_mammogram` turns images.

    Args:
        path: the file; a DICOM may be of any class with one frame (a binary segmentation, too).

    Returns:
        (rows, cols) of the file's own type, or int32 for 16-bit DICOM.

    Raises:
        MammogramReadError: as `read_mammogram`.
    """
    kind, version = _recognise(path)
    with _decoding(path, kind):
        if kind == "dicom":
            codes, bits = stored_codes(path, open_dataset(path))
            values = stored_values(bits, 8 * codes.dtype.itemsize)
            return look_up(values.astype(np.uint8) if values.min() >= 0 and values.max() < 256 else values, codes)
        return read_nifti(path, version).values if kind == "nifti" else read_raster(path, kind).values


class MammogramReader(ImageReader):
    """`read_mammogram` as a MONAI reader (`LoadImaged(reader=..., ...)`).

    Unlike MONAI's own readers it returns rows first; meta["affine"] accounts for that, so physical geometry stays
    right. The file is read in `get_data`: when `read` fails, MONAI tries its other readers, and those would accept
    what is refused here.

    Args:
        reading: see `Reading`.
        kwargs: none is known; a misspelt key is an error rather than ignored.

    Raises:
        ValueError: an unknown argument, or `reading` is no `Reading`.
    """

    def __init__(self, reading: Reading = AS_SHOWN, **kwargs: Any) -> None:
        super().__init__()
        if kwargs:  # no TypeError: MONAI would answer that by dropping all arguments
            raise ValueError(f"MammogramReader: got unknown arguments {sorted(kwargs)}; want reading")
        if not isinstance(reading, Reading):
            raise ValueError(f"reading: got {reading!r}; want a Reading")
        self.reading = reading

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Always True: contents decide, not names."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[PathLike, ...]:
        """The path as a tuple; nothing is opened yet."""
        return ensure_tuple(data)

    def get_data(self, img: Sequence[PathLike] | PathLike) -> tuple[np.ndarray, Metadata]:
        """Read what `read` returned; see `read_mammogram`.

        Raises:
            MammogramReadError: an unusable file, or several files for one image.
        """
        paths = ensure_tuple(img)
        if len(paths) != 1:
            raise MammogramReadError(str(paths), f"{len(paths)} files for one image", "one file")
        return read_mammogram(paths[0], self.reading)


def _recognise(path: PathLike) -> tuple[str, int]:
    """Format by content, and the version of a NIfTI."""
    file = Path(path)
    if not file.exists():
        raise MammogramReadError(path, "no such file", FORMATS)
    if not file.is_file():
        raise MammogramReadError(path, "a directory or device", f"one {FORMATS} file")
    try:
        with file.open("rb") as stream:
            head = stream.read(HEADER_BYTES)
    except OSError as error:
        raise MammogramReadError(path, f"an unreadable file ({error.strerror})", FORMATS) from error
    if not head:
        raise MammogramReadError(path, "an empty file", FORMATS)
    if head[128:132] == b"DICM":  # first: its preamble may look like a TIFF
        return "dicom", 0
    if kind := raster_format(head):
        return kind, 0
    if version := nifti_version(path, head):
        return "nifti", version
    if is_dicom(head):
        return "dicom", 0
    raise MammogramReadError(path, "contents of no known image format", FORMATS)


@contextmanager
def _decoding(path: PathLike, kind: str) -> Iterator[None]:
    """Whatever a decoder makes of a damaged file becomes a `MammogramReadError`."""
    try:
        yield
    except MammogramReadError:
        raise
    except Exception as error:
        got = f"a damaged or unusual {kind} file ({type(error).__name__}: {error})"
        raise MammogramReadError(path, got, "a complete and valid file") from error


def _read_dicom(path: PathLike, reading: Reading) -> tuple[np.ndarray, Metadata]:
    dataset = open_dataset(path)
    check_is_mammogram(path, dataset, reading.allow_for_processing)
    codes, bits = stored_codes(path, dataset)
    table, applied = presentation_table(path, dataset, bits, 8 * codes.dtype.itemsize, reading.voi)
    spacings = spacing_candidates(path, dataset)
    details = identity(dataset) | {
        "photometric": str(dataset.PhotometricInterpretation),
        "bits_stored": bits.stored,
        "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID),
        "voi_applied": applied,
    }
    spacing = choose_spacing(path, spacings, reading.default_spacing_mm, DICOM_RANGE_MM, codes.shape)
    return _with_metadata(path, look_up(table, codes), "dicom", spacing, details)


def _read_raster(path: PathLike, kind: str, reading: Reading) -> tuple[np.ndarray, Metadata]:
    raster = read_raster(path, kind)
    image, bits = to_unit_range(path, raster.values, raster.full_scale)
    details: Metadata = {"bits_stored": bits}
    if raster.white_is_zero:
        image, details["photometric"] = 1.0 - image, "MONOCHROME1"
    spacings = [("resolution tag", raster.spacing_mm)]
    spacing = choose_spacing(path, spacings, reading.default_spacing_mm, FILE_RANGE_MM, image.shape)
    return _with_metadata(path, image, kind, spacing, details)


def _read_nifti(path: PathLike, version: int, reading: Reading) -> tuple[np.ndarray, Metadata]:
    nifti = read_nifti(path, version)
    image, bits = to_unit_range(path, nifti.values)
    details = {"bits_stored": bits, "file_affine": nifti.affine, "file_shape": nifti.shape}
    details |= {"file_axes": nifti.axes, "file_flips": nifti.flips}
    spacings = [("zooms", nifti.spacing_mm)]
    spacing = choose_spacing(path, spacings, reading.default_spacing_mm, FILE_RANGE_MM, image.shape)
    return _with_metadata(path, image, "nifti", spacing, details)


def _with_metadata(
    path: PathLike, image: np.ndarray, kind: str, spacing: tuple[tuple[float, float], str], details: Metadata
) -> tuple[np.ndarray, Metadata]:
    """Image and complete metadata: the same keys for every format, values that data loaders can collate."""
    rows, cols = image.shape
    meta: Metadata = {
        **dict.fromkeys(IDENTITY, ""),
        "photometric": "MONOCHROME2",
        "transfer_syntax": "",
        "voi_applied": "none",
        "file_affine": plain_affine(spacing[0]),
        "file_shape": (cols, rows),
        "file_axes": IN_FILE_ORDER,
        "file_flips": (False, False),
        **details,
        "file_format": kind,
        "spacing_mm": spacing[0],
        "spacing_source": spacing[1],
        "spatial_shape": np.asarray([rows, cols]),
        "original_channel_dim": float("nan"),
        "filename_or_obj": os.fspath(path),
    }
    meta["affine"] = rows_first_affine(meta["file_affine"], (rows, cols), meta["file_axes"], meta["file_flips"])
    return np.ascontiguousarray(image), meta
