"""Image files for the reader's tests."""

import nibabel as nib
import numpy as np
import tifffile
from PIL import Image

EIGHT = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7


def write(path, values: np.ndarray, **options):
    """Lossless raster by suffix."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, values, **options)
    else:
        Image.fromarray(values).save(path, **options)
    return path


def nifti(path, values: np.ndarray, affine: np.ndarray, coded: bool = True, kind=nib.Nifti1Image):
    """NIfTI with or without an orientation code."""
    image = kind(values, affine)
    image.set_sform(affine, code=int(coded))
    image.set_qform(affine, code=int(coded))
    nib.save(image, path)
    return path
