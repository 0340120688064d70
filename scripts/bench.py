"""Speed and memory, measured: `python -m scripts.bench` (`make bench`).

HDoG is timed against the plain float64 statement of its formulas in `tests/candidates/hdog_reference.py`. Wall
times depend on what else the machine does; CPU times, printed beside them, much less.
"""

import argparse
import importlib.util
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from scripts.candidates.breast_mask import breast_mask, erode_breast
from scripts.candidates.hdog import Candidates, HDoGParameters, hdog
from scripts.data.phantom import phantom_images, render, sample_spec
from scripts.data.reader import read_mammogram
from scripts.findings.run import peak_memory_mb

ROOT = Path(__file__).resolve().parents[1]
REFERENCE_FILE = ROOT / "tests" / "candidates" / "hdog_reference.py"


class Timing(NamedTuple):
    """Medians over runs, in seconds; `cpu_s` sums over threads."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:7.3f} s   (CPU {self.cpu_s:7.3f} s)"


def bench_image(file: str | None, rows: int, cols: int) -> np.ndarray:
    """The image of a file, or a generated mammogram; float32 in [0, 1], shape (rows, cols)."""
    if file is not None:
        return read_mammogram(file)[0]
    spec = sample_spec(np.random.default_rng(0), shape=(rows, cols), bits=12)
    return render(spec).image.astype(np.float32) / np.float32(2**12 - 1)


def timed(call: Callable[[], Any], runs: int) -> tuple[Timing, Any]:
    """Median times of a call, and its last result."""
    walls, cpus, result = [], [], None
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Timing(statistics.median(walls), statistics.median(cpus)), result


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """Result of a module-level function, called in a new interpreter that ends afterwards.

    On Linux a new process starts with its parent's peak as its own: call this before the parent grows.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def candidates_in_breast(image: np.ndarray) -> Candidates:
    """What inference asks for: breast mask, its erosion, HDoG under it."""
    return hdog(image, HDoGParameters(), erode_breast(breast_mask(image)))


def peak_memory_of_candidates(image: np.ndarray) -> int | None:
    """Peak resident memory of this process in MB after HDoG on the whole image and in the breast."""
    hdog(image, HDoGParameters())
    candidates_in_breast(image)
    return peak_memory_mb()


def load_reference() -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The plain HDoG of the tests.

    Raises:
        FileNotFoundError: if the tests are not there, as in a packaged bundle.
    """
    if not REFERENCE_FILE.is_file():
        raise FileNotFoundError(
            f"{REFERENCE_FILE}: not found; the bench compares with it: run it from a checkout that has tests/"
        )
    spec = importlib.util.spec_from_file_location("hdog_reference", REFERENCE_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.hdog_reference


def bench_candidates(args: argparse.Namespace) -> None:
    """Print time, memory and agreement of the candidate stage."""
    reference = load_reference()
    image = in_fresh_process(bench_image, args.image, args.rows, args.cols)
    peak_mb = in_fresh_process(peak_memory_of_candidates, image)

    fast, found = timed(lambda: hdog(image, HDoGParameters()), args.runs)
    stage, in_breast = timed(lambda: candidates_in_breast(image), args.runs)
    mask, breast = timed(lambda: breast_mask(image), args.runs)
    plain, (expected, _) = timed(lambda: reference(image), args.reference_runs)
    union = np.count_nonzero(found.mask | expected)
    iou = np.count_nonzero(found.mask & expected) / union if union else 1.0

    print(f"candidates of a {image.shape[0]} x {image.shape[1]} image, {cv2.getNumThreads()} threads")
    print(f"  HDoG, whole image                  {fast}")
    print(f"  plain float64 reference            {plain}")
    print(f"  ratio                              {plain.wall_s / fast.wall_s:7.1f} x")
    print(f"  IoU with the reference             {iou:9.5f}   ({len(found.blobs)} blobs)")
    print(f"  breast mask                        {mask}   ({breast.mean():.0%} of the image)")
    print(f"  breast mask + erosion + HDoG in it {stage}   ({len(in_breast.blobs)} blobs)")
    print(f"  peak memory, process included      {peak_mb or 0:7.0f} MB")


def bench_inference(args: argparse.Namespace) -> None:
    """Print time and memory per image of the whole bundle: file in, mask, JSON and picture out, for both methods."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(args.image) if args.image else Path(folder) / "phantoms" / "images"
        if not args.image:
            phantom_images(source.parent, count=args.images, shape=(args.rows, args.cols))
        for method, overlay in (("HDoGReg", ()), ("slim FCN", ("configs/slim_fcn_inference.json",))):
            output = Path(folder) / method
            configs = str(["configs/inference.json", *overlay])
            options = ["--config_file", configs, "--input_dir", str(source), "--output_dir", str(output)]
            start = time.perf_counter()
            command = [sys.executable, "-m", "monai.bundle", "run", *options, "--progress", "False"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            wall = time.perf_counter() - start
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-2000:]}")
            report = json.loads((output / "run_report.json").read_text())
            seconds = [entry["seconds"] for entry in report["images"]]
            print(f"{method} end to end, {len(seconds)} image(s) in one run")
            print(f"  per image, median                  {statistics.median(seconds):7.2f} s")
            print(f"  per image, longest                 {max(seconds):7.2f} s")
            print(f"  whole command with its start       {wall:7.2f} s")
            print(f"  peak memory of the process         {report['peak_memory_mb']:7.0f} MB")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", help="mammogram file; default: a generated one")
    parser.add_argument("--rows", type=int, default=3328, help="rows of the generated image")
    parser.add_argument("--cols", type=int, default=2560, help="columns of the generated image")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of the fast code; the median is shown")
    parser.add_argument("--reference-runs", type=int, default=1, help="timed runs of the plain reference")
    parser.add_argument("--images", type=int, default=3, help="generated mammograms for the end-to-end part")
    args = parser.parse_args()
    bench_candidates(args)
    bench_inference(args)


if __name__ == "__main__":
    main()
