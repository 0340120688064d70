"""Any annotation of a data list -> one label mask.

A label is uint8 (rows, cols): 0 background, 1 microcalcification (MC), 2 ignore (a region known to hold MCs that
are not labelled one by one; never a negative, never a positive).

====================  ================================================================================
file                  meaning
====================  ================================================================================
``.xml``              INbreast plist (`scripts.data.labels.inbreast_xml`)
``.csv``, ``.json``   points (`scripts.data.labels.points`)
anything else         mask image: PNG, TIFF, NIfTI, DICOM, DICOM SEG. Non-zero is MC, be it 1 or 255; only in a
                      mask whose highest value is 2 does 2 mean ignore
====================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from scripts.common.labels import BACKGROUND, IGNORE, MC
from scripts.data.labels.inbreast_xml import read_rois, rois_to_label
from scripts.data.labels.points import points_to_label, read_points
from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.mammogram_reader import read_values
from scripts.data.splits import ANNOTATIONS

LOSSY_SUFFIXES = (".jpg", ".jpeg")
SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66."  # .4 binary or fractional, .7 label map


def load_label(
    label: str | Path | Sequence[str | Path] | None,
    shape: tuple[int, int],
    spacing_mm: tuple[float, float],
    annotation: str = "full",
    contour: str = "spline",
) -> np.ndarray:
    """Load the label of one item of a data list.

    Args:
        label: the item's "label": a path, several paths (merged: MC over ignore over background), or "" for none.
        shape: (rows, cols) of the item's image.
        spacing_mm: (row, col) mm per px of the item's image; only points in mm and diameters use it.
        annotation: the item's "annotation". With "clusters_only" every labelled pixel of a mask or points file is 2
            (ignore): such files mark regions, and nothing but this key tells them from masks of single MCs. XML
            files say for themselves what they mark.
        contour: how INbreast contours are drawn, "spline" or "polygon".

    Returns:
        uint8 (rows, cols) of 0, 1, 2.

    Raises:
        MammogramReadError: a file is missing, malformed, or does not fit `shape`; the message names it.
        ValueError: an unknown annotation or contour.
    """
    if annotation not in ANNOTATIONS:
        raise ValueError(f"annotation: got {annotation!r}; want one of {ANNOTATIONS}")
    paths = [label] if isinstance(label, str | Path) else list(label or ())
    merged = np.full(shape, BACKGROUND, np.uint8)
    for path in paths:
        if str(path):
            merged = merge_labels(merged, _load_one(Path(path), shape, spacing_mm, annotation, contour))
    return merged


def merge_labels(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Merge two labels (rows, cols) pixel by pixel: MC (1) over ignore (2) over background (0)."""
    return np.where((first == MC) | (second == MC), MC, np.maximum(first, second)).astype(np.uint8)


def read_mask(path: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Read the stored values of a mask image that belongs to an image of `shape`.

    All segments of a DICOM SEG are merged; a fractional one is cut at half of its maximum.

    Returns:
        (rows, cols) array of the stored values, in the orientation of the image.

    Raises:
        MammogramReadError: the file is missing, lossy (JPEG: its artefacts would be MCs), or of another shape.
    """
    if not Path(path).is_file():
        raise MammogramReadError(path, "no such file", "a label file")
    if Path(path).suffix.lower() in LOSSY_SUFFIXES:
        raise MammogramReadError(path, "a JPEG mask", "a lossless file: PNG, TIFF, NIfTI or DICOM")
    segmentation = _open_segmentation(path)
    values = read_values(path) if segmentation is None else _merge_segments(segmentation)
    if values.shape != tuple(shape):
        raise MammogramReadError(path, f"a mask of shape {values.shape}", f"{tuple(shape)}, the shape of its image")
    return values


def mask_to_label(values: np.ndarray, annotation: str = "full", source: str | Path = "mask") -> np.ndarray:
    """Stored mask values -> label; see the module's table and `load_label`.

    Raises:
        MammogramReadError: negative or non-finite values, naming `source`.
    """
    if not np.isfinite(values).all() or values.min(initial=0) < 0:
        raise MammogramReadError(source, "negative or non-finite mask values", "0 background, non-zero MC, or 0, 1, 2")
    label = np.where(values > 0, IGNORE if annotation == "clusters_only" else MC, BACKGROUND).astype(np.uint8)
    if values.max(initial=0) == IGNORE:
        label[values == IGNORE] = IGNORE
    return label


def _load_one(
    path: Path, shape: tuple[int, int], spacing_mm: tuple[float, float], annotation: str, contour: str
) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return rois_to_label(read_rois(path), shape, contour, source=path)
    if suffix in (".csv", ".json"):
        label = points_to_label(read_points(path), shape, spacing_mm, source=path)
        return mask_to_label(label, annotation)
    return mask_to_label(read_mask(path, shape), annotation, source=path)


def _open_segmentation(path: str | Path) -> pydicom.Dataset | None:
    """The data set of a DICOM SEG, None for any other file."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    except (InvalidDicomError, OSError):
        return None
    if not str(header.get("SOPClassUID", "")).startswith(SEGMENTATION_STORAGE):
        return None
    return pydicom.dcmread(path)


def _merge_segments(segmentation: pydicom.Dataset) -> np.ndarray:
    frames = np.asarray(segmentation.pixel_array)
    frames = frames.reshape(-1, *frames.shape[-2:])
    if segmentation.get("SegmentationType") == "FRACTIONAL":
        frames = 2 * frames.astype(np.uint16) >= segmentation.MaximumFractionalValue
    return (frames != 0).any(axis=0).astype(np.uint8)
