"""Small MG DICOM files with chosen tags, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

MG_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"


def ramp(rows: int = 12, cols: int = 17, bits: int = 12) -> np.ndarray:
    """uint16 (rows, cols) over the full range of `bits`, different in every pixel, asymmetric under flips."""
    return np.linspace(0, 2**bits - 1, rows * cols).astype(np.uint16).reshape(rows, cols)


def mg_dataset(
    pixels: np.ndarray | None = None,
    bits_stored: int = 12,
    syntax: UID = ExplicitVRLittleEndian,
    remove: tuple[str, ...] = (),
    **tags: Any,
) -> Dataset:
    """A For Presentation MG dataset.

    Args:
        pixels: integers (rows, cols) or (rows, cols, 3), in the cell type to store; default `ramp()`.
        bits_stored: BitsStored.
        syntax: a native transfer syntax.
        remove: keywords to delete again.
        tags: elements to set, by keyword.
    """
    pixels = ramp(bits=bits_stored) if pixels is None else pixels
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = MG_PRESENTATION, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.Modality, dataset.Manufacturer = "P1", "MG", "ACME"
    dataset.PresentationIntentType, dataset.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    dataset.ImageLaterality, dataset.ViewPosition = "L", "MLO"
    dataset.ImagerPixelSpacing = [0.07, 0.07]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else pixels.shape[2]
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = bits_stored, bits_stored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    for keyword in remove:
        delattr(dataset, keyword)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"
    return dataset


def save(dataset: Dataset, path: Path, bare: bool = False) -> Path:
    """Write a dataset as a file; `bare` leaves out preamble and file meta information."""
    if bare:
        syntax = dataset.file_meta.TransferSyntaxUID
        del dataset.file_meta
        dataset.save_as(path, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian)
    else:
        dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", MG_PRESENTATION)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path, enforce_file_format=True)
    return path


def lut_item(first: int, entries: list[int], bits: int = 12, name: str = "", count: int | None = None) -> Dataset:
    """An item of a Modality LUT or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) if count is None else count, first, bits])
    item.add_new("LUTData", "US", entries)
    item.LUTExplanation = name
    return item
