"""Exported networks against PyTorch's: agreement, time and memory, one table.

    python -m scripts.bench.exports <folder> [--method slim_fcn] [--weights FILE] [--tile-px 1024] [--threads 1]

The folder holds what configs/export.json wrote. Every row is measured in a process of its own, on a generated
mammogram (simulated): a tile for time and memory, odd sizes and a batch besides for agreement.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from scripts.bench.measure import in_fresh_process, timed
from scripts.bench.report import Row, Section, machine
from scripts.bench.stages import HDOGREG, SLIM_FCN, StagedMethod
from scripts.common.provenance import peak_memory_mb
from scripts.data.reader.mammogram_reader import read_mammogram
from scripts.inference.precision import InferenceForm
from scripts.networks.export import WRITERS, ExportedNetwork
from scripts.simulation.phantom import phantom_images

METHODS = {"hdogreg": HDOGREG, "slim_fcn": SLIM_FCN}
PLAIN, OWN = "PyTorch, float32", "the bundle's own inference"
NAMES = {".ts": "TorchScript", ".pt2": "torch.export", ".onnx": "ONNX Runtime", ".xml": "OpenVINO"}


def exports_section(
    folder: str | Path, method: str, weights: str | None, tile_px: int, threads: int, runs: int
) -> Section:
    """The table of all exports in a folder."""
    files = sorted(path for path in Path(folder).iterdir() if path.suffix in {w[0] for w in WRITERS.values()})
    forms = [(PLAIN, None), (OWN, None), *((NAMES[path.suffix], str(path)) for path in files)]
    with tempfile.TemporaryDirectory() as temporary:
        common = (method, weights, f"{temporary}/tiles.npz", threads)
        in_fresh_process(write_tiles, *common, tile_px)
        rows = [in_fresh_process(measure_form, form, path, *common, runs) for form, path in forms]
    notes = [
        f"{tile_px} x {tile_px} px, threads: {threads}; differences: largest of tile, odd sizes and a batch of two."
    ]
    return Section(f"Exports of {METHODS[method].name}", rows, notes)


def write_tiles(method: str, weights: str | None, file: str, threads: int, tile_px: int) -> None:
    """Tiles of a generated mammogram and PyTorch's logits of them, as x0, y0, x1, y1, ..."""
    with tempfile.TemporaryDirectory() as folder:
        shape = (tile_px + tile_px // 8, tile_px + tile_px // 8)
        image, _ = read_mammogram(phantom_images(folder, count=1, shape=shape)[0]["image"])
    odd, small = (tile_px // 2 + 1, tile_px // 3 + 7), tile_px // 4
    tiles = [image[None, :tile_px, :tile_px], image[None, : odd[0], : odd[1]]]
    tiles.append(np.stack([image[:small, :small], image[small : 2 * small, :small]]))
    run = caller(PLAIN, None, method, weights, threads)
    held: dict[str, np.ndarray] = {}
    for number, tile in enumerate(tiles):
        held[f"x{number}"] = tile[:, None]
        held[f"y{number}"] = run(torch.from_numpy(held[f"x{number}"])).numpy()
    np.savez(file, allow_pickle=False, **held)


def measure_form(
    form: str, path: str | None, method: str, weights: str | None, file: str, threads: int, runs: int
) -> Row:
    """One row: a form of the network, in this process."""
    opening, run = timed(lambda: caller(form, path, method, weights, threads), 1)
    with np.load(file) as held:
        images = [torch.from_numpy(held[f"x{number}"]) for number in range(len(held) // 2)]
        wanted = [torch.from_numpy(held[f"y{number}"]) for number in range(len(held) // 2)]
    time, first = timed(lambda: run(images[0]), runs, warm=1)
    peak = peak_memory_mb()
    got = [first, *(run(image) for image in images[1:])]
    apart = [(a - b).abs().max().item() for a, b in zip(got, wanted, strict=True)]
    scores = [(a.sigmoid() - b.sigmoid()).abs().max().item() for a, b in zip(got, wanted, strict=True)]
    size = (
        sum(p.stat().st_size for p in Path(path).parent.glob(f"{Path(path).stem}.*") if _belongs(p, path))
        if path
        else 0
    )
    row: Row = {"form": form, "file, MB": round(size / 1e6, 1) if size else None}
    row |= {"difference of logits": max(apart), "of probabilities": max(scores)}
    return row | {"s per tile": time.wall_s, "CPU s": time.cpu_s, "opening, s": opening.wall_s, "peak memory, MB": peak}


def caller(
    form: str, path: str | None, method: str, weights: str | None, threads: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What computes logits in a form."""
    torch.set_num_threads(threads)
    if path is not None:
        return ExportedNetwork(path, threads)
    with tempfile.TemporaryDirectory() as folder:
        staged = StagedMethod(METHODS[method], folder, weights)
    own = staged.parser.get_parsed_content("inferer").inferer.form
    run, arithmetic = (InferenceForm("float32", fuse=False) if form == PLAIN else own).of(
        staged.network.cpu(), torch.device("cpu")
    )

    def logits(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), arithmetic:
            result: torch.Tensor = run(x).float()
        return result

    return logits


def _belongs(file: Path, export: str) -> bool:
    return file == Path(export) or (Path(export).suffix == ".xml" and file.suffix == ".bin")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.exports", description="Exports against PyTorch.")
    parser.add_argument("folder", help="with model.ts, model.pt2, model.onnx, model.xml, or some of them")
    parser.add_argument("--method", default="hdogreg", choices=list(METHODS))
    parser.add_argument("--weights", help="in place of the method's own")
    parser.add_argument("--tile-px", type=int, default=1024, help="side of the tile that is timed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3, help="of which the median counts")
    given = vars(parser.parse_args(arguments))
    facts = ", ".join(f"{key} {value}" for key, value in machine().items() if value)
    sys.stdout.write(f"{facts}\n\n{exports_section(**given).markdown()}\n")


if __name__ == "__main__":
    main()
