"""Tiled inference with dropped margins: a whole mammogram through a network in bounded memory, without seams."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type, convert_to_tensor
from tqdm import tqdm

from scripts.candidates.breast_mask import breast_mask
from scripts.common.tensors import row_spacing_of
from scripts.inference.averaging import MIRRORS, MirrorAverage
from scripts.inference.inference_form import InferenceForm
from scripts.networks.fpn import FPN

PROBE_PX = 64
PART_STEP_PX = 128


class Span(NamedTuple):
    """A tile along one axis, in px: the network sees [start, stop), [core_start, core_stop) of it is kept."""

    start: int
    stop: int
    core_start: int
    core_stop: int


class Tile(NamedTuple):
    """A tile of one image of the batch."""

    image: int
    rows: Span
    cols: Span

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that the network sees."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


def tile_spans(size_px: int, tile_px: int, margin_px: int, align_px: int = 1) -> list[Span]:
    """Cover one axis with tiles whose cores partition it.

    Every tile starts at a multiple of ``align_px``, so that a network with that stride samples the same grid in each
    tile. The first starts and the last ends at the image's own border, so that the network sees that border (its
    zero padding) as in a whole-image pass; on inner sides at least ``margin_px`` is dropped. All tiles are
    ``tile_px`` long but the last, which is up to ``align_px - 1`` shorter.

    Args:
        size_px: length of the axis.
        tile_px: length of a tile, a multiple of ``align_px``.
        margin_px: dropped on every inner side.
        align_px: stride of the network.

    Raises:
        ValueError: no core is left between the margins, or ``tile_px`` is not aligned.
    """
    step = (tile_px - 2 * margin_px) // align_px * align_px
    if margin_px < 0 or step <= 0:
        raise ValueError(
            f"margin_px: got {margin_px} for tile_px {tile_px}; wanted 0 or more that leaves a core of at least "
            f"{align_px} px"
        )
    if tile_px % align_px:
        raise ValueError(f"tile_px: got {tile_px}; wanted a multiple of align_px = {align_px}")
    last_start = max(-(-(size_px - tile_px) // align_px) * align_px, 0)
    starts = [*range(0, last_start, step), last_start]
    cuts = [(left + tile_px + right) // 2 for left, right in itertools.pairwise(starts)]
    cores = zip([0, *cuts], [*cuts, size_px], strict=True)
    return [Span(start, min(start + tile_px, size_px), *core) for start, core in zip(starts, cores, strict=True)]


class TileInferer(Inferer):
    """Run a network over tiles, drop the margins and put the cores together: no blending, no gaps.

    Only tiles whose core holds breast are computed. With ``breast_only`` every pixel outside the breast mask gets
    ``outside_value``, so that the output does not depend on where the tiles lie.

    Args:
        tile_px: side of a tile (512 in HDoGReg).
        margin_px: dropped on every inner side (128 in HDoGReg; the slim FCN needs 22).
        batch_size: tiles per forward pass.
        breast_only: skip and blank what is not breast.
        outside_value: logit of pixels outside the breast.
        progress: show a progress bar over the tiles.
        align_px: tiles start at multiples of it: the network's stride (1 for a full-resolution network).
        precision: "float32", "bfloat16", or "auto" (bfloat16 where the hardware has it).
        spacing_mm: pixel size that the breast mask assumes where the input's metadata holds none.
        crop: cut every tile down to the breast in its core and `margin_px` around it. No logit changes where the
            receptive field fits into the margin (the slim FCN); the FPN's norms see less that is not breast. With a
            stride, the cuts lie at multiples of `PART_STEP_PX` from the tile's start.
        fuse, backend: see `InferenceForm`.
        mirrors: mirrored copies whose logits are averaged: 1 (none but the tile), 2 or 4.

    Raises:
        ValueError: sizes that leave no core or are not aligned, or an unknown ``precision`` or ``backend``.
    """

    def __init__(
        self,
        tile_px: int = 512,
        margin_px: int = 128,
        batch_size: int = 4,
        breast_only: bool = True,
        outside_value: float = -20.0,
        progress: bool = False,
        align_px: int = 32,
        precision: str = "float32",
        spacing_mm: float = 0.07,
        crop: bool = False,
        fuse: bool = False,
        mirrors: int = 1,
        backend: str = "torch",
    ) -> None:
        super().__init__()
        tile_spans(tile_px, tile_px, margin_px, align_px)  # refuses impossible sizes now, not at the first image
        if batch_size < 1:
            raise ValueError(f"batch_size: got {batch_size}; wanted at least 1")
        if mirrors not in MIRRORS:
            raise ValueError(f"mirrors: got {mirrors}; wanted one of {', '.join(map(str, MIRRORS))}")
        self.form = InferenceForm(precision, fuse, backend)
        self.tile_px = tile_px
        self.margin_px = margin_px
        self.batch_size = batch_size
        self.breast_only = breast_only
        self.outside_value = outside_value
        self.progress = progress
        self.align_px = align_px
        self.spacing_mm = spacing_mm
        self.crop = crop
        self.mirrors = mirrors

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., torch.Tensor],
        *args: Any,
        breast: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Logits of whole images.

        Args:
            inputs: images in [0, 1], [B, 1, H, W]; a MetaTensor keeps its metadata.
            network: maps [b, 1, h, w] to logits [b, C, h, w]; called without gradients.
            *args: passed on to the network.
            breast: breast masks of the images, bool [B, 1, H, W]; None: they are computed where they are needed.
            **kwargs: passed on to the network.

        Returns:
            float32 logits [B, C, H, W] on the device of ``inputs``.

        Raises:
            ValueError: ``inputs`` is not 4-D, or the network changes the size of a tile.
        """
        if inputs.ndim != 4:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}; wanted [B, 1, H, W]")
        images = convert_to_tensor(inputs, track_meta=False)
        masks = self._breast(images, breast, row_spacing_of(inputs, self.spacing_mm))
        batches = list(self._batches(images, masks))
        run, arithmetic = self.form.of(network, images.device)
        if self.mirrors > 1:
            run = MirrorAverage(run, self.mirrors)
        logits: torch.Tensor | None = None
        with torch.no_grad(), arithmetic:
            for batch in tqdm(batches, desc="Tiles", unit="batch", disable=not self.progress):
                windows = [images[tile.image, :, slice(*tile.rows[:2]), slice(*tile.cols[:2])] for tile in batch]
                wanted = _kept_part(batch) if isinstance(run, FPN) and not (args or kwargs) else None
                if wanted is None:
                    outputs = run(torch.stack(windows), *args, **kwargs)
                else:
                    outputs = run.part(torch.stack(windows), *wanted)
                size = batch[0].shape if wanted is None else tuple(part.stop - part.start for part in wanted)
                if outputs.shape[2:] != size:
                    raise ValueError(
                        f"network: got an output of {tuple(outputs.shape[2:])} px from a tile of {size} px; "
                        "wanted the same size"
                    )
                if logits is None:
                    logits = self._blank(images, outputs.shape[1])
                for tile, output in zip(batch, outputs, strict=True):
                    _paste_core(logits, tile, output, *(wanted or (slice(0), slice(0))))
            if logits is None:  # no breast: one small tile tells the number of maps
                logits = self._blank(images, run(images[:1, :, :PROBE_PX, :PROBE_PX], *args, **kwargs).shape[1])
        if masks is not None:
            outside = torch.from_numpy(~masks).to(logits.device)
            logits.masked_fill_(outside[:, None], self.outside_value)
        return convert_to_dst_type(logits, inputs, dtype=logits.dtype)[0]

    def _breast(self, images: torch.Tensor, given: torch.Tensor | None, spacing_mm: float) -> np.ndarray | None:
        """Breast masks (B, rows, cols), or None where everything counts."""
        if not self.breast_only:
            return None
        if given is not None:
            if given.shape != images[:, :1].shape:
                raise ValueError(f"breast: got shape {tuple(given.shape)}; wanted {tuple(images[:, :1].shape)}")
            return convert_to_tensor(given, track_meta=False)[:, 0].bool().cpu().numpy()
        arrays = images[:, 0].float().cpu().numpy()
        return np.stack([breast_mask(array, spacing_mm=spacing_mm) for array in arrays])

    def _batches(self, images: torch.Tensor, breast: np.ndarray | None) -> Iterator[list[Tile]]:
        """Tiles to compute, at most ``batch_size`` of one shape together."""
        rows, cols = images.shape[2:]
        row_spans = tile_spans(rows, self.tile_px, self.margin_px, self.align_px)
        col_spans = tile_spans(cols, self.tile_px, self.margin_px, self.align_px)
        by_shape: dict[tuple[int, int], list[Tile]] = defaultdict(list)
        for image in range(images.shape[0]):
            for row_span in row_spans:
                for col_span in col_spans:
                    core = slice(*row_span[2:]), slice(*col_span[2:])
                    if breast is None or breast[image][core].any():
                        tile = Tile(image, row_span, col_span)
                        if breast is not None:  # nothing else of the core is kept
                            margin = self.margin_px if self.crop else self.tile_px
                            step = 1 if self.align_px == 1 else PART_STEP_PX
                            tile = _cropped(tile, breast[image][core], margin, step)
                        by_shape[tile.shape].append(tile)
        for tiles in by_shape.values():
            for first in range(0, len(tiles), self.batch_size):
                yield tiles[first : first + self.batch_size]

    def _blank(self, images: torch.Tensor, channels: int) -> torch.Tensor:
        shape = (images.shape[0], channels, *images.shape[2:])
        return torch.full(shape, self.outside_value, dtype=torch.float32, device=images.device)


