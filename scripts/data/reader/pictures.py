"""PNG, TIFF, JPEG and NIfTI files (2-D, or 3-D with one slice): stored values, spacing and orientation."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from scripts.data.reader.errors import PathLike, check_file
from scripts.data.reader.jpeg_stream import check_jpeg
from scripts.data.reader.nifti_file import nifti_class, read_nifti
from scripts.data.reader.picture import Picture, from_resolution, one_channel
from scripts.data.reader.plausible import MAX_PIXELS, check_size
from scripts.data.reader.png_file import check_png
from scripts.data.reader.tiff_file import read_tiff

MAGIC = {  # first bytes -> format
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    **dict.fromkeys((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"), "tiff"),
}


def picture_format(path: PathLike, head: bytes) -> str:
    """ "png", "jpeg", "tiff", "nifti", or "" for other contents; `head` are 540 bytes or the whole file."""
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    return "nifti" if nifti_class(path, head) else ""


def read_picture(path: PathLike, kind: str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read one picture of a `picture_format`: no scaling, and turned or mirrored only where a NIfTI says so.

    Colour, transparency, several pages or slices, damage and absurd sizes are a MammogramReadError; decoders' own
    errors pass.
    """
    if kind == "tiff":
        return read_tiff(path, max_pixels)
    return read_nifti(path, max_pixels) if kind == "nifti" else _read_pillow(path, kind, max_pixels)


def _read_pillow(path: PathLike, kind: str, max_pixels: int) -> Picture:
    data = Path(path).read_bytes()
    with Image.open(path, formats=(kind,)) as image:
        check_size(path, image.height, image.width, max_pixels)
        grey_or_rgb = image.mode != "CMYK"
        check_file(path, grey_or_rgb, "a CMYK image", "grey values (or three identical channels)")
        if kind == "png":
            no_mammogram = check_png(path, data)
        else:
            no_mammogram = ""
            check_jpeg(path, data)
        dpi = image.info.get("dpi")
        spacing = from_resolution(float(dpi[1]), float(dpi[0]), 25.4) if dpi else None
        depth, colour_type = (data[24], data[25]) if kind == "png" else (8, 0)  # of the IHDR chunk
        if depth == 16 and colour_type != 0:  # Pillow would halve the depth
            values = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
            check_file(path, values is not None, "a damaged PNG", "a complete file")
        else:
            values = np.asarray(image)
    values = one_channel(path, values)
    if values.dtype == bool:
        return Picture(values.astype(np.uint8), spacing, 1, no_mammogram=no_mammogram)
    if depth < 8 and colour_type == 0:  # Pillow spreads 2 and 4 bits over 0..255
        return Picture(values // (255 // (2**depth - 1)), spacing, 2**depth - 1, no_mammogram=no_mammogram)
    return Picture(values, spacing, no_mammogram=no_mammogram)
