"""Training patches of the context-sensitive CNN: one window around each DoG blob, MC or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from scipy.spatial import cKDTree

from scripts.candidates.breast_mask import breast_mask, erode_breast
from scripts.candidates.dog_discs import dog_blobs, extract_patches
from scripts.candidates.hdog import HDoGParameters
from scripts.common.objects import label_objects, measure_objects
from scripts.data.cache import LEVELS, ImageCache, cached_array

MC, OTHER, LEFT_OUT = 1, 0, -1


def label_candidates(points: np.ndarray, label: np.ndarray, hit_px: float) -> np.ndarray:
    """Tell the candidates that are MCs from those that are not.

    Args:
        points: int (n, 2), columns [row, col].
        label: uint8 (rows, cols) {0, 1 = MC, 2 = ignore}.
        hit_px: a candidate on an MC's pixel, or no farther than this from an MC's centroid, is an MC.

    Returns:
        int8 (n,): 1 MC, 0 not, -1 left out (in an ignore region).
    """
    points = np.asarray(points, np.int64).reshape(-1, 2)
    values = label[points[:, 0], points[:, 1]]
    kinds = np.where(values == 2, LEFT_OUT, OTHER).astype(np.int8)
    objects, count = label_objects(label == 1)
    if count and len(points):
        found = measure_objects(objects, np.zeros(count + 1), (1.0, 1.0))
        distance, _ = cKDTree([(mc.row, mc.col) for mc in found]).query(points)
        kinds[distance <= hit_px + 1e-3] = MC  # centroids are rounded to 0.001 px
    kinds[values == 1] = MC
    return kinds


class CandidateDataset(Dataset):
    """Patches around the DoG blobs of labelled mammograms: every one on an MC, and a draw of the others.

    An MC without a candidate takes no part: the classifier would never be asked about it.

    Args:
        data: items with "image" and "label" references (see scripts/data/lists/generic.py).
        loader: chain that reads one item into image [1, rows, cols] in [0, 1] and label [1, rows, cols].
        transform: chain applied to every patch {"image": float32 [1, side, side], "label": float32 [1], "image_id",
            "row", "col"}.
        cache_dir: folder of the decoded arrays (scripts/data/cache.py).
        sigma_min_px, sigma_max_px, sigma_ratio, dog_threshold: of the candidates, px of the images.
        patch_px: side of a patch, odd.
        hit_px: see `label_candidates`; 5 px as in evaluation.
        negatives_per_positive: candidates that are no MC per one that is, drawn over all images by `seed`.
        breast_erosion_px: side of the square that erodes the breast mask; candidates outside are left out.
        seed: of the draw.
        workers: threads that decode.
        progress: show a progress bar while decoding.

    Attributes:
        failures: records of files that could not be read; they are logged and left out.

    Raises:
        ValueError: no candidate lies on an MC.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        loader: Callable,
        transform: Callable | None = None,
        cache_dir: str | Path = ".cache/patches",
        sigma_min_px: float = 1.6,
        sigma_max_px: float = 2.0,
        sigma_ratio: float = 1.6,
        dog_threshold: float = 0.01,
        patch_px: int = 95,
        hit_px: float = 5.0,
        negatives_per_positive: float = 20.0,
        breast_erosion_px: int = 45,
        seed: int = 0,
        workers: int = 2,
        progress: bool = True,
    ) -> None:
        self.patch_px, self.cache = patch_px, ImageCache(loader, cache_dir, workers, progress)
        self.failures = self.cache.failures
        parameters = HDoGParameters(sigma_min_px, sigma_max_px, sigma_ratio, dog_threshold)
        positive: list[dict[str, Any]] = []
        negative: list[dict[str, Any]] = []
        for item, stem in self.cache.decode(list(data)):
            image = np.asarray(cached_array(stem, "image")).astype(np.float32) / LEVELS
            mask = erode_breast(breast_mask(image), breast_erosion_px)
            points = dog_blobs(image, parameters, mask)[:, :2].astype(np.int64)
            kinds = label_candidates(points, np.asarray(cached_array(stem, "label")), hit_px)
            for (row, col), kind in zip(points.tolist(), kinds.tolist(), strict=True):
                if kind != LEFT_OUT:
                    entry = {"stem": stem, "row": row, "col": col, "kind": kind, "image_id": item.get("image_id", "")}
                    (positive if kind == MC else negative).append(entry)
        if not positive:
            raise ValueError(
                f"no candidate on an annotated MC: got {len(data)} items, {len(self.failures)} unreadable; want at "
                "least one image with individually labelled MCs that the DoG finds, in training and in validation"
            )
        drawn = min(round(negatives_per_positive * len(positive)), len(negative))
        picked = np.random.default_rng(seed).permutation(len(negative))[:drawn]
        super().__init__(data=positive + [negative[i] for i in sorted(picked)], transform=transform)

    def finish(self) -> None:
        """Say once more, after training, what was left out; exit status 1 if anything was (see `ImageCache`)."""
        self.cache.finish()

    def _transform(self, index: int) -> Any:
        entry = self.data[index]
        image = cached_array(entry["stem"], "image")
        patch = extract_patches(image, np.array([[entry["row"], entry["col"]]]), self.patch_px)
        item = {
            "image": torch.from_numpy(patch.astype(np.float32) / LEVELS),
            "label": torch.tensor([float(entry["kind"])]),
            **{key: entry[key] for key in ("image_id", "row", "col")},
        }
        return self.transform(item) if self.transform is not None else item