def _cropped(tile: Tile, breast: np.ndarray, margin_px: int, step_px: int) -> Tile:
    """The tile cut down to the breast in its core, an array of the core's shape with some breast, and a margin.

    Where the cuts are not at the tile's own borders, they lie at multiples of `step_px` from its start.
    """
    spans = []
    for span, axis in ((tile.rows, 1), (tile.cols, 0)):
        inside = np.flatnonzero(breast.any(axis=axis)) + span.core_start
        first, last = int(inside[0]), int(inside[-1]) + 1
        before = max(first - margin_px - span.start, 0) // step_px * step_px
        after = -(-(last + margin_px - span.start) // step_px) * step_px
        spans.append(Span(span.start + before, min(span.stop, span.start + after), first, last))
    return Tile(tile.image, *spans)


def _kept_part(batch: list[Tile]) -> tuple[slice, slice]:
    """Rows and columns of the tiles that hold all their cores, of few different sizes.

    For every size the processor's library compiles programs and keeps them: `PART_STEP_PX` bounds their number.
    """
    parts = []
    for spans, size in zip(([tile.rows for tile in batch], [tile.cols for tile in batch]), batch[0].shape, strict=True):
        first = min(span.core_start - span.start for span in spans) // PART_STEP_PX * PART_STEP_PX
        last = -(-max(span.core_stop - span.start for span in spans) // PART_STEP_PX) * PART_STEP_PX
        parts.append(slice(first, min(last, size)))
    return parts[0], parts[1]


def _paste_core(
    logits: torch.Tensor, tile: Tile, output: torch.Tensor, out_rows: slice = slice(0), out_cols: slice = slice(0)
) -> None:
    """Copy the core of a tile's output [C, h, w] into its place in ``logits`` [B, C, H, W].

    The output begins at row `out_rows.start` and column `out_cols.start` of the tile.
    """
    rows, cols = tile.rows, tile.cols
    top, left = rows.start + (out_rows.start or 0), cols.start + (out_cols.start or 0)
    core = output[:, rows.core_start - top : rows.core_stop - top, cols.core_start - left : cols.core_stop - left]
    logits[tile.image, :, rows.core_start : rows.core_stop, cols.core_start : cols.core_stop] = core.float()
