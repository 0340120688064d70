"""How times grow with image size, number of MCs, images per run and workers: small sweeps."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.bench.commands import run_command
from scripts.bench.measure import Stopwatch, in_fresh_process
from scripts.bench.report import Row, Section
from scripts.bench.stages import (
    HDOGREG,
    NETWORK,
    OBJECTS,
    PREFETCH,
    SLIM_FCN,
    STAGE_OF,
    STAGES,
    WRITE,
    Method,
    StagedMethod,
    stage_times,
)
from scripts.common.tensors import plane
from scripts.simulation.phantom import phantom_images

SWEEPS = ("size", "spots", "threads", "images")
SIZE_TITLE, SPOTS_TITLE = "Growth with image size", "Growth with the number of MCs (drawn spots)"
BREAST_PX = "breast, million px"
SHAPES = ((1664, 1280), (2496, 1920), (3328, 2560), (4096, 3328))
COUNTS = (0, 10, 100, 1000, 5000)
PEAK_SIGMA_PX = 1.5


def with_spots(shape: tuple[int, int], breast: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """A map of `count` spots of full height at random places of a mask, spots apart from each other; float32, [0, 1].

    Args:
        shape: (rows, cols).
        breast: bool (rows, cols), where the spots lie.
        count: number of spots; fewer if there is no room on a grid of 12 px.
        seed: of the places.
    """
    values = np.zeros(shape, np.float32)
    rows, cols = np.nonzero(breast[12:-12:12, 12:-12:12])
    chosen = np.random.default_rng(seed).permutation(rows.size)[:count]
    offset = np.arange(-5, 6)
    spot = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * PEAK_SIGMA_PX**2)).astype(np.float32)
    for row, col in zip(12 * rows[chosen] + 12, 12 * cols[chosen] + 12, strict=True):
        values[row - 5 : row + 6, col - 5 : col + 6] = spot
    return values


def size_rows(method: Method, folder: str, runs: int, weights: str | None) -> list[Row]:
    """Stage times over image sizes."""
    rows: list[Row] = []
    for shape in SHAPES:
        items = phantom_images(Path(folder) / f"phantom_{shape[0]}", count=1, shape=shape, progress=False)
        found = in_fresh_process(stage_times, method, [items[0]["image"]], str(Path(folder) / "out"), runs, weights)
        row: Row = {
            "method": method.name,
            "image": f"{shape[0]} x {shape[1]}",
            BREAST_PX: found["breast_px"] / 1e6,
        }
        row |= {f"{stage} s": found["stages"][stage]["wall_s"] for stage in STAGES if stage in found["stages"]}
        rows.append(row | {"all s": found["total"]["wall_s"], "peak MB": found["peak_mb"]})
    return rows


def after_network(staged: StagedMethod, item: dict[Any, Any], logits: torch.Tensor, watch: Stopwatch) -> int:
    """One timed run of everything after the network on drawn logits (rows, cols); the number of MCs found."""
    watch.start_run()
    done = {**item, "pred": torch.stack([logits] * staged.maps)}
    for transform in staged.after:
        with watch.stage(STAGE_OF.get(type(transform).__name__, OBJECTS)):
            done = transform(done)
    with watch.stage(WRITE):
        staged.writer.write("spots", done)
    return len(done["findings"])


def count_rows(method: Method, file: str, output_dir: str, runs: int) -> list[Row]:
    """Times of everything after the network over the number of MCs, on maps of drawn spots; one untimed run before."""
    every = (*method.changes, ("score_threshold", 0.05))  # a spot's score is 0.5
    staged = StagedMethod(method._replace(changes=every), output_dir)
    item = staged.prepare(file)
    rows: list[Row] = []
    for count in (COUNTS[0], *COUNTS):
        spots = torch.from_numpy(with_spots(item["image"].shape[-2:], plane(item["breast_inner"]), count))
        logits, watch = torch.logit(spots.clamp(1e-6, 1 - 1e-6)), Stopwatch()
        found = [after_network(staged, item, logits, watch) for _ in range(runs)][-1]
        times = {f"{stage} s": time.wall_s for stage, time in watch.medians().items()}
        rows.append({"spots drawn": count, "MCs": found} | times)
    return rows[1:]


def thread_rows(method: Method, file: str, folder: str, runs: int, weights: str | None) -> list[Row]:
    """Stage times over torch's threads."""
    rows: list[Row] = []
    for threads in sorted({1, torch.get_num_threads()}):
        found = in_fresh_process(stage_times, method, [file], folder, runs, weights, threads)
        row: Row = {"method": method.name, "threads of torch": threads, "network s": found["stages"][NETWORK]["wall_s"]}
        rows.append(row | {"all s": found["total"]["wall_s"]})
    return rows


def image_rows(method: Method, files: Sequence[str], folder: str, weights: str | None) -> list[Row]:
    """Seconds of whole runs over their number of images, with reading and writing beside the network or not."""
    rows: list[Row] = []
    for ahead in ("True", "False"):
        for count in sorted({min(n, len(files)) for n in (1, 5)}):
            place = f"{folder}/run_{ahead}_{count}"
            row = run_command(method, files[:count], place, weights, ("--set", f"{PREFETCH}={ahead.lower()}"))
            rows.append({PREFETCH: ahead, **row})
    return rows


def growth_sections(
    sweeps: Sequence[str], files: Sequence[str], folder: str, runs: int, weights: dict[str, str | None]
) -> Iterator[Section]:
    """The chosen sweeps, each when it is measured.

    Args:
        sweeps: which of `SWEEPS`.
        files: mammograms for the sweep over images per run; the first one for spots and threads.
        folder: for images and results.
        runs: timed runs of every cell.
        weights: method's name -> weight file or None.
    """
    methods = [(method, weights.get(method.name)) for method in (HDOGREG, SLIM_FCN)]
    if "size" in sweeps:
        sizes = [row for method, file in methods for row in size_rows(method, f"{folder}/sizes", runs, file)]
        yield Section(SIZE_TITLE, sizes)
    if "spots" in sweeps:
        counts = in_fresh_process(count_rows, HDOGREG, files[0], f"{folder}/counts", runs)
        yield Section(SPOTS_TITLE, counts, ["Everything after the network."])
    if "threads" in sweeps:
        threads = [row for m, file in methods for row in thread_rows(m, files[0], f"{folder}/threads", runs, file)]
        yield Section("Growth with threads", threads)
    if "images" in sweeps:
        images = image_rows(HDOGREG, files, folder, weights.get(HDOGREG.name))
        yield Section("Growth with images per run", images)
