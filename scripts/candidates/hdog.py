"""HDoG: candidates for microcalcifications from difference-of-Gaussian blobs and Hessian shapes, exact and fast.

Every structure that is bright, small and convex enough is meant to be found; the network rejects what is no MC.
Source: HDoGReg (arXiv 2102.00754, eq. 1-6), with the corrections named in `scripts/candidates/dog.py`.
"""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from scripts.candidates.boxes import Box, bands_around, cut_lines
from scripts.candidates.components import BandComponents, band_components, settle
from scripts.candidates.dog import (
    dog_responses,
    gaussian_radius,
    hessian_mask,
    prune_overlaps,
    scale_space_maxima,
)

MARGIN_PX = 96
"""First margin around the mask; grows where a component of the Hessian mask reaches further."""

_PLACE = 2**32 - 1
"""Bits of a maximum's sort key that hold its place."""


@dataclass(frozen=True)
class HDoGParameters:
    """Parameters of HDoG; the defaults are the paper's values for [0, 1] images at 0.07 mm.

    Attributes:
        sigma_min_px: width of the finest Gaussian, px of `reference_spacing_mm`.
        sigma_max_px: largest width of the finer Gaussian of a difference, likewise.
        sigma_ratio: factor k between neighbouring widths.
        dog_threshold: T_DoG; maxima of the DoG response must exceed it (image units).
        blob_overlap: O_DoG in [0, 1]; of two blobs that overlap by more the smaller is dropped, 1 drops none.
        hessian_threshold: h_thr; larger values admit more saddle-like (line-end) shapes.
        reference_spacing_mm: pixel size that the widths are given at; 0 takes them as px of every image.
    """

    sigma_min_px: float = 1.18
    sigma_max_px: float = 3.1
    sigma_ratio: float = 1.6
    dog_threshold: float = 0.006
    blob_overlap: float = 1.0
    hessian_threshold: float = 1.4
    reference_spacing_mm: float = 0.07

    def __post_init__(self) -> None:
        wanted = {
            "sigma_min_px": (self.sigma_min_px > 0, "a positive width in px"),
            "sigma_max_px": (self.sigma_max_px >= self.sigma_min_px, f"at least sigma_min_px = {self.sigma_min_px}"),
            "sigma_ratio": (self.sigma_ratio > 1, "a ratio above 1"),
            "dog_threshold": (self.dog_threshold >= 0, "0 or more"),
            "blob_overlap": (0 <= self.blob_overlap <= 1, "a fraction in [0, 1]"),
            "hessian_threshold": (self.hessian_threshold >= 0, "0 or more"),
            "reference_spacing_mm": (self.reference_spacing_mm >= 0, "a pixel size in mm, or 0"),
        }
        for name, (is_valid, what) in wanted.items():
            if not (is_valid and math.isfinite(getattr(self, name))):
                raise ValueError(f"{name}: got {getattr(self, name)}; want {what}")

    @property
    def sigmas(self) -> np.ndarray:
        """Widths of the K + 1 Gaussians in px; K = floor(log(sigma_max_px / sigma_min_px) / log k) + 1."""
        octaves = math.log(self.sigma_max_px / self.sigma_min_px) / math.log(self.sigma_ratio)
        layers = math.floor(octaves + 1e-9) + 1  # sigma_max_px = sigma_min_px * k^n must survive rounding
        return self.sigma_min_px * self.sigma_ratio ** np.arange(layers + 1)

    @property
    def support_px(self) -> int:
        """How far from a pixel the image still has a say in its responses, Hessian mask and maxima."""
        return gaussian_radius(self.sigmas[-1]) + 2

    def at(self, spacing_mm: float) -> "HDoGParameters":
        """The same detector in px of an image of this pixel size."""
        if not self.reference_spacing_mm:
            return self
        factor = self.reference_spacing_mm / spacing_mm
        if not (factor > 0 and math.isfinite(factor)):
            raise ValueError(f"spacing_mm: got {spacing_mm}; want a positive number")
        widths = {"sigma_min_px": self.sigma_min_px * factor, "sigma_max_px": self.sigma_max_px * factor}
        return replace(self, **widths, reference_spacing_mm=0.0)


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
    blobs whose pixel is under the mask; it is found from what lies around the mask. A component is thus cut at the
    mask, not dropped, and may be there because of a blob just outside of it (as in the released program).

    Works on `cv2.getNumThreads()` threads; a constant image and an empty mask have no candidates.

    Args:
        image: float image in [0, 1], shape (rows, cols), MCs bright.
        parameters: of the detector, in px of this image.
        mask: optional bool, shape (rows, cols), e.g. the eroded breast.

    Returns:
        Candidates: mask and blobs.

    Raises:
        ValueError: if the image is not a non-empty 2-D float array of finite values, has 2^32 pixels times scales or
            more, or the mask does not fit it.
    """
    image = _checked_image(image)
    if image.size * (len(parameters.sigmas) - 1) > _PLACE:
        raise ValueError(f"image: got {image.size} px on {len(parameters.sigmas) - 1} scales; want fewer than 2^32")
    if mask is None:
        return _candidates_in(bands_around(np.ones(image.shape, bool), 0), image, parameters, None)[0]
    mask = np.asarray(mask)
    if mask.shape != image.shape or mask.dtype != bool:
        raise ValueError(f"mask: got {mask.dtype} of shape {mask.shape}; want bool of shape {image.shape}")
    if not mask.any():
        return Candidates(np.zeros(image.shape, bool), np.empty((0, 3), np.float32))
    # Pruning may depend on blobs anywhere near, so it sees the whole image; the published value 1 prunes nothing.
    margin = MARGIN_PX if parameters.blob_overlap >= 1 else max(image.shape)
    while True:
        candidates, is_exact = _candidates_in(bands_around(mask, margin), image, parameters, mask)
        if is_exact:
            return candidates
        margin *= 4


def _candidates_in(
    bands: list[Box], image: np.ndarray, parameters: HDoGParameters, mask: np.ndarray | None
) -> tuple[Candidates, bool]:
    """Candidates of the bands under the mask, and whether no component cut by their outline leaves a pixel in doubt."""
    scales = len(parameters.sigmas) - 1
    shapes = np.empty((scales, *image.shape), bool)  # Hessian masks; only what the bands hold is ever touched
    union = np.zeros(image.shape, bool)
    with ThreadPoolExecutor(max(1, min(cv2.getNumThreads(), 8))) as pool:
        tiles = [tile for band in bands for tile in band.tiles()]
        found = np.sort(np.concatenate(list(pool.map(lambda tile: _find_in(tile, image, parameters, shapes), tiles))))
        row, col, scale = np.unravel_index(found & _PLACE, (*image.shape, len(shapes)))
        blobs = np.stack([row, col, parameters.sigmas[scale]], axis=1).astype(np.float32)
        if parameters.blob_overlap < 1:
            stays = prune_overlaps(blobs, parameters.blob_overlap)
            row, col, scale, blobs = row[stays], col[stays], scale[stays], blobs[stays]

        # The blobs' places in `blobs`, in groups by band and scale.
        group = np.searchsorted([band.bottom for band in bands], row, side="right") * scales + scale
        ends = np.cumsum(np.bincount(group, minlength=len(bands) * scales))
        groups = np.split(np.argsort(group.astype(np.min_scalar_type(ends.size)), kind="stable"), ends[:-1])
        is_under = np.ones(len(blobs), bool)

        def keep(number: int) -> list[BandComponents]:
            """Draw the components of one band that hold a blob."""
            band, cut = bands[number], cut_lines(bands, number, image.shape)
            parts = []
            for shape, here in zip(shapes, groups[number * scales :], strict=False):
                kept, part = band_components(shape[band.slices], row[here] - band.top, col[here] - band.left, cut)
                union[band.slices] |= kept
                parts.append(part)
                if mask is not None:
                    is_under[here] = mask[row[here], col[here]]
            return parts

        settled = list(pool.map(settle, itertools.repeat(bands), zip(*pool.map(keep, range(len(bands))), strict=True)))

    for layer in settled:
        union[layer.kept] = True
    if mask is None:
        return Candidates(union, blobs), True
    union &= mask
    is_exact = not any(mask[layer.in_doubt].any() for layer in settled)
    return Candidates(union, blobs[is_under]), is_exact


def _find_in(tile: Box, image: np.ndarray, parameters: HDoGParameters, shapes: np.ndarray) -> np.ndarray:
    """Maxima of a tile; its Hessian masks, one per scale, go into `shapes`.

    All are equal to those of the whole image: second differences reach 2 px, maxima 1 px, and so far the responses
    are known beyond the tile; at the image border the border rules apply.

    Returns:
        uint64 numbers that ascend from the strongest maximum to the weakest, and with place among equal ones: the
        bits of the (positive) response inverted, then those of the index into (rows, cols, scales).
    """
    wide = tile.grown(2, image.shape).aligned(image.shape)
    responses = dog_responses(image, parameters.sigmas, wide)
    for shape, response in zip(shapes, responses, strict=True):
        shape[tile.slices] = hessian_mask(response, parameters.hessian_threshold)[tile.within(wide)]
    maxima, strengths = scale_space_maxima(responses, parameters.dog_threshold)
    row, col, scale = maxima.T + [[wide.top], [wide.left], [0]]
    inside = (tile.top <= row) & (row < tile.bottom) & (tile.left <= col) & (col < tile.right)
    place = np.ravel_multi_index((row, col, scale), (*image.shape, len(shapes)))
    return (((~strengths.view(np.uint32)).astype(np.uint64) << 32) | place.astype(np.uint64))[inside]


def _checked_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image: got shape {image.shape}; want a non-empty 2-D array (rows, cols)")
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image: got {image.dtype}; want floating point values in [0, 1]")
    if not (np.isfinite(image.min()) and np.isfinite(image.max())):
        raise ValueError("image: got NaN or infinite values; want finite ones in [0, 1]")
    return np.ascontiguousarray(image, dtype=np.float32)
