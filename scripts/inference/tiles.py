"""How a mammogram is cut into tiles whose cores partition it, and which part of each is worth computing."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from scripts.common.checks import check, check_fields

#: Cuts within a tile lie at multiples of it: the processor's library compiles and keeps programs for every size.
PART_STEP_PX = 128


class Span(NamedTuple):
    """A tile along one axis, in px: the network sees [start, stop), [core_start, core_stop) of it is kept."""

    start: int
    stop: int
    core_start: int
    core_stop: int

    @property
    def seen(self) -> slice:
        """What the network sees."""
        return slice(self.start, self.stop)

    @property
    def core(self) -> slice:
        """What is kept."""
        return slice(self.core_start, self.core_stop)


class Tile(NamedTuple):
    """A tile of one image of the batch."""

    image: int
    rows: Span
    cols: Span

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that the network sees."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


@dataclass(frozen=True)
class Tiles:
    """Tiling of whole mammograms."""

    tile_px: int = 768  # side of a tile (512 in HDoGReg), a multiple of `align_px`; of bands the most rows
    margin_px: int = 64  # dropped on every inner side (128 in HDoGReg; the slim FCN needs 22)
    align_px: int = 32  # tiles start at multiples of it: the network's stride (1 for a full-resolution network)
    batch_size: int = 1  # tiles per forward pass
    breast_only: bool = True  # skip tiles without breast and blank what is not breast
    #: Cut every tile down to the breast in its core and `margin_px` around it. No logit changes where the receptive
    #: field fits into the margin (the slim FCN); the FPN's norms see less that is not breast.
    crop: bool = True
    bands: bool = True  # tiles are bands as wide as the breast, as few and as high as each other, instead of squares

    def __post_init__(self) -> None:
        check_fields(self, tile_px="[1, inf)", align_px="[1, inf)", batch_size="[1, inf)")
        core = f"what leaves of tile_px = {self.tile_px} a core of at least {self.align_px} px"
        check("margin_px", self.margin_px, self.step_px > 0, core)
        check("tile_px", self.tile_px, self.tile_px % self.align_px == 0, f"a multiple of align_px = {self.align_px}")

    @property
    def step_px(self) -> int:
        """Distance between the starts of two tiles."""
        return (self.tile_px - 2 * self.margin_px) // self.align_px * self.align_px

    def spans(self, size_px: int) -> list[Span]:
        """Cover one axis with tiles whose cores partition it.

        The first tile starts and the last ends at the image's own border, so that the network sees that border (its
        zero padding) as in a whole-image pass; on inner sides at least `margin_px` is dropped. All tiles are
        `tile_px` long but the last, which is up to `align_px - 1` shorter.
        """
        last_start = max(-(-(size_px - self.tile_px) // self.align_px) * self.align_px, 0)
        starts = [*range(0, last_start, self.step_px), last_start]
        cuts = [(left + self.tile_px + right) // 2 for left, right in itertools.pairwise(starts)]
        cores = zip(starts, [0, *cuts], [*cuts, size_px], strict=True)
        return [Span(start, min(start + self.tile_px, size_px), first, stop) for start, first, stop in cores]

    def batches(self, count: int, shape: tuple[int, int], breast: np.ndarray | None) -> Iterator[list[Tile]]:
        """Tiles of `count` images of (rows, cols) to compute, at most `batch_size` of one shape together.

        Large ones come first: OpenVINO keeps the memory of the largest, and needs both while it grows.
        With `breast`, bool (count, rows, cols), only tiles whose core holds some.
        """
        by_shape: dict[tuple[int, int], list[Tile]] = defaultdict(list)
        for image in range(count):
            mask = None if breast is None else breast[image]
            for rows, cols in self._pairs(shape, mask):
                tile = Tile(image, rows, cols)
                if mask is not None:
                    core = mask[rows.core, cols.core]
                    if not core.any():
                        continue
                    in_rows, in_cols = np.flatnonzero(core.any(axis=1)), np.flatnonzero(core.any(axis=0))
                    tile = Tile(image, self._cropped(rows, in_rows), self._cropped(cols, in_cols))
                by_shape[tile.shape].append(tile)
        for tiles in sorted(by_shape.values(), key=lambda tiles: -math.prod(tiles[0].shape)):
            for first in range(0, len(tiles), self.batch_size):
                yield tiles[first : first + self.batch_size]

    def _pairs(self, shape: tuple[int, int], breast: np.ndarray | None) -> Iterable[tuple[Span, Span]]:
        """Rows and columns of the tiles of an image, before they are cut down to the breast."""
        if not self.bands:
            return itertools.product(self.spans(shape[0]), self.spans(shape[1]))
        inside = [0, shape[0] - 1] if breast is None else np.flatnonzero(breast.any(axis=1))
        bands = self._bands(int(inside[0]), int(inside[-1]) + 1, shape[0]) if len(inside) else []
        return itertools.product(bands, [Span(0, shape[1], 0, shape[1])])

    def _bands(self, first: int, last: int, size_px: int) -> list[Span]:
        """Rows of bands over [first, last) of `size_px` rows and the margin on both sides."""
        start = max(first - self.margin_px, 0) // self.align_px * self.align_px
        length = -(-(last + self.margin_px - start) // self.align_px) * self.align_px
        length = min(length, size_px - start)
        shared, step = 2 * self.margin_px, 1 if self.align_px == 1 else PART_STEP_PX
        count = max(-(-(length - shared) // (self.tile_px - shared)), 1)
        height = -(-(length + (count - 1) * shared) // count)  # of one band alone the rows that there are
        lower = self if count == 1 else replace(self, tile_px=min(-(-height // step) * step, self.tile_px))
        return [Span(*(start + place for place in span)) for span in lower.spans(length)]

    def _cropped(self, span: Span, breast: np.ndarray) -> Span:
        """A span whose core is cut down to the breast (px of the core), and which with `crop` is cut likewise."""
        margin = self.margin_px if self.crop else self.tile_px
        step = 1 if self.align_px == 1 else PART_STEP_PX
        first, last = span.core_start + int(breast[0]), span.core_start + int(breast[-1]) + 1
        before = max(first - margin - span.start, 0) // step * step
        after = -(-(last + margin - span.start) // step) * step
        return Span(span.start + before, min(span.stop, span.start + after), first, last)


def part_with_cores(batch: list[Tile]) -> tuple[slice, slice]:
    """Rows and columns of tiles of one shape that hold all their cores, of few different sizes."""
    parts = []
    for spans, size in zip(([tile.rows for tile in batch], [tile.cols for tile in batch]), batch[0].shape, strict=True):
        first = min(span.core_start - span.start for span in spans) // PART_STEP_PX * PART_STEP_PX
        last = -(-max(span.core_stop - span.start for span in spans) // PART_STEP_PX) * PART_STEP_PX
        parts.append(slice(first, min(last, size)))
    return parts[0], parts[1]
