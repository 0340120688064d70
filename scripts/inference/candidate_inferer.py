"""Inference on candidates: a patch classifier looks at every DoG blob of a whole mammogram, in bounded memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer

from scripts.candidates.breast_mask import BreastRegion, breast_mask
from scripts.candidates.dog_discs import dog_blobs, extract_patches
from scripts.candidates.hdog import HDoGParameters
from scripts.common.checks import check
from scripts.common.tensors import plane, row_spacing_of
from scripts.inference.precision import autocast_dtype, check_precision


class CandidateInferer(Inferer):
    """Find DoG blobs inside the eroded breast and classify the patch around each, a batch at a time.

    The result has two channels: at the pixel of a blob its logit and its sigma in px, elsewhere `outside_logit` and 0.
    The network sees `batch_size` patches of side `patch_px` (95 for `ContextCNN`) at a time; `precision`: see
    `autocast_dtype`.
    """

    def __init__(
        self,
        hdog: HDoGParameters,
        breast: BreastRegion,
        patch_px: int = 95,
        batch_size: int = 64,
        precision: str = "auto",
        outside_logit: float = -20.0,
    ) -> None:
        super().__init__()
        check("batch_size", batch_size, batch_size >= 1, "at least 1")
        self.hdog, self.breast, self.patch_px, self.batch_size = hdog, breast, patch_px, batch_size
        self.precision, self.outside_logit = check_precision(precision), outside_logit

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., Any],
        *args: Any,
        breast: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Classify the candidates of mammograms [B, 1, rows, cols]: float32 [B, 2, rows, cols] on their device.

        The images are in [0, 1], read by MammogramReader. The network maps patches [n, 1, patch_px, patch_px] (and what
        else is given) to logits [n, 1], without gradients. `breast`: bool masks like `inputs`; None: they are computed.
        """
        if inputs.ndim != 4 or inputs.shape[1] != 1:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}; want [B, 1, rows, cols]")
        found = torch.zeros(len(inputs), 2, *inputs.shape[2:], device=inputs.device)
        found[:, 0] = self.outside_logit
        spacing_mm = row_spacing_of(inputs)
        for index, image in enumerate(inputs[:, 0].detach().float().cpu().numpy()):
            whole = breast_mask(image, spacing_mm) if breast is None else plane(breast[index]).astype(bool)
            blobs = dog_blobs(image, self.hdog.at(spacing_mm), self.breast.eroded(whole, spacing_mm))
            logits = self._classify(image, blobs, inputs.device, lambda patches: network(patches, *args, **kwargs))
            rows, cols = torch.from_numpy(blobs[:, :2].astype(np.int64)).to(inputs.device).T
            found[index, 0, rows, cols] = logits
            found[index, 1, rows, cols] = torch.from_numpy(blobs[:, 2].copy()).to(inputs.device)
        return found

    def _classify(
        self, image: np.ndarray, blobs: np.ndarray, device: torch.device, run: Callable[[torch.Tensor], Any]
    ) -> torch.Tensor:
        dtype = autocast_dtype(self.precision, device)
        logits = [torch.zeros(0, device=device)]
        for first in range(0, len(blobs), self.batch_size):
            patches = extract_patches(image, blobs[first : first + self.batch_size, :2], self.patch_px)
            with torch.no_grad(), torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                logits.append(run(torch.from_numpy(patches)[:, None].to(device)).float().flatten())
        return torch.cat(logits)
