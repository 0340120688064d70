"""Number format of the networks' arithmetic, and the form in which a network runs fastest."""

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import nn

from scripts.common.checks import check
from scripts.common.reimported import is_a
from scripts.networks.fpn import FPN
from scripts.networks.int8 import Int8Network, OtherWeightsError, int8_beside, int8_pays
from scripts.networks.slim_fcn import SlimFCN
from scripts.networks.slim_fcn_fused import fuse

logger = logging.getLogger(__name__)
PRECISIONS = ("auto", "float32", "bfloat16", "int8")


def check_precision(precision: str) -> str:
    """The precision, if it is known; else a ValueError. "int8" is for inference on processors (`InferenceForm`)."""
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
        check("precision", precision, precision != "int8", "another one: 8-bit integers are for inference")

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Forward pass; inputs [B, C, rows, cols]."""
        dtype = autocast_dtype(self.precision, inputs.device)
        with torch.autocast(inputs.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            return network(inputs, *args, **kwargs).float()


class InferenceForm:
    """Turns a network into what inference calls, and says under which arithmetic.

    An FPN or a slim FCN runs in 8-bit integers where a form of its weights lies beside the file `weights`
    (scripts/networks/int8.py): with `precision` "auto" on processors that are faster with it, with "int8" on all; GPUs
    and other networks take none. Else, with `fuse`, a slim FCN runs in its form for inference
    (scripts/networks/slim_fcn_fused.py). Both are made anew when a weight has been written; other networks run as they
    are. `precision`: see `autocast_dtype`.
    """

    def __init__(self, precision: str = "auto", fuse: bool = True, weights: str | Path | None = None) -> None:
        self.precision, self.fuse = check_precision(precision), fuse
        self._int8 = int8_beside(weights) if weights else None
        self._lock = threading.Lock()  # several threads may want it at once
        self._made: Any = None
        self._made_from: tuple[Any, ...] = ()
        self._arithmetic = ""

    @property
    def arithmetic(self) -> str:
        """What networks ran in last: int8, bfloat16 or float32; "" before."""
        return self._arithmetic

    def of(
        self, network: Callable[..., torch.Tensor], device: torch.device
    ) -> tuple[Any, contextlib.AbstractContextManager[Any]]:
        """What to call instead of `network`, and the context to call it in."""
        if (is_a(network, FPN) or is_a(network, SlimFCN)) and (form := self._int8_form(network, device)) is not None:
            self._arithmetic = "int8"
            return form, contextlib.nullcontext()
        if self.precision == "int8":
            raise ValueError("precision: got 'int8'; want auto: this network on this device has no such form")
        dtype = autocast_dtype(self.precision, device)
        self._arithmetic = str(dtype or torch.float32).removeprefix("torch.")
        if self.fuse and is_a(network, SlimFCN):
            return self._made_of(network, lambda: fuse(network, dtype or torch.float32)), contextlib.nullcontext()
        if dtype is None:
            return network, contextlib.nullcontext()
        return network, torch.autocast(device.type, dtype=dtype)

    def _int8_form(self, network: nn.Module, device: torch.device) -> Int8Network | None:
        """The 8-bit form, or None where it is not wanted, or the file is of other weights (of a training, say)."""
        path, is_asked = self._int8, self.precision == "int8"
        if path is None or device.type != "cpu":
            return None
        if not (is_asked or (self.precision == "auto" and int8_pays() and path.is_file())):
            return None

        def make() -> Int8Network | None:
            try:
                return Int8Network(path, network)
            except OtherWeightsError as error:
                if is_asked:
                    raise
                logger.info("%s: the network runs without it", error)
                return None

        form: Int8Network | None = self._made_of(network, make)
        return form

    def _made_of(self, network: nn.Module, make: Callable[[], Any]) -> Any:
        weights = network.state_dict(keep_vars=True).values()
        source = (network, *((tensor.data_ptr(), tensor._version) for tensor in weights))
        with self._lock:
            if source != self._made_from:
                self._made, self._made_from = make(), source
            return self._made
