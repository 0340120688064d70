"""The per-scale parts of HDoG: DoG responses, their maxima, the Hessian mask, and overlap pruning.

Everything runs in float32 with kernels made in float64; `tests/candidates/hdog_reference.py` states the same
formulas in plain float64 scipy. Equation numbers are those of HDoGReg (arXiv 2102.00754).
"""

import itertools
import math

import cv2
import numpy as np
from scipy.spatial import cKDTree

from scripts.candidates.boxes import Box

_TRACE = np.array([[0, 0, 1, 0, 0], [0] * 5, [1, 0, -4, 0, 1], [0] * 5, [0, 0, 1, 0, 0]], np.float32)
_DIFFERENCE = np.array([[0, 0, 1, 0, 0], [0] * 5, [-1, 0, 0, 0, -1], [0] * 5, [0, 0, 1, 0, 0]], np.float32)
_MIXED = np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], np.float32)
"""Stencils of rr + cc, rr - cc and rc, times 4; whole numbers, so that a constant response gives exactly 0."""


def gaussian_radius(sigma: float) -> int:
    """Radius in px at which scipy's `gaussian_filter` cuts a kernel of width sigma (px)."""
    return int(4 * sigma + 0.5)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Sampled, truncated and normalised Gaussian (eq. 1), float64, shape (2 * radius + 1,)."""
    offsets = np.arange(-gaussian_radius(sigma), gaussian_radius(sigma) + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return kernel / kernel.sum()


def dog_responses(image: np.ndarray, sigmas: np.ndarray, box: Box | None = None) -> list[np.ndarray]:
    """Scale-normalised differences of Gaussians, positive on bright blobs (eq. 2-3, with the sign put right).

    Layer n is (L(sigma_n) - L(sigma_n+1)) * sigma_n / (sigma_n+1 - sigma_n). The image continues by half-sample
    reflection (scipy's and scikit-image's `reflect`).

    The image is float32 (rows, cols); `sigmas` are the widths of the K + 1 Gaussians in px, increasing. The responses
    in a `box` (by default all of the image) are those of the whole image there.
    """
    box = box or Box(0, image.shape[0], 0, image.shape[1])
    smooth = (_gaussian(image, sigma, box) for sigma in sigmas)
    factors = [np.float32(sigma / (next_sigma - sigma)) for sigma, next_sigma in itertools.pairwise(sigmas)]
    return [(finer - coarser) * f for (finer, coarser), f in zip(itertools.pairwise(smooth), factors, strict=True)]


def scale_space_maxima(responses: list[np.ndarray], threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Local maxima of the DoG responses over 3x3x3 (row, col, scale) above a threshold (eq. 4).

    As in scikit-image's `blob_dog`: the neighbourhood ends at the image border and at the first and last scale
    (maxima there count), and every pixel of a plateau that no neighbour exceeds is a maximum.

    Takes K responses, float32 (rows, cols). Gives the maxima, int64 (n, 3) with columns [row, col, scale index], and
    their responses, float32 (n,).
    """
    box = np.ones((3, 3), np.uint8)
    highest = [cv2.dilate(response, box) for response in responses]
    maxima, strengths = [], []
    for scale, response in enumerate(responses):
        # Few pixels are maxima of their own scale; only these are held against the neighbouring scales.
        peak = response == highest[scale]
        peak &= response > threshold
        index = np.flatnonzero(peak)
        strength = response.ravel()[index]
        for neighbour in {max(scale - 1, 0), min(scale + 1, len(responses) - 1)} - {scale}:
            stays = strength >= highest[neighbour].ravel()[index]
            index, strength = index[stays], strength[stays]
        row, col = np.unravel_index(index, response.shape)
        maxima.append(np.stack([row, col, np.full_like(row, scale)], axis=1))
        strengths.append(strength)
    return np.concatenate(maxima), np.concatenate(strengths)


def hessian_mask(response: np.ndarray, threshold: float) -> np.ndarray:
    """Where the response curves like a blob or a bright line: tr < 0 and (det > 0 or |det| / tr^2 < threshold).

    This is eq. 6 as its text means it. The second differences rr, rc, cc are numpy's central gradient applied twice,
    with its one-sided border; a common factor (4 here) drops out. For tr < 0 and threshold >= 0 the bracket is the
    same as det + threshold * tr^2 > 0; and as 4 det = tr^2 - (rr - cc)^2 - 4 rc^2, all of it is the same as
    sqrt((rr - cc)^2 + 4 rc^2) < -sqrt(1 + 4 threshold) * tr.

    The response is float32 (rows, cols), the threshold h_thr at least 0; the mask is bool (rows, cols).
    """
    d = _continue_linearly(response)
    trace, difference, twice_mixed = (cv2.filter2D(d, cv2.CV_32F, k) for k in (_TRACE, _DIFFERENCE, 2 * _MIXED))
    trace *= np.float32(-math.sqrt(1 + 4 * threshold))
    return (cv2.magnitude(difference, twice_mixed) < trace)[2:-2, 2:-2]


