"""HDoG: candidates for microcalcifications from difference-of-Gaussian blobs and Hessian shapes, exact and fast.

Every structure that is bright, small and convex enough is meant to be found; the network rejects what is no MC.
Source: HDoGReg (arXiv 2102.00754, eq. 1-6), with the corrections named in `scripts/candidates/dog.py`.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from scripts.candidates.dog import (
    dog_responses,
    gaussian_radius,
    hessian_mask,
    prune_overlaps,
    scale_space_maxima,
)

BAND_ROWS = 192
"""Rows that one thread works on at a time: few enough for the arrays to stay in cache."""

ALIGN_PX = 64
"""Boxes begin and end at multiples of this, so that vector code rounds each pixel as it would on the whole image."""

MARGIN_PX = 64
"""First margin of a box around the mask; grows where a component of the Hessian mask reaches further."""


@dataclass(frozen=True)
class HDoGParameters:
    """Parameters of HDoG; the defaults are the paper's values for [0, 1] images at 0.07 mm.

    Attributes:
        sigma_min: width of the finest Gaussian, px.
        sigma_max: largest width of the finer Gaussian of a difference, px.
        sigma_ratio: factor k between neighbouring widths.
        dog_threshold: T_DoG; maxima of the DoG response must exceed it (image units).
        overlap: O_DoG in [0, 1]; of two blobs that overlap by more the smaller is dropped, 1 drops none.
        hessian_threshold: h_thr; larger values admit more saddle-like (line-end) shapes.
    """

    sigma_min: float = 1.18
    sigma_max: float = 3.1
    sigma_ratio: float = 1.6
    dog_threshold: float = 0.006
    overlap: float = 1.0
    hessian_threshold: float = 1.4

    def __post_init__(self) -> None:
        wanted = {
            "sigma_min": (self.sigma_min > 0, "a positive width in px"),
            "sigma_max": (self.sigma_max >= self.sigma_min, f"at least sigma_min = {self.sigma_min}"),
            "sigma_ratio": (self.sigma_ratio > 1, "a ratio above 1"),
            "dog_threshold": (self.dog_threshold >= 0, "0 or more"),
            "overlap": (0 <= self.overlap <= 1, "a fraction in [0, 1]"),
            "hessian_threshold": (self.hessian_threshold >= 0, "0 or more"),
        }
        for name, (is_valid, what) in wanted.items():
            if not (is_valid and math.isfinite(getattr(self, name))):
                raise ValueError(f"{name}: found {getattr(self, name)}; wanted {what}")

    @property
    def sigmas(self) -> np.ndarray:
        """Widths of the K + 1 Gaussians in px; K = floor(log(sigma_max / sigma_min) / log k) + 1."""
        octaves = math.log(self.sigma_max / self.sigma_min) / math.log(self.sigma_ratio)
        layers = math.floor(octaves + 1e-9) + 1  # sigma_max = sigma_min * k^n must survive rounding
        return self.sigma_min * self.sigma_ratio ** np.arange(layers + 1)

    @property
    def support_px(self) -> int:
        """How far from a pixel the image still has a say in its responses, Hessian mask and maxima."""
        return gaussian_radius(self.sigmas[-1]) + 2

    def scaled(self, factor: float) -> "HDoGParameters":
        """The same detector for another pixel size: both sigmas times factor (0.07 mm / spacing)."""
        if not (factor > 0 and math.isfinite(factor)):
            raise ValueError(f"factor: found {factor}; wanted a positive number")
        return replace(self, sigma_min=self.sigma_min * factor, sigma_max=self.sigma_max * factor)


class Candidates(NamedTuple):
    """What HDoG finds.

    Attributes:
        mask: bool, shape (rows, cols): union over scales of the Hessian components that hold a blob.
        blobs: float32, shape (N, 3), columns [row, col, sigma] in px, strongest response first. The radius of a
            blob is about sqrt(2) * sigma.
    """

    mask: np.ndarray
    blobs: np.ndarray


def hdog(image: np.ndarray, parameters: HDoGParameters, mask: np.ndarray | None = None) -> Candidates:
    """Candidates of an image, or of the part of it under a mask.

    With a mask the result is, bit for bit, that of the whole image with `candidates.mask & mask` and only the
    blobs whose pixel is under the mask; it is found from a box around the mask. A component is thus cut at the
    mask, not dropped, and may be there because of a blob just outside of it (as in the released program).

    Works on `cv2.getNumThreads()` threads; a constant image and an empty mask have no candidates.

    Args:
        image: float image in [0, 1], shape (rows, cols), MCs bright.
        parameters: of the detector, in px of this image.
        mask: optional bool, shape (rows, cols), e.g. the eroded breast.

    Returns:
        Candidates: mask and blobs.

    Raises:
        ValueError: if the image is not a non-empty 2-D float array of finite values, or the mask does not fit it.
    """
    image = _checked_image(image)
    if mask is None:
        return _box_candidates(image, parameters, _Box(0, image.shape[0], 0, image.shape[1]), None)[0]
    mask = np.asarray(mask)
    if mask.shape != image.shape or mask.dtype != bool:
        raise ValueError(f"mask: found {mask.dtype} of shape {mask.shape}; wanted bool of shape {image.shape}")
    if not mask.any():
        return Candidates(np.zeros(image.shape, bool), np.empty((0, 3), np.float32))
    inner = _bounding_box(mask)
    # Pruning may depend on blobs anywhere near, so it sees the whole image; the published value 1 prunes nothing.
    margin = MARGIN_PX if parameters.overlap >= 1 else max(image.shape)
    while True:
        candidates, is_exact = _box_candidates(image, parameters, inner.grown(margin, image.shape), mask)
        if is_exact:
            return candidates
        margin *= 4


class _Box(NamedTuple):
    """Rows top..bottom and columns left..right of an image, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, margin: int, shape: tuple[int, ...]) -> "_Box":
        """This box with a margin, its columns rounded out to `ALIGN_PX`, all within an image of this shape."""
        left = max(self.left - margin, 0) // ALIGN_PX * ALIGN_PX
        right = min(-(-(self.right + margin) // ALIGN_PX) * ALIGN_PX, shape[1])
        return _Box(max(self.top - margin, 0), min(self.bottom + margin, shape[0]), left, right)

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def _box_candidates(
    image: np.ndarray, parameters: HDoGParameters, box: _Box, mask: np.ndarray | None
) -> tuple[Candidates, bool]:
    """Candidates of a box under the mask, and whether no component cut by the box leaves a pixel in doubt."""
    threads = max(1, min(cv2.getNumThreads(), 8))
    with ThreadPoolExecutor(threads) as pool:
        tops = range(box.top, box.bottom, BAND_ROWS)
        bands = [_Box(top, min(top + BAND_ROWS, box.bottom), box.left, box.right) for top in tops]
        parts = list(pool.map(lambda band: _band_shapes(image, parameters, band), bands))
        shapes = [np.concatenate(layers) for layers in zip(*(part[0] for part in parts), strict=True)]
        maxima, strengths = (np.concatenate([part[i] for part in parts]) for i in (1, 2))

        order = np.lexsort((maxima[:, 2], maxima[:, 1], maxima[:, 0], -strengths))
        maxima = maxima[order]
        blobs = maxima.astype(np.float32)
        blobs[:, 2] = parameters.sigmas[maxima[:, 2]]
        stays = prune_overlaps(blobs, parameters.overlap)
        maxima, blobs = maxima[stays], blobs[stays]

        local = maxima - [box.top, box.left, 0]
        of_scale = [local[local[:, 2] == scale, :2] for scale in range(len(shapes))]
        cut = _cut_sides(box, image.shape)
        inside = None if mask is None else mask[box.slices]
        kept = list(pool.map(lambda s, p: _components_with(s, p, cut, inside), shapes, of_scale))

    union = np.zeros(image.shape, bool)
    view = union[box.slices]
    for layer, _ in kept:
        view |= layer
    if mask is not None:
        view &= mask[box.slices]
        blobs = blobs[mask[maxima[:, 0], maxima[:, 1]]]
    return Candidates(union, blobs), all(is_exact for _, is_exact in kept)


def _band_shapes(
    image: np.ndarray, parameters: HDoGParameters, band: _Box
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Hessian mask per scale, maxima and their responses in a band, equal to those of the whole image.

    The band is worked on with a margin of `support_px`, where wrong values due to the cut end; at the image
    border there is no margin and the border rules apply.
    """
    wide = band.grown(parameters.support_px, image.shape)
    responses = dog_responses(image[wide.slices], parameters.sigmas)
    rows = slice(band.top - wide.top, band.bottom - wide.top)
    cols = slice(band.left - wide.left, band.right - wide.left)
    shapes = [hessian_mask(response, parameters.hessian_threshold)[rows, cols] for response in responses]
    maxima, strengths = scale_space_maxima(responses, parameters.dog_threshold)
    maxima += [wide.top, wide.left, 0]
    row, col, _ = maxima.T
    inside = (band.top <= row) & (row < band.bottom) & (band.left <= col) & (col < band.right)
    return shapes, maxima[inside], strengths[inside]


def _components_with(
    shape: np.ndarray, points: np.ndarray, cut: list[tuple], inside: np.ndarray | None
) -> tuple[np.ndarray, bool]:
    """4-connected components of a shape mask that hold a point, and whether all are settled.

    A component without a point that reaches a cut side may hold one beyond it; that matters if it lies inside.
    """
    count, labels = cv2.connectedComponents(shape.view(np.uint8), connectivity=4)
    keep = np.zeros(count, bool)
    keep[labels[points[:, 0], points[:, 1]]] = True
    in_doubt = np.zeros(count, bool)
    for side in cut:
        in_doubt[labels[side]] = True
    in_doubt &= ~keep
    keep[0] = in_doubt[0] = False
    is_exact = inside is None or not in_doubt.any() or not in_doubt[labels[inside]].any()
    kept = np.empty(shape.shape, bool)
    for top in range(0, len(kept), BAND_ROWS):  # indexing makes 64-bit indices: a band at a time
        keep.take(labels[top : top + BAND_ROWS], out=kept[top : top + BAND_ROWS], mode="clip")
    return kept, is_exact


def _cut_sides(box: _Box, shape: tuple[int, ...]) -> list[tuple]:
    """Indices of the border lines of a box that are not on the image border."""
    every = slice(None)
    sides = [
        (box.top > 0, (0, every)),
        (box.bottom < shape[0], (-1, every)),
        (box.left > 0, (every, 0)),
        (box.right < shape[1], (every, -1)),
    ]
    return [index for is_cut, index in sides if is_cut]


def _bounding_box(mask: np.ndarray) -> _Box:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return _Box(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)


def _checked_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image: found shape {image.shape}; wanted a non-empty 2-D array (rows, cols)")
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image: found {image.dtype}; wanted floating point values in [0, 1]")
    if not (np.isfinite(image.min()) and np.isfinite(image.max())):
        raise ValueError("image: found NaN or infinite values; wanted finite ones in [0, 1]")
    return np.ascontiguousarray(image, dtype=np.float32)
