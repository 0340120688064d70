"""The form in which a network runs fastest, made anew when its weights change."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from scripts.inference.openvino_network import OpenVINONetwork
from scripts.inference.precision import PRECISIONS, autocast_dtype
from scripts.networks.slim_fcn import SlimFCN
from scripts.networks.slim_fcn_fused import fuse

BACKENDS = ("torch", "openvino")


class InferenceForm:
    """Turns networks into what inference calls, and says under which arithmetic.

    Args:
        precision: see `autocast_dtype`.
        fuse: run a slim FCN in its form for inference (scripts/networks/slim_fcn_fused.py); others run as they are.
        backend: "torch", or "openvino" (optional package; processors only; then `fuse` has no effect).

    Raises:
        ValueError: an unknown `precision` or `backend`.
    """

    def __init__(self, precision: str = "float32", fuse: bool = False, backend: str = "torch") -> None:
        for name, value, known in (("precision", precision, PRECISIONS), ("backend", backend, BACKENDS)):
            if value not in known:
                raise ValueError(f"{name}: got {value!r}; wanted one of {', '.join(known)}")
        self.precision, self.fuse, self.backend = precision, fuse, backend
        self._made: Callable[..., torch.Tensor] | None = None
        self._made_of: nn.Module | None = None
        self._made_from: tuple[Any, ...] = ()

    def of(
        self, network: Callable[..., torch.Tensor], device: torch.device
    ) -> tuple[Any, contextlib.AbstractContextManager[Any]]:
        """What to call instead of `network`, and the context to call it in.

        Raises:
            ValueError: OpenVINO is wanted, and the device is not a processor.
            ImportError: OpenVINO is wanted and not installed.
        """
        dtype = autocast_dtype(self.precision, device)
        if self.backend == "openvino" and isinstance(network, nn.Module):
            if device.type != "cpu":
                raise ValueError(f"backend: got openvino on {device}; wanted torch there, or device cpu")
            return self._cached(network, OpenVINONetwork, dtype or torch.float32), contextlib.nullcontext()
        if self.fuse and isinstance(network, SlimFCN):
            return self._cached(network, fuse, dtype or torch.float32), contextlib.nullcontext()
        if dtype is None:
            return network, contextlib.nullcontext()
        return network, torch.autocast(device.type, dtype=dtype)

    def _cached(
        self, network: nn.Module, make: Callable[..., Callable[..., torch.Tensor]], dtype: torch.dtype
    ) -> Callable[..., torch.Tensor]:
        """The network's form; the last one as long as no weight has been written since."""
        state = network.state_dict(keep_vars=True).values()
        source = (dtype, *((tensor.data_ptr(), tensor._version) for tensor in state))
        if self._made is None or network is not self._made_of or source != self._made_from:
            self._made, self._made_of, self._made_from = make(network, dtype), network, source
        return self._made
