"""Training patches: simulated MCs in real backgrounds, drawn on the fly, repeatable from (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from monai.data import Dataset

from scripts.data.cache import LEVELS, ImageCache, cached_array
from scripts.simulation.insertion.domain import apply_domain, sample_domain
from scripts.simulation.insertion.lookalikes import draw_lookalikes, sample_lookalikes
from scripts.simulation.insertion.rendering import insert_mcs, local_noise
from scripts.simulation.insertion.sampling import InsertionSettings, sample_mcs
from scripts.simulation.insertion.shapes import shape_bank

#: Darker than this is air, not breast.
AIR_LEVEL = 0.06


class InsertionPatchDataset(Dataset):
    """Patches of normal mammograms with simulated MCs and look-alikes, as another detector might show them.

    Labels that the backgrounds have are kept (a background with known findings may serve too); label 2 takes no MC.

    Args:
        data: items with "image" (and perhaps "label") references.
        loader: chain that reads one item, see `ImageCache`.
        transform: chain applied to every patch {"image": float32 [1, s, s], "label": uint8 [1, s, s], "image_id"}.
        cache_dir: folder of the decoded arrays.
        patch_px: side s of the patches.
        length: patches per epoch.
        seed: patch i of epoch e depends on (seed, e, i) only.
        spacing_range_mm: pixel sizes that patches are drawn at, log-uniform; the background keeps its own grid within
            `resize_range`.
        resize_range: magnification of the background, log-uniform.
        diameter_mm, contrast, visible_cnr, ignored_cnr: see `InsertionSettings`.
        with_mcs: share of the patches that get MCs; the others teach what is none.
        lookalike_rate: factor on the look-alikes' rates.
        domain_strength: factor on the domain's changes.
        shape_seed: of the shapes; validation and test take other shapes than training.
        fixed: every epoch draws the patches of epoch 0 (validation).
        workers, progress: of decoding.

    Attributes:
        failures: records of files that could not be read; they are logged and left out.

    Raises:
        ValueError: no background could be read.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        loader: Callable,
        transform: Callable | None = None,
        cache_dir: str | Path = ".cache/patches",
        patch_px: int = 256,
        length: int = 1600,
        seed: int = 0,
        spacing_range_mm: tuple[float, float] = (0.05, 0.1),
        resize_range: tuple[float, float] = (0.75, 1.4),
        diameter_mm: float = 0.28,
        contrast: float = 0.12,
        visible_cnr: float = 3.0,
        ignored_cnr: float = 1.0,
        with_mcs: float = 0.8,
        lookalike_rate: float = 1.0,
        domain_strength: float = 1.0,
        shape_seed: int = 0,
        fixed: bool = False,
        workers: int = 2,
        progress: bool = True,
    ) -> None:
        self.cache = ImageCache(loader, cache_dir, workers, progress)
        self.failures = self.cache.failures
        self.stems = [(stem, str(item.get("image_id", ""))) for item, stem in self.cache.decode(list(data))]
        if not self.stems:
            raise ValueError(f"no background: got {len(data)} items, all unreadable; want at least one mammogram")
        super().__init__(data=list(range(length)), transform=transform)
        self.patch_px, self.seed, self.epoch, self.fixed = patch_px, seed, 0, fixed
        self.spacing_range_mm = tuple(spacing_range_mm)
        self.resize_range, self.with_mcs = tuple(resize_range), with_mcs
        self.lookalike_rate, self.domain_strength = lookalike_rate, domain_strength
        self.settings = InsertionSettings(
            diameter_mm=diameter_mm, contrast=contrast, visible_cnr=visible_cnr, ignored_cnr=ignored_cnr
        )
        self.bank = shape_bank(shape_seed)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose patches are drawn from now on."""
        self.epoch = 0 if self.fixed else epoch

    def finish(self) -> None:
        """Say once more, after training, what was left out; exit status 1 if anything was (see `ImageCache`)."""
        self.cache.finish()

    def _transform(self, index: int) -> Any:
        rng = np.random.default_rng([self.seed, self.epoch, self.data[index]])  # IndexError beyond the end
        image, label, image_id = self._background(rng)
        image, label = self._insert(rng, image, label)
        turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
        image, label = (np.rot90(array[:, ::-1] if mirrored else array, turns) for array in (image, label))
        item = {
            "image": torch.from_numpy(np.ascontiguousarray(image))[None],
            "label": torch.from_numpy(np.ascontiguousarray(label))[None],
            "image_id": image_id,
        }
        return self.transform(item) if self.transform is not None else item

    def _background(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
        """A resized window that holds breast."""
        magnification = float(np.exp(rng.uniform(*np.log(self.resize_range))))
        side = max(8, round(self.patch_px / magnification))
        for _ in range(20):
            stem, image_id = self.stems[rng.integers(len(self.stems))]
            array = cached_array(stem, "image")
            row, col = (int(rng.integers(max(size - side, 0) + 1)) for size in array.shape)
            window = array[row : row + side, col : col + side]
            if np.mean(window[::8, ::8] > AIR_LEVEL * LEVELS) > 0.35:
                break
        known = np.array(cached_array(stem, "label")[row : row + side, col : col + side])
        missing = [(0, side - size) for size in window.shape]
        image = np.pad(np.array(window, np.float32) / LEVELS, missing)
        size = (self.patch_px, self.patch_px)
        shrinks = magnification < 1
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        label = cv2.resize(np.pad(known, missing), size, interpolation=cv2.INTER_NEAREST)
        return np.clip(image, 0, 1), label, image_id

    def _insert(self, rng: np.random.Generator, image: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        allowed = (cv2.GaussianBlur(image, (0, 0), 3.0) > AIR_LEVEL) & (known == 0)
        image = draw_lookalikes(image, sample_lookalikes(rng, allowed, self.lookalike_rate, local_noise(image)))
        spacing_mm = float(np.exp(rng.uniform(*np.log(self.spacing_range_mm))))
        clusters, singles = 0, 0
        if rng.random() < self.with_mcs:
            clusters, singles = int(rng.choice(3, p=(0.25, 0.6, 0.15))), int(rng.poisson(1.5))
        mcs = sample_mcs(rng, allowed, spacing_mm, clusters, singles, self.bank, self.settings)
        inserted = insert_mcs(image, mcs, self.bank, float(rng.uniform(0.35, 0.9)), self.settings)
        label = np.where(known > 0, known, inserted.label)
        return apply_domain(inserted.image, sample_domain(rng, self.domain_strength)), label
