"""Number format of the networks' arithmetic, and the form in which a network runs fastest."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import nn

from scripts.common.checks import check
from scripts.common.reimported import is_a
from scripts.networks.slim_fcn import SlimFCN
from scripts.networks.slim_fcn_fused import fuse

PRECISIONS = ("auto", "float32", "bfloat16")


def check_precision(precision: str) -> str:
    """The precision, if it is known; else a ValueError."""
    check("precision", precision, precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
    return precision


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that matrix products and convolutions are cast to, or None for plain float32.

    "auto" is bfloat16 on processors with bf16 instructions (AVX-512 BF16 or AMX) and on GPUs that support it, else
    float32.
    """
    if check_precision(precision) == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if fast and device.type in ("cpu", "cuda") else None
    return torch.bfloat16 if precision == "bfloat16" else None


class AutocastInferer(SimpleInferer):
    """Run the network once on the whole input in mixed precision (see `autocast_dtype`); the result is float32.

    MONAI's engines switch autocast on for CUDA only; this works on CPU too. bfloat16 has float32's range, so that no
    gradient scaling is needed.
    """

    def __init__(self, precision: str = "auto") -> None:
        super().__init__()
        self.precision = check_precision(precision)

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Forward pass; inputs [B, C, rows, cols]."""
        dtype = autocast_dtype(self.precision, inputs.device)
        with torch.autocast(inputs.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            return network(inputs, *args, **kwargs).float()


class InferenceForm:
    """Turns a network into what inference calls, and says under which arithmetic (`precision`: see `autocast_dtype`).

    With `fuse` a slim FCN runs in its form for inference (scripts/networks/slim_fcn_fused.py), made anew when a weight
    has been written; other networks run as they are.
    """

    def __init__(self, precision: str = "auto", fuse: bool = True) -> None:
        self.precision, self.fuse = check_precision(precision), fuse
        self._fused: nn.Module | None = None
        self._fused_from: tuple[Any, ...] = ()

    def of(
        self, network: Callable[..., torch.Tensor], device: torch.device
    ) -> tuple[Any, contextlib.AbstractContextManager[Any]]:
        """What to call instead of `network`, and the context to call it in."""
        dtype = autocast_dtype(self.precision, device)
        if self.fuse and is_a(network, SlimFCN):
            return self._fused_form(network, dtype or torch.float32), contextlib.nullcontext()
        if dtype is None:
            return network, contextlib.nullcontext()
        return network, torch.autocast(device.type, dtype=dtype)

    def _fused_form(self, network: SlimFCN, dtype: torch.dtype) -> nn.Module:
        weights = network.state_dict(keep_vars=True).values()
        source = (network, dtype, *((tensor.data_ptr(), tensor._version) for tensor in weights))
        if self._fused is None or source != self._fused_from:
            self._fused, self._fused_from = fuse(network, dtype), source
        return self._fused
