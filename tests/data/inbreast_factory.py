"""Writes INbreast files as the release has them: Apple plist XML and (tiny) ANON DICOM files."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

PIXEL_MM = 0.07
MG_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"


def roi(
    name: str, kind: int, xy: Sequence[tuple[float, float]], area_cm2: float = 0.0, index: int = 0
) -> dict[str, Any]:
    """One ROI with the keys of the release; `xy` are the viewer's coordinates: x = column, corner origin."""
    centre = np.mean(xy, axis=0) if len(xy) else (0.0, 0.0)
    return {
        "Area": float(area_cm2),
        "Center": f"({centre[0]:f}, {centre[1]:f}, 0.000000)",
        "Dev": 0.0,
        "IndexInImage": 0,
        "Max": 1200.0,
        "Mean": 1000.0,
        "Min": 900.0,
        "Name": name,
        "NumberOfPoints": len(xy),
        "Point_mm": [f"({x * PIXEL_MM:f}, {y * PIXEL_MM:f}, 0.000000)" for x, y in xy],
        "Point_px": [f"({x:f}, {y:f})" for x, y in xy],
        "Total": 0.0,
        "Type": kind,
    }


def point(x: float, y: float, name: str = "Calcification") -> dict[str, Any]:
    return roi(name, 19, [(x, y)])


def contour(xy: Sequence[tuple[float, float]], name: str = "Calcification", area_cm2: float = 0.0) -> dict[str, Any]:
    return roi(name, 15, xy, area_cm2)


def oval(x: float, y: float, half_width: float, half_height: float, name: str = "Cluster") -> dict[str, Any]:
    """200 points on an ellipse; its Area is pi a b at 0.07 mm/px, in cm^2."""
    angles = np.arange(200) * 2 * np.pi / 200
    xy = list(zip(x + half_width * np.cos(angles), y + half_height * np.sin(angles), strict=True))
    return roi(name, 9, xy, np.pi * half_width * half_height * PIXEL_MM**2 / 100)


def write_xml(path: Path, rois: Sequence[dict[str, Any]], **changes: Any) -> Path:
    """Write one annotation file; `changes` replace keys of Images[0]."""
    image = {"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": list(rois)} | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plistlib.dumps({"Images": [image]}))
    return path


def write_image(folder: Path, image_id: int, patient: str, laterality: str = "L", view: str = "CC") -> Path:
    """Write a black 40x30 MG DICOM file under its INbreast name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{image_id}_{patient}_MG_{laterality}_{view}_ANON.dcm"
    write_dicom(path, np.zeros((40, 30), np.uint16))
    return path


def write_dicom(path: Path, pixels: np.ndarray, sop_class: str = MG_PRESENTATION, **tags: Any) -> Path:
    """Write stored values (rows, cols) as a single-frame MONOCHROME2 DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in tags.items():
        setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path
