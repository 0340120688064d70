"""The MONAI classes of training: working grid, target and random augmentations (the maths is in scripts/training)."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

from scripts.common.checks import check
from scripts.common.labels import IGNORE, MC
from scripts.common.resampling import WorkingGrid, resample, resample_label, resampled_size, warp_label
from scripts.common.tensors import Data, plane, spacing_of
from scripts.training.augment import Warp, brightness, clahe, gamma, warp_image
from scripts.training.proximity import core_mask, proximity_map


class WorkingGridd(MapTransform):
    """Resample a loaded mammogram and its label to the pixel size that networks work at (see `WorkingGridInferer`).

    `keys`: image key and label key, in this order.
    """

    def __init__(self, keys: KeysCollection = ("image", "label"), grid: WorkingGrid | None = None) -> None:
        super().__init__(keys)
        self.grid = grid or WorkingGrid()

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Resample both."""
        item, (image_key, label_key) = dict(data), self.keys
        image, spacing = plane(item[image_key]), spacing_of(item[image_key])
        factor = self.grid.magnification(spacing[0])
        if factor != 1:
            size = resampled_size(image.shape, factor)
            meta = dict(item[image_key].meta) | {"spacing_mm": tuple(length / factor for length in spacing)}
            item[image_key] = MetaTensor(torch.from_numpy(resample(image, size))[None], meta=meta)
            item[label_key] = torch.from_numpy(resample_label(plane(item[label_key]), factor))[None]
        return item


class ProximityTargetd(MapTransform):
    """Turn label masks into proximity maps (HDoGReg eq. 7-9), float32 [maps, rows, cols]; 2 (ignore) stays 2.

    Args:
        keys: labels {0, 1, 2}; only 1 attracts.
        radius_px: xi.
        alpha: decay; 0 is the limit 1 - r / xi.
        maps: 1 is the proximity map alone (the paper); 2 adds the MC mask itself as a second map, 3 the MCs' cores
            (`core_mask`) as a third, which part MCs that touch.
    """

    def __init__(self, keys: KeysCollection, radius_px: float = 10.0, alpha: float = 1.0, maps: int = 2) -> None:
        super().__init__(keys)
        check("maps", maps, maps in (1, 2, 3), "1 (proximity), 2 (and MC mask) or 3 (and MC cores)")
        self.radius_px, self.alpha, self.maps = radius_px, alpha, maps

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Compute every map."""
        item = dict(data)
        for key in self.keys:
            label = plane(item[key])
            target = proximity_map(label, self.radius_px, self.alpha)
            masks = [label == MC, core_mask(label)][: self.maps - 1]
            maps = np.stack([target, *masks]).astype(np.float32, copy=False)
            maps[:, label == IGNORE] = IGNORE
            item[key] = torch.from_numpy(maps)
        return item


class DropIgnoredd(MapTransform):
    """Set predictions and the target "label" to 0 where it is 2 (ignore), so that metrics do not count there."""

    def __init__(self, keys: KeysCollection = "pred") -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Blank the ignored pixels."""
        item = dict(data)
        ignored = item["label"] == IGNORE
        for key in (*self.keys, "label"):
            item[key] = torch.where(ignored, torch.zeros_like(item[key]), item[key])
        return item


class RandWarpPatchd(RandomizableTransform, MapTransform):
    """Random scale, shift, rotation and crop in one interpolation; no annotated MC inside the crop gets lost.

    `keys`: image key and label key, in this order.
    """

    def __init__(self, keys: KeysCollection = ("image", "label"), warp: Warp | None = None) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.warp = warp or Warp()

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Warp image and label alike."""
        item, side = dict(data), self.warp.crop_px
        image_key, label_key = self.keys
        image, label = plane(item[image_key]), plane(item[label_key])
        matrix = self.warp.sample(self.R, image.shape)
        item[image_key] = torch.from_numpy(warp_image(image, matrix, side))[None]
        item[label_key] = torch.from_numpy(warp_label(label, matrix, side))[None]
        return item


class RandIntensityd(RandomizableTransform, MapTransform):
    """With probability `prob`, one change of grey values by a uniformly drawn amount; all images of an item alike.

    Args:
        keys: images [1, rows, cols] in [0, 1]; they stay in it.
        prob: probability.
        amount: (low, high) of the drawn amount; None: `usual` of the class.
    """

    change: Callable[[np.ndarray, float], np.ndarray]
    usual: tuple[float, float]

    def __init__(self, keys: KeysCollection, prob: float = 0.9, amount: tuple[float, float] | None = None) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=prob)
        self.amount = tuple(amount or self.usual)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Change every image alike."""
        item = dict(data)
        self.randomize(None)
        amount = float(self.R.uniform(*self.amount))
        if self._do_transform:
            for key in self.keys:
                item[key] = torch.from_numpy(type(self).change(plane(item[key]), amount))[None]
        return item


class RandCLAHEd(RandIntensityd):
    """Contrast-limited adaptive histogram equalisation; the amount is the contrast limit (see `clahe`)."""

    change, usual = staticmethod(clahe), (1.0, 4.0)


class RandBrightnessd(RandIntensityd):
    """Another brightness; the amount is added, and the result clipped to [0, 1]."""

    change, usual = staticmethod(brightness), (-0.2, 0.2)


class RandGammad(RandIntensityd):
    """Another gamma, of the range [0, 1] and not of the patch's own; the amount is the exponent."""

    change, usual = staticmethod(gamma), (0.8, 1.2)
