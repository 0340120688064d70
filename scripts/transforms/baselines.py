"""The thin MONAI classes of the baselines (docs/baselines.md): each makes scored objects of an image or of candidates.

Each leaves what the last steps of `configs/inference.json` expect: `pred` (mask), `instances`, `scores`, `map`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from scripts.candidates.dog_discs import draw_discs, peak_differences
from scripts.candidates.hdog import HDoGParameters, hdog
from scripts.candidates.morphology import MorphologyParameters, morphology_objects
from scripts.common.objects import fill_holes, label_objects
from scripts.common.tensors import plane, spacing_of
from scripts.transforms.inference import Data


class _ScoredObjectsd(MapTransform):
    """Common part: thresholds objects by score and puts them where the chain after expects them.

    Args:
        keys: replaced by the uint8 mask [1, rows, cols].
        score_threshold: objects with a lower score are dropped, [0, 1]; 0 keeps all.
        image_key: the image, [0, 1].
        within_key: bool mask that objects are restricted to, or None.
        instances_key, scores_key, map_key: where the numbered objects, their scores and the map (each pixel the score
            of its object) go.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        score_threshold: float = 0.0,
        image_key: str = "image",
        within_key: str | None = "breast_inner",
        instances_key: str = "instances",
        scores_key: str = "scores",
        map_key: str = "map",
    ) -> None:
        super().__init__(keys)
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold: got {score_threshold}; want a value in [0, 1]")
        self.score_threshold, self.image_key, self.within_key = score_threshold, image_key, within_key
        self.instances_key, self.scores_key, self.map_key = instances_key, scores_key, map_key

    def _within(self, item: Data) -> np.ndarray | None:
        return None if self.within_key is None else plane(item[self.within_key])

    def _put(self, item: Data, labels: np.ndarray, scores: np.ndarray) -> Data:
        scores = scores.astype(np.float32)
        scores[0] = 0
        keep = scores >= self.score_threshold
        keep[0] = False
        labels = np.where(keep[labels], labels, 0).astype(np.int32)
        item[self.instances_key], item[self.scores_key] = torch.from_numpy(labels)[None], scores
        item[self.map_key] = torch.from_numpy(scores[labels])[None]
        for key in self.keys:
            item[key] = torch.from_numpy((labels > 0).astype(np.uint8))[None]
        return item


class MorphologyObjectsd(_ScoredObjectsd):
    """Ciecholewski 2017: objects by grey-level morphology, scored by their largest difference to a pyramid level.

    Args:
        keys: replaced by the mask; what was there is not used (the method has no network).
        floor: darker pixels are zeroed, image units.
        difference_threshold: of a detection, image units.
        maxima_height: h of the extended maxima, image units.
        morphology_tile_px: side of the tiles.
        max_area_px: larger objects are dropped.
        **common: see `_ScoredObjectsd`.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        floor: float = 21 / 255,
        difference_threshold: float = 10 / 256,
        maxima_height: float = 5 / 256,
        morphology_tile_px: int = 500,
        max_area_px: int = 5000,
        **common: Any,
    ) -> None:
        super().__init__(keys, **common)
        self.parameters = MorphologyParameters(
            floor, difference_threshold, maxima_height, morphology_tile_px, max_area_px
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Find the objects."""
        item = dict(data)
        labels, scores = morphology_objects(plane(item[self.image_key]), self.parameters, self._within(item))
        return self._put(item, labels, scores)


class HDoGObjectsd(_ScoredObjectsd):
    """HDoG alone: every candidate is an object, scored by its largest difference of Gaussians; holes filled.

    Args:
        keys: replaced by the mask; what was there is not used (the method has no network).
        sigma_min_px, sigma_max_px: scale range, px at `reference_spacing_mm`.
        sigma_ratio: k between neighbouring scales.
        dog_threshold: T_DoG.
        blob_overlap: O_DoG; 1 disables pruning.
        hessian_threshold: h_thr.
        reference_spacing_mm: pixel size that lengths are given at; 0 takes them as px of the image.
        **common: see `_ScoredObjectsd`.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        sigma_min_px: float = 1.18,
        sigma_max_px: float = 3.1,
        sigma_ratio: float = 1.6,
        dog_threshold: float = 0.006,
        blob_overlap: float = 1.0,
        hessian_threshold: float = 1.4,
        reference_spacing_mm: float = 0.07,
        **common: Any,
    ) -> None:
        super().__init__(keys, **common)
        self.parameters = HDoGParameters(
            *(sigma_min_px, sigma_max_px, sigma_ratio, dog_threshold, blob_overlap, hessian_threshold),
            reference_spacing_mm=reference_spacing_mm,
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Find and score the candidates."""
        item = dict(data)
        image = item[self.image_key]
        parameters = self.parameters.at(spacing_of(image)[0])
        labels, _ = label_objects(hdog(plane(image), parameters, self._within(item)).mask)
        scores = peak_differences(plane(image), labels, parameters)
        return self._put(item, fill_holes(labels), scores)


class SelectMapd(MapTransform):
    """Keep one map of several, for a chain that takes one.

    Args:
        keys: maps [C, rows, cols]; replaced by [1, rows, cols].
        channel: which one; 0 is HDoGReg's proximity map.
    """

    def __init__(self, keys: KeysCollection = "pred", channel: int = 0) -> None:
        super().__init__(keys)
        self.channel = channel

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Select the map."""
        item = dict(data)
        for key in self.keys:
            if not 0 <= self.channel < len(item[key]):
                raise ValueError(f"channel: got {self.channel}; want one of the {len(item[key])} maps of {key}, from 0")
            item[key] = item[key][self.channel : self.channel + 1]
        return item


class DiscObjectsd(_ScoredObjectsd):
    """Context-sensitive CNN: the classified candidates become discs, each with its probability as score.

    Args:
        keys: logits and sigmas [2, rows, cols] of `CandidateInferer`; replaced by the mask.
        score_threshold: candidates with a lower probability get no disc.
        **common: see `_ScoredObjectsd`.
    """

    def __init__(self, keys: KeysCollection = "pred", **common: Any) -> None:
        super().__init__(keys, **common)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Draw the discs."""
        item, within = dict(data), self._within(dict(data))
        found = torch.as_tensor(item[self.first_key(item)]).detach().float().cpu()
        if found.ndim != 3 or found.shape[0] != 2:
            raise ValueError(f"pred: got shape {tuple(found.shape)}; want [2, rows, cols] of CandidateInferer")
        is_kept = (found[1] > 0) & (torch.sigmoid(found[0]) >= self.score_threshold)
        if within is not None:
            is_kept &= torch.from_numpy(within)
        rows, cols = np.nonzero(is_kept.numpy())
        blobs = np.stack([rows, cols, found[1].numpy()[rows, cols]], axis=1)
        scores = torch.sigmoid(found[0])[is_kept].numpy()
        labels = draw_discs(blobs, scores, tuple(found.shape[1:]), within)
        return self._put(item, labels, np.concatenate([np.zeros(1, np.float32), scores]))
