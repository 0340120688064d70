"""Masks as NRRD in the geometry of the input file, for 3D Slicer and ITK: teem.sourceforge.net/nrrd/format.html.

`instances.seg.nrrd` is a segmentation of 3D Slicer's: one segment per mark, named by its id and kind.
"""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.files import write_atomically
from scripts.common.tensors import plane
from scripts.data.reader.geometry import to_file_axes
from scripts.outputs.label_maps import mask_in_file, wide_enough

LPS_OF_RAS = (-1.0, -1.0, 1.0)
COLOUR = "1 0.69 0"  # that of the pictures


def write_mask_nrrd(path: Path, item: Mapping[str, Any]) -> Path:
    """uint8 {0, 1 = MC}: the counted MCs."""
    return _write(path, mask_in_file(item), item, ())


def write_instances_nrrd(path: Path, item: Mapping[str, Any]) -> Path:
    """uint8, uint16 or uint32: each mark its id."""
    labels = plane(item["instances"])
    wide = np.uint8 if labels.max(initial=0) < 256 else wide_enough(labels)
    return _write(path, to_file_axes(labels.astype(wide), item["image"].meta), item, _segments(item))


def _segments(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Slicer's fields: https://slicer.readthedocs.io, "Segmentation file (.seg.nrrd)"."""
    shape = item["image"].meta["file_shape"]
    extent = f"0 {int(shape[0]) - 1} 0 {int(shape[1]) - 1} 0 0"
    yield "Segmentation_MasterRepresentation", "Binary labelmap"
    for number, mark in enumerate(item["report"]["microcalcifications"]):
        start = f"Segment{number}_"
        yield start + "ID", f"MC_{mark['id']}"
        yield start + "Name", f"MC {mark['id']}, {mark.get('kind', '')}".rstrip(", ")
        yield start + "LabelValue", str(mark["id"])
        yield start + "Layer", "0"
        yield start + "Color", COLOUR
        yield start + "Extent", extent


def _write(path: Path, array: np.ndarray, item: Mapping[str, Any], pairs: Any) -> Path:
    """One slice of three dimensions, gzip; `pairs` are further fields."""
    volume = array.reshape(*array.shape[:2], 1)
    affine = np.asarray(item["image"].meta["file_affine"], np.float64)
    vectors = (affine[:3, :3] * np.array(LPS_OF_RAS)[:, None]).T
    fields = {
        "type": {1: "uint8", 2: "uint16", 4: "uint32"}[volume.dtype.itemsize],
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, volume.shape)),
        "space directions": " ".join(map(_vector, vectors)),
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "gzip",
        "space origin": _vector(affine[:3, 3] * LPS_OF_RAS),
    }
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items())]
    header = "\n".join([*lines, *(f"{name}:={value}" for name, value in pairs)]) + "\n\n"
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)  # gzip; masks are nearly empty
    values = packer.compress(volume.astype(volume.dtype.newbyteorder("<")).tobytes(order="F")) + packer.flush()
    return write_atomically(path, lambda temporary: temporary.write_bytes(header.encode() + values))


def _vector(numbers: np.ndarray) -> str:
    return f"({','.join(repr(float(number) + 0.0) for number in numbers)})"
