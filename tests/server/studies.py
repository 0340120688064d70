"""Studies for MONAI Label's server, in every kind of file, and readers of what it answers that are not ours."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from tests.data.dicom_factory import mg_dataset, save
from tests.data.file_factory import nifti, write

#: kind of file -> suffix
KINDS = {
    "nifti_2d": ".nii.gz",
    "nifti_2d_without_code": ".nii.gz",
    "nifti_one_slice": ".nii.gz",
    "dicom_monochrome2": ".dcm",
    "dicom_monochrome1": ".dcm",
    "png_8": ".png",
    "png_16": ".png",
    "tiff_16": ".tif",
}


def crops(dataset_dir: Path, count: int, seed: int) -> list[np.ndarray]:
    """Parts of phantoms, float [0, 1], of random sizes whose rows and columns differ; each holds labelled MCs."""
    from scripts.data.reader.mammogram_reader import read_mammogram
    from scripts.simulation.phantom import phantom_datalist

    rng = np.random.default_rng(seed)
    datalist = phantom_datalist(
        dataset_dir, training=4, validation=0, testing=0, seed=seed, shape=(720, 560), empty_fraction=0.0, workers=0
    )
    found = []
    while len(found) < count:
        item = datalist["training"][len(found) % len(datalist["training"])]
        image, _ = read_mammogram(item["image"])
        rows, cols = rng.integers(250, 560, 2)
        mcs = np.argwhere(np.asarray(Image.open(item["label"])) == 1)
        centre = mcs[rng.integers(len(mcs))]
        top, left = (
            int(np.clip(middle - size // 2, 0, whole - size))
            for middle, size, whole in zip(centre, (rows, cols), image.shape, strict=True)
        )
        if rows != cols:
            found.append(image[top : top + rows, left : left + cols])
    return found


def write_study(folder: Path, name: str, kind: str, image: np.ndarray, rng: np.random.Generator) -> Path:
    """One file; NIfTI with axes and directions drawn from all that there are."""
    path = folder / f"{name}{KINDS[kind]}"
    twelve = np.round(image * 4095).astype(np.uint16)
    if kind.startswith("nifti"):
        every = list(product((False, True), (0.07, -0.07), (0.08, -0.08)))
        swapped, first, second = every[rng.integers(len(every))]
        affine = np.diag([first, second, 1.0, 1.0])
        if swapped:
            affine[:2] = affine[1::-1].copy()
        affine[:3, 3] = rng.uniform(-50, 50, 3)
        values = np.ascontiguousarray(twelve.T)
        return nifti(path, values[..., None] if "slice" in kind else values, affine, coded="without" not in kind)
    if kind.startswith("dicom"):
        if kind.endswith("1"):
            tags = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
            return save(mg_dataset(4095 - twelve, **tags), path)
        return save(mg_dataset(twelve), path)
    if kind == "png_8":
        return write(path, np.round(image * 255).astype(np.uint8))
    options = {"resolution": (25.4 / 0.07,) * 2, "resolutionunit": 2} if kind == "tiff_16" else {}
    return write(path, twelve, **options)


def mask_of(path: str | Path) -> np.ndarray:
    """The mask (X, Y), first axis along the columns, of a file of any kind, read by that kind's own library."""
    path = Path(path)
    if path.name.endswith(".nii.gz"):
        return np.asarray(nibabel.load(path).dataobj).reshape(nibabel.load(path).shape[:2])
    if path.suffix == ".nrrd":
        import nrrd

        return nrrd.read(str(path))[0][..., 0]
    if path.suffix == ".dcm":
        import pydicom

        return np.squeeze(pydicom.dcmread(path, force=True).pixel_array).T
    if path.suffix == ".tif":
        import tifffile

        return np.squeeze(tifffile.imread(path)).T
    return np.asarray(Image.open(path)).T


def geometry_of(path: str | Path) -> np.ndarray:
    """Size, spacing, origin and direction within the slice, as ITK (so 3D Slicer) reads a file."""
    import itk

    reader = itk.ImageFileReader[itk.Image[itk.F, 3]].New(FileName=str(path))
    reader.Update()
    image = reader.GetOutput()
    direction = itk.array_from_matrix(image.GetDirection())[:, :2]
    parts = (tuple(itk.size(image))[:2], tuple(image.GetSpacing())[:2], tuple(image.GetOrigin()), direction.ravel())
    return np.concatenate([np.asarray(part, float) for part in parts])
