"""A network in other forms: TorchScript, torch.export, ONNX and OpenVINO, for images of any size and batches of any.

The FPN computes on multiples of 32 px and extends images by replication. TorchScript keeps that. An ONNX graph gets it
as nodes of its own, and OpenVINO is made of that graph. A torch.export program takes multiples only and refuses all
else; `ExportedNetwork` extends for it. So none gives a result of another size than its input.
"""

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from scripts.common.checks import check
from scripts.common.files import write_atomically
from scripts.networks.checkpoint import LoadWeights
from scripts.networks.fpn import FPN
from scripts.networks.int8 import import_openvino, openvino_core, save_openvino
from scripts.networks.slim_fcn import SlimFCN

MAX_SIDE_PX, MAX_BATCH = 16384, 64  # what a torch.export program is told to accept
SIZES_FILE = "sizes.json"  # inside a .pt2: {"stride_px", "minimum_px"}
#: Packages that a format is written with (requirements-export.txt).
NEEDED = {"onnx": ("onnx", "onnxscript"), "openvino": ("onnx", "onnxscript")}
Logits = Callable[[torch.Tensor], torch.Tensor]


class Exports:
    """Writes the files of a network: `output_dir`/<name> and the suffix of each of `formats`.

    Args:
        network: an FPN or a SlimFCN.
        load_weights: fills it.
        output_dir: folder of the files.
        name: of the files, without suffix.
        formats: some of "torchscript" (.ts), "torch_export" (.pt2), "onnx" (.onnx), "openvino" (.xml with a .bin).
    """

    def __init__(
        self,
        network: nn.Module,
        load_weights: LoadWeights,
        output_dir: str | Path,
        name: str = "model",
        formats: Sequence[str] = ("torchscript", "torch_export", "onnx", "openvino"),
    ) -> None:
        check("network", type(network).__name__, isinstance(network, FPN | SlimFCN), "FPN or SlimFCN")
        for form in formats:
            check("formats", form, form in WRITERS, f"some of {', '.join(WRITERS)}")
            missing = [package for package in NEEDED.get(form, ()) if find_spec(package) is None]
            check(
                "formats",
                form,
                not missing,
                f"it with pip install -r requirements-export.txt (no {', '.join(missing)})",
            )
        self.network, self.load_weights = network, load_weights
        self.output_dir, self.name, self.formats = Path(output_dir), name, list(formats)

    def write(self) -> list[Path]:
        """Load the weights and write all files."""
        self.load_weights.load(self.network)
        network = self.network.cpu().eval()
        return [export(network, self.output_dir / f"{self.name}{WRITERS[form][0]}") for form in self.formats]


class ExportedNetwork:
    """Calls an exported file as one calls the network: [B, 1, H, W] in [0, 1] to logits [B, maps, H, W], float32.

    Images may have any size that the network takes. A result of another size is a RuntimeError.

    Args:
        path: file that `export` wrote; its suffix says of what kind.
        threads: that ONNX Runtime or OpenVINO may take; None: all. PyTorch's own: torch.set_num_threads.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path = Path(path)
        readers = {suffix: read for suffix, _, read in WRITERS.values()}
        check("path", str(path), self.path.suffix in readers and self.path.is_file(), f"a file of {', '.join(readers)}")
        self._run = readers[self.path.suffix](self.path, threads)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The logits."""
        with torch.no_grad():
            logits = self._run(x)
        if logits.shape[0] != x.shape[0] or logits.shape[2:] != x.shape[2:]:
            got, want = tuple(logits.shape), tuple(x.shape)
            raise RuntimeError(f"{self.path}: got logits {got} of an image {want}; want the same batch, rows and cols")
        return logits


def export(network: nn.Module, path: str | Path) -> Path:
    """Write a network, on the CPU and in eval mode, in the form that the suffix names; gives the path."""
    path = Path(path)
    writers = {suffix: write for suffix, write, _ in WRITERS.values()}
    check("path", str(path), path.suffix in writers, f"a suffix of {', '.join(writers)}")
    with torch.no_grad():
        return writers[path.suffix](network.eval(), path)


def sizes_of(network: nn.Module) -> tuple[int, int]:
    """Image sides a network computes on: multiples of (stride_px), of at least (minimum_px)."""
    return getattr(network, "stride_px", 1), getattr(network, "minimum_px", 2)


