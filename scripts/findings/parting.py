"""Touching MCs parted between their centres, which a small network marks in a window around each object."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from scripts.common.checks import check_fields
from scripts.common.objects import Box, object_boxes
from scripts.inference.object_windows import frame_of, object_window
from scripts.networks.centre_net import CentreNet
from scripts.networks.checkpoint import LoadWeights, weights_digest

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "centre_net.pt"
BATCH = 256  # windows, to bound the memory
_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class CentreParting:
    """Objects in which `CentreNet` sees several centres are parted between them, by watersheds of its map.

    A peak in the object is a centre if the map falls by `fall` or more on every way to a higher one, with edges of 0.
    """

    weights: str = str(WEIGHTS)  # of `CentreNet`; "" parts nothing
    fall: float = 0.12  # of the map, which is in [0, 1]; larger ones part less
    least_area_px: int = 6  # of an object; smaller ones stay whole

    def __post_init__(self) -> None:
        check_fields(self, fall="(0, 1]")

    @property
    def settings(self) -> dict[str, Any]:
        """For `describe`: the weights by their hash, wherever they lie."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"weights": weights_digest(centre_net(self.weights))[:16] if self.weights else ""}

    def part(
        self, image: np.ndarray, labels: np.ndarray, scores: np.ndarray, only: Collection[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Labels and scores with objects parted, and the number of the object that each new one is a part of.

        The largest part keeps its number; the others get new ones behind the last, with the object's score.

        Args:
            image: float32 (rows, cols), [0, 1].
            labels: int32 (rows, cols), 0 background, else numbers.
            scores: (n + 1,), by number.
            only: numbers of the objects that may be parted; None is all.
        """
        boxes, origins = object_boxes(labels) if self.weights else {}, list[int]()
        area = np.bincount(labels.ravel(), minlength=len(scores))
        numbers = [n for n in boxes if area[n] >= self.least_area_px and (only is None or n in only)]
        result = labels.copy() if numbers else labels
        for start in range(0, len(numbers), BATCH):
            some = numbers[start : start + BATCH]
            maps, seen = self._maps(image, labels, {number: boxes[number] for number in some})
            for number, map_, window in zip(some, maps, seen, strict=True):
                for piece in self._pieces(map_, window, labels[boxes[number]] == number, boxes[number]):
                    origins.append(number)
                    result[boxes[number]][piece] = len(scores) - 1 + len(origins)
        return result, np.concatenate([scores, np.asarray(scores)[origins]]), origins

    def _maps(self, image: np.ndarray, labels: np.ndarray, boxes: dict[int, Box]) -> tuple[np.ndarray, np.ndarray]:
        """Maps of the centres and masks in the windows of objects, float32 (n, side, side) each."""
        windows = np.stack([object_window(image, labels, number, frame_of(box)) for number, box in boxes.items()])
        with torch.inference_mode():
            maps = torch.sigmoid(centre_net(self.weights)(torch.from_numpy(windows)))[:, 0].numpy()
        return np.rint(maps * 256) / np.float32(256), windows[:, 1]  # its last digits depend on the processor

    def _pieces(self, centres: np.ndarray, mask: np.ndarray, own: np.ndarray, box: Box) -> list[np.ndarray]:
        """Parts of one object, bool as `own` in its box, but for the largest one."""
        flooded = reconstruction(np.maximum(centres - np.float32(self.fall), 0), centres, footprint=_EIGHT)
        tops, count = ndimage.label(local_maxima(flooded, connectivity=2) & (mask > 0.5) & (flooded > 0), _EIGHT)
        if count < 2:
            return []
        rows, cols = np.nonzero(own)
        places = frame_of(box).places(rows + box[0].start, cols + box[1].start)
        found = np.zeros(own.shape, np.int32)
        found[own] = watershed(-centres, tops, connectivity=2)[places]
        sizes = np.bincount(found[own], minlength=count + 1)
        return [found == part for part in np.argsort(-sizes, kind="stable")[1:].tolist() if sizes[part] and part]


@lru_cache(maxsize=2)
def centre_net(weights: str) -> CentreNet:
    """The network with weights from a file; errors as of `LoadWeights`."""
    network = CentreNet()
    LoadWeights(weights).load(network)
    return network.eval()
