"""Decoded mammograms on disk: read once, then windows of memory-mapped arrays.

The cache holds three files per mammogram, `<key>_image.npy` (uint16, [0, 1] over its range), `<key>_label.npy`
(uint8) and `<key>.json` (pixel size, hash of both arrays), written atomically; `<key>` follows from the paths, sizes
and times of the files and from the loading chain, so changed files are read again and an interrupted run continues
where it stopped. Damaged files of the cache are made anew.
"""

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scripts.common.files import write_atomically, write_json
from scripts.common.ranks import is_first, places, ranks, wait
from scripts.common.settings import describe
from scripts.data.lists.folder import describe_failure

logger = logging.getLogger(__name__)

CACHE_VERSION = 3  # raise it when reading or drawing changes what is cached
LEVELS = 65535  # value of 1.0


@dataclass(frozen=True)
class CachedImage:
    """A decoded mammogram."""

    stem: str  # path of its files without their endings
    image_id: str  # its name in the data list

    @property
    def levels(self) -> np.ndarray:
        """Memory-mapped uint16 (rows, cols); `LEVELS` is 1.0."""
        return _array(f"{self.stem}_image.npy")

    @property
    def label(self) -> np.ndarray:
        """Memory-mapped uint8 (rows, cols) {0, 1 = MC, 2 = ignore}."""
        return _array(f"{self.stem}_label.npy")

    @property
    def whole(self) -> bool:
        """Whether its three files are there, complete, and of the types and the one shape that they should have."""
        try:
            levels, label = (_opened(f"{self.stem}_{name}.npy") for name in ("image", "label"))
            stated = json.loads(Path(f"{self.stem}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, EOFError, RecursionError) as error:
            logger.warning("%s: %s is damaged (%s) and made anew", self.image_id, self.stem, error)
            return False
        sound = levels.dtype == np.uint16 and label.dtype == np.uint8 and levels.ndim == 2 and levels.size > 0
        facts = stated if isinstance(stated, dict) else {}
        known = isinstance(facts.get("spacing_mm", ""), float | int | None) and isinstance(facts.get("digest"), str)
        if sound and label.shape == levels.shape and known:
            return True
        logger.warning("%s: %s holds arrays of a wrong shape or type and is made anew", self.image_id, self.stem)
        return False

    @property
    def spacing_mm(self) -> float:
        """Pixel size (of rows) as the loading chain left it; ValueError where it left none."""
        spacing = self._facts["spacing_mm"]
        if spacing is None:
            raise ValueError(f"{self.image_id}: got an image without spacing_mm; want one read by MammogramReader")
        return float(spacing)

    @property
    def digest(self) -> str:
        """Hash of image and label as decoded: the same wherever the files lie, another for a corrected label."""
        return str(self._facts["digest"])

    @property
    def _facts(self) -> dict[str, Any]:
        return json.loads(Path(f"{self.stem}.json").read_text(encoding="utf-8"))


class ImageCache:
    """Decodes labelled mammograms into a folder, which runs may share, by several threads.

    The loader is a chain that reads one item into image [1, rows, cols] in [0, 1] and label [1, rows, cols].
    """

    def __init__(self, loader: Callable, cache_dir: str | Path, workers: int = 2, progress: bool = True) -> None:
        self.loader, self.cache_dir = loader, Path(cache_dir).expanduser()
        self.workers, self.progress = workers, progress
        self.failures: list[dict[str, str]] = []  # records of files that could not be read; logged and left out
        self._reading = describe(loader)
        self.cache_dir.mkdir(parents=True, exist_ok=True)

    def decode(self, data: Sequence[Mapping[str, Any]]) -> list[CachedImage]:
        """The readable ones of a data list's items, in their order. Several ranks share the work."""
        if ranks() > 1:
            self._decode_all([data[place] for place in places(len(data))])
            wait()
            self.failures.clear()  # each is told again by every rank
        return self._decode_all(data)

    def finish(self) -> None:
        """Say once more, after training, what was left out; then SystemExit with status 1."""
        for failure in self.failures if is_first() else ():
            logger.error("was left out of training: %s (%s)", failure["file"], failure["reason"])
        if self.failures:
            wait()  # torchrun ends all ranks when the first of them exits with 1
            sys.exit(1)

    def _decode_all(self, data: Sequence[Mapping[str, Any]]) -> list[CachedImage]:
        with ThreadPoolExecutor(max(self.workers, 1)) as pool:
            decoded = pool.map(self._decode_one, data)
            shown = self.progress and is_first()
            bar = tqdm(decoded, total=len(data), unit="image", desc="decoding mammograms", disable=not shown)
            return [image for image in bar if image is not None]

    def _decode_one(self, item: Mapping[str, Any]) -> CachedImage | None:
        try:
            image = CachedImage(str(self.cache_dir / cache_key(item, self._reading)), str(item.get("image_id", "")))
            if not image.whole:
                _write(image.stem, self.loader(dict(item)))
            return image
        except Exception as error:
            failure = describe_failure(item.get("image", ""), "reading", error)
            logger.error("left out of training: %s (%s)", failure["file"], failure["reason"])
            self.failures.append(failure)
            return None


def _write(stem: str, loaded: Mapping[str, Any]) -> None:
    """The JSON file last: where it is, the arrays are."""
    _array.cache_clear()
    levels = np.round(np.clip(np.asarray(loaded["image"])[0], 0, 1) * LEVELS).astype(np.uint16)
    label = np.asarray(loaded["label"])[0].astype(np.uint8)
    write_atomically(Path(f"{stem}_image.npy"), lambda path: np.save(path, levels, allow_pickle=False))
    write_atomically(Path(f"{stem}_label.npy"), lambda path: np.save(path, label, allow_pickle=False))
    spacing = getattr(loaded["image"], "meta", {}).get("spacing_mm")
    digest = hashlib.sha256(levels.tobytes() + label.tobytes()).hexdigest()[:16]
    spacing_mm = None if spacing is None else float(spacing[0])
    write_json(Path(f"{stem}.json"), {"spacing_mm": spacing_mm, "digest": digest})


@lru_cache(maxsize=256)  # opening costs as much as a tenth of a patch; each holds a file open
def _array(path: str) -> np.ndarray:
    return _opened(path)


def _opened(path: str) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def cache_key(item: Mapping[str, Any], loader: Any) -> str:
    """Name of an item's arrays: a hash of its files' paths, sizes and times, its annotation, and the loading chain (or
    what `describe` says of it)."""
    label = item.get("label", "")
    files = [item["image"], *(label if isinstance(label, (list, tuple)) else [label])]
    facts: list[Any] = [CACHE_VERSION, item.get("annotation", "full"), describe(loader)]
    for file in map(Path, filter(None, files)):
        status = file.stat()
        facts.append([str(file.resolve()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