def _program(network: nn.Module) -> torch.export.ExportedProgram:
    stride, minimum = sizes_of(network)
    sides = [torch.export.Dim(name, min=minimum // stride, max=MAX_SIDE_PX // stride) for name in ("rows", "cols")]
    dims = {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}
    dims |= {2 + axis: stride * side if stride > 1 else side for axis, side in enumerate(sides)}
    return torch.export.export(network, (torch.zeros(2, 1, 3 * 32, 5 * 32),), dynamic_shapes=(dims,))


def _write_script(network: nn.Module, path: Path) -> Path:
    script = torch.jit.script(network)
    return write_atomically(path, lambda temporary: script.save(str(temporary)))


def _read_script(path: Path, threads: int | None) -> Logits:
    script: Logits = torch.jit.load(str(path), map_location="cpu").eval()
    return script


def _write_program(network: nn.Module, path: Path) -> Path:
    program, (stride, minimum) = _program(network), sizes_of(network)
    sizes = {SIZES_FILE: json.dumps({"stride_px": stride, "minimum_px": minimum})}
    return write_atomically(path, lambda temporary: torch.export.save(program, temporary, extra_files=sizes))


def _read_program(path: Path, threads: int | None) -> Logits:
    held = {SIZES_FILE: ""}
    run = torch.export.load(path, extra_files=held).module()
    sizes = json.loads(held[SIZES_FILE])
    stride, minimum = sizes["stride_px"], sizes["minimum_px"]

    def extended(x: torch.Tensor) -> torch.Tensor:
        rows, cols = x.shape[2:]
        more = [max(-side % stride, minimum - side) for side in (cols, rows)]
        logits: torch.Tensor = run(F.pad(x, [0, more[0], 0, more[1]], mode="replicate"))
        return logits[:, :, :rows, :cols]

    return extended


def _write_onnx(network: nn.Module, path: Path) -> Path:
    import onnx

    exported: Any = torch.onnx.export(_program(network), dynamo=True, verbose=False)
    model = extended_onnx(exported.model_proto, *sizes_of(network))
    onnx.checker.check_model(model, full_check=True)
    return write_atomically(path, lambda temporary: onnx.save(model, str(temporary)))


def extended_onnx(model: Any, stride_px: int, minimum_px: int) -> Any:
    """An ONNX model [B, 1, H, W] -> [B, maps, H, W] for sides of any length.

    Nodes before it extend the image by replication to multiples of `stride_px`, at least `minimum_px`; one after it
    crops the result to the image. The ends are then called `image` and `logits`.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    inner_in, inner_out, maps = graph.input[0].name, graph.output[0].name, graph.output[0].type.tensor_type.shape.dim[1]

    def constant(name: str, values: Sequence[int]) -> Any:
        return helper.make_tensor(f"extend_{name}", TensorProto.INT64, [len(values)], list(values))

    numbers = {"less_one": [stride_px - 1], "stride": [stride_px], "least": [minimum_px], "none": [0] * 6}
    graph.initializer.extend(constant(name, v) for name, v in {**numbers, "from": [0, 0], "axes": [2, 3]}.items())
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Shape", ["image"], "extend_size", {"start": 2, "end": 4}),
        ("Add", ["extend_size", "extend_less_one"], "extend_up", {}),
        ("Div", ["extend_up", "extend_stride"], "extend_count", {}),
        ("Mul", ["extend_count", "extend_stride"], "extend_multiple", {}),
        ("Max", ["extend_multiple", "extend_least"], "extend_target", {}),
        ("Sub", ["extend_target", "extend_size"], "extend_more", {}),
        ("Concat", ["extend_none", "extend_more"], "extend_pads", {"axis": 0}),
        ("Pad", ["image", "extend_pads"], inner_in, {"mode": "edge"}),
    ]
    before = [helper.make_node(kind, names, [result], **options) for kind, names, result, options in steps]
    after = helper.make_node("Slice", [inner_out, "extend_from", "extend_size", "extend_axes"], ["logits"])
    nodes = [*before, *graph.node, after]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    float32 = TensorProto.FLOAT
    graph.input.append(helper.make_tensor_value_info("image", float32, ["batch", 1, "rows", "cols"]))
    graph.output.append(helper.make_tensor_value_info("logits", float32, ["batch", maps.dim_value, "rows", "cols"]))
    return model


def _read_onnx(path: Path, threads: int | None) -> Logits:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"image": x.float().cpu().numpy()})[0])


def _write_openvino(network: nn.Module, path: Path) -> Path:
    openvino = import_openvino()
    graph = _write_onnx(network, path.with_suffix(".partial.onnx"))
    try:
        model = openvino.convert_model(str(graph))
    finally:
        graph.unlink()
    save_openvino(model, path)
    return path


def _read_openvino(path: Path, threads: int | None) -> Logits:
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}  # else bfloat16 where the processor has it
    options |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    run = openvino_core().compile_model(str(path), "CPU", options)
    return lambda x: torch.from_numpy(run(x.float().cpu().numpy())[0].copy())


#: format -> suffix, writer, reader
WRITERS: dict[str, tuple[str, Callable[[nn.Module, Path], Path], Callable[[Path, int | None], Logits]]] = {
    "torchscript": (".ts", _write_script, _read_script),
    "torch_export": (".pt2", _write_program, _read_program),
    "onnx": (".onnx", _write_onnx, _read_onnx),
    "openvino": (".xml", _write_openvino, _read_openvino),
}
