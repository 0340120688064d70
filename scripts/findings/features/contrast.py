"""Contrast of labelled objects: against a ring around each, and at their borders. Grey values in [0, 1]."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing
from scripts.findings.features.shapes import Outlined


class Surroundings(NamedTuple):
    """Objects 1..n of an image and the grey values around them."""

    objects: Outlined
    image: np.ndarray  # (rows, cols), [0, 1]
    inside: np.ndarray  # mean of each object, (n,)
    brightest: np.ndarray  # highest value of each object, (n,)
    ring: np.ndarray  # mean of the ring around each object, (n,); NaN where the ring is too small
    noise: np.ndarray  # population standard deviation of the ring, (n,)


@dataclass(frozen=True)
class Ring:
    """The pixels around an object: farther than `gap_mm` from its pixels, and at most `gap_mm` + `width_mm`.

    Pixels of other objects are left out. The same ring as that of the evaluation's contrast to noise.
    """

    gap_mm: float = 0.2  # keeps blurred borders out
    width_mm: float = 1.0
    least_px: int = 10  # a mean of fewer pixels says nothing

    def __post_init__(self) -> None:
        check_fields(self)
        check("gap_mm", self.gap_mm, self.gap_mm >= 0, "0 or more")
        check("width_mm", self.width_mm, self.width_mm > 0, "a value above 0")
        check("least_px", self.least_px, self.least_px >= 1, "1 or more")

    def around(self, objects: Outlined, image: np.ndarray) -> Surroundings:
        """Measure the rings of all objects of an image, float (rows, cols)."""
        labels, (row_mm, col_mm) = objects.labels[1:-1, 1:-1], objects.spacing_mm
        check("image", image.shape, image.shape == labels.shape, f"the labels' shape {labels.shape}")
        reach = self.gap_mm + self.width_mm
        row_margin, col_margin = (int(np.ceil(reach / side)) for side in (row_mm, col_mm))
        image, free, statistics = image.astype(np.float32, copy=False), labels == 0, np.full((2, objects.count), np.nan)
        for number, (top, left, bottom, right) in enumerate(objects.boxes.tolist(), start=1):
            rows = slice(max(top - row_margin, 0), bottom + row_margin)
            cols = slice(max(left - col_margin, 0), right + col_margin)
            distance = _distance_mm(labels[rows, cols] != number, objects.spacing_mm)
            ring = cv2.inRange(distance, float(np.nextafter(np.float32(self.gap_mm), np.float32(np.inf))), reach)
            ring &= free[rows, cols].view(np.uint8)
            if cv2.countNonZero(ring) >= self.least_px:
                mean, deviation = cv2.meanStdDev(image[rows, cols], mask=ring)
                statistics[:, number - 1] = mean[0, 0], deviation[0, 0]
        values = image.ravel()[objects.image_pixels].astype(np.float64)
        brightest = np.full(objects.count, -np.inf)
        np.maximum.at(brightest, objects.number, values)
        pixels = np.bincount(objects.number, minlength=objects.count)
        return Surroundings(objects, image, objects.sum(values) / pixels, brightest, *statistics)


def contrast(around: Surroundings) -> np.ndarray:
    """Mean of the object - mean of its ring, grey values."""
    return around.inside - around.ring


def max_contrast(around: Surroundings) -> np.ndarray:
    """Highest value of the object - mean of its ring, grey values."""
    return around.brightest - around.ring


def contrast_to_noise(around: Surroundings) -> np.ndarray:
    """Contrast / standard deviation of the ring (anatomy included); NaN where the ring is flat."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(around.noise > 0, contrast(around) / around.noise, np.nan)


def edge_sharpness_per_mm(around: Surroundings) -> np.ndarray:
    """Mean gradient (central differences, per mm) of the object's border pixels / contrast, 1/mm.

    The steeper the border, the higher, whatever the contrast; NaN where the object is not brighter than its ring.
    Border pixels have one of their four neighbours outside of the object.
    """
    objects = around.objects
    steps = ((0, 1), (0, -1), (1, 0), (-1, 0))
    border = np.any([objects.starts(*step) for step in steps], axis=0)
    rows, cols = (places[border] for places in objects.places)
    rows, cols = rows - 1, cols - 1
    last_row, last_col = np.subtract(around.image.shape, 1)
    above, below = (around.image[np.clip(rows + step, 0, last_row), cols] for step in (-1, 1))
    before, behind = (around.image[rows, np.clip(cols + step, 0, last_col)] for step in (-1, 1))
    down, right = (below - above) / (2 * objects.spacing_mm[0]), (behind - before) / (2 * objects.spacing_mm[1])
    number = objects.number[border]
    total = np.bincount(number, np.hypot(down, right), minlength=objects.count)
    pixels, height = np.bincount(number, minlength=objects.count), contrast(around)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(height > 0, total / pixels / height, np.nan)


def _distance_mm(outside: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Distance of every pixel's centre to the nearest one not outside, float32, mm; exact, OpenCV's is faster."""
    if spacing_mm[0] != spacing_mm[1]:
        return ndimage.distance_transform_edt(outside, sampling=spacing_mm).astype(np.float32)
    return cv2.distanceTransform(outside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * np.float32(spacing_mm[0])
