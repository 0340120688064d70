"""Between a file's own axes and the rows-first display array.

A file's own array is column first, as MONAI and ITK read it: axis 0 runs along the columns of the picture, axis 1 along
its rows, and NIfTI may add axes of length 1. Its affine (4x4) maps file indices to RAS millimetres. The display array
is (rows, cols), never mirrored: columns run to patient left, rows to posterior or inferior wherever the file says so.

`file_axes` are always the (row axis, column axis) of the file, `file_flips` whether its axes 0 and 1 run backwards.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

IN_FILE_ORDER = (1, 0)  # (row axis, column axis) of a column-first array
MIN_COSINE = 0.9  # how well an axis must follow a patient axis to be oriented by it (about 25 degrees)


def plain_affine(spacing_mm: Sequence[float]) -> np.ndarray:
    """Affine of an image without orientation and of (row_mm, col_mm), as ITK writes it: the identity in LPS."""
    return np.diag([-spacing_mm[1], -spacing_mm[0], 1.0, 1.0])


def display_axes(affine: np.ndarray) -> tuple[tuple[int, int], tuple[bool, bool]] | None:
    """(file_axes, file_flips) that bring a file with this affine to display order.

    Display order is LPS: of the two in-plane axes, the one that follows the earlier of (left-right,
    anterior-posterior, superior-inferior) gives the columns; left, posterior and inferior are right and down.
    None if the plane of file axes 0 and 1 is oblique or degenerate.
    """
    directions = affine[:3, :2]
    lengths = np.linalg.norm(directions, axis=0)
    if not np.all(np.isfinite(lengths)) or lengths.min() <= 0:
        return None
    cosines = directions / lengths
    patient = np.argmax(np.abs(cosines), axis=0)
    along = cosines[patient, [0, 1]]
    if patient[0] == patient[1] or np.abs(along).min() < MIN_COSINE:
        return None
    axes = (1, 0) if patient[0] < patient[1] else (0, 1)
    return axes, (bool(along[0] > 0), bool(along[1] > 0))


def from_file_axes(
    plane: np.ndarray, file_axes: Sequence[int] = IN_FILE_ORDER, file_flips: Sequence[bool] = (False, False)
) -> np.ndarray:
    """The file's 2-D array as the display array (rows, cols); `to_file_axes` is its inverse."""
    return np.transpose(_flipped(plane, file_flips), tuple(file_axes))


def to_file_axes(array: np.ndarray, meta: Mapping[str, Any]) -> np.ndarray:
    """A display array (rows, cols) of any dtype in the axes of the file that `meta` came from: the inverse of reading.

    Of what MammogramReader returned, `file_shape`, `file_flips` and `file_axes` are used. The result has the shape
    `file_shape`, ready to be written with `file_affine`.
    """
    shape = tuple(int(n) for n in meta["file_shape"])
    row_axis, col_axis = (int(axis) for axis in meta.get("file_axes", IN_FILE_ORDER))
    want = (shape[row_axis], shape[col_axis])
    if array.shape != want:
        raise ValueError(f"array: got shape {array.shape}; want {want}, the (rows, cols) of the image that was read")
    plane = _flipped(np.transpose(array, np.argsort((row_axis, col_axis))), meta["file_flips"][:2])
    return np.ascontiguousarray(plane).reshape(shape)


def rows_first_affine(
    file_affine: np.ndarray, shape: Sequence[int], file_axes: Sequence[int], file_flips: Sequence[bool]
) -> np.ndarray:
    """Affine of the display array of `shape` (rows, cols): physical point of array[r, c] = result @ (r, c, 0, 1)."""
    to_index = np.zeros((4, 4))
    to_index[2, 2] = to_index[3, 3] = 1.0
    for display_axis, file_axis in enumerate(file_axes):
        flip = file_flips[file_axis]
        to_index[file_axis, display_axis] = -1.0 if flip else 1.0
        to_index[file_axis, 3] = shape[display_axis] - 1.0 if flip else 0.0
    return file_affine @ to_index


def _flipped(plane: np.ndarray, file_flips: Sequence[bool]) -> np.ndarray:
    return plane[tuple(slice(None, None, -1 if flip else 1) for flip in file_flips)]
