"""Training windows of `CentreNet`: objects that hold one simulated MC or several that touch, and their centres."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from scripts.common.labels import BACKGROUND, MC
from scripts.common.objects import label_objects, object_boxes
from scripts.data.cache import CachedImage
from scripts.inference.object_windows import SIDE_PX, Frame, frame_of, object_window
from scripts.simulation.insertion.shapes import SHAPE_SEEDS
from scripts.simulation.parameters import Range, uniform
from scripts.training.mixture_patches import MixturePatches
from scripts.training.patches import Entry

LEAST_SIGMA_PX, SIGMA = 1.0, 0.22  # of the peak at a centre, px of the window; share of the MC's diameter there


@dataclass(frozen=True)
class CentrePatches(MixturePatches):
    """Windows around the objects of mixtures of findings.

    An object is what a network shows, or, without one, would show: the MCs with the seams between those that touch,
    blurred, cut off at a share. It holds the MCs of which half or more lies in it; objects without any are left out.
    """

    patch_px: int = 160  # side of the scenes that windows are cut from
    windows: int = 16  # of each scene, at most
    blur_mask_px: Range = (0.5, 1.2)  # sigma of the objects' blur
    share_range: Range = (0.2, 0.6)  # where it is cut off
    shown: Any = None  # `ShownObjects` (scripts/findings/shown.py); None, or one without weights: true outlines

    def make(self, entry: Entry, epoch: int) -> list[dict[str, Any]]:  # type: ignore[override]
        """Windows of one scene, {"image": float32 [3, side, side], "label": centres, float32 [1, side, side]}."""
        rng = np.random.default_rng([entry["seed"], epoch, entry["index"]])
        for _ in range(self.attempts):
            items = self._windows(rng, entry["sources"], SHAPE_SEEDS[entry["section"]])
            if items:
                return items
        raise ValueError(
            f"patches: got no object with an MC in {self.attempts} scenes; want MCs, and a network that shows them"
        )

    def _windows(self, rng: np.random.Generator, sources: Sequence[CachedImage], shape_seed: int) -> list[dict]:
        image, known, image_id = self._background(rng, sources)
        image, label, numbers = self._mixture(rng, image, known == BACKGROUND, shape_seed)
        turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
        image, numbers = (
            np.ascontiguousarray(np.rot90(array[:, ::-1] if mirrored else array, turns))
            for array in (image, np.where(label == MC, numbers, 0))
        )
        objects = shown_objects(numbers > 0, uniform(rng, self.blur_mask_px), uniform(rng, self.share_range))
        if self.shown is not None and self.shown.weights:
            objects = self.shown.labels(image.astype(np.float32))
        boxes, items = object_boxes(objects), []
        for number in rng.permutation(sorted(boxes))[: self.windows].tolist():
            own, frame = objects == number, frame_of(boxes[number])
            held = [
                n for n in np.unique(numbers[own]).tolist() if n and 2 * own[numbers == n].sum() >= (numbers == n).sum()
            ]
            if held:
                window, centres = object_window(image, objects, number, frame), centre_map(numbers, held, frame)
                arrays = {"image": torch.from_numpy(window), "label": torch.from_numpy(centres)[None]}
                items.append({**arrays, "image_id": image_id})
        return items


def shown_objects(is_mc: np.ndarray, blur_px: float, share: float) -> np.ndarray:
    """Objects of MCs as a network shows them, those that touch in one: int32 (rows, cols), 0 background."""
    closed = cv2.morphologyEx(is_mc.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    blurred = cv2.GaussianBlur(closed.astype(np.float32), (0, 0), blur_px)
    return label_objects(blurred >= share)[0]


def centre_map(numbers: np.ndarray, held: Sequence[int], frame: Frame) -> np.ndarray:
    """The map that `CentreNet` learns, float32 (SIDE_PX, SIDE_PX): a Gaussian at the centre of every MC.

    The centre is the MC's pixel nearest to its centroid. Numbers are those of the MCs, int (rows, cols); `held` those
    that lie in the object.
    """
    rows, cols = np.indices((SIDE_PX, SIDE_PX), np.float32)
    centres = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for number in held:
        own = np.argwhere(numbers == number)
        row, col = own[np.argmin(((own - own.mean(axis=0)) ** 2).sum(axis=1))]
        place = [frame.zoom * (at - middle) + (SIDE_PX - 1) / 2 for at, middle in ((row, frame.row), (col, frame.col))]
        sigma = max(LEAST_SIGMA_PX, SIGMA * 2 * frame.zoom * float(np.sqrt(len(own) / np.pi)))
        distance2 = (rows - place[0]) ** 2 + (cols - place[1]) ** 2
        centres = np.maximum(centres, np.exp(-distance2 / (2 * sigma**2)).astype(np.float32))
    return centres
