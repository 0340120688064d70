"""Shape of labelled objects, all at once: one number per object, float64 (n,), of `Outlined` objects 1..n.

Pixels are taken as rectangles of the pixel spacing, so a square of pixels has the moments and the hull of a square.
Every function names formula, unit and source; docs/features.md tables them.
"""

from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from scripts.common.objects import object_pixels
from scripts.common.tensors import Spacing


class Moments(NamedTuple):
    """Central second moments over the area, mm^2, (n,) each: of rows, of columns, mixed."""

    rows: np.ndarray
    cols: np.ndarray
    mixed: np.ndarray


class Outlined:
    """The pixels of the objects of a label image, and what several features need of them.

    Args:
        labels: int (rows, cols), 0 background, objects 1..n without gaps.
        spacing_mm: (row, col).
    """

    def __init__(self, labels: np.ndarray, spacing_mm: Spacing) -> None:
        self.labels, self.spacing_mm = np.pad(labels, 1), spacing_mm
        self.pixels = object_pixels(self.labels)  # in the padded image
        self.width = self.labels.shape[1]
        self.number = self.labels.ravel()[self.pixels].astype(np.int64) - 1
        self.count = int(self.number.max(initial=-1)) + 1

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of values of all pixels, (m,), by object."""
        return np.bincount(self.number, values, minlength=self.count)

    def starts(self, row_step: int, col_step: int) -> np.ndarray:
        """Whether the pixel one step back is outside of a pixel's object, bool (m,)."""
        return self.labels.ravel()[self.pixels - row_step * self.width - col_step] != self.number + 1

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of every pixel, padded image."""
        return np.divmod(self.pixels, self.width)

    @cached_property
    def image_pixels(self) -> np.ndarray:
        """Flat index of every pixel in the image, which is not padded, (m,)."""
        rows, cols = self.places
        return (rows - 1) * (self.width - 2) + cols - 1

    @cached_property
    def boxes(self) -> np.ndarray:
        """First row and column, last row and column + 1 of each object, image, int (n, 4)."""
        ends = np.full((2, self.count, 2), max(self.labels.shape))
        for axis, places in enumerate(self.places):
            np.minimum.at(ends[0, :, axis], self.number, places - 1)
            np.minimum.at(ends[1, :, axis], self.number, -places)
        return np.concatenate([ends[0], -ends[1]], axis=1)

    @cached_property
    def area_mm2(self) -> np.ndarray:
        """Area, mm^2."""
        return np.bincount(self.number, minlength=self.count) * (self.spacing_mm[0] * self.spacing_mm[1])

    @cached_property
    def moments(self) -> Moments:
        """Second moments; a pixel has side^2 / 12 of its own."""
        pixels = np.bincount(self.number, minlength=self.count)
        means = [self.sum(places) / pixels for places in self.places]
        row, col = (
            (places - mean[self.number]) * side
            for places, mean, side in zip(self.places, means, self.spacing_mm, strict=True)
        )
        rows, cols, mixed = (self.sum(product) / pixels for product in (row * row, col * col, row * col))
        return Moments(rows + self.spacing_mm[0] ** 2 / 12, cols + self.spacing_mm[1] ** 2 / 12, mixed)

    @cached_property
    def perimeter_mm(self) -> np.ndarray:
        """See `perimeter_mm`."""
        row_mm, col_mm = self.spacing_mm
        diagonal_mm = row_mm * col_mm / np.hypot(row_mm, col_mm)  # between two lines of pixels along a diagonal
        lines = (((0, 1), row_mm), ((1, 0), col_mm), ((1, 1), diagonal_mm), ((1, -1), diagonal_mm))
        return np.pi / 4 * np.sum([self.sum(self.starts(*step)) * apart for step, apart in lines], axis=0)

    @cached_property
    def axes_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Major and minor axis, see `major_axis_mm`."""
        rows, cols, mixed = self.moments
        middle, spread = (rows + cols) / 2, np.hypot((rows - cols) / 2, mixed)
        return 4 * np.sqrt(middle + spread), 4 * np.sqrt(np.maximum(middle - spread, 0))


def perimeter_mm(objects: Outlined) -> np.ndarray:
    """Length of the border, mm: Cauchy-Crofton with lines of pixels in four directions.

    pi / 4 * sum over the directions of (number of chords * distance of the lines). Source: as scikit-image's
    `perimeter_crofton(directions=4)`, Legland et al. 2011.
    """
    return objects.perimeter_mm


def circularity(objects: Outlined) -> np.ndarray:
    """4 pi area / perimeter^2, 1 for a disc; at most 1, as the perimeter of few pixels is estimated low.

    Source: Cox 1927.
    """
    return np.minimum(4 * np.pi * objects.area_mm2 / objects.perimeter_mm**2, 1.0)


def compactness(objects: Outlined) -> np.ndarray:
    """area / (2 pi (m_rows + m_cols)), second moments over the area: 1 for a disc, less for all else.

    Needs no perimeter. Source: Zunic, Hirota & Rosin 2010.
    """
    return objects.area_mm2 / (2 * np.pi * (objects.moments.rows + objects.moments.cols))


def major_axis_mm(objects: Outlined) -> np.ndarray:
    """4 sqrt(largest eigenvalue of the second moments), mm: axis of the ellipse with these moments."""
    return objects.axes_mm[0]


def minor_axis_mm(objects: Outlined) -> np.ndarray:
    """4 sqrt(smallest eigenvalue of the second moments), mm."""
    return objects.axes_mm[1]


def eccentricity(objects: Outlined) -> np.ndarray:
    """sqrt(1 - (minor axis / major axis)^2), 0 for a disc or a square, towards 1 for a line."""
    major, minor = objects.axes_mm
    return np.sqrt(np.maximum(1 - (minor / major) ** 2, 0))


def orientation_deg(objects: Outlined) -> np.ndarray:
    """Direction of the major axis, degrees in (-90, 90]: 0 along a row, positive counter-clockwise as displayed.

    NaN where both axes are equal (to 1e-6).
    """
    rows, cols, mixed = objects.moments
    angle = np.degrees(np.arctan2(-2 * mixed, cols - rows)) / 2
    is_round = np.hypot((rows - cols) / 2, mixed) <= 1e-6 * (rows + cols)
    return np.where(is_round, np.nan, np.where(angle <= -90 + 1e-9, 90.0, angle))


def solidity(objects: Outlined) -> np.ndarray:
    """Area / area of the convex hull of the pixels' corners, in (0, 1]."""
    ends = objects.starts(0, 1) | objects.starts(0, -1)  # first and last pixels of each row's runs hold the hull
    number, rows, cols = objects.number[ends], *(places[ends] for places in objects.places)
    order = np.argsort(number, kind="stable")
    centres = np.stack([cols, rows], 1)[order] * 2
    corners = (centres[:, None] + np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])).astype(np.int32)
    parts = np.split(corners, np.cumsum(np.bincount(number, minlength=objects.count))[:-1])
    hulls = [cv2.contourArea(cv2.convexHull(part.reshape(-1, 1, 2))) for part in parts] if objects.count else []
    pixels = np.bincount(objects.number, minlength=objects.count)
    return 4 * pixels / np.array(hulls, np.float64).reshape(-1)
