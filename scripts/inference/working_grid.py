"""Inference on a working grid: the network sees every mammogram at one pixel size, the result has the image's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch.nn.functional import interpolate

from scripts.candidates.breast_mask import breast_mask
from scripts.common.resampling import WorkingGrid, resample, resampled_size
from scripts.common.tensors import row_spacing_of


class WorkingGridInferer(Inferer):
    """Resample images to the working grid, infer, and bring the logits back to the image's pixels.

    Images are resampled as in training (`resample`), logits with linear interpolation, breast masks with the nearest
    pixel. The batch's images share one size and one spacing.

    Args:
        inferer: what infers on the working grid, such as `TileInferer`.
        default_spacing_mm: spacing of inputs whose metadata holds none.
    """

    def __init__(self, inferer: Inferer, grid: WorkingGrid, default_spacing_mm: float = 0.07) -> None:
        super().__init__()
        self.inferer, self.grid, self.default_spacing_mm = inferer, grid, default_spacing_mm

    @property
    def arithmetic(self) -> str:
        """See `TileInferer.arithmetic`; "" where the inferer does not tell."""
        return str(getattr(self.inferer, "arithmetic", ""))

    def prepare(self, network: Callable[..., torch.Tensor], device: torch.device) -> None:
        """See `TileInferer.prepare`."""
        if hasattr(self.inferer, "prepare"):
            self.inferer.prepare(network, device)

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., torch.Tensor],
        *args: Any,
        breast: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Float32 logits of whole images, see `TileInferer`; the inferer gets all that is given.

        Breast masks that are not given are found before the images are resampled, as `BreastMaskd` does: found after
        it, they and with them the network's tiles would be a little different.
        """
        spacing_mm = row_spacing_of(inputs, self.default_spacing_mm)
        factor = self.grid.magnification(spacing_mm)
        if factor == 1:
            return self.inferer(inputs, network, *args, breast=breast, **kwargs)
        native = tuple(inputs.shape[2:])
        size = resampled_size(native, factor)
        arrays = convert_to_tensor(inputs, track_meta=False).float().cpu().numpy()
        images = torch.from_numpy(np.stack([resample(array[0], size) for array in arrays]))[:, None].to(inputs.device)
        if breast is None:
            breast = torch.from_numpy(np.stack([breast_mask(array[0], spacing_mm) for array in arrays]))[:, None]
        masks = convert_to_tensor(breast, track_meta=False).float()
        breast = interpolate(masks, size=size, mode="nearest-exact") > 0.5
        logits = self.inferer(images, network, *args, breast=breast, **kwargs)
        logits = interpolate(logits, size=native, mode="bilinear", antialias=factor > 1, align_corners=False)
        return convert_to_dst_type(logits, inputs, dtype=logits.dtype)[0]
