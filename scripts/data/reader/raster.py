"""PNG, TIFF and JPEG files: stored values and resolution."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

from scripts.data.reader.dicom_file import grey_channel
from scripts.data.reader.errors import MammogramReadError, PathLike, check_file
from scripts.data.reader.plausible import Spacing, check_size

MAGIC = {  # first bytes -> format
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    **dict.fromkeys((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"), "tiff"),
}
MM_PER_UNIT = {2: 25.4, 3: 10.0}  # TIFF ResolutionUnit: inch, centimetre
WHITE_IS_ZERO = 0  # TIFF PhotometricInterpretation
SCREEN_DPI = 96.0  # what image programs fill in; it says nothing about the film


@dataclass(frozen=True)
class Raster:
    """A picture as stored, and what its file states."""

    values: np.ndarray  # (rows, cols)
    spacing_mm: Spacing | None = None
    full_scale: int | None = None  # value of white
    white_is_zero: bool = False


def raster_format(head: bytes) -> str:
    """ "png", "jpeg", "tiff", or "" for other contents."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")


def read_raster(path: PathLike, kind: str) -> Raster:
    """Read one picture of a `raster_format` without scaling, rotating or mirroring it.

    Colour, transparency, several pages and absurd sizes are a MammogramReadError; errors of the decoders pass through.
    """
    return _read_tiff(path) if kind == "tiff" else _read_pillow(path, kind)


def _read_pillow(path: PathLike, kind: str) -> Raster:
    with Image.open(path, formats=(kind,)) as image:
        check_size(path, image.height, image.width)
        dpi = image.info.get("dpi")
        spacing = _from_resolution(float(dpi[1]), float(dpi[0]), 25.4) if dpi else None
        depth, colour_type = _png_header(path) if kind == "png" else (8, 0)
        if depth == 16 and colour_type != 0:  # Pillow would halve the depth
            values = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
            check_file(path, values is not None, "a damaged PNG", "a complete file")
        else:
            values = np.asarray(image)
    values = _one_channel(path, values)
    if values.dtype == bool:
        return Raster(values.astype(np.uint8), spacing, 1)
    if depth < 8 and colour_type == 0:  # Pillow spreads 2 and 4 bits over 0..255
        return Raster(values // (255 // (2**depth - 1)), spacing, 2**depth - 1)
    return Raster(values, spacing)


def _read_tiff(path: PathLike) -> Raster:
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and not page.is_reduced]
        check_file(path, len(pages) == 1 and pages[0].imagedepth <= 1, f"a TIFF of {len(pages)} pages", "one page")
        page = pages[0]
        check_size(path, page.imagelength, page.imagewidth)
        white_is_zero = int(page.photometric) == WHITE_IS_ZERO
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
    integer = np.issubdtype(values.dtype, np.integer)
    return Raster(values, spacing, 2**depth - 1 if integer and (depth < 8 or white_is_zero) else None, white_is_zero)


def _tiff_spacing(page: tifffile.TiffPage) -> Spacing | None:
    y_tag, x_tag, unit = (page.tags.get(name) for name in ("YResolution", "XResolution", "ResolutionUnit"))
    if y_tag is None or x_tag is None:
        return None
    mm = MM_PER_UNIT.get(int(unit.value) if unit is not None else 2)
    rows, cols = (n / d if d else 0.0 for n, d in (y_tag.value, x_tag.value))
    return None if mm is None else _from_resolution(rows, cols, mm)


def _from_resolution(rows: float, cols: float, mm: float) -> Spacing | None:
    """Spacing of a resolution in px per unit of `mm`; None for a screen's or an unusable one."""
    if min(rows, cols) <= 0 or not (math.isfinite(rows) and math.isfinite(cols)):
        return None
    if all(abs(25.4 / mm * value - SCREEN_DPI) < 0.5 for value in (rows, cols)):
        return None
    return mm / rows, mm / cols


def _png_header(path: PathLike) -> tuple[int, int]:
    """Bit depth and colour type of the IHDR chunk."""
    with Path(path).open("rb") as file:
        header = file.read(26)
    return header[24], header[25]


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
