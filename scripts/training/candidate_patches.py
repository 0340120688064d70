"""Training patches of the context-sensitive CNN: one window around each DoG blob, MC or not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from scripts.candidates.breast_mask import BreastRegion
from scripts.candidates.dog_discs import dog_blobs, extract_patches
from scripts.candidates.hdog import HDoGParameters
from scripts.common.checks import check, check_fields
from scripts.common.labels import IGNORE, MC
from scripts.common.objects import label_objects, measure_objects
from scripts.data.cache import LEVELS, CachedImage
from scripts.training.patches import Entry, with_negatives

IS_MC, IS_OTHER, LEFT_OUT = 1, 0, -1
WANG_YANG = HDoGParameters(1.6, 2.0, 1.6, dog_threshold=0.01, reference_spacing_mm=0.0)


@dataclass(frozen=True)
class CandidatePatches:
    """Patches around the DoG blobs of labelled mammograms: every one on an MC, and a draw of the others.

    An MC without a candidate takes no part: the classifier would never be asked about it.
    """

    hdog: HDoGParameters = WANG_YANG  # the DoG's parameters
    breast: BreastRegion = field(default_factory=lambda: BreastRegion(45))  # where candidates are
    patch_px: int = 95  # side of a patch, odd
    hit_px: float = 5.0  # see `label_candidates`; 5 px as in evaluation
    negatives_per_positive: float = 20.0  # candidates that are no MC per one that is, drawn over all images
    wanted = "at least one image with individually labelled MCs that the DoG finds"

    def __post_init__(self) -> None:
        check_fields(self)
        check("patch_px", self.patch_px, self.patch_px % 2, "an odd number of pixels")

    def entries(self, images: Sequence[CachedImage], section: str, seed: int) -> list[Entry]:
        """The candidates of all images at their own pixel size; none without any MC among them."""
        entries: dict[int, list[Entry]] = {IS_MC: [], IS_OTHER: [], LEFT_OUT: []}
        for source in images:
            image = np.asarray(source.levels).astype(np.float32) / LEVELS
            _, inner = self.breast.masks(image, source.spacing_mm)
            points = dog_blobs(image, self.hdog.at(source.spacing_mm), inner)[:, :2].astype(np.int64)
            kinds = label_candidates(points, np.asarray(source.label), self.hit_px)
            for (row, col), kind in zip(points.tolist(), kinds.tolist(), strict=True):
                entries[kind].append({"source": source, "row": row, "col": col, "is_mc": float(kind)})
        return with_negatives(entries[IS_MC], entries[IS_OTHER], self.negatives_per_positive, seed)

    def make(self, entry: Entry, epoch: int) -> dict[str, Any]:
        """The patch; label float32 [1], 1 for an MC."""
        source, row, col = entry["source"], entry["row"], entry["col"]
        patch = extract_patches(source.levels, np.array([[row, col]]), self.patch_px)
        item = {"image": torch.from_numpy(patch.astype(np.float32) / LEVELS), "label": torch.tensor([entry["is_mc"]])}
        return {**item, "image_id": source.image_id, "row": row, "col": col}


def label_candidates(points: np.ndarray, label: np.ndarray, hit_px: float) -> np.ndarray:
    """Kinds of the candidates, int (n, 2) [row, col]; int8 (n,): 1 MC, 0 not, -1 left out (in an ignore region).

    One on an MC's pixel, or no farther than `hit_px` from an MC's centroid, is an MC.
    `label` is uint8 (rows, cols) {0, 1 = MC, 2 = ignore}.
    """
    points = np.asarray(points, np.int64).reshape(-1, 2)
    values = label[points[:, 0], points[:, 1]]
    kinds = np.where(values == IGNORE, LEFT_OUT, IS_OTHER).astype(np.int8)
    objects, count = label_objects(label == MC)
    if count and len(points):
        measured = measure_objects(objects, np.zeros(count + 1), (1.0, 1.0))
        distance, _ = cKDTree([(mc.row, mc.col) for mc in measured]).query(points)
        kinds[distance <= hit_px + 1e-3] = IS_MC  # centroids are rounded to 0.001 px
    kinds[values == MC] = IS_MC
    return kinds
