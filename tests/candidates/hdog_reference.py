"""HDoG once more, as the formulas read: plain float64 scipy and scikit-image, whole image, nothing clever.

The fast code is held against this one, by the tests and by `make bench`.
"""

import math

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.feature.blob import _prune_blobs


def hdog_reference(
    image: np.ndarray,
    sigma_min: float = 1.18,
    sigma_max: float = 3.1,
    sigma_ratio: float = 1.6,
    dog_threshold: float = 0.006,
    overlap: float = 1.0,
    hessian_threshold: float = 1.4,
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate mask (bool, rows x cols) and blobs (float64, N x 3: row, col, sigma; strongest first)."""
    image = np.asarray(image, dtype=np.float64)
    layers = math.floor(math.log(sigma_max / sigma_min) / math.log(sigma_ratio)) + 1
    sigmas = [sigma_min * sigma_ratio**n for n in range(layers + 1)]

    smooth = [ndimage.gaussian_filter(image, sigma, mode="reflect", truncate=4.0) for sigma in sigmas]
    cube = np.stack(
        [(smooth[n] - smooth[n + 1]) * sigmas[n] / (sigmas[n + 1] - sigmas[n]) for n in range(layers)], axis=-1
    )

    peaks = peak_local_max(cube, threshold_abs=dog_threshold, footprint=np.ones((3, 3, 3)), exclude_border=False)
    blobs = np.column_stack([peaks[:, :2], np.asarray(sigmas)[peaks[:, 2]]]).astype(np.float64)
    if overlap < 1 and len(blobs):
        blobs = _prune_blobs(blobs, overlap, sigma_dim=1)

    candidates = np.zeros(image.shape, bool)
    for n in range(layers):
        rows, cols = blobs[blobs[:, 2] == sigmas[n], :2].astype(int).T
        labels, count = ndimage.label(hessian_reference(cube[..., n], hessian_threshold))
        keep = np.zeros(count + 1, bool)
        keep[labels[rows, cols]] = True
        keep[0] = False
        candidates |= keep[labels]
    return candidates, blobs


def hessian_reference(response: np.ndarray, threshold: float) -> np.ndarray:
    """tr < 0 and (det > 0 or |det| / tr^2 < threshold), second differences by np.gradient twice."""
    row, col = _gradient(response, 0), _gradient(response, 1)
    row_row, row_col, col_col = _gradient(row, 0), _gradient(row, 1), _gradient(col, 1)
    trace = row_row + col_col
    determinant = row_row * col_col - row_col**2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(determinant) / trace**2
    return (trace < 0) & ((determinant > 0) | (ratio < threshold))


def _gradient(values: np.ndarray, axis: int) -> np.ndarray:
    """np.gradient, which refuses axes of one pixel: there the gradient is zero."""
    return np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)
