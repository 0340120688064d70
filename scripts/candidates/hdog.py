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

from scripts.candidates.boxes import Box, tiles_around
from scripts.candidates.dog import components_with_seed, dog_responses, hessian_mask, prune_overlaps, scale_space_maxima
from scripts.common.checks import check, check_fields

MARGIN_PX = 96  # first margin around the mask; grows where a component of the Hessian mask reaches further
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class HDoGParameters:
    """Parameters of HDoG; the defaults are the paper's values for [0, 1] images at 0.07 mm."""

    sigma_min_px: float = 1.18  # width of the finest Gaussian, px of `reference_spacing_mm`
    sigma_max_px: float = 3.1  # largest width of the finer Gaussian of a difference, likewise
    sigma_ratio: float = 1.6  # factor k between neighbouring widths
    dog_threshold: float = 0.006  # T_DoG: maxima of the DoG response must exceed it, image units
    blob_overlap: float = 1.0  # O_DoG, [0, 1]: of two blobs that overlap by more the smaller is dropped; 1 drops none
    hessian_threshold: float = 1.4  # h_thr: larger values admit more saddle-like (line-end) shapes
    reference_spacing_mm: float = 0.07  # pixel size that the widths are given at; 0: px of every image

    def __post_init__(self) -> None:
        check_fields(self, sigma_min_px="(0, inf)", sigma_ratio="(1, inf)", blob_overlap="[0, 1]")
        wide = self.sigma_max_px >= self.sigma_min_px
        check("sigma_max_px", self.sigma_max_px, wide, f"at least sigma_min_px = {self.sigma_min_px}")

    @property
    def sigmas(self) -> np.ndarray:
        """Widths of the K + 1 Gaussians in px; K = floor(log(sigma_max_px / sigma_min_px) / log k) + 1."""
        octaves = math.log(self.sigma_max_px / self.sigma_min_px) / math.log(self.sigma_ratio)
        layers = math.floor(octaves + 1e-9) + 1  # sigma_max_px = sigma_min_px * k^n must survive rounding
        return self.sigma_min_px * self.sigma_ratio ** np.arange(layers + 1)

    def at(self, spacing_mm: float) -> "HDoGParameters":
        """The same detector in px of an image of this pixel size."""
        if not self.reference_spacing_mm:
            return self
        factor = self.reference_spacing_mm / spacing_mm
        check("spacing_mm", spacing_mm, factor > 0 and math.isfinite(factor), "a positive number")
        widths = {"sigma_min_px": self.sigma_min_px * factor, "sigma_max_px": self.sigma_max_px * factor}
        return replace(self, **widths, reference_spacing_mm=0.0)


class Candidates(NamedTuple):
    """What HDoG finds."""

    mask: np.ndarray  # bool (rows, cols): union over scales of the Hessian components that hold a blob
    blobs: np.ndarray  # float32 (n, 3), [row, col, sigma] in px, strongest first; a radius is about sqrt(2) * sigma


def hdog(image: np.ndarray, parameters: HDoGParameters, mask: np.ndarray | None = None) -> Candidates:
    """Candidates of a mammogram, float (rows, cols) in [0, 1], finite, MCs bright; parameters are in px of it.

    With a mask, bool (rows, cols), e.g. the eroded breast, the result is that of the whole image under it.
    """
    image = np.asarray(image)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image: got shape {image.shape}; want a non-empty 2-D array (rows, cols)")
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image: got {image.dtype}; want floating point values in [0, 1]")
    if not (np.isfinite(image.min()) and np.isfinite(image.max())):
        raise ValueError("image: got NaN or infinite values; want finite ones in [0, 1]")
    image = np.ascontiguousarray(image, dtype=np.float32)
    mask = np.ones(image.shape, bool) if mask is None else np.asarray(mask)
    if mask.shape != image.shape or mask.dtype != bool:
        raise ValueError(f"mask: got {mask.dtype} of shape {mask.shape}; want bool of shape {image.shape}")
    if not mask.any():
        return Candidates(np.zeros(image.shape, bool), np.empty((0, 3), np.float32))
    # Pruning may depend on blobs anywhere near, so it sees the whole image; the published value 1 prunes nothing.
    margin = MARGIN_PX if parameters.blob_overlap >= 1 else max(image.shape)
    while (candidates := _candidates_in(tiles_around(mask, margin), image, parameters, mask)) is None:
        margin *= 4
    return candidates


def _candidates_in(
    tiles: list[Box], image: np.ndarray, parameters: HDoGParameters, mask: np.ndarray
) -> Candidates | None:
    """Candidates of the tiles under the mask; None where what lies beyond the tiles may decide on a pixel of it."""
    crop = Box.around(tiles)
    shapes = np.zeros((len(parameters.sigmas) - 1, *crop.shape), bool)  # Hessian masks
    known = np.zeros(image.shape, np.uint8)
    for tile in tiles:
        known[tile.slices] = 1
    rim = np.flatnonzero((cv2.erode(known, CROSS) < known)[crop.slices])  # has a neighbour that is not known
    inside = mask[crop.slices]

    with ThreadPoolExecutor(max(1, min(cv2.getNumThreads(), 8))) as pool:
        found = pool.map(lambda tile: _find_in(tile, image, parameters, shapes, crop), tiles)
        places, strengths = map(np.concatenate, zip(*found, strict=True))
        order = np.lexsort((places, -strengths))
        row, col, scale = np.unravel_index(places[order], (*crop.shape, len(shapes)))
        blobs = np.stack([row + crop.top, col + crop.left, parameters.sigmas[scale]], axis=1).astype(np.float32)
        stays = prune_overlaps(blobs, parameters.blob_overlap)
        row, col, scale, blobs = row[stays], col[stays], scale[stays], blobs[stays]
        seeds = [(row[scale == n], col[scale == n]) for n in range(len(shapes))]
        layers = list(pool.map(lambda shape, at: components_with_seed(shape, at[0], at[1], rim, inside), shapes, seeds))

    if any(is_in_doubt for _, is_in_doubt in layers):
        return None
    union = np.zeros(image.shape, bool)
    for kept, _ in layers:
        union[crop.slices] |= kept
    union &= mask
    return Candidates(union, blobs[inside[row, col]])


def _find_in(
    tile: Box, image: np.ndarray, parameters: HDoGParameters, shapes: np.ndarray, crop: Box
) -> tuple[np.ndarray, np.ndarray]:
    """Maxima of a tile; its Hessian masks go into `shapes`, bool (scales, rows, cols) of the crop.

    All are equal to those of the whole image: second differences reach 2 px, maxima 1 px, and so far the responses
    are known beyond the tile; at the image border the border rules apply. Given are flat indices into (rows, cols,
    scales) of the crop, and responses.
    """
    wide = tile.grown(2, image.shape)
    responses = dog_responses(image, parameters.sigmas, wide)
    for shape, response in zip(shapes, responses, strict=True):
        shape[tile.within(crop)] = hessian_mask(response, parameters.hessian_threshold)[tile.within(wide)]
    maxima, strengths = scale_space_maxima(responses, parameters.dog_threshold)
    row, col, scale = maxima.T + [[wide.top], [wide.left], [0]]
    own = (tile.top <= row) & (row < tile.bottom) & (tile.left <= col) & (col < tile.right)
    index = row[own] - crop.top, col[own] - crop.left, scale[own]
    return np.ravel_multi_index(index, (*crop.shape, len(shapes))), strengths[own]
