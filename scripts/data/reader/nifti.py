"""NIfTI files (2-D, or 3-D with one slice): stored values, orientation and spacing."""

import gzip
import logging
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from scripts.data.reader.errors import PathLike, check_file
from scripts.data.reader.geometry import IN_FILE_ORDER, display_axes, from_file_axes
from scripts.data.reader.plausible import Spacing, check_size

GZIP_MAGIC = b"\x1f\x8b"
HEADER_BYTES = 540
MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Nifti:
    """Scaled values as shown, and how they lay in the file (see geometry.py)."""

    values: np.ndarray  # (rows, cols)
    spacing_mm: Spacing
    affine: np.ndarray
    shape: tuple[int, ...]
    axes: tuple[int, int]
    flips: tuple[bool, bool]


def nifti_version(path: PathLike, head: bytes) -> int:
    """1 or 2 for a single-file NIfTI, compressed or not; 0 for other contents."""
    if head.startswith(GZIP_MAGIC):
        try:
            with gzip.open(path) as file:
                head = file.read(HEADER_BYTES)
        except (OSError, EOFError):
            return 0
    if head[344:348] == b"n+1\x00":
        return 1
    return 2 if head[4:8] == b"n+2\x00" else 0


def read_nifti(path: PathLike, version: int) -> Nifti:
    """Read one plane and turn it to display order where the file states its orientation.

    Without an orientation code nothing is turned: the file's first axis is taken along the columns. Several slices,
    colour and absurd sizes are a MammogramReadError; errors of nibabel pass through.
    """
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    with Path(path).open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if packed else raw as stream:
            image = kind.from_stream(stream)
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
    zooms, mm = header.get_zooms(), MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    spacing = (float(zooms[axes[0]]) * mm, float(zooms[axes[1]]) * mm)
    return Nifti(from_file_axes(plane, axes, flips), spacing, affine, shape, axes, flips)
