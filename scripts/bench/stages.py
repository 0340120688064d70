"""A method run stage by stage, with the very transforms, network and writer that its configs name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch.utils.flop_counter import FlopCounterMode

from scripts.bench.measure import Stopwatch
from scripts.common.provenance import peak_memory_mb
from scripts.common.tensors import plane
from scripts.inference.tiles import Tiles
from scripts.networks.checkpoint import LoadWeights
from scripts.outputs.writer import FindingsWriter

ROOT = Path(__file__).resolve().parents[2]
READ, BREAST, NETWORK, OBJECTS, WRITE = STAGES = ("read", "breast mask", "network", "objects", "write")
STAGE_OF = {"LoadMammogramd": READ, "BreastMaskd": BREAST}
PROBE_PX = 256


class Method(NamedTuple):
    """A way to run the bundle: config files below the root, and what is changed in them."""

    name: str
    files: tuple[str, ...] = ("configs/inference.json",)
    changes: tuple[tuple[str, Any], ...] = ()


HDOGREG = Method("HDoGReg")
HDOGREG_CANDIDATES = Method(
    "HDoGReg, objects from candidates", ("configs/inference.json", "configs/hdogreg_candidates.json")
)
SLIM_FCN = Method("slim FCN", ("configs/inference.json", "configs/slim_fcn_inference.json"))
PAPER = Method(
    "HDoGReg, the authors' settings", ("configs/inference.json", "configs/hdogreg_paper_inference.json")
)  # its weights are not shipped
METHODS = (HDOGREG, HDOGREG_CANDIDATES, SLIM_FCN)
PREFETCH = "evaluator::prefetch"  # config key: read and write beside the network of the next image


class StagedMethod:
    """The chain of a method's configs, in pieces that can be timed.

    Args:
        method: which configs.
        weights: other weights than the config's, or None.
        output_dir: where the results go.
        start: carry out the config's "initialize" too (memory settings), as a run does.
    """

    def __init__(self, method: Method, output_dir: str | Path, weights: str | None = None, start: bool = True) -> None:
        parser = ConfigParser()
        parser.read_config([str(ROOT / name) for name in method.files])
        parser.update({"bundle_root": str(ROOT), "output_dir": str(output_dir), "input_dir": str(ROOT)})
        parser.update(dict(method.changes) | ({"weights": weights} if weights else {}))
        parser.parse()
        if start and "initialize" in parser.get():
            parser.get_parsed_content("initialize")
        self.parser = parser
        self.network: torch.nn.Module = parser.get_parsed_content("network")
        LoadWeights(parser.get_parsed_content("weights")).load(self.network)
        self.network.eval()
        self.inferer = parser.get_parsed_content("inferer")
        self.device = torch.device(parser.get_parsed_content("device"))
        self.before: Sequence[Callable] = parser.get_parsed_content("preprocessing").transforms
        self.after: Sequence[Callable] = parser.get_parsed_content("postprocessing").transforms
        self.writer: FindingsWriter = self._handler("FindingsWriter")

    @property
    def tiles(self) -> Tiles:
        """How the method cuts an image."""
        return self.parser.get_parsed_content("tiles")

    def run(self, path: str | Path, watch: Stopwatch) -> dict[str, Any]:
        """Everything from the file to the written results, stage by stage; the item that the writer got."""
        item: dict[Any, Any] = {"image": str(path), "image_id": Path(path).stem}
        for transform in self.before:
            with watch.stage(STAGE_OF.get(type(transform).__name__, BREAST)):
                item = transform(item)
        with watch.stage(NETWORK):
            item["pred"] = self.infer(item["image"], item["breast"])
        for transform in self.after:
            with watch.stage(STAGE_OF.get(type(transform).__name__, OBJECTS)):
                item = transform(item)
        with watch.stage(WRITE):
            self.writer.write(item["image_id"], item)
        return item

    def prepare(self, path: str | Path) -> dict[str, Any]:
        """The item of a file, as the network gets it."""
        item: dict[Any, Any] = {"image": str(path), "image_id": Path(path).stem}
        for transform in self.before:
            item = transform(item)
        return item

    def infer(self, image: torch.Tensor, breast: torch.Tensor) -> torch.Tensor:
        """Logits [C, rows, cols] of one image [1, rows, cols]."""
        images, masks = image[None].to(self.device), breast[None].to(self.device)
        logits = self.inferer(images, self.network, breast=masks)[0]
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return logits

    def _handler(self, name: str) -> Any:
        """The handler of this class, made without the others."""
        listed = enumerate(self.parser.get("handlers"))
        (place,) = [i for i, handler in listed if isinstance(handler, dict) and handler["_target_"].endswith(name)]
        return self.parser.get_parsed_content(f"handlers::{place}")

    @property
    def maps(self) -> int:
        """Maps that the network gives: its output channels."""
        with torch.no_grad():
            return int(self.network(torch.zeros(1, 1, PROBE_PX, PROBE_PX, device=self.device)).shape[1])

    def flops_per_px(self) -> float:
        """Floating-point operations per pixel of the network as defined: two per multiplication of its convolutions."""
        images = torch.zeros(1, 1, PROBE_PX, PROBE_PX, device=self.device)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.network(images)
        return counter.get_total_flops() / PROBE_PX**2


def stage_times(
    method: Method, files: Sequence[str], output_dir: str, runs: int, weights: str | None = None, threads: int = 0
) -> dict[str, Any]:
    """Median times per stage over runs and files; the first file is run once before, untimed.

    Args:
        method: what to run.
        files: mammograms.
        output_dir: where results go.
        runs: timed runs of every file.
        weights: see `StagedMethod`.
        threads: of torch; 0 leaves them as they are.

    Returns:
        Plain values: "stages" -> name -> wall_s and cpu_s, "total", "peak_mb", "px", "breast_px", "maps", "mcs" and
        "flops_per_px"; numbers of the image are means over the files.
    """
    if threads:
        torch.set_num_threads(threads)
    staged, watch = StagedMethod(method, output_dir, weights), Stopwatch()
    flops = staged.flops_per_px()
    cold = Stopwatch()
    cold.start_run()
    staged.run(files[0], cold)
    facts = []
    for path in [file for file in files for _ in range(runs)]:
        watch.start_run()
        item = staged.run(path, watch)
        breast = int(np.count_nonzero(plane(item["breast"])))
        facts.append((item["image"].numel(), breast, len(item["findings"])))
    px, breast_px, mcs = (float(value) for value in np.mean(facts, axis=0))
    medians = watch.medians()
    return {
        "method": method.name,
        "stages": {name: medians[name].as_dict() for name in STAGES if name in medians},
        "total": watch.total().as_dict(),
        "first_run": cold.total().as_dict(),
        "peak_mb": peak_memory_mb(),
        "px": px,
        "breast_px": breast_px,
        "mcs": mcs,
        "flops_per_px": flops,
        "maps": staged.maps,
        "threads": torch.get_num_threads(),
    }
