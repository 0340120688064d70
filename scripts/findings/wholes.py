"""After objects are formed: large calcifications whole and filled."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.objects import Box, fill_holes, object_boxes
from scripts.common.tensors import Spacing


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
        """Labels and scores (see `CentreParting.part`) with large calcifications whole; image float32 (rows, cols).

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
