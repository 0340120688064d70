"""Training patches: whole mammograms decoded once into memory-mapped arrays, patches as windows on them.

The cache holds two files per mammogram, `<key>_image.npy` (uint16, [0, 1] over its range) and `<key>_label.npy`
(uint8), written atomically; `<key>` follows from the paths, sizes and times of the files and from the loading chain,
so changed files are read again and an interrupted run continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from tqdm import tqdm

from scripts.data.folder import describe_failure
from scripts.files import write_atomically

logger = logging.getLogger(__name__)

Corner = tuple[int, int]
CACHE_VERSION = 1  # raise it when reading or drawing changes what is cached


def window_starts(length: int, patch: int, stride: int) -> list[int]:
    """First pixels of windows that cover a length: every `stride` px, the last one flush with the end.

    Args:
        length: px to cover.
        patch: window length in px.
        stride: step in px, at most `patch`.
    """
    if length <= patch:
        return [0]
    return [*range(0, length - patch, stride), length - patch]


def patch_grid(label: np.ndarray, patch_px: int, stride_px: int) -> tuple[list[Corner], list[Corner]]:
    """Corners (row, col) of the patches of one mammogram (paper section IV-C).

    Args:
        label: uint8 (rows, cols) {0, 1 = MC, 2 = ignore}.
        patch_px: side, 512 in the paper.
        stride_px: step, 480 in the paper.

    Returns:
        Patches that hold an annotated MC pixel, and patches without any; those that hold no MC but touch an ignore
        region are in neither list.
    """
    positive, negative = [], []
    for row in window_starts(label.shape[0], patch_px, stride_px):
        for col in window_starts(label.shape[1], patch_px, stride_px):
            window = label[row : row + patch_px, col : col + patch_px]
            if (window == 1).any():
                positive.append((row, col))
            elif not window.any():
                negative.append((row, col))
    return positive, negative


class PatchDataset(Dataset):
    """Patches of labelled mammograms for training.

    Args:
        data: items with "image" and "label" references (see scripts/data/generic.py).
        loader: chain that reads one item into image [1, rows, cols] in [0, 1] and label [1, rows, cols].
        transform: chain applied to every patch {"image": float32, "label": uint8, "image_id", "row", "col"}.
        cache_dir: folder of the decoded arrays; may be shared by runs.
        patch_px, stride_px: see `patch_grid`.
        negatives_per_positive: patches without MCs per patch with MCs, 0 in the paper; drawn by `seed`.
        background_floor: patches whose 99th percentile is at most this are air and never drawn as negatives.
        seed: of the draw.
        workers: threads that decode.
        progress: show a progress bar while decoding.

    Attributes:
        failures: records of files that could not be read; they are logged and left out.

    Raises:
        ValueError: no patch at all is left; says why.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        loader: Callable,
        transform: Callable | None = None,
        cache_dir: str | Path = ".cache/patches",
        patch_px: int = 512,
        stride_px: int = 480,
        negatives_per_positive: float = 0.0,
        background_floor: float = 0.02,
        seed: int = 0,
        workers: int = 2,
        progress: bool = True,
    ) -> None:
        if not 0 < stride_px <= patch_px:
            raise ValueError(f"stride_px: got {stride_px}, want 1..patch_px ({patch_px})")
        self.loader, self.cache_dir = loader, Path(cache_dir).expanduser()
        self.patch_px, self.failures = patch_px, []  # type: tuple[int, list[dict[str, str]]]
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        positive: list[dict[str, Any]] = []
        negative: list[dict[str, Any]] = []
        for item, stem in self._decode(list(data), workers, progress):
            label = np.load(f"{stem}_label.npy", mmap_mode="r", allow_pickle=False)
            image = np.load(f"{stem}_image.npy", mmap_mode="r", allow_pickle=False)
            with_mc, without_mc = patch_grid(np.asarray(label), patch_px, stride_px)
            for found, kind in ((with_mc, positive), (without_mc if negatives_per_positive else [], negative)):
                for row, col in found:
                    window = image[row : row + patch_px : 8, col : col + patch_px : 8]
                    if kind is positive or np.percentile(window, 99) > background_floor * 65535:
                        kind.append({"stem": stem, "row": row, "col": col, "image_id": item.get("image_id", "")})
        if not positive:
            raise ValueError(
                f"no patch with an annotated MC: got {len(data)} items, {len(self.failures)} unreadable; want at least "
                "one image with individually labelled MCs in the training and in the validation part"
            )
        drawn = min(round(negatives_per_positive * len(positive)), len(negative))
        picked = np.random.default_rng(seed).permutation(len(negative))[:drawn]
        patches = positive + [negative[i] for i in sorted(picked)]
        super().__init__(data=patches, transform=transform)

    def finish(self) -> None:
        """Say once more, after training, what was left out.

        Raises:
            SystemExit: with status 1, when a file could not be read.
        """
        for failure in self.failures:
            logger.error("was left out of training: %s (%s)", failure["file"], failure["reason"])
        if self.failures:
            sys.exit(1)

    def _transform(self, index: int) -> Any:
        patch = self.data[index]
        image = self._window(f"{patch['stem']}_image.npy", patch["row"], patch["col"])
        label = self._window(f"{patch['stem']}_label.npy", patch["row"], patch["col"])
        item = {
            "image": torch.from_numpy(image.astype(np.float32) / 65535)[None],
            "label": torch.from_numpy(label)[None],
            "image_id": patch["image_id"],
            "row": patch["row"],
            "col": patch["col"],
        }
        return self.transform(item) if self.transform is not None else item

    def _window(self, file: str, row: int, col: int) -> np.ndarray:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        window = np.array(array[row : row + self.patch_px, col : col + self.patch_px])
        missing = [(0, self.patch_px - size) for size in window.shape]
        return np.pad(window, missing) if any(after for _, after in missing) else window

    def _decode(
        self, data: list[Mapping[str, Any]], workers: int, progress: bool
    ) -> Iterator[tuple[Mapping[str, Any], str]]:
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            stems = pool.map(self._decode_one, data)
            bar = tqdm(stems, total=len(data), unit="image", desc="decoding mammograms", disable=not progress)
            for item, stem in zip(data, bar, strict=True):
                if stem is not None:
                    yield item, stem

    def _decode_one(self, item: Mapping[str, Any]) -> str | None:
        try:
            stem = str(self.cache_dir / cache_key(item, self.loader))
            image_file, label_file = Path(f"{stem}_image.npy"), Path(f"{stem}_label.npy")
            if image_file.is_file() and label_file.is_file():
                return stem
            loaded = self.loader(dict(item))
            image = np.clip(np.asarray(loaded["image"])[0], 0, 1)
            levels = np.round(image * 65535).astype(np.uint16)
            label = np.asarray(loaded["label"])[0].astype(np.uint8)
            write_atomically(image_file, lambda path: np.save(path, levels, allow_pickle=False))
            write_atomically(label_file, lambda path: np.save(path, label, allow_pickle=False))
            return stem
        except Exception as error:
            failure = describe_failure(item.get("image", ""), "reading", error)
            logger.error("left out of training: %s (%s)", failure["file"], failure["reason"])
            self.failures.append(failure)
            return None


def cache_key(item: Mapping[str, Any], loader: Callable) -> str:
    """Name of an item's arrays: a hash of its files' paths, sizes and times, and of the loading chain's settings."""
    label = item.get("label", "")
    files = [item["image"], *(label if isinstance(label, (list, tuple)) else [label])]
    facts: list[Any] = [CACHE_VERSION, item.get("annotation", "full"), describe_chain(loader)]
    for file in map(Path, filter(None, files)):
        status = file.stat()
        facts.append([str(file.resolve()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def describe_chain(chain: Any) -> Any:
    """Class names and plain settings of a transform chain, as JSON types (random states and tensors left out)."""
    if isinstance(chain, (str, int, float, bool, type(None))):
        return chain
    if isinstance(chain, (list, tuple)):
        return [describe_chain(part) for part in chain]
    if isinstance(chain, Mapping):
        return {str(key): describe_chain(value) for key, value in sorted(chain.items(), key=lambda kv: str(kv[0]))}
    name = getattr(type(chain), "__qualname__", str(chain))
    if not type(chain).__module__.startswith(("monai.", "scripts.")):
        return name
    return [name, {k: describe_chain(v) for k, v in sorted(getattr(chain, "__dict__", {}).items()) if k != "R"}]
