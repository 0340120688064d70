"""Objects of a network's output: the thin class around the ways of forming them (scripts/findings/forming.py)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from scripts.common.tensors import Data, plane, spacing_of
from scripts.findings.components import ComponentObjects
from scripts.findings.forming import Objects, Scene


class FormObjectsd(MapTransform):
    """`pred` turns from a network's logits into the mask of scored objects.

    Args:
        objects: how objects are formed.
        score_threshold: objects with a lower score are left out, [0, 1]; 0 keeps all (evaluation).
        keys: logits [maps, rows, cols]; replaced by a uint8 mask [1, rows, cols].
        image_key: the image [1, rows, cols] in [0, 1].
        within_key: bool mask [1, rows, cols] that objects are restricted to, or None.

    The item also gets `instances` (int32 [1, rows, cols], numbered objects), `scores` (float32 (n + 1,), index =
    number) and `map` (float32 [1, rows, cols]). Where objects change with the threshold (`ComponentObjects`), a
    threshold of 0 leaves `thresholds` (descending) and `objects_at` (threshold -> labels, scores) besides.
    """

    def __init__(
        self,
        objects: Objects,
        score_threshold: float,
        keys: KeysCollection = "pred",
        image_key: str = "image",
        within_key: str | None = "breast_inner",
    ) -> None:
        super().__init__(keys)
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold: got {score_threshold}; want a value in [0, 1]")
        self.objects, self.score_threshold = objects, score_threshold
        self.image_key, self.within_key = image_key, within_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Form the objects."""
        item = dict(data)
        key, image = self.first_key(item), item[self.image_key]
        logits = torch.as_tensor(item[key]).detach().float().cpu().numpy()
        within = None if self.within_key is None else plane(item[self.within_key])
        scene = Scene(plane(image), logits, within, spacing_of(image))
        formed = self.objects.form(scene, self.score_threshold)
        item["instances"], item["scores"] = torch.from_numpy(formed.labels)[None], formed.scores
        item["map"] = torch.from_numpy(np.ascontiguousarray(formed.map))[None]
        item[key] = torch.from_numpy((formed.labels > 0).astype(np.uint8))[None]
        if isinstance(self.objects, ComponentObjects) and self.score_threshold == 0:
            item["thresholds"] = self.objects.thresholds
            item["objects_at"] = lambda threshold: self.objects.form(scene, threshold)[:2]
        return item
