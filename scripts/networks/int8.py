"""A network in 8-bit integers, as OpenVINO runs it: about half the time of bfloat16 or float32 on x86 processors.

`Quantizer` makes the file of given weights (configs/quantize.json), `Int8Network` runs it.
"""

import hashlib
import logging
import sys
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from scripts.common.checks import check, check_number
from scripts.common.errors import one_line
from scripts.common.files import sha256_of
from scripts.common.memory import give_back_freed_memory
from scripts.networks.checkpoint import LoadWeights, weights_digest
from scripts.networks.fpn import extended

logger = logging.getLogger(__name__)
#: Where a model's .xml holds the hashes of the network that it was made of, and of its .bin.
OURS, NETWORK, BIN = "microcalcifications", "network", "bin"


class OtherWeightsError(ValueError):
    """An 8-bit form that was made of other weights."""


def int8_pays() -> bool:
    """Whether OpenVINO is there, and an x86 processor with AVX2 (timed: one with that alone, several with VNNI)."""
    return torch.cpu._is_avx2_supported() and find_spec("openvino") is not None


def int8_beside(weights: str | Path) -> Path:
    """Where the 8-bit form of weights lies: "model_int8.xml" beside "model.pt"."""
    path = Path(weights)
    return path.with_name(f"{path.stem}_int8.xml")


def int8_digest(network: Any) -> str:
    """Hash of what an 8-bit form is made of: the weights, and those arguments of the network that change its output."""
    about = [network.input_mean, network.input_std, network.arguments.get("align_corners")]
    return hashlib.sha256(f"{weights_digest(network)} {about}".encode()).hexdigest()


def import_openvino() -> Any:
    """OpenVINO, which would otherwise tell Google Analytics, from a fork of this process, that it was imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # its own stand-in is taken then
    import openvino

    return openvino


_core_lock = threading.Lock()


def openvino_core() -> Any:
    """The process's one core of OpenVINO, which must outlive it all.

    Its CPU plugin gives the thread a stack for signal handlers and frees it when the core is freed; of two cores that
    go in the order they came, the second puts the first one's freed stack back, and the next signal that Python
    handles ends the process.
    """
    with _core_lock:  # two threads that come first together get the same
        return _core()


@cache
def _core() -> Any:
    return import_openvino().Core()


class Int8Network:
    """Calls a file of `Quantizer` as one calls the network: [B, 1, H, W] in [0, 1] to float32 logits [B, maps, H, W].

    What is not in 8 bits is in float32, so that results do not depend on the processor's other instructions.

    Args:
        path: the .xml; its .bin lies beside it.
        network: the FPN or slim FCN that it must have been made of; OtherWeightsError where it was not.
        threads: that OpenVINO may take; None: as many as PyTorch.

    Raises:
        ValueError: there is no such file, it cannot be read, or the .bin is not this .xml's.
    """

    def __init__(self, path: str | Path, network: Any, threads: int | None = None) -> None:
        path = Path(path)
        remedy = "want the files of `run quantizing`, or --precision bfloat16"
        if not path.is_file():
            raise ValueError(f"{path}: does not exist; {remedy}")
        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads or torch.get_num_threads()}
        options |= {"ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": "f32", "CPU_RUNTIME_CACHE_CAPACITY": 64}
        core = openvino_core()
        try:
            model = core.read_model(str(path))
            told = [str(model.get_rt_info([OURS, key]).value) for key in (NETWORK, BIN)]
            if told[0] == int8_digest(network):
                self._model = core.compile_model(model, "CPU", options)
                self._request = self._model.create_infer_request()
        except RuntimeError as error:
            raise ValueError(f"{path}: cannot be read ({one_line(error, 200)}); {remedy}") from error
        if told[0] != int8_digest(network):
            raise OtherWeightsError(f"{path}: is of other weights or another network; {remedy}")
        if told[1] != sha256_of(path.with_suffix(".bin")):
            raise ValueError(f"{path}: its .bin is not the one that it was written with; {remedy}")
        self._is_aligned = hasattr(network, "aligned")  # takes sides of some multiples only
        self._lock = threading.Lock()  # a request takes one image at a time

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The logits, on the processor."""
        rows, cols = x.shape[2:]
        images = x.detach().float()
        images = (extended(images) if self._is_aligned else images).contiguous().numpy()
        with self._lock:
            logits = torch.from_numpy(self._request.infer([images])[0].copy())
        return logits[:, :, :rows, :cols]

    def rest(self) -> None:
        """Give the memory of the feature maps back to the system, until the next call."""
        with self._lock:
            self._model.release_memory()
        give_back_freed_memory()


class Quantizer:
    """Makes the 8-bit form of an FPN's or a slim FCN's weights by NNCF (requirements-export.txt); ranges from images.

    Args:
        weights: the .pt; the form is put beside it (see `int8_beside`).
        count: images that are looked at.
    """

    def __init__(self, weights: str | Path, count: int = 96) -> None:
        check_number("count", count, "[1, inf)", whole=True)
        check("nncf", None, find_spec("nncf") is not None, "it with pip install -r requirements-export.txt")
        self.weights, self.count = Path(weights), count

    def write(self, network: nn.Module, dataset: Dataset) -> Path:
        """Load the weights, quantize them and write the files.

        `dataset` has items with an "image" [1, rows, cols] in [0, 1], sides multiples of 32; the first `count`, or as
        many as there are, are looked at.
        """
        openvino = import_openvino()
        import nncf

        LoadWeights(self.weights).load(network)
        aligned = _Aligned(network.cpu().eval()).eval()
        with torch.no_grad():
            model = openvino.convert_model(aligned, example_input=torch.rand(1, 1, 256, 256))
        model.reshape([-1, 1, -1, -1])
        images = [dataset[index]["image"][None].numpy() for index in range(min(self.count, len(dataset)))]
        mixed = nncf.QuantizationPreset.MIXED  # activations around 0, too
        exact = nncf.IgnoredScope(patterns=[r".*\.block1\..*"], validate=False)  # it sees more than 256 grey levels
        options = {"subset_size": len(images), "preset": mixed, "ignored_scope": exact}
        model = nncf.quantize(model, nncf.Dataset(images), **options)
        model.set_rt_info(int8_digest(network), [OURS, NETWORK])
        path = int8_beside(self.weights)
        save_openvino(model, path)
        logger.info("%s written, of %d images", path, len(images))
        return path


class _Aligned(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.call = getattr(network, "aligned", network)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(x)


def save_openvino(model: Any, path: Path) -> None:
    """Write a model of OpenVINO, .xml and .bin; what is there is replaced when both are done.

    The .xml says which .bin belongs to it, as two files cannot be replaced at once.
    """
    openvino, folder = import_openvino(), path.with_suffix(".partial")
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(2):  # the second time with the hash of what the first one wrote
        openvino.save_model(model, str(folder / path.name), compress_to_fp16=False)
        model.set_rt_info(sha256_of((folder / path.name).with_suffix(".bin")), [OURS, BIN])
    for suffix in (".bin", ".xml"):  # the .xml last: it is what is opened
        (folder / path.name).with_suffix(suffix).replace(path.with_suffix(suffix))
    folder.rmdir()