def components_with_seed(
    shape: np.ndarray, rows: np.ndarray, cols: np.ndarray, rim: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, bool]:
    """The 4-connected components of a shape that hold one of the seeds, whose `rows` and `cols` are int (n,).

    The rim is the flat indices of the last known pixels: a component there may have a seed beyond them. The mask is
    what is asked for. Shape, mask and result are bool (rows, cols); also returned is whether the mask holds a pixel of
    a component without a seed that reaches the rim.
    """
    count, labels = cv2.connectedComponents(shape.view(np.uint8), connectivity=4)
    state = np.zeros(count, np.uint8)
    state[labels.flat[rim]] = 2
    state[labels[rows, cols]] = 1
    state[0] = 0
    states = state.take(labels, mode="clip")
    return states == 1, bool((mask & (states == 2)).any())


def prune_overlaps(blobs: np.ndarray, overlap: float) -> np.ndarray:
    """Which blobs stay when of two that overlap too much the smaller one goes.

    A blob is a disc of radius sqrt(2) * sigma; the overlap of two is the common area over that of the smaller
    disc. Every pair is judged on the full list, so the result depends on no order; scikit-image, which walks the
    pairs in arbitrary order, may keep more in chains of overlapping blobs, and the same ones without chains. Of
    two discs of one size the one earlier in the list goes, as there.

    Blobs are (n, 3), columns [row, col, sigma], in order of decreasing response; `overlap` is the largest fraction that
    is tolerated, 1 keeps all; the result is bool (n,).
    """
    stays = np.ones(len(blobs), bool)
    if overlap >= 1 or len(blobs) < 2:
        return stays
    blobs = blobs.astype(np.float64)
    reach = 2 * np.sqrt(2) * blobs[:, 2].max()
    first, second = cKDTree(blobs[:, :2]).query_pairs(reach, output_type="ndarray").T
    fraction = _overlap_fraction(blobs[first], blobs[second])
    smaller = np.where(blobs[first, 2] > blobs[second, 2], second, first)
    stays[smaller[fraction > overlap]] = False
    return stays


def _gaussian(image: np.ndarray, sigma: float, box: Box) -> np.ndarray:
    """The image smoothed, as far as the box: a view."""
    wide = box.grown(gaussian_radius(sigma), image.shape)
    kernel = gaussian_kernel(sigma)
    smooth = cv2.sepFilter2D(image[wide.slices], cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT)
    return smooth[box.within(wide)]


def _continue_linearly(response: np.ndarray) -> np.ndarray:
    """Add two pixels on each side so that central differences there equal `np.gradient`'s one-sided ones.

    The gradient g continues linearly if d[-1] = 2 d[0] - d[1], and so does its own gradient if
    d[-2] = 4 d[0] - 4 d[1] + d[2]. An axis of one pixel has zero gradient.
    """
    d = cv2.copyMakeBorder(response, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    for along in (d, d.T):
        sides = (along, along[::-1])
        for side in sides:
            side[1] = 2 * side[2] - side[3]
        for side in sides:
            side[0] = 4 * (side[2] - side[3]) + side[4]
    return d


def _overlap_fraction(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Common area of discs of radius sqrt(2) * sigma, over the area of the smaller one; pair by pair."""
    distance = np.hypot(*(first[:, :2] - second[:, :2]).T)
    radii = np.sqrt(2) * np.stack([first[:, 2], second[:, 2]])
    small, large = radii.min(axis=0), radii.max(axis=0)
    inside = distance <= large - small
    d = np.where(inside, 1.0, distance)  # any value that divides; overwritten below
    angle_small = np.arccos(np.clip((d**2 + small**2 - large**2) / (2 * d * small), -1, 1))
    angle_large = np.arccos(np.clip((d**2 + large**2 - small**2) / (2 * d * large), -1, 1))
    kite = (small + large - d) * (d + large - small) * (d - large + small) * (d + large + small)
    area = small**2 * angle_small + large**2 * angle_large - 0.5 * np.sqrt(np.maximum(kite, 0))
    return np.where(inside, 1.0, np.where(distance > small + large, 0.0, area / (np.pi * small**2)))
