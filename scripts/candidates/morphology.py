"""Baseline: microcalcifications by grey-level morphology (Ciecholewski 2017), a comparison method of HDoGReg.

Settled in docs/baselines.md: a closing-opening pyramid of two levels, what of the image stands out of either level,
the extended maxima there as markers, and a watershed on the gradient from them. No learning, no ordering of its own.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import relabel_sequential, watershed

from scripts.common.checks import check_fields

SQUARE = np.ones((3, 3), np.uint8)  # structuring element of every operator, and 8-connectivity


@dataclass(frozen=True)
class MorphologyParameters:
    """Parameters; the defaults are the published values on [0, 1] images, whose units the first three have."""

    floor: float = 21 / 255  # pixels darker than this are zeroed
    difference_threshold: float = 10 / 256  # a pixel that stands out of its pyramid level by more is a detection
    maxima_height: float = 5 / 256  # h of the extended maxima
    tile_px: int = 500  # side of the tiles, which are worked on one by one; objects end at their borders
    max_area_px: int = 5000  # larger objects are dropped

    def __post_init__(self) -> None:
        unit = {"floor": "[0, 1]", "difference_threshold": "[0, 1]", "maxima_height": "(0, 1]"}
        check_fields(self, **unit, tile_px="[8, inf)", max_area_px="[1, inf)")


def morphology_objects(
    image: np.ndarray, parameters: MorphologyParameters, within: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Objects of a whole image, tile by tile, each with the largest difference that it holds.

    The image is float (rows, cols) in [0, 1], MCs bright; `within` is bool (rows, cols), the eroded breast: objects are
    cut at it, and tiles without any of it left out.

    Returns:
        labels int32 (rows, cols), 0 background, 1..n objects in no particular order (neighbours may touch), and scores
        float32 (n + 1,) in [0, 1], index 0 unused: the largest difference to a pyramid level within the object. The
        method itself does not order its objects; this is the threshold up to which one would still be detected.
    """
    if image.ndim != 2 or not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image: got {image.dtype} of shape {image.shape}; want floats in [0, 1], (rows, cols)")
    if within is not None and (within.shape != image.shape or within.dtype != bool):
        raise ValueError(f"within: got {within.dtype} of shape {within.shape}; want bool of shape {image.shape}")
    within = np.ones(image.shape, bool) if within is None else within
    labels = np.zeros(image.shape, np.int32)
    scores = [np.zeros(1, np.float32)]
    side, count = parameters.tile_px, 0
    for top, left in itertools.product(*(range(0, length, side) for length in image.shape)):
        tile = np.s_[top : top + side, left : left + side]
        if not within[tile].any():
            continue
        found, strengths = tile_objects(image[tile].astype(np.float32), parameters, within[tile])
        labels[tile] = np.where(found > 0, found + count, 0)
        scores.append(strengths[1:])
        count += strengths.size - 1
    return labels, np.concatenate(scores)


def tile_objects(
    tile: np.ndarray, parameters: MorphologyParameters, within: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Objects of one tile; arguments and results as for `morphology_objects`, image float32."""
    tile = np.where(tile < parameters.floor, np.float32(0), tile)
    differences = pyramid_differences(tile)
    markers, count = object_markers(tile, differences, parameters)
    shapes = watershed_shapes(tile, markers) if count else markers
    is_too_large = np.bincount(shapes.ravel()) > parameters.max_area_px
    labels, _, _ = relabel_sequential(np.where(within & ~is_too_large[shapes], shapes, 0))
    strongest = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(strongest, labels, np.maximum.reduce(differences))
    strongest[0] = 0
    return labels, np.clip(strongest, 0, 1)


def closing_opening(image: np.ndarray) -> np.ndarray:
    """Closing, then opening by a 3x3 square: removes dark and then bright detail that holds no such square."""
    closed = cv2.morphologyEx(image, cv2.MORPH_CLOSE, SQUARE)
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, SQUARE)


def expand(level: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo a halving: values go to the even pixels, the largest neighbouring one to the pixels between (Toet 1989)."""
    sparse = np.zeros(shape, np.float32)
    sparse[::2, ::2] = level
    return cv2.dilate(sparse, SQUARE)


def pyramid_differences(image: np.ndarray) -> list[np.ndarray]:
    """image - min(expanded level, image) for two levels of a pyramid: what is too small for the level.

    A level is the closing-opening of the one below, of which every second row and column is kept.
    Takes float32 (rows, cols), gives two such arrays, at least 0; the second also holds larger objects.
    """
    shapes, level, differences = [image.shape], image, []
    for _ in range(2):
        level = closing_opening(level)[::2, ::2]
        expanded = level
        for shape in reversed(shapes):
            expanded = expand(expanded, shape)
        differences.append(image - np.minimum(expanded, image))
        shapes.append(level.shape)
    return differences


def extended_maxima(image: np.ndarray, height: float) -> np.ndarray:
    """Regional maxima of the h-maxima transform: tops that rise by `height` or more above the way to a higher one.

    Takes float32 (rows, cols), gives bool; an image without relief has none.
    """
    flattened = reconstruction(image - np.float32(height), image, method="dilation", footprint=SQUARE)
    return local_maxima(flattened.astype(np.float32), connectivity=2).astype(bool)


def object_markers(
    image: np.ndarray, differences: list[np.ndarray], parameters: MorphologyParameters
) -> tuple[np.ndarray, int]:
    """Numbered extended maxima that a difference above the threshold touches (binary reconstruction by dilation).

    Gives int32 (rows, cols) with 8-connected markers 1..n, and n.
    """
    tops = extended_maxima(image, parameters.maxima_height)
    detected = np.maximum.reduce(differences) > parameters.difference_threshold
    kept = ndimage.binary_propagation(tops & detected, structure=SQUARE, mask=tops)
    markers, count = ndimage.label(kept, structure=SQUARE, output=np.int32)
    return markers, int(count)


def watershed_shapes(image: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """Shapes of the marked objects: watershed of the morphological gradient from markers and background.

    The marker of the background is the line along which the markers' zones meet when the inverted image is flooded
    from them (the valleys between objects), and the frame of the image. The image is float32; markers are int32, 1..n,
    n at least 1; the result is int32, 0 background, else the markers' numbers.
    """
    zones = watershed(-image, markers, connectivity=2).astype(np.float32)  # its own watershed_line is 30 times slower
    outside = zones > cv2.erode(zones, SQUARE)
    outside[[0, -1]] = outside[:, [0, -1]] = True
    background = int(markers.max()) + 1
    seeds = np.where(outside & (markers == 0), background, markers)
    shapes = watershed(cv2.morphologyEx(image, cv2.MORPH_GRADIENT, SQUARE), seeds, connectivity=2)
    return np.where(shapes == background, 0, shapes).astype(np.int32)
