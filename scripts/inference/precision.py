"""Number format of the networks' arithmetic: bfloat16 where the processor has instructions for it, else float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer

PRECISIONS = ("auto", "float32", "bfloat16")


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that matrix products and convolutions are cast to, or None for plain float32.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 on processors with bf16 instructions (AVX-512 BF16 or AMX)
            and on GPUs that support it, else float32.
        device: where the network runs.

    Raises:
        ValueError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: got {precision!r}, want one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if fast and device.type in ("cpu", "cuda") else None
    return torch.bfloat16 if precision == "bfloat16" else None


class AutocastInferer(SimpleInferer):
    """Run the network once on the whole input under automatic mixed precision; the result is float32.

    MONAI's engines switch autocast on for CUDA only; this works on CPU too. bfloat16 has float32's range, so that no
    gradient scaling is needed.

    Args:
        precision: see `autocast_dtype`.
    """

    def __init__(self, precision: str = "auto") -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(f"precision: got {precision!r}, want one of {', '.join(PRECISIONS)}")
        self.precision = precision

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Forward pass; inputs [B, C, rows, cols]."""
        dtype = autocast_dtype(self.precision, inputs.device)
        with torch.autocast(inputs.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            return network(inputs, *args, **kwargs).float()
