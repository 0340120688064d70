"""Boxes of an image, and the tiles around a mask in which HDoG works."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TILE_PX = (192, 1024)  # rows, columns of a tile: larger ones cost fewer margins, smaller ones stay in cache
ALIGN_PX = 32  # columns are cut at multiples of this: vector code then rounds each pixel as on the whole image


class Box(NamedTuple):
    """Rows top..bottom and columns left..right of an image, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @classmethod
    def around(cls, boxes: Sequence["Box"]) -> "Box":
        """The smallest box that holds all of these."""
        top, bottom, left, right = zip(*boxes, strict=True)
        return cls(min(top), max(bottom), min(left), max(right))

    def grown(self, margin: int, shape: tuple[int, ...]) -> "Box":
        """This box with a margin on each side and columns rounded out to `ALIGN_PX`, as far as the image reaches."""
        left, right = (self.left - margin) // ALIGN_PX * ALIGN_PX, -(-(self.right + margin) // ALIGN_PX) * ALIGN_PX
        top, bottom = self.top - margin, self.bottom + margin
        return Box(max(top, 0), min(bottom, shape[0]), max(left, 0), min(right, shape[1]))

    def within(self, outer: "Box") -> tuple[slice, slice]:
        """Slices of this box in an array that holds the outer one."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )


def tiles_around(mask: np.ndarray, margin: int) -> list[Box]:
    """Those tiles of an image that lie within a margin in px of a mask, bool (rows, cols), as wide as it is there."""
    (rows, cols), (height, width) = mask.shape, TILE_PX
    tiles = []
    for top, left in itertools.product(range(0, rows, height), range(0, cols, width)):
        tile = Box(top, min(top + height, rows), left, min(left + width, cols))
        wide = tile.grown(margin, mask.shape)
        near = np.flatnonzero(mask[wide.slices].any(axis=0)) + wide.left
        if near.size:
            span = Box(top, tile.bottom, int(near[0]), int(near[-1]) + 1).grown(margin, mask.shape)
            tiles.append(tile._replace(left=max(left, span.left), right=min(tile.right, span.right)))
    return [tile for tile in tiles if tile.left < tile.right]
