"""Plain statements of the same things, timed beside the shipped ones: HDoG in float64, `blob_dog`, eager networks."""

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from skimage.feature import blob_dog

from scripts.bench.measure import timed
from scripts.bench.report import Row, Section
from scripts.bench.stages import ROOT, Method, StagedMethod
from scripts.candidates.breast_mask import BreastRegion
from scripts.candidates.hdog import HDoGParameters, hdog
from scripts.common.provenance import peak_memory_mb
from scripts.data.reader.mammogram_reader import read_mammogram
from scripts.inference.tile_inferer import TileInferer

REFERENCE_FILE = ROOT / "tests" / "candidates" / "hdog_reference.py"
STRIP_PX = 1024


def load_reference() -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The plain HDoG of the tests.

    Raises:
        FileNotFoundError: the tests are not there, as in a packaged bundle.
    """
    if not REFERENCE_FILE.is_file():
        raise FileNotFoundError(f"{REFERENCE_FILE}: got no such file; want a checkout that has tests/")
    spec = importlib.util.spec_from_file_location("hdog_reference", REFERENCE_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.hdog_reference


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks; 1 for two empty ones."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def bench_candidates(file: str, runs: int, reference_runs: int) -> Section:
    """HDoG as inference asks for it, HDoG on the whole image, the plain statement and scikit-image's blob detector."""
    image, meta = read_mammogram(file)
    spacing_mm = float(meta["spacing_mm"][0])
    parameters = HDoGParameters()

    def in_breast() -> tuple[np.ndarray, np.ndarray, int]:
        _, inner = BreastRegion(45, 0).masks(image, spacing_mm)
        candidates = hdog(image, parameters, inner)
        return candidates.mask, inner, len(candidates.blobs)

    stage, (mask, inner, blobs) = timed(in_breast, runs, warm=1)
    whole, found = timed(lambda: hdog(image, parameters), runs, warm=1)
    peak = peak_memory_mb()
    reference = load_reference()
    plain, (expected, points) = timed(lambda: reference(image), reference_runs)
    options = {"min_sigma": parameters.sigma_min_px, "max_sigma": parameters.sigma_max_px}
    options |= {"sigma_ratio": parameters.sigma_ratio, "threshold": parameters.dog_threshold, "overlap": 1}
    library, library_points = timed(lambda: blob_dog(image, **options), reference_runs)
    rows: list[Row] = [
        {"what": "breast mask, its erosion, HDoG inside", **_times(stage, plain)}
        | {"blobs": blobs, "IoU with the plain statement": iou(mask, expected & inner)},
        {"what": "HDoG, whole image", **_times(whole, plain)}
        | {"blobs": len(found.blobs), "IoU with the plain statement": iou(found.mask, expected)},
        {"what": "plain float64 statement, whole image", **_times(plain, plain), "blobs": len(points)},
        {"what": "skimage.feature.blob_dog (blobs only)", **_times(library, plain), "blobs": len(library_points)},
    ]
    note = (
        f"{image.shape[0]} x {image.shape[1]} px, {cv2.getNumThreads()} threads; peak memory of the process {peak} MB."
    )
    return Section("Candidates against plain statements", rows, [note])


def shipped_map(method: Method, file: str, output_dir: str, runs: int, weights: str | None) -> dict[str, Any]:
    """Times of the method's own inference, its logits, and what is needed to run the plain network on the same."""
    staged = StagedMethod(method, output_dir, weights)
    item = staged.prepare(file)
    time, logits = timed(lambda: staged.infer(item["image"], item["breast"]), runs, warm=1)
    return {"time": time, "logits": logits[-1].numpy(), "peak_mb": peak_memory_mb()}


