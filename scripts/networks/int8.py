"""An FPN in 8-bit integers, as OpenVINO runs it: half the time of bfloat16 on processors with VNNI instructions.

`Quantizer` makes the file of given weights (configs/quantize.json), `Int8FPN` runs it.
"""

import logging
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from scripts.common.checks import check, check_number
from scripts.networks.checkpoint import LoadWeights, weights_digest
from scripts.networks.fpn import FPN, extended

logger = logging.getLogger(__name__)
#: Where a model's file holds the digest of the weights that it was made of.
DIGEST_KEY = ("microcalcifications", "weights")


def int8_pays() -> bool:
    """Whether this processor has instructions for 8-bit products (VNNI): without, other arithmetic is as fast."""
    return torch.cpu._is_vnni_supported()


def int8_beside(weights: str | Path) -> Path:
    """Where the 8-bit form of weights lies: "model_int8.xml" beside "model.pt"."""
    path = Path(weights)
    return path.with_name(f"{path.stem}_int8.xml")


class Int8FPN:
    """Calls a file of `Quantizer` as one calls the network: [B, 1, H, W] in [0, 1] to float32 logits [B, maps, H, W].

    Args:
        path: the .xml; its .bin lies beside it. ValueError where OpenVINO cannot read it.
        threads: that OpenVINO may take; None: as many as PyTorch.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        import openvino

        options = {"INFERENCE_NUM_THREADS": threads or torch.get_num_threads(), "ENABLE_CPU_PINNING": False}
        try:
            core = openvino.Core()
            model = core.read_model(str(path))
            self.digest = str(model.get_rt_info(list(DIGEST_KEY)).value) if model.has_rt_info(list(DIGEST_KEY)) else ""
            self._request = core.compile_model(model, "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise ValueError(f"{path}: cannot be read as a network of OpenVINO: {str(error).strip()}") from error
        self._lock = threading.Lock()  # a request takes one image at a time

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The logits, on the processor."""
        rows, cols = x.shape[2:]
        images = extended(x.float()).contiguous().numpy()
        with self._lock:
            logits = torch.from_numpy(self._request.infer([images])[0].copy())
        return logits[:, :, :rows, :cols]


class Quantizer:
    """Makes the 8-bit form of an FPN's weights by NNCF (requirements-export.txt), with ranges taken from images.

    Args:
        weights: the .pt; the form is put beside it (see `int8_beside`).
        count: images that are looked at.
    """

    def __init__(self, weights: str | Path, count: int = 96) -> None:
        check_number("count", count, "[1, inf)", whole=True)
        check("nncf", None, find_spec("nncf") is not None, "it with pip install -r requirements-export.txt")
        self.weights, self.count = Path(weights), count

    def write(self, network: FPN, dataset: Dataset) -> Path:
        """Load the weights, quantize them and write the files.

        `dataset` has items with an "image" [1, rows, cols] in [0, 1], sides multiples of 32; the first `count`, or as
        many as there are, are looked at.
        """
        import nncf
        import openvino

        check("network", type(network).__name__, isinstance(network, FPN), "FPN")
        LoadWeights(self.weights).load(network)
        aligned = _Aligned(network.cpu().eval()).eval()
        with torch.no_grad():
            model = openvino.convert_model(aligned, example_input=torch.rand(1, 1, 256, 256))
        model.reshape([-1, 1, -1, -1])
        images = [dataset[index]["image"][None].numpy() for index in range(min(self.count, len(dataset)))]
        mixed = nncf.QuantizationPreset.MIXED  # activations around 0, too
        model = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images), preset=mixed)
        model.set_rt_info(weights_digest(network), list(DIGEST_KEY))
        path = int8_beside(self.weights)
        save_openvino(model, path)
        logger.info("%s written, of %d images", path, len(images))
        return path


class _Aligned(nn.Module):
    def __init__(self, network: FPN) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network.aligned(x)


def save_openvino(model: Any, path: Path) -> None:
    """Write a model of OpenVINO, .xml and .bin; what is there is replaced when both are done."""
    import openvino

    folder = path.with_suffix(".partial")
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, str(folder / path.name), compress_to_fp16=False)
    for suffix in (".bin", ".xml"):  # the .xml last: it is what is opened
        (folder / path.name).with_suffix(suffix).replace(path.with_suffix(suffix))
    folder.rmdir()
