"""Any annotation of a data list -> one label mask.

A label is uint8 (rows, cols): 0 background, 1 microcalcification (MC), 2 ignore (a region known to hold MCs that
are not labelled one by one; never a negative, never a positive). Annotation files are

- ``.xml``: INbreast plist (`scripts.data.labels.inbreast_xml`);
- ``.csv``, ``.json``: points (`scripts.data.labels.points`);
- anything else: mask image (PNG, TIFF, NIfTI, NRRD, DICOM, DICOM SEG). Non-zero is MC, be it 1 or 255; only in a mask
  whose highest value is 2 does 2 mean ignore.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scripts.common.checks import check
from scripts.common.labels import BACKGROUND, IGNORE, MC
from scripts.data.labels.dicom_seg import read_seg_mask
from scripts.data.labels.inbreast_xml import read_rois, rois_to_label
from scripts.data.labels.nrrd import is_nrrd, read_nrrd_mask
from scripts.data.labels.points import points_to_label
from scripts.data.reader.errors import check_file
from scripts.data.reader.mammogram_reader import read_values
from scripts.data.splits import ANNOTATIONS


def load_label(
    label: str | Path | Sequence[str | Path] | None,
    shape: tuple[int, int],
    spacing_mm: tuple[float, float],
    annotation: str = "full",
    contour: str = "spline",
) -> np.ndarray:
    """Load the label, uint8 (rows, cols) of 0, 1, 2, of one item of a data list.

    It has the (rows, cols) `shape` of the item's image; MammogramReadError names a file that is missing, malformed, or
    does not fit it. Several paths are merged, MC over ignore over background; "" is none. Only points in mm and
    diameters use `spacing_mm`, (row, col). INbreast contours are drawn as "spline" or "polygon".

    With the annotation "clusters_only" every labelled pixel of a mask or points file is 2 (ignore): such files mark
    regions, and nothing but this key tells them from masks of single MCs. XML files say for themselves what they mark.
    """
    check("annotation", annotation, annotation in ANNOTATIONS, f"one of {ANNOTATIONS}")
    paths = [label] if isinstance(label, str | Path) else list(label or ())
    merged = np.full(shape, BACKGROUND, np.uint8)
    for path in paths:
        if str(path):
            merged = merge_labels(merged, _load_one(Path(path), shape, spacing_mm, annotation, contour))
    return merged


def merge_labels(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Merge two labels (rows, cols) pixel by pixel: MC (1) over ignore (2) over background (0)."""
    return np.where((first == MC) | (second == MC), MC, np.maximum(first, second)).astype(np.uint8)


def mask_to_label(values: np.ndarray, annotation: str = "full", source: str | Path = "mask") -> np.ndarray:
    """Stored mask values -> label (see the module and `load_label`); errors name `source`."""
    valid = np.isfinite(values).all() and values.min(initial=0) >= 0
    check_file(source, valid, "negative or non-finite mask values", "0 background, non-zero MC, or 0, 1, 2")
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
        return mask_to_label(points_to_label(path, shape, spacing_mm), annotation)
    return mask_to_label(_read_mask(path, shape), annotation, source=path)


def _read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Stored values (rows, cols) of a mask, in the orientation of its image, which has this shape.

    The segments of a DICOM SEG that are MCs are merged (see dicom_seg.py).
    """
    check_file(path, path.is_file(), "no such file", "a label file")
    lossy = path.suffix.lower() in (".jpg", ".jpeg")  # artefacts would be MCs
    check_file(path, not lossy, "a JPEG mask", "a lossless file: PNG, TIFF, NIfTI, NRRD or DICOM")
    values = read_nrrd_mask(path, shape) if is_nrrd(path) else read_seg_mask(path, shape)
    if values is None:
        values = read_values(path)
    fits = values.shape == tuple(shape)
    check_file(path, fits, f"a mask of shape {values.shape}", f"{tuple(shape)}, the shape of its image")
    return values
