"""One sound file of every format that is read, all of the same picture and the same bytes every time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import tifffile
from PIL import Image
from pydicom import dcmread
from pydicom.pixels import compress
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.data.dicom_factory import mg_dataset, save
from tests.data.file_factory import nifti
from tests.hostile.gdcm_syntax import change_syntax

ROWS, COLS = 96, 80
NATIVE = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big_endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
COMPRESSED = {"rle": RLELossless, "jpeg_ls": JPEGLSLossless, "jpeg_2000": JPEG2000Lossless}
BY_GDCM = {"jpeg": "JPEGBaselineProcess1", "jpeg_lossless": "JPEGLosslessProcess14_1"}
SYNTAXES = {**NATIVE, **COMPRESSED, "jpeg": JPEGBaseline8Bit, "jpeg_lossless": JPEGLosslessSV1}
UIDS = {name: f"1.2.3.{n}" for n, name in enumerate(("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"))}
TIFFS = {
    "tiff_strips": {"rowsperstrip": 16},
    "tiff_one_strip": {},
    "tiff_big_endian": {"byteorder": ">", "rowsperstrip": 16},
    "tiff_tiles": {"tile": (32, 32)},
    "tiff_big": {"bigtiff": True, "rowsperstrip": 16},
    "tiff_deflate": {"compression": "zlib", "rowsperstrip": 16},
    "tiff_deflate_predictor": {"compression": "zlib", "predictor": 2, "rowsperstrip": 16},
}


@dataclass(frozen=True)
class Seed:
    """A sound file."""

    name: str
    path: Path
    checksum: bool = False  # covers all of the file: no flipped bit may go unnoticed

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()


def picture() -> np.ndarray:
    """uint16 (ROWS, COLS) of 12 bits: a slope, a few bright points and noise; no two rows alike."""
    rng = np.random.default_rng(3)
    slope = np.add.outer(np.arange(ROWS) * 12, np.arange(COLS) * 9).astype(float)
    slope[rng.integers(0, ROWS, 20), rng.integers(0, COLS, 20)] += 1500
    return np.clip(slope + rng.normal(0, 25, slope.shape), 1, 4095).astype(np.uint16)


def make_seeds(folder: Path) -> dict[str, Seed]:
    """All image seeds, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    twelve, eight = picture(), (picture() >> 4).astype(np.uint8)
    found = [
        Seed(f"dicom_{name}", save(mg_dataset(twelve, syntax=NATIVE[name], **UIDS), folder / name)) for name in NATIVE
    ]
    for name, syntax in COMPRESSED.items():
        dataset = mg_dataset(twelve, **UIDS)
        compress(dataset, syntax, generate_instance_uid=False)
        found.append(Seed(f"dicom_{name}", save(dataset, folder / name)))
    for name, word in BY_GDCM.items():
        pixels, bits = (eight, 8) if name == "jpeg" else (twelve, 12)
        plain = save(mg_dataset(pixels, bits_stored=bits, **UIDS), folder / "plain")
        dataset = dcmread(change_syntax(plain, folder / "changed", word))
        dataset.SOPInstanceUID = UIDS["SOPInstanceUID"]  # gdcm has drawn another one
        dataset.StudyDate, dataset.StudyTime = "20200101", "120000"
        found.append(Seed(f"dicom_{name}", save(dataset, folder / f"dicom_{name}")))
    for name, options in TIFFS.items():
        tifffile.imwrite(folder / name, twelve, **options)
        found.append(Seed(name, folder / name))
    for name, compression in {"tiff_lzw": "tiff_lzw", "tiff_packbits": "packbits"}.items():
        Image.fromarray(eight).save(folder / name, format="TIFF", compression=compression)
        found.append(Seed(name, folder / name))
    for name, values in {"png_8": eight, "png_16": twelve}.items():
        Image.fromarray(values).save(folder / name, format="PNG")
        found.append(Seed(name, folder / name, checksum=True))
    Image.fromarray(eight).save(folder / "jpeg_file", format="JPEG", quality=92)
    found.append(Seed("jpeg_file", folder / "jpeg_file"))
    affine = np.diag([-0.07, -0.07, 1, 1])
    found.append(Seed("nifti", nifti(folder / "x.nii", twelve.T, affine)))
    found.append(Seed("nifti_2", nifti(folder / "y.nii", twelve.T, affine, kind=nib.Nifti2Image)))
    found.append(Seed("nifti_gz", nifti(folder / "x.nii.gz", twelve.T, affine), checksum=True))
    return {seed.name: seed for seed in found}
