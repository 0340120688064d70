"""Training patches: whole mammograms decoded once (scripts/data/cache.py), patches made from them on demand.

One data set, `PatchDataset`; which patches there are is said by a value object: `GridPatches` (here),
`CandidatePatches` (candidate_patches.py) and `InsertionPatches` (insertion_patches.py).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from monai.data import Dataset

from scripts.common.checks import check, check_fields
from scripts.common.labels import MC
from scripts.data.cache import LEVELS, CachedImage, ImageCache

Corner = tuple[int, int]
Entry = dict[str, Any]
SECTIONS = ("training", "validation")


class Patches(Protocol):
    """A kind of patches: which ones there are, and how each is made."""

    wanted: str  # what at least one image must have, for the error message

    def entries(self, images: Sequence[CachedImage], section: str, seed: int) -> list[Entry]:
        """One dictionary per patch of an epoch; none where the images give no patch."""

    def make(self, entry: Entry, epoch: int) -> dict[str, Any]:
        """The patch: {"image": float32 [1, side, side] in [0, 1], "label", "image_id", ...}."""


class PatchDataset(Dataset):
    """Patches of mammograms for training or validation; without validation data, validation has no patches.

    Files that could not be read are logged and left out, their records are in `failures`.

    Raises:
        ValueError: an unknown section, or data that give no patch at all; says why.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],  # items with "image" and "label" (see scripts/data/lists/generic.py)
        loader: Callable,  # chain that reads one item into image [1, rows, cols] in [0, 1] and label [1, rows, cols]
        patches: Patches,
        transform: Callable | None = None,  # chain applied to every patch
        cache_dir: str | Path = ".cache/patches",  # of the decoded arrays; may be shared by runs
        section: str = "training",  # or "validation"
        seed: int = 0,  # of everything drawn
        workers: int = 2,  # threads that decode
        progress: bool = True,
    ) -> None:
        check("section", section, section in SECTIONS, f"one of {', '.join(SECTIONS)}")
        self.loader, self.patches, self.section, self.seed, self.epoch = loader, patches, section, seed, 0
        self.cache = ImageCache(loader, cache_dir, workers, progress)
        self.failures = self.cache.failures
        images = self.cache.decode(list(data))
        digest = hashlib.sha256("".join(image.digest for image in images).encode()).hexdigest()[:16]
        self.images = f"{len(images)} images, {digest}"  # what they and their labels hold, in order
        entries = patches.entries(images, section, seed)
        if not entries and (data or section == "training"):
            got = f"{len(data)} items, {len(self.failures)} unreadable, and no patch from them"
            raise ValueError(f"{section} data: got {got}; want {patches.wanted}")
        super().__init__(data=entries, transform=transform)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the patches, for `describe`."""
        return {name: getattr(self, name) for name in ("patches", "loader", "transform", "section", "seed", "images")}

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose patches are drawn from now on; in validation all epochs have the same."""
        self.epoch = epoch if self.section == "training" else 0

    def finish(self) -> None:
        """Say once more, after training, what was left out; exit status 1 if anything was (see `ImageCache`)."""
        self.cache.finish()

    def _transform(self, index: int) -> Any:
        item = self.patches.make(self.data[index], self.epoch)
        return self.transform(item) if self.transform is not None else item


@dataclass(frozen=True)
class GridPatches:
    """Overlapping windows of labelled mammograms (HDoGReg section IV-C)."""

    patch_px: int = 512  # side, 512 in the paper
    stride_px: int = 480  # step, 480 in the paper
    negatives_per_positive: float = 0.0  # training patches without MCs per one with MCs, 0 in the paper
    background_floor: float = 0.02  # patches whose 99th percentile is at most this are air, never drawn as negatives
    wanted = "at least one image with individually labelled MCs"

    def __post_init__(self) -> None:
        check_fields(self, patch_px="[1, inf)", background_floor="[0, 1]")
        check("stride_px", self.stride_px, 0 < self.stride_px <= self.patch_px, f"1..patch_px ({self.patch_px})")

    def entries(self, images: Sequence[CachedImage], section: str, seed: int) -> list[Entry]:
        """Every window with an MC; in training also a draw of those without."""
        positive, negative = list[Entry](), list[Entry]()
        wants_negatives = section == "training" and self.negatives_per_positive > 0
        for image in images:
            with_mc, without_mc = patch_grid(np.asarray(image.label), self.patch_px, self.stride_px)
            positive += [{"source": image, "row": row, "col": col} for row, col in with_mc]
            for row, col in without_mc if wants_negatives else ():
                window = image.levels[row : row + self.patch_px : 8, col : col + self.patch_px : 8]
                if np.percentile(window, 99) > self.background_floor * LEVELS:
                    negative.append({"source": image, "row": row, "col": col})
        return with_negatives(positive, negative, self.negatives_per_positive, seed)

    def make(self, entry: Entry, epoch: int) -> dict[str, Any]:
        """The window, label uint8 [1, side, side]; beyond a small image it is air."""
        source, row, col = entry["source"], entry["row"], entry["col"]
        image = cut_window(source.levels, row, col, self.patch_px).astype(np.float32) / LEVELS
        label = cut_window(source.label, row, col, self.patch_px)
        item = {"image": torch.from_numpy(image)[None], "label": torch.from_numpy(label)[None]}
        return {**item, "image_id": source.image_id, "row": row, "col": col}


def window_starts(length: int, patch: int, stride: int) -> list[int]:
    """First pixels of windows of `patch` px that cover `length`: every `stride` px, the last flush with the end."""
    return [*range(0, length - patch, stride), max(length - patch, 0)]


def patch_grid(label: np.ndarray, patch_px: int, stride_px: int) -> tuple[list[Corner], list[Corner]]:
    """Corners (row, col) of one mammogram's patches with an MC pixel, and of those without any (paper section IV-C).

    Label: uint8 (rows, cols) {0, 1 = MC, 2 = ignore}. Patches without MC that touch an ignore region are in neither.
    """
    positive, negative = [], []
    for row, col in product(*(window_starts(length, patch_px, stride_px) for length in label.shape)):
        window = label[row : row + patch_px, col : col + patch_px]
        if (window == MC).any():
            positive.append((row, col))
        elif not window.any():
            negative.append((row, col))
    return positive, negative


def cut_window(array: np.ndarray, row: int, col: int, side_px: int) -> np.ndarray:
    """A copy of a square window from its first pixel (row, col); beyond the array it is 0."""
    window = np.array(array[row : row + side_px, col : col + side_px])
    missing = [(0, side_px - size) for size in window.shape]
    return np.pad(window, missing) if any(after for _, after in missing) else window


def with_negatives(positive: list[Entry], negative: list[Entry], per_positive: float, seed: int) -> list[Entry]:
    """All positive patches and a draw of the negative ones, `per_positive` for each where there are as many."""
    drawn = min(round(per_positive * len(positive)), len(negative))
    picked = np.random.default_rng(seed).permutation(len(negative))[:drawn]
    return positive + [negative[index] for index in sorted(picked)]
