"""Label maps and maps as NIfTI, in the geometry of the input file (its own axes and affine; never mirrored)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from scripts.common.files import write_atomically
from scripts.common.tensors import plane
from scripts.data.lists.folder import NIFTI_DESCRIPTION
from scripts.data.reader.geometry import to_file_axes


def write_mask(path: Path, item: Mapping[str, Any]) -> Path:
    """uint8 {0, 1 = MC}."""
    return _write_nifti(path, mask_in_file(item), item, "mask")


def write_instances(path: Path, item: Mapping[str, Any]) -> Path:
    """uint16 or uint32: each MC its id."""
    labels = plane(item["instances"])
    return _write_nifti(path, to_file_axes(labels.astype(wide_enough(labels)), item["image"].meta), item, "instances")


def write_map(path: Path, item: Mapping[str, Any]) -> Path:
    """float32 [0, 1]: proximity or probability."""
    return _write_nifti(path, to_file_axes(plane(item["map"]).astype(np.float32), item["image"].meta), item, "map")


def mask_in_file(item: Mapping[str, Any]) -> np.ndarray:
    """The mask of counted MCs, uint8 in the file's axes: as `pred`, which has one slice whatever rank the file has."""
    return np.asarray(item["pred"]).astype(np.uint8).reshape(tuple(map(int, item["image"].meta["file_shape"])))


def wide_enough(labels: np.ndarray) -> type[np.unsignedinteger]:
    """uint16, or uint32 for more objects."""
    return np.uint16 if labels.max(initial=0) < 65536 else np.uint32


def _write_nifti(path: Path, array: np.ndarray, item: Mapping[str, Any], name: str) -> Path:
    image = nibabel.Nifti1Image(array, np.asarray(item["image"].meta["file_affine"], dtype=np.float64))
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = f"{NIFTI_DESCRIPTION} {name}"  # by which it is known as no mammogram
    return write_atomically(path, lambda temporary: nibabel.save(image, temporary))
