"""A NIfTI file of one plane, compressed or not."""

import gzip
import io
import logging
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from scripts.common.text import printable
from scripts.data.reader.errors import PathLike, check_file
from scripts.data.reader.geometry import IN_FILE_ORDER, display_axes, from_file_axes
from scripts.data.reader.picture import Picture
from scripts.data.reader.plausible import MAX_PIXELS, check_size

GZIP_MAGIC = b"\x1f\x8b"
HEADER_BYTES = 540
MAX_EXTENSION_BYTES = 16 << 20  # between header and values
MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
RESULT = b"microcalcification "  # what the description of our own masks and maps begins with

logger = logging.getLogger(__name__)


def nifti_class(path: PathLike, head: bytes) -> type[nib.Nifti1Image] | None:
    """The class of a single-file NIfTI that begins with `head`, compressed or not; None for other contents."""
    if head.startswith(GZIP_MAGIC):
        try:
            with gzip.open(path) as file:
                head = file.read(HEADER_BYTES)
        except (OSError, EOFError, zlib.error):
            return None
    if head[344:348] == b"n+1\x00":
        return nib.Nifti1Image
    return nib.Nifti2Image if head[4:8] == b"n+2\x00" else None


def read_nifti(path: PathLike, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read one plane. Without an orientation code nothing is turned: the file's first axis is taken along the columns.

    A header that contradicts the length of the file, NaN or zero spacing and a wrong gzip checksum are a
    MammogramReadError; nibabel's own errors pass.
    """
    with Path(path).open("rb") as raw:
        head = raw.read(HEADER_BYTES)
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if head.startswith(GZIP_MAGIC) else raw as stream:
            kind = nifti_class(path, head) or nib.Nifti1Image
            header = kind.header_class(_exactly(stream, kind.header_class.template_dtype.itemsize))
            shape, dtype = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
            one_plane = len(shape) >= 2 and all(n == 1 for n in shape[2:])
            check_file(path, one_plane, f"a NIfTI image of shape {shape}", "two dimensions or one slice")
            check_size(path, shape[1], shape[0], max_pixels)
            check_file(
                path, dtype.fields is None and dtype.kind in "iuf", f"NIfTI values of type {dtype}", "grey values"
            )
            scaling = [float(header[key]) for key in ("scl_slope", "scl_inter")]  # NaN is none
            check_file(path, not np.isinf(scaling).any(), f"NIfTI scaling {scaling}", "finite numbers")
            start = int(header.get_data_offset())
            got = f"NIfTI values from byte {start} on"
            check_file(path, start <= MAX_EXTENSION_BYTES, got, f"at most {MAX_EXTENSION_BYTES}")
            stream.seek(0)
            image = kind.from_stream(stream)
            plane = np.asarray(image.dataobj).reshape(shape[:2])
            stream.seek(start + shape[0] * shape[1] * dtype.itemsize)
            more = stream.read(1)  # at the end gzip compares its checksum
            check_file(path, not more, f"a NIfTI longer than its shape {shape} asks for", "its size")
    affine = np.asarray(image.affine, dtype=np.float64)
    zooms, mm = header.get_zooms(), MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    steps = [*np.linalg.norm(affine[:3, :2], axis=0), *map(float, zooms[:2])]
    sound = np.all(np.isfinite(affine)) and np.all(np.isfinite(steps)) and min(steps) > 0
    check_file(path, sound, "a NIfTI with zero or infinite spacing, or NaN", "an affine and zooms in mm")
    axes, flips = IN_FILE_ORDER, (False, False)
    if int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0:
        orientation = display_axes(affine)
        if orientation is None:
            logger.warning(
                "%s: the plane is oblique to the patient; rows and columns are left as stored", printable(path)
            )
        else:
            axes, flips = orientation
    spacing = (float(zooms[axes[0]]) * mm, float(zooms[axes[1]]) * mm)
    layout = {"file_affine": affine, "file_shape": shape, "file_axes": axes, "file_flips": flips}
    ours = bytes(header["descrip"]).startswith(RESULT)
    no_mammogram = "a result of this bundle (a mask, instances or a map)" if ours else ""
    return Picture(from_file_axes(plane, axes, flips), spacing, layout=layout, no_mammogram=no_mammogram)


def _exactly(stream: io.BufferedIOBase, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the header is cut")
    return data
