"""Training patches: simulated MCs in real backgrounds, drawn on the fly, repeatable from (seed, epoch, index)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy import ndarray as Array

from scripts.common.resampling import resample
from scripts.data.cache import LEVELS, CachedImage
from scripts.simulation.insertion.domain import DomainSettings, apply_domain, sample_domain
from scripts.simulation.insertion.lookalikes import LookalikeSettings, draw_lookalikes, sample_lookalikes
from scripts.simulation.insertion.rendering import insert_mcs, local_noise
from scripts.simulation.insertion.sampling import InsertionSettings, sample_mcs
from scripts.simulation.insertion.shapes import SHAPE_SEEDS, shape_bank
from scripts.simulation.parameters import Parameters, Range, log_between, uniform
from scripts.training.patches import Entry, cut_window


@dataclass(frozen=True)
class InsertionPatches(Parameters):
    """Patches of normal mammograms with simulated MCs and look-alikes, as another detector might show them.

    Labels that the backgrounds have are kept (a background with known findings may serve too); label 2 takes no MC.
    Validation has the patches of epoch 0, with other shapes of MCs than training.
    """

    patch_px: int = 256  # side of the patches
    patches_per_epoch: int = 1600
    validation_patches: int = 160
    spacing_range_mm: Range = (0.05, 0.1)  # pixel sizes that patches are drawn at, log-uniform; ...
    resize_range: Range = (0.75, 1.4)  # ... the background keeps its grid, magnified by this, log-uniform
    air_level: float = 0.06  # darker than this is air, not breast
    least_breast_share: float = 0.35  # windows with less breast are drawn again, ...
    attempts: int = 20  # ... this often
    with_mcs_share: float = 0.8  # of the patches get MCs; the others teach what is none
    cluster_number_shares: tuple[float, ...] = (0.25, 0.6, 0.15)  # of patches with 0, 1, 2, ... clusters among those
    singles_rate: float = 1.5  # mean number of single MCs there
    blur_range_px: Range = (0.35, 0.9)  # sigma of the detector's blur of the MCs
    insertion: InsertionSettings = field(default_factory=InsertionSettings)  # how each of them is drawn
    lookalikes: LookalikeSettings = field(default_factory=LookalikeSettings)
    domain: DomainSettings = field(default_factory=DomainSettings)
    wanted = "at least one readable mammogram"
    intervals: ClassVar[Mapping[str, str]] = {"patch_px": "[1, inf)", "attempts": "[1, inf)", "air_level": "[0, 1]"}

    def entries(self, images: Sequence[CachedImage], section: str, seed: int) -> list[Entry]:
        """Places in the sequence of draws; all have all backgrounds to draw from."""
        count = (self.validation_patches if section == "validation" else self.patches_per_epoch) if images else 0
        return [{"sources": images, "section": section, "seed": seed, "index": index} for index in range(count)]

    def make(self, entry: Entry, epoch: int) -> dict[str, Any]:
        """The patch, label uint8 [1, side, side]."""
        rng = np.random.default_rng([entry["seed"], epoch, entry["index"]])
        image, label, image_id = self._background(rng, entry["sources"])
        image, label = self._insert(rng, image, label, SHAPE_SEEDS[entry["section"]])
        turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
        turned = (np.rot90(array[:, ::-1] if mirrored else array, turns) for array in (image, label))
        image, label = (torch.from_numpy(np.ascontiguousarray(array))[None] for array in turned)
        return {"image": image, "label": label, "image_id": image_id}

    def _background(self, rng: np.random.Generator, sources: Sequence[CachedImage]) -> tuple[Array, Array, str]:
        """A resized window that holds breast."""
        side = max(8, round(self.patch_px / log_between(rng, self.resize_range)))
        for _ in range(self.attempts):
            source = sources[int(rng.integers(len(sources)))]
            row, col = (int(rng.integers(max(size - side, 0) + 1)) for size in source.levels.shape)
            window = source.levels[row : row + side, col : col + side]
            if np.mean(window[::8, ::8] > self.air_level * LEVELS) > self.least_breast_share:
                break
        size = (self.patch_px, self.patch_px)
        image = cut_window(source.levels, row, col, side).astype(np.float32) / LEVELS
        label = cv2.resize(cut_window(source.label, row, col, side), size, interpolation=cv2.INTER_NEAREST)
        return resample(image, size), label, source.image_id

    def _insert(self, rng: np.random.Generator, image: Array, known: Array, shape_seed: int) -> tuple[Array, Array]:
        allowed = (cv2.GaussianBlur(image, (0, 0), 3.0) > self.air_level) & (known == 0)
        image = draw_lookalikes(image, sample_lookalikes(rng, allowed, local_noise(image), self.lookalikes))
        spacing_mm = log_between(rng, self.spacing_range_mm)
        clusters, singles = 0, 0
        if rng.random() < self.with_mcs_share:
            clusters = int(rng.choice(len(self.cluster_number_shares), p=self.cluster_number_shares))
            singles = int(rng.poisson(self.singles_rate))
        bank = shape_bank(shape_seed)
        mcs = sample_mcs(rng, allowed, spacing_mm, clusters, singles, bank, self.insertion)
        inserted = insert_mcs(image, mcs, bank, uniform(rng, self.blur_range_px), self.insertion)
        label = np.where(known > 0, known, inserted.label)
        return apply_domain(inserted.image, sample_domain(rng, self.domain)), label
