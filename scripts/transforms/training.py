"""The MONAI classes of training: the target and the random augmentations (pure functions beside this file)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

from scripts.common.resampling import WorkingGrid, resample, resample_label, resampled_size, warp_label
from scripts.common.tensors import plane, spacing_of
from scripts.training.augment import clahe, sample_warp, warp_image
from scripts.training.proximity import proximity_map
from scripts.transforms.inference import Data


class WorkingGridd(MapTransform):
    """Resample a loaded mammogram and its label to the pixel size that networks work at (see `WorkingGridInferer`).

    Args:
        keys: image key and label key, in this order.
        grid: the pixel size.
    """

    def __init__(self, keys: KeysCollection = ("image", "label"), grid: WorkingGrid | None = None) -> None:
        super().__init__(keys)
        self.grid = grid or WorkingGrid()

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Resample both."""
        item, (image_key, label_key) = dict(data), self.keys
        spacing = spacing_of(item[image_key])
        factor = self.grid.magnification(spacing[0])
        if factor != 1:
            image, label = plane(item[image_key]), plane(item[label_key])
            meta = dict(item[image_key].meta) | {"spacing_mm": tuple(length / factor for length in spacing)}
            resized = torch.from_numpy(resample(image, resampled_size(image.shape, factor)))
            item[image_key] = MetaTensor(resized[None], meta=meta)
            item[label_key] = torch.from_numpy(resample_label(label, factor))[None]
        return item


class ProximityTargetd(MapTransform):
    """Turn label masks into proximity maps (HDoGReg eq. 7-9), float32 [maps, rows, cols]; 2 (ignore) stays 2.

    Args:
        keys: labels {0, 1, 2}; only 1 attracts.
        radius_px: xi.
        alpha: decay; 0 is the limit 1 - r / xi.
        maps: 1 is the proximity map alone (the paper); 2 adds the MC mask itself as a second map.
    """

    def __init__(self, keys: KeysCollection, radius_px: float = 10.0, alpha: float = 1.0, maps: int = 1) -> None:
        super().__init__(keys)
        if maps not in (1, 2):
            raise ValueError(f"maps: got {maps}, want 1 (proximity) or 2 (proximity and MC mask)")
        self.radius_px, self.alpha, self.maps = radius_px, alpha, maps

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Compute every map."""
        item = dict(data)
        for key in self.keys:
            label = plane(item[key])
            target = proximity_map(label, self.radius_px, self.alpha)
            target[label == 2] = 2
            item[key] = torch.from_numpy(np.stack([target, label.astype(np.float32)][: self.maps]))
        return item


class DropIgnoredd(MapTransform):
    """Set predictions and the target to 0 where the target is 2 (ignore), so that metrics do not count there.

    Args:
        keys: predictions.
        label_key: the target {..., 2 = ignore}.
    """

    def __init__(self, keys: KeysCollection = "pred", label_key: str = "label") -> None:
        super().__init__(keys)
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Blank the ignored pixels."""
        item = dict(data)
        ignored = item[self.label_key] == 2
        for key in (*self.keys, self.label_key):
            item[key] = torch.where(ignored, torch.zeros_like(item[key]), item[key])
        return item


class RandWarpPatchd(RandomizableTransform, MapTransform):
    """Random scale, shift, rotation and crop in one interpolation; no annotated MC inside the crop gets lost.

    Args:
        keys: image key and label key, in this order.
        crop_px: side of the result.
        scale_range: magnification uniform in 1 +- this.
        shift_range: shift uniform in +- this share of the patch's side.
        rotation_deg: rotation uniform in +- this.
    """

    def __init__(
        self,
        keys: KeysCollection,
        crop_px: int = 320,
        scale_range: float = 0.5,
        shift_range: float = 0.1,
        rotation_deg: float = 0.0,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.crop_px, self.scale_range = crop_px, scale_range
        self.shift_range, self.rotation_deg = shift_range, rotation_deg

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Warp image and label alike."""
        item = dict(data)
        image_key, label_key = self.keys
        image, label = plane(item[image_key]), plane(item[label_key])
        matrix = sample_warp(self.R, image.shape, self.crop_px, self.scale_range, self.shift_range, self.rotation_deg)
        item[image_key] = torch.from_numpy(warp_image(image, matrix, self.crop_px))[None]
        item[label_key] = torch.from_numpy(warp_label(label, matrix, self.crop_px))[None]
        return item


class RandCLAHEd(RandomizableTransform, MapTransform):
    """With probability `prob`, contrast-limited adaptive histogram equalisation of [0, 1] images.

    Args:
        keys: images.
        prob: probability.
        clip_limit: (low, high) of the uniformly drawn contrast limit.
        grid: tiles per side.
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.9, clip_limit: tuple[float, float] = (1.0, 4.0), grid: int = 8
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=prob)
        self.clip_limit, self.grid = clip_limit, grid

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Equalise every image alike."""
        item = dict(data)
        self.randomize(None)
        limit = self.R.uniform(*self.clip_limit)
        if self._do_transform:
            for key in self.keys:
                item[key] = torch.from_numpy(clahe(plane(item[key]), limit, self.grid))[None]
        return item
