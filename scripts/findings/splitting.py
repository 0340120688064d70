"""After objects are formed: touching MCs parted, large calcifications whole and filled."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from scripts.common.checks import check, check_fields
from scripts.common.objects import Box, fill_holes, object_boxes
from scripts.common.tensors import Spacing

_EIGHT = np.ones((3, 3), bool)
SUBPIXELS = 3  # per px and direction, at which distances to an outline are taken: MCs are a few px wide


@dataclass(frozen=True)
class Parting:
    """Objects whose outline has a neck are parted there: watersheds of the distance to the outline.

    Two maxima of that distance are two objects if the widest way between them is narrower than `neck` times the
    narrower one of them. 0 parts nothing.
    """

    neck: float = 0.85  # share in [0, 1); larger ones part more
    least_radius_px: float = 1.4  # of each part; thinner ones are ends and bends of linear MCs

    def __post_init__(self) -> None:
        check_fields(self)
        check("neck", self.neck, 0 <= self.neck < 1, "a share in [0, 1)")
        check("least_radius_px", self.least_radius_px, self.least_radius_px > 0, "more than 0")

    def part(self, labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels, int (rows, cols), 0 background, and scores (n + 1,) by number, with objects parted.

        The largest part keeps its number; the others get new ones behind the last, with the object's score.
        """
        if self.neck == 0:
            return labels, scores
        return self.parted(labels, scores)[:2]

    def parted(
        self, labels: np.ndarray, scores: np.ndarray, only: Collection[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """As `part`, of some numbers only, and the number of the object that each new one is a part of."""
        result, origins = labels.copy(), list[int]()
        for number, box in object_boxes(labels).items() if self.neck else ():
            if only is not None and number not in only:
                continue
            if min(side.stop - side.start for side in box) < 2 * self.least_radius_px:
                continue
            parts = self._parts(labels[box] == number)
            if parts is None:
                continue
            sizes = np.bincount(parts.ravel())[1:]
            for part in np.argsort(-sizes, kind="stable")[1:] + 1:
                origins.append(number)
                result[box][parts == part] = len(scores) - 1 + len(origins)
        return result, np.concatenate([scores, np.asarray(scores)[origins]]), origins

    def _parts(self, own: np.ndarray) -> np.ndarray | None:
        """Numbered parts of one object, bool (rows, cols); None where it has one only."""
        rows, cols = (length + 2 for length in own.shape)
        size = (cols * SUBPIXELS, rows * SUBPIXELS)
        padded = cv2.copyMakeBorder(own.view(np.uint8) * np.uint8(255), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        fine = cv2.resize(padded, size, interpolation=cv2.INTER_LINEAR) > 127
        exact = cv2.distanceTransform(fine.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / np.float32(SUBPIXELS)
        depth = np.rint(exact * 64) / np.float32(64)  # OpenCV's last digits depend on the number of its threads
        is_top = (depth == cv2.dilate(depth, _EIGHT.view(np.uint8))) & fine  # no neighbour exceeds it
        count, tops = cv2.connectedComponents(is_top.view(np.uint8), connectivity=8)
        if count <= 2:  # the background is one of them
            return None
        # basins without a radius of their own are united with any neighbour: watersheds are for two that have one
        wide = set(tops[is_top & (depth >= np.float64(self.least_radius_px))].tolist())
        if len(wide) < 2 and cv2.connectedComponents(fine.view(np.uint8), connectivity=8)[0] == 2:
            return None
        parts = _merged(watershed(-depth, tops, connectivity=2, mask=fine), depth, self.neck, self.least_radius_px)
        if parts.max() < 2:
            return None
        middle = slice(SUBPIXELS // 2 + SUBPIXELS, -SUBPIXELS, SUBPIXELS)  # of the px of the object
        coarse = parts[middle, middle]
        if not coarse[own].all():  # corners that the finer outline cuts off belong to the nearest part
            nearest = ndimage.distance_transform_edt(coarse == 0, return_distances=False, return_indices=True)
            coarse = coarse[tuple(nearest)]
        return np.where(own, coarse, 0)


def _merged(parts: np.ndarray, depth: np.ndarray, neck: float, least: float) -> np.ndarray:
    """Neighbouring basins united, widest pass first, unless both are prominent: passes narrower than `neck` times the
    smaller radius."""
    radii = np.zeros(int(parts.max()) + 1, depth.dtype)
    np.maximum.at(radii, parts.ravel(), depth.ravel())
    radius = dict(enumerate(radii.tolist()[1:], start=1))
    passes: dict[tuple[int, int], float] = {}
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        first = parts[: parts.shape[0] - shift[0], max(0, -shift[1]) : parts.shape[1] - max(0, shift[1])]
        second = parts[shift[0] :, max(0, shift[1]) : parts.shape[1] + min(0, shift[1])]
        one = depth[: parts.shape[0] - shift[0], max(0, -shift[1]) : parts.shape[1] - max(0, shift[1])]
        other = depth[shift[0] :, max(0, shift[1]) : parts.shape[1] + min(0, shift[1])]
        meet = (first != second) & (first > 0) & (second > 0)
        keys = np.minimum(first, second)[meet].astype(np.int64) * (len(radius) + 1) + np.maximum(first, second)[meet]
        widths = np.zeros((len(radius) + 1) ** 2, depth.dtype)
        np.maximum.at(widths, keys, np.minimum(one, other)[meet])
        for key in np.unique(keys).tolist():
            pair = divmod(key, len(radius) + 1)
            passes[pair] = max(passes.get(pair, 0.0), float(widths[key]))
    name = {number: number for number in radius}

    def root(number: int) -> int:
        while name[number] != number:
            number = name[number]
        return number

    for (a, b), width in sorted(passes.items(), key=lambda item: -item[1]):
        a, b = root(a), root(b)
        if a != b and (width >= neck * min(radius[a], radius[b]) or min(radius[a], radius[b]) < least):
            low, high = sorted((a, b), key=radius.__getitem__)
            name[low] = high
    roots = sorted({root(number) for number in radius})
    table = np.zeros(len(radius) + 1, np.int32)
    for number in radius:
        table[number] = roots.index(root(number)) + 1
    return table[parts]


class _Body(NamedTuple):
    """A calcification as the image shows it."""

    mask: np.ndarray  # bool (rows, cols) of its box
    box: Box


@dataclass(frozen=True)
class Wholes:
    """Pieces of one large calcification become one object, whole and filled, where the image shows it as one.

    Around each mark the body is {image >= background + share x (peak - background)}, connected with it, its holes
    filled. It replaces the marks that it holds if it is large, compact, and clear of its surroundings.
    """

    least_diameter_mm: float = (
        1.6  # of the body (two touching MCs of 0.5 mm may look like one of 1 mm); 0 leaves every object as it is
    )
    most_diameter_mm: float = 6.0  # larger ones are tissue
    share: float = 0.5  # of the contrast
    contrast: float = 0.1  # least peak over background, units of the [0, 1] range
    solidity: float = 0.8  # least area over that of the convex hull

    def __post_init__(self) -> None:
        check_fields(self)
        check("least_diameter_mm", self.least_diameter_mm, self.least_diameter_mm >= 0, "0 or more")
        wanted = f"more than least_diameter_mm ({self.least_diameter_mm})"
        check("most_diameter_mm", self.most_diameter_mm, self.most_diameter_mm > self.least_diameter_mm, wanted)
        check("share", self.share, 0 < self.share < 1, "a share in (0, 1)")

    def make(
        self, image: np.ndarray, labels: np.ndarray, scores: np.ndarray, spacing_mm: Spacing
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and scores (see `Parting.part`) with large calcifications whole; image float32 (rows, cols).

        A whole object has the number of its highest-scored piece; the other pieces lose their pixels.
        """
        if self.least_diameter_mm == 0:
            return labels, scores
        mm = float(np.sqrt(spacing_mm[0] * spacing_mm[1]))
        result, done = labels, set[int]()
        boxes = object_boxes(labels)
        for number in sorted(boxes, key=lambda number: -scores[number]):
            box = boxes[number]
            if number in done or max(side.stop - side.start for side in box) * mm < self.least_diameter_mm / 3:
                continue
            margin = round(0.75 * self.most_diameter_mm / mm)
            window = (
                slice(max(box[0].start - margin, 0), box[0].stop + margin),
                slice(max(box[1].start - margin, 0), box[1].stop + margin),
            )
            around = labels[window]
            body = self._body(image[window], around == number, mm)
            if body is None:
                continue
            inside, pixels = np.unique(around[body.box][body.mask], return_counts=True)
            area = np.bincount(around.ravel())
            pieces = [int(n) for n, px in zip(inside, pixels, strict=True) if n > 0 and 2 * px >= area[n]]
            if number not in pieces:
                continue
            result = labels.copy() if result is labels else result
            free = result[window]
            free[np.isin(free, pieces)] = 0
            own = free[body.box]
            own[body.mask & (own == 0)] = number
            done |= set(pieces)
        return fill_holes(result) if done else labels, scores

    def _body(self, image: np.ndarray, mark: np.ndarray, mm: float) -> _Body | None:
        """The body around a mark in a window, bool (rows, cols); None where there is none of the kind."""
        values = image[mark]
        peak = quartile(values, 3)
        if peak - float(image.min()) < self.contrast:  # not even over the darkest pixel: cheaper than the quartile
            return None
        background = quartile(image.ravel(), 1)
        if peak - background < self.contrast:
            return None
        high = ((image >= background + self.share * (peak - background)) | mark).view(np.uint8)
        row, col = divmod(int(np.flatnonzero(mark)[values.argmax()]), mark.shape[1])
        _, _, _, (left, top, wide, tall) = cv2.floodFill(high, None, (col, row), 2, flags=8)
        if left == 0 or top == 0 or left + wide == mark.shape[1] or top + tall == mark.shape[0]:
            return None
        if 2 * np.sqrt(wide * tall / np.pi) * mm < self.least_diameter_mm:  # were all of its box filled
            return None
        box = slice(top, top + tall), slice(left, left + wide)
        filled = fill_holes((high[box] == 2).astype(np.int32)) > 0
        diameter = 2 * np.sqrt(filled.sum() / np.pi) * mm
        if not self.least_diameter_mm <= diameter <= self.most_diameter_mm:
            return None
        contours, _ = cv2.findContours(filled.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        hull = np.zeros(filled.shape, np.uint8)
        cv2.fillConvexPoly(hull, cv2.convexHull(contours[0]), 1)
        return _Body(filled, box) if filled.sum() >= self.solidity * hull.sum() else None


def quartile(values: np.ndarray, number: int) -> float:
    """The first or third quartile of float32 (n,), n >= 1: `np.percentile` of 25 or 75, to the bit, in less time."""
    place = (len(values) - 1) * number
    low, rest = divmod(place, 4)
    high = min(low + 1, len(values) - 1)
    part = np.partition(values, (low, high))
    first, last, share = part[low], part[high], rest / 4
    way = last - first
    return float(last - way * (1 - share) if share >= 0.5 else first + way * share)
