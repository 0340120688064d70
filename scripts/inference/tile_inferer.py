"""Tiled inference with dropped margins: a whole mammogram through a network in bounded memory, without seams."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type, convert_to_tensor

from scripts.candidates.breast_mask import breast_mask
from scripts.common.checks import check
from scripts.common.reimported import is_a
from scripts.common.tensors import row_spacing_of
from scripts.inference.precision import InferenceForm
from scripts.inference.tiles import Tile, Tiles, part_with_cores
from scripts.inference.tone import Curve, Tone
from scripts.networks.fpn import FPN
from scripts.networks.int8 import Int8Network

PROBE_PX = 64
#: Axes that a tile is mirrored along: as it is, turned by 180 degrees, and mirrored up to down and left to right.
ORIENTATIONS: dict[int, tuple[tuple[int, ...], ...]] = {1: ((),), 2: ((), (2, 3)), 4: ((), (2, 3), (2,), (3,))}


class TileInferer(Inferer):
    """Run a network over tiles, drop the margins and put the cores together: no blending, no gaps.

    With `tiles.breast_only` every pixel outside the breast mask gets `outside_logit`, so that the output does not
    depend on where the tiles lie.

    Args:
        precision, fuse, weights: see `InferenceForm`.
        outside_logit: logit of pixels outside the breast.
        default_spacing_mm: pixel size that the breast mask assumes where the input's metadata holds none.
        tone: how dark and flat images are changed for the network; None: they are not.
        orientations: of each tile, 1, 2 or 4 (see `ORIENTATIONS`); their logits are averaged, which finds more in as
            many times the time.
    """

    def __init__(
        self,
        tiles: Tiles,
        precision: str = "auto",
        fuse: bool = True,
        outside_logit: float = -20.0,
        default_spacing_mm: float = 0.07,
        weights: str | Path | None = None,
        tone: Tone | None = None,
        orientations: int = 1,
    ) -> None:
        super().__init__()
        check("orientations", orientations, orientations in ORIENTATIONS, f"one of {', '.join(map(str, ORIENTATIONS))}")
        self.tiles, self.form = tiles, InferenceForm(precision, fuse, weights)
        self.outside_logit, self.default_spacing_mm, self.tone = outside_logit, default_spacing_mm, tone
        self.orientations = orientations

    @property
    def arithmetic(self) -> str:
        """What the network ran in: see `InferenceForm.arithmetic`."""
        return self.form.arithmetic

    def prepare(self, network: Callable[..., torch.Tensor], device: torch.device) -> None:
        """Bring a network into the form that it runs in, which the first call would do."""
        self.form.of(network, device)

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., torch.Tensor],
        *args: Any,
        breast: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Float32 logits [B, C, H, W] of whole images in [0, 1], [B, 1, H, W], on their device; metadata is kept.

        Args:
            network: maps [b, 1, h, w] (and what else is given) to logits [b, C, h, w]; called without gradients.
            breast: breast masks of the images, bool [B, 1, H, W]; None: they are computed where they are needed.

        Raises:
            ValueError: `inputs` is not 4-D, or the network changes the size of a tile.
        """
        if inputs.ndim != 4:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}; want [B, 1, H, W]")
        images = convert_to_tensor(inputs, track_meta=False)
        masks = self._breast(images, breast, row_spacing_of(inputs, self.default_spacing_mm))
        curves = [Curve()] * len(images) if self.tone is None else self.tone.curves(images, masks)
        run, arithmetic = self.form.of(network, images.device)
        logits: torch.Tensor | None = None
        with torch.no_grad(), arithmetic:
            for batch in self.tiles.batches(len(images), tuple(images.shape[2:]), masks):
                windows = torch.stack(
                    [curves[one.image].of(images[one.image, :, one.rows.seen, one.cols.seen]) for one in batch]
                )
                in_part = is_a(run, FPN) and not (args or kwargs)
                rows, cols = batch[0].shape
                part = part_with_cores(batch) if in_part else (slice(0, rows), slice(0, cols))

                def logits_of(tiles: torch.Tensor, *seen: slice, in_part: bool = in_part) -> torch.Tensor:
                    output: torch.Tensor = run.part(tiles, *seen) if in_part else run(tiles, *args, **kwargs)
                    return output

                outputs = mean_of_orientations(logits_of, windows, part, ORIENTATIONS[self.orientations])
                size = tuple(side.stop - side.start for side in part)
                if (given := tuple(outputs.shape[2:])) != size:
                    wanted = "want the same size"
                    raise ValueError(f"network: got an output of {given} px from a tile of {size} px; {wanted}")
                if logits is None:
                    logits = self._blank(images, outputs.shape[1])
                for tile, output in zip(batch, outputs, strict=True):
                    _paste_core(logits, tile, output, *part)
            if logits is None:  # no breast: one small tile tells the number of maps
                logits = self._blank(images, run(images[:1, :, :PROBE_PX, :PROBE_PX], *args, **kwargs).shape[1])
        if isinstance(run, Int8Network):
            run.rest()
        if masks is not None:
            outside = torch.from_numpy(~masks).to(logits.device)
            logits.masked_fill_(outside[:, None], self.outside_logit)
        return convert_to_dst_type(logits, inputs, dtype=logits.dtype)[0]

    def _breast(self, images: torch.Tensor, given: torch.Tensor | None, spacing_mm: float) -> np.ndarray | None:
        """Breast masks (B, rows, cols), or None where everything counts."""
        if not self.tiles.breast_only:
            return None
        if given is not None:
            if given.shape != images[:, :1].shape:
                raise ValueError(f"breast: got shape {tuple(given.shape)}; want {tuple(images[:, :1].shape)}")
            return convert_to_tensor(given, track_meta=False)[:, 0].bool().cpu().numpy()
        return np.stack([breast_mask(image, spacing_mm) for image in images[:, 0].float().cpu().numpy()])

    def _blank(self, images: torch.Tensor, channels: int) -> torch.Tensor:
        shape = (images.shape[0], channels, *images.shape[2:])
        return torch.full(shape, self.outside_logit, dtype=torch.float32, device=images.device)


def mean_of_orientations(
    logits_of: Callable[..., torch.Tensor],
    windows: torch.Tensor,
    part: tuple[slice, slice],
    orientations: Sequence[tuple[int, ...]],
) -> torch.Tensor:
    """The mean logits of mirrored windows [b, 1, h, w], mirrored back.

    `logits_of(windows, rows, cols)` gives those of a part; `orientations` are the axes of each, `part` the one of
    windows that are not mirrored.
    """
    outputs = []
    for axes in orientations:
        seen = [
            slice(windows.shape[axis] - side.stop, windows.shape[axis] - side.start) if axis in axes else side
            for axis, side in zip((2, 3), part, strict=True)
        ]
        output = logits_of(windows.flip(axes) if axes else windows, *seen)
        outputs.append(output.flip(axes) if axes else output)
    return outputs[0] if len(outputs) == 1 else torch.stack(outputs).mean(0)


def _paste_core(logits: torch.Tensor, tile: Tile, output: torch.Tensor, part_rows: slice, part_cols: slice) -> None:
    """Copy the core of the output [C, h, w] for a part of a tile into its place in `logits` [B, C, H, W]."""
    rows, cols = tile.rows, tile.cols
    top, left = rows.start + part_rows.start, cols.start + part_cols.start
    core = output[:, rows.core_start - top : rows.core_stop - top, cols.core_start - left : cols.core_stop - left]
    logits[tile.image, :, rows.core, cols.core] = core.float()
