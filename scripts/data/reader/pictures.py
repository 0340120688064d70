"""PNG, TIFF, JPEG and NIfTI files (2-D, or 3-D with one slice): stored values, spacing and orientation."""

import gzip
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import nibabel as nib
import numpy as np
import tifffile
from PIL import Image

from scripts.data.reader.dicom_file import grey_channel
from scripts.data.reader.errors import MammogramReadError, PathLike, check_file
from scripts.data.reader.geometry import IN_FILE_ORDER, display_axes, from_file_axes
from scripts.data.reader.plausible import Spacing, check_size

MAGIC = {  # first bytes -> format
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    **dict.fromkeys((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"), "tiff"),
}
GZIP_MAGIC = b"\x1f\x8b"
NIFTI_HEADER_BYTES = 540
TIFF_MM_PER_UNIT = {2: 25.4, 3: 10.0}  # ResolutionUnit: inch, centimetre
NIFTI_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
SCREEN_DPI = 96.0  # what image programs fill in; it says nothing about the film

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """A picture as stored, in display order, and what its file states."""

    values: np.ndarray  # (rows, cols)
    spacing_mm: Spacing | None = None
    full_scale: int | None = None  # value of white
    white_is_zero: bool = False
    layout: Mapping[str, Any] = field(default_factory=dict)  # of a NIfTI: how it lay in the file (see geometry.py)


def picture_format(path: PathLike, head: bytes) -> str:
    """ "png", "jpeg", "tiff", "nifti", or "" for other contents; `head` are `NIFTI_HEADER_BYTES` or the whole file."""
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    return "nifti" if _nifti(path, head) else ""


def read_picture(path: PathLike, kind: str) -> Picture:
    """Read one picture of a `picture_format`: no scaling, and turned or mirrored only where a NIfTI says so.

    Colour, transparency, several pages or slices and absurd sizes are a MammogramReadError; decoders' own errors pass.
    """
    if kind == "tiff":
        return _read_tiff(path)
    return _read_nifti(path) if kind == "nifti" else _read_pillow(path, kind)


def _read_pillow(path: PathLike, kind: str) -> Picture:
    head = np.fromfile(path, np.uint8, count=26).tobytes()
    with Image.open(path, formats=(kind,)) as image:
        check_size(path, image.height, image.width)
        dpi = image.info.get("dpi")
        spacing = _from_resolution(float(dpi[1]), float(dpi[0]), 25.4) if dpi else None
        depth, colour_type = (head[24], head[25]) if kind == "png" else (8, 0)  # of the IHDR chunk
        if depth == 16 and colour_type != 0:  # Pillow would halve the depth
            values = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
            check_file(path, values is not None, "a damaged PNG", "a complete file")
        else:
            values = np.asarray(image)
    values = _one_channel(path, values)
    if values.dtype == bool:
        return Picture(values.astype(np.uint8), spacing, 1)
    if depth < 8 and colour_type == 0:  # Pillow spreads 2 and 4 bits over 0..255
        return Picture(values // (255 // (2**depth - 1)), spacing, 2**depth - 1)
    return Picture(values, spacing)


def _read_tiff(path: PathLike) -> Picture:
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and not page.is_reduced]
        check_file(path, len(pages) == 1 and pages[0].imagedepth <= 1, f"a TIFF of {len(pages)} pages", "one page")
        page = pages[0]
        check_size(path, page.imagelength, page.imagewidth)
        white_is_zero = int(page.photometric) == 0
        spacing, depth = _tiff_spacing(page), page.bitspersample
        try:
            values = page.asarray()
        except ValueError as error:  # LZW and others need a codec that tifffile lacks and Pillow has
            if "imagecodecs" not in str(error):
                raise
            values = None
    if values is None:
        if white_is_zero or (depth > 8 and page.samplesperpixel > 1):
            raise MammogramReadError(path, f"an unusual TIFF ({page.compression!s})", "no or Deflate compression")
        with Image.open(path, formats=("tiff",)) as image:
            values = np.asarray(image)
    if page.planarconfig == 2 and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    values = _one_channel(path, values)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    stated = np.issubdtype(values.dtype, np.integer) and (depth < 8 or white_is_zero)
    return Picture(values, spacing, 2**depth - 1 if stated else None, white_is_zero)


def _tiff_spacing(page: tifffile.TiffPage) -> Spacing | None:
    y_tag, x_tag, unit = (page.tags.get(name) for name in ("YResolution", "XResolution", "ResolutionUnit"))
    if y_tag is None or x_tag is None:
        return None
    mm = TIFF_MM_PER_UNIT.get(int(unit.value) if unit is not None else 2)
    rows, cols = (n / d if d else 0.0 for n, d in (y_tag.value, x_tag.value))
    return None if mm is None else _from_resolution(rows, cols, mm)


def _from_resolution(rows: float, cols: float, mm: float) -> Spacing | None:
    """Spacing of a resolution in px per unit of `mm`; None for a screen's or an unusable one."""
    if min(rows, cols) <= 0 or not (math.isfinite(rows) and math.isfinite(cols)):
        return None
    of_a_screen = all(abs(25.4 / mm * value - SCREEN_DPI) < 0.5 for value in (rows, cols))
    return None if of_a_screen else (mm / rows, mm / cols)


def _one_channel(path: PathLike, values: np.ndarray) -> np.ndarray:
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


def _nifti(path: PathLike, head: bytes) -> type[nib.Nifti1Image] | None:
    """The class of a single-file NIfTI, compressed or not; None for other contents."""
    if head.startswith(GZIP_MAGIC):
        try:
            with gzip.open(path) as file:
                head = file.read(NIFTI_HEADER_BYTES)
        except (OSError, EOFError):
            return None
    if head[344:348] == b"n+1\x00":
        return nib.Nifti1Image
    return nib.Nifti2Image if head[4:8] == b"n+2\x00" else None


def _read_nifti(path: PathLike) -> Picture:
    """Without an orientation code nothing is turned: the file's first axis is taken along the columns."""
    with Path(path).open("rb") as raw:
        head = raw.read(NIFTI_HEADER_BYTES)
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if head.startswith(GZIP_MAGIC) else raw as stream:
            image = (_nifti(path, head) or nib.Nifti1Image).from_stream(stream)
            header, shape = image.header, tuple(int(n) for n in image.shape)
            one_plane = len(shape) >= 2 and all(n == 1 for n in shape[2:])
            check_file(path, one_plane, f"a NIfTI image of shape {shape}", "two dimensions or one slice")
            check_size(path, shape[1], shape[0])
            dtype = header.get_data_dtype()
            grey = dtype.fields is None and dtype.kind in "iuf"
            check_file(path, grey, f"NIfTI values of type {dtype}", "grey values")
            plane = np.asarray(image.dataobj).reshape(shape[:2])
    affine = np.asarray(image.affine, dtype=np.float64)
    axes, flips = IN_FILE_ORDER, (False, False)
    if int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0:
        orientation = display_axes(affine)
        if orientation is None:
            logger.warning("%s: the plane is oblique to the patient; rows and columns are left as stored", path)
        else:
            axes, flips = orientation
    zooms, mm = header.get_zooms(), NIFTI_MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    spacing = (float(zooms[axes[0]]) * mm, float(zooms[axes[1]]) * mm)
    layout = {"file_affine": affine, "file_shape": shape, "file_axes": axes, "file_flips": flips}
    return Picture(from_file_axes(plane, axes, flips), spacing, layout=layout)
