"""Training patches: whole mammograms decoded once (scripts/data/cache.py), patches as windows on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset

from scripts.data.cache import LEVELS, ImageCache, cached_array

Corner = tuple[int, int]


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
        data: items with "image" and "label" references (see scripts/data/lists/generic.py).
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
        self.patch_px = patch_px
        self.cache = ImageCache(loader, cache_dir, workers, progress)
        self.failures = self.cache.failures
        positive: list[dict[str, Any]] = []
        negative: list[dict[str, Any]] = []
        for item, stem in self.cache.decode(list(data)):
            label, image = cached_array(stem, "label"), cached_array(stem, "image")
            with_mc, without_mc = patch_grid(np.asarray(label), patch_px, stride_px)
            for found, kind in ((with_mc, positive), (without_mc if negatives_per_positive else [], negative)):
                for row, col in found:
                    window = image[row : row + patch_px : 8, col : col + patch_px : 8]
                    if kind is positive or np.percentile(window, 99) > background_floor * LEVELS:
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
        """Say once more, after training, what was left out; exit status 1 if anything was (see `ImageCache`)."""
        self.cache.finish()

    def _transform(self, index: int) -> Any:
        patch = self.data[index]
        image = self._window(patch["stem"], "image", patch["row"], patch["col"])
        label = self._window(patch["stem"], "label", patch["row"], patch["col"])
        item = {
            "image": torch.from_numpy(image.astype(np.float32) / LEVELS)[None],
            "label": torch.from_numpy(label)[None],
            "image_id": patch["image_id"],
            "row": patch["row"],
            "col": patch["col"],
        }
        return self.transform(item) if self.transform is not None else item

    def _window(self, stem: str, name: str, row: int, col: int) -> np.ndarray:
        array = cached_array(stem, name)
        window = np.array(array[row : row + self.patch_px, col : col + self.patch_px])
        missing = [(0, self.patch_px - size) for size in window.shape]
        return np.pad(window, missing) if any(after for _, after in missing) else window
