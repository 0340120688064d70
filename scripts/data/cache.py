"""Decoded mammograms on disk: read once, then windows of memory-mapped arrays.

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
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scripts.common.files import write_atomically
from scripts.common.settings import describe
from scripts.data.lists.folder import describe_failure

logger = logging.getLogger(__name__)

CACHE_VERSION = 2  # raise it when reading or drawing changes what is cached
LEVELS = 65535


class ImageCache:
    """Decodes labelled mammograms into a folder.

    Args:
        loader: chain that reads one item into image [1, rows, cols] in [0, 1] and label [1, rows, cols].
        cache_dir: folder of the decoded arrays; may be shared by runs.
        workers: threads that decode.
        progress: show a progress bar while decoding.

    Attributes:
        failures: records of files that could not be read; they are logged and left out.
    """

    def __init__(self, loader: Callable, cache_dir: str | Path, workers: int = 2, progress: bool = True) -> None:
        self.loader, self.cache_dir = loader, Path(cache_dir).expanduser()
        self.workers, self.progress = workers, progress
        self.failures: list[dict[str, str]] = []
        self.cache_dir.mkdir(parents=True, exist_ok=True)

    def decode(self, data: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
        """Pairs (item, path of its arrays without `_image.npy`), unreadable items left out."""
        with ThreadPoolExecutor(max(self.workers, 1)) as pool:
            stems = pool.map(self._decode_one, data)
            bar = tqdm(stems, total=len(data), unit="image", desc="decoding mammograms", disable=not self.progress)
            for item, stem in zip(data, bar, strict=True):
                if stem is not None:
                    yield item, stem

    def finish(self) -> None:
        """Say once more, after training, what was left out.

        Raises:
            SystemExit: with status 1, when a file could not be read.
        """
        for failure in self.failures:
            logger.error("was left out of training: %s (%s)", failure["file"], failure["reason"])
        if self.failures:
            sys.exit(1)

    def _decode_one(self, item: Mapping[str, Any]) -> str | None:
        try:
            stem = str(self.cache_dir / cache_key(item, self.loader))
            image_file, label_file = Path(f"{stem}_image.npy"), Path(f"{stem}_label.npy")
            if image_file.is_file() and label_file.is_file():
                return stem
            loaded = self.loader(dict(item))
            image = np.clip(np.asarray(loaded["image"])[0], 0, 1)
            levels = np.round(image * LEVELS).astype(np.uint16)
            label = np.asarray(loaded["label"])[0].astype(np.uint8)
            write_atomically(image_file, lambda path: np.save(path, levels, allow_pickle=False))
            write_atomically(label_file, lambda path: np.save(path, label, allow_pickle=False))
            return stem
        except Exception as error:
            failure = describe_failure(item.get("image", ""), "reading", error)
            logger.error("left out of training: %s (%s)", failure["file"], failure["reason"])
            self.failures.append(failure)
            return None


@lru_cache(maxsize=256)  # opening costs as much as a tenth of a patch; each holds a file open
def cached_array(stem: str, name: str) -> np.ndarray:
    """Memory-mapped array of an item: name "image" (uint16, full scale is 1.0) or "label" (uint8)."""
    return np.load(f"{stem}_{name}.npy", mmap_mode="r", allow_pickle=False)


def cache_key(item: Mapping[str, Any], loader: Callable) -> str:
    """Name of an item's arrays: a hash of its files' paths, sizes and times, and of the loading chain's settings."""
    label = item.get("label", "")
    files = [item["image"], *(label if isinstance(label, (list, tuple)) else [label])]
    facts: list[Any] = [CACHE_VERSION, item.get("annotation", "full"), describe(loader)]
    for file in map(Path, filter(None, files)):
        status = file.stat()
        facts.append([str(file.resolve()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
