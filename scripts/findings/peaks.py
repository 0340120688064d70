"""Objects from a probability map itself: one per peak, each cut off at a share of its own peak.

A fixed threshold joins close MCs where the map is high and loses faint ones where it is low; a share of each object's
own peak does neither, and is how the width of a blurred spot is defined (full width at half maximum).
"""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from scripts.common.checks import check_fields
from scripts.common.objects import label_objects, object_boxes, object_pixels
from scripts.findings.forming import Scene, ScoredObjects, keep_objects, sigmoid

_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class PeakObjects:
    """Objects of a map, each around one peak.

    A peak counts if the map falls by more than `prominence` of its height on every way to a higher one. Watersheds
    part the peaks of one component of {map >= floor}; of each basin the piece that holds the peak and reaches
    `share` of its height is the object. Its score is the probability of the network's mean logit over it: the peak and
    the mean of the probabilities saturate at 1 and rank the highest ones badly. All three are in (0, 1].

    Where the network has a map of the MCs' cores (`core_mask` in scripts/training/proximity.py), watersheds of it part
    each object once more: the cores of MCs that touch lie further apart than their outlines.
    """

    map: int = 1  # number of the network's map, from 0 (HDoGReg's second map is that of MCs)
    floor: float = 0.002  # nothing below this is looked at
    share: float = 0.3
    prominence: float = 0.3  # larger values part less
    cores: int | None = 2  # number of the map of MCs' cores; None, or a network with fewer maps: nothing is parted so
    core_floor: float = 0.1  # nothing below this is a core
    core_prominence: float = 0.3  # as `prominence`, of the cores
    own_threshold: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        names = ("floor", "share", "prominence", "core_floor", "core_prominence")
        check_fields(self, **dict.fromkeys(names, "(0, 1]"))

    def form(self, scene: Scene, score_threshold: float) -> ScoredObjects:
        """See `Objects`."""
        probability = scene.map(self.map)
        labels = peak_objects(probability, self, scene.within, lowest=score_threshold)
        if self.cores is not None and self.cores < len(scene.logits):
            labels = part_by_cores(labels, scene.map(self.cores), self)
        scores = scores_of(scene.logits[self.map], labels)
        return ScoredObjects(keep_objects(labels, scores, score_threshold), scores, probability)


def peak_objects(
    probability: np.ndarray, rule: PeakObjects, within: np.ndarray | None = None, lowest: float = 0.0
) -> np.ndarray:
    """Objects around the peaks of a map in [0, 1], int32 (rows, cols), 0 background, else numbers 1..n.

    Objects are restricted to `within`, bool (rows, cols). Those whose peak, and so whose score, is below `lowest` are
    left out: less work where they would be dropped.
    """
    if within is not None and within.any():  # only where it is: less memory
        box = tuple(slice(int(i[0]), int(i[-1]) + 1) for i in (np.flatnonzero(within.any(axis)) for axis in (1, 0)))
        if within[box].size < within.size:
            whole = np.zeros(probability.shape, np.int32)
            whole[box] = peak_objects(probability[box], rule, within[box], lowest)
            return whole
    mask = (probability >= rule.floor) & (True if within is None else within)
    components, count = label_objects(mask)
    labels = np.zeros(probability.shape, np.int32)
    found = 0
    values = np.where(mask, probability, 0).astype(np.float32, copy=False)
    is_high = np.bincount(components[mask & (values >= lowest)], minlength=count + 1) > 0
    is_top = mask & (values == cv2.dilate(values, _EIGHT.view(np.uint8)))  # no neighbour exceeds it
    tops = np.bincount(components[is_top], minlength=count + 1)
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        if not is_high[number]:
            continue
        inside = np.pad(components[box] == number, 1)
        heights = np.where(inside, np.pad(values[box], 1), 0)
        basins = _basins(heights, inside, rule.prominence) if tops[number] > 1 else inside.astype(np.int32)
        for basin, part in enumerate(ndimage.find_objects(basins), start=1):
            own = np.where(basins[part] == basin, heights[part], 0)
            if own.max() < lowest:
                continue
            _, pieces = cv2.connectedComponents((own >= rule.share * float(own.max())).view(np.uint8), connectivity=8)
            piece = pieces == pieces.flat[int(own.argmax())]
            # `part` lies in the padded component: one row and column less in the image's
            rows, cols = (slice(a.start - 1 + b.start, a.stop - 1 + b.start) for a, b in zip(part, box, strict=True))
            found += 1
            labels[rows, cols][piece] = found
    return labels


def scores_of(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability of the mean logit over each object, float32 (n + 1,) by number; 0 for numbers without a pixel.

    Logits float32 (rows, cols), labels int32 alike.
    """
    pixels = object_pixels(labels)
    numbers = labels.ravel()[pixels]
    count = np.bincount(numbers, minlength=1)
    total = np.bincount(numbers, weights=logits.ravel()[pixels], minlength=1)
    return np.where(count > 0, sigmoid(total / np.maximum(count, 1)), 0).astype(np.float32)


def part_by_cores(labels: np.ndarray, cores: np.ndarray, rule: PeakObjects) -> np.ndarray:
    """Objects, numbered 1..n (see `peak_objects`), parted between their cores, a map in [0, 1].

    The part with the highest core keeps the object's number, the others get new ones.
    """
    result, found = labels.copy(), int(labels.max(initial=0))
    for number, box in object_boxes(labels).items():
        inside = np.pad(labels[box] == number, 1)
        depths = np.where(inside, np.pad(cores[box], 1), 0)
        seen = depths >= rule.core_floor
        if np.count_nonzero(seen) < 2:
            continue
        parts = _basins(depths, inside, rule.core_prominence, seen)
        first = int(parts.flat[int(depths.argmax())])
        for part in range(1, int(parts.max()) + 1):
            if part != first:
                found += 1
                result[box][parts[1:-1, 1:-1] == part] = found
    return result


def _basins(values: np.ndarray, inside: np.ndarray, prominence: float, tops_in: np.ndarray | None = None) -> np.ndarray:
    """Watershed basins of the prominent peaks, 1..n, of those in `tops_in` if given; a small component is one basin."""
    if np.count_nonzero(inside) <= 4:
        return inside.astype(np.int32)
    # regional maxima of the map flooded from below, so that only prominent peaks are left (as extended maxima)
    lowered = np.where(inside, values * (1 - prominence), 0)
    flooded = reconstruction(lowered, values, method="dilation", footprint=_EIGHT)
    tops, count = ndimage.label(
        (inside if tops_in is None else tops_in) & local_maxima(flooded, connectivity=2), _EIGHT
    )
    if count <= 1:
        return inside.astype(np.int32)
    return watershed(-values, tops, connectivity=2, mask=inside)
