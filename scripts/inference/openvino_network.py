"""A network's forward pass by OpenVINO instead of PyTorch, on the processor (optional: `pip install openvino`)."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

EXAMPLE_PX = 128


def has_openvino() -> bool:
    """Whether the package is installed. It is imported only where it is used: that takes a third of a second."""
    return importlib.util.find_spec("openvino") is not None


class OpenVINONetwork:
    """A copy of a network with its present weights, compiled for images of any size; later changes are not followed.

    Args:
        network: maps [B, C, H, W] to logits [B, K, H, W]; left as it is. Where it has `stride_px` and `minimum_px`
            (the FPN), images are extended by replication to them here, as the network does itself: what depends on
            the size in Python would be frozen in the compiled form.
        dtype: torch.bfloat16 or torch.float32, of the arithmetic.
        in_channels: channels of the image.

    Raises:
        ImportError: OpenVINO is not installed.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32, in_channels: int = 1) -> None:
        if not has_openvino():
            raise ImportError("backend: found no package openvino; wanted it installed (pip install openvino)")
        from openvino import Core

        self.stride_px = int(getattr(network, "stride_px", 1))
        self.minimum_px = int(getattr(network, "minimum_px", 1))
        model = _converted(copy.deepcopy(network).eval(), torch.zeros(1, in_channels, EXAMPLE_PX, EXAMPLE_PX))
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.request = Core().compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Float32 logits [B, K, H, W] of images [B, C, H, W] in [0, 1]."""
        rows, cols = images.shape[2:]
        extra_rows, extra_cols = (max(-size % self.stride_px, self.minimum_px - size, 0) for size in (rows, cols))
        if extra_rows or extra_cols:
            images = F.pad(images, [0, extra_cols, 0, extra_rows], mode="replicate")
        outputs = self.request.infer({0: images.float().contiguous().numpy()})
        logits = np.array(next(iter(outputs.values()))[:, :, :rows, :cols])  # the request's memory is used again
        return torch.from_numpy(logits)


def _converted(network: nn.Module, example: torch.Tensor) -> Any:
    """The network as an OpenVINO model of images of any size. `openvino.convert_model` would ask to report its use."""
    from openvino import PartialShape
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # sizes: see `OpenVINONetwork`
        decoder = TorchScriptPythonDecoder(network, example_input=example)  # must live until the conversion's end
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape({0: PartialShape([-1, example.shape[1], -1, -1])})
    model.validate_nodes_and_infer_types()
    return model
