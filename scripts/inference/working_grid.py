"""Inference on a working grid: the network sees every mammogram at one pixel size, the result has the image's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch.nn.functional import interpolate

from scripts.common.tensors import row_spacing_of


class WorkingGridInferer(Inferer):
    """Resample images to a pixel size, infer, and bring the logits back to the image's pixels.

    Images are resampled with linear interpolation (antialiased where pixels get larger), logits with linear
    interpolation, breast masks with the nearest pixel. The batch's images share one size and one spacing.

    Args:
        inferer: what infers on the working grid, such as `TileInferer`.
        spacing_mm: pixel size of the working grid; 0 infers on the image's own pixels.
        tolerance: images whose spacing differs by at most this share are left as they are.
        default_mm: spacing of inputs whose metadata holds none.

    Raises:
        ValueError: a negative `spacing_mm` or `tolerance`.
    """

    def __init__(
        self, inferer: Inferer, spacing_mm: float = 0.0, tolerance: float = 0.05, default_mm: float = 0.07
    ) -> None:
        super().__init__()
        for name, value in (("spacing_mm", spacing_mm), ("tolerance", tolerance)):
            if not value >= 0:
                raise ValueError(f"{name}: got {value}; wanted 0 or more")
        self.inferer, self.spacing_mm = inferer, spacing_mm
        self.tolerance, self.default_mm = tolerance, default_mm

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
            inputs: images in [0, 1], [B, 1, rows, cols], with the reader's metadata.
            network: see the inferer.
            *args: passed on.
            breast: breast masks, bool [B, 1, rows, cols], or None.
            **kwargs: passed on.

        Returns:
            float32 logits [B, C, rows, cols] on the device of `inputs`.
        """
        factor = row_spacing_of(inputs, self.default_mm) / self.spacing_mm if self.spacing_mm else 1.0
        if abs(factor - 1) <= self.tolerance:
            return self.inferer(inputs, network, *args, breast=breast, **kwargs)
        native = inputs.shape[2:]
        grid = tuple(max(1, round(length * factor)) for length in native)
        images = convert_to_tensor(inputs, track_meta=False).float()
        images = interpolate(images, size=grid, mode="bilinear", antialias=factor < 1, align_corners=False)
        if breast is not None:
            masks = convert_to_tensor(breast, track_meta=False).float()
            breast = interpolate(masks, size=grid, mode="nearest-exact") > 0.5
        logits = self.inferer(images, network, *args, breast=breast, **kwargs)
        logits = interpolate(logits, size=native, mode="bilinear", antialias=factor > 1, align_corners=False)
        return convert_to_dst_type(logits, inputs, dtype=logits.dtype)[0]
