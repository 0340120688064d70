"""Where HDoG works: the rows and columns around a mask, cut into bands of rows and tiles."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

BAND_ROWS = 256
"""Rows of a band. More rows cost fewer margins; fewer rows keep a band's arrays in cache."""

TILE_COLS = 1536
"""Most columns of a tile of a band, up to rounding to `ALIGN_PX`."""

ALIGN_PX = 32
"""Columns are cut at multiples of this, so that vector code rounds each pixel as it would on the whole image."""


class Box(NamedTuple):
    """Rows top..bottom and columns left..right of an image, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, shape: tuple[int, ...]) -> "Box":
        """This box with a margin on each side, as far as the image reaches."""
        rows, cols = shape
        top, left = max(self.top - margin, 0), max(self.left - margin, 0)
        return Box(top, min(self.bottom + margin, rows), left, min(self.right + margin, cols))

    def aligned(self, shape: tuple[int, ...]) -> "Box":
        """This box with its columns rounded out to multiples of `ALIGN_PX` or the image's last column."""
        left = self.left // ALIGN_PX * ALIGN_PX
        return self._replace(left=left, right=min(-(-self.right // ALIGN_PX) * ALIGN_PX, shape[1]))

    def within(self, outer: "Box") -> tuple[slice, slice]:
        """Slices of this box in an array that holds the outer one."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )

    def tiles(self) -> Iterator["Box"]:
        """This box cut into tiles of about the same width, no wider than about `TILE_COLS`."""
        count = -(-(self.right - self.left) // TILE_COLS)
        cuts = [self.left + (self.right - self.left) * i // count // ALIGN_PX * ALIGN_PX for i in range(1, count)]
        for left, right in itertools.pairwise([self.left, *cuts, self.right]):
            yield self._replace(left=left, right=right)


def bands_around(mask: np.ndarray, margin: int) -> list[Box]:
    """Bands of `BAND_ROWS` rows, each as wide as the mask in its rows, with a margin in px on all sides.

    Bands without mask in reach are left out.

    Args:
        mask: bool (rows, cols).
        margin: px, at least 0.

    Returns:
        Boxes from top to bottom, columns cut at multiples of `ALIGN_PX` or the border of the image.
    """
    rows, cols = mask.shape
    filled = np.flatnonzero(mask.any(axis=1))
    if filled.size == 0:
        return []
    bands = []
    bottom = min(int(filled[-1]) + 1 + margin, rows)
    for top in range(max(int(filled[0]) - margin, 0), bottom, BAND_ROWS):
        band = Box(top, min(top + BAND_ROWS, bottom), 0, cols)
        near = np.flatnonzero(mask[band.grown(margin, mask.shape).slices].any(axis=0))
        if near.size:
            span = band._replace(left=int(near[0]) - margin, right=int(near[-1]) + 1 + margin)
            bands.append(span.grown(0, mask.shape).aligned(mask.shape))
    return bands


def shared_columns(above: Box, below: Box) -> slice:
    """Columns at which a box meets the one below it; an empty slice if it does not."""
    left, right = max(above.left, below.left), min(above.right, below.right)
    return slice(left, right) if above.bottom == below.top and left < right else slice(0, 0)


def cut_lines(bands: list[Box], number: int, shape: tuple[int, ...]) -> list[tuple]:
    """Border lines of one of several bands with a pixel beyond them that is in the image and in no band.

    Args:
        bands: from top to bottom.
        number: which of them.
        shape: of the image.

    Returns:
        Indices (rows, columns) into an array that holds the band.
    """
    band, every = bands[number], slice(None)
    lines: list[tuple] = []
    if band.left > 0:
        lines.append((every, 0))
    if band.right < shape[1]:
        lines.append((every, -1))
    for row, at_border, pair in (
        (0, band.top == 0, bands[max(number - 1, 0) : number + 1]),
        (-1, band.bottom == shape[0], bands[number : number + 2]),
    ):
        if not at_border:
            shared = shared_columns(*pair) if len(pair) == 2 else slice(0, 0)
            met = slice(max(shared.start - band.left, 0), max(shared.stop - band.left, 0))
            lines += [(row, slice(0, met.start)), (row, slice(met.stop, None))]
    return lines