def plain_map(method: Method, file: str, output_dir: str, runs: int, weights: str | None) -> dict[str, Any]:
    """The same network in plain float32: eager, not fused, channels first, over the breast's bounding box.

    The box is done in strips of `STRIP_PX` rows with the inferer's margin, as a whole it would need some 10 GB. A
    network that normalises by what it sees (GroupNorm) gets the shipped path's tiles instead: others would be other
    logits. The process keeps the memory settings that Python starts with.
    """
    staged = StagedMethod(method, output_dir, weights, start=False)
    item = staged.prepare(file)
    network = copy.deepcopy(staged.network).to(memory_format=torch.contiguous_format)
    tiles = staged.tiles
    margin = tiles.margin_px
    breast = item["breast"][0].numpy()
    rows, cols = (np.flatnonzero(breast.any(axis)) for axis in (1, 0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
    image = torch.as_tensor(item["image"].as_tensor())

    def run() -> np.ndarray:
        logits = np.full(breast.shape, -20.0, np.float32)
        for first in range(top, bottom, STRIP_PX):
            last = min(first + STRIP_PX, bottom)
            low, high = max(first - margin, 0), min(last + margin, len(breast))
            west, east = max(left - margin, 0), min(right + margin, breast.shape[1])
            with torch.no_grad():
                found = network(image[None, :, low:high, west:east].contiguous())[0, -1].numpy()
            logits[first:last, left:right] = found[first - low : last - low, left - west : right - west]
        return np.where(breast, logits, np.float32(-20))

    def run_tiles() -> np.ndarray:
        return inferer(image[None], lambda tile: network(tile), breast=item["breast"][None])[0, -1].numpy()

    inferer = TileInferer(replace(tiles, batch_size=1), precision="float32", fuse=False)
    tiled = any(isinstance(module, torch.nn.GroupNorm) for module in network.modules())
    time, logits = timed(run_tiles if tiled else run, runs)
    box = f"the breast's bounding box ({(bottom - top) * (right - left) / 1e6:.1f} million px)"
    area = "the shipped path's tiles" if tiled else f"{box}, strips of {STRIP_PX} rows"
    return {"time": time, "logits": logits, "peak_mb": peak_memory_mb(), "area": area}


def bench_network(
    method: Method, shipped: dict[str, Any], plain: dict[str, Any], file: str, output_dir: str, weights: str | None
) -> Section:
    """Time, largest probability difference and shared MCs of the shipped path against the plain network."""
    staged = StagedMethod(method, output_dir, weights)
    item = staged.prepare(file)
    labels = []
    for found in (shipped, plain):
        maps = torch.from_numpy(np.stack([found["logits"]] * staged.maps))
        done = {**item, "pred": maps}
        for transform in staged.after:
            if type(transform).__name__ == "RestoreFileGeometryd":
                break
            done = transform(done)
        labels.append(np.asarray(done["instances"])[0])
    inside = np.asarray(item["breast"])[0]
    probabilities = [1 / (1 + np.exp(-found["logits"].astype(np.float64))) for found in (shipped, plain)]
    share, counts = same_objects(*labels)
    rows: list[Row] = [
        {"what": f"{method.name} as shipped", **_times(shipped["time"], plain["time"])}
        | {"peak MB": shipped["peak_mb"], "MCs": counts[0]},
        {"what": "the same weights, plain float32 eager, channels first", **_times(plain["time"], plain["time"])}
        | {"peak MB": plain["peak_mb"], "MCs": counts[1]},
    ]
    rows[0]["largest probability difference"] = float(np.abs(probabilities[0] - probabilities[1])[inside].max())
    rows[0]["same MCs, %"] = 100 * share
    same = "Same MCs: share of the objects of either, at the balanced preset, that overlap one of the other."
    note = f"Plain: over {plain['area']}. {same}"
    return Section(f"{method.name}: network against the plain network", rows, [note])


def same_objects(first: np.ndarray, second: np.ndarray) -> tuple[float, tuple[int, int]]:
    """Share of the objects of two label images that overlap one of the other (1 without any), and the counts."""
    both = (first > 0) & (second > 0)
    counts = [np.unique(labels[labels > 0]).size for labels in (first, second)]
    shared = [np.unique(labels[both]).size for labels in (first, second)]
    return (sum(shared) / sum(counts) if sum(counts) else 1.0), (counts[0], counts[1])


def _times(time: Any, plain: Any) -> Row:
    return {"wall s": time.wall_s, "CPU s": time.cpu_s, "times faster than plain": plain.wall_s / time.wall_s}
