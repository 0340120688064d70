"""Metal: clips, biopsy markers, wires, skin markers. Nearly white, flat, with sharp straight edges; one object each."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing


class MetalPiece(NamedTuple):
    """One connected piece of metal."""

    mask: np.ndarray  # bool (rows, cols) of its window
    window: tuple[slice, slice]
    reason: str


@dataclass(frozen=True)
class MetalRule:
    """When a bright component is metal. Grey values in [0, 1], lengths in mm."""

    level: float = 0.8  # components of {image >= level} are looked at
    top: float = 0.9  # their brightest tenth is at least this
    flat_share: float = 0.7  # of their pixels within `flat_range` of that
    flat_range: float = 0.05
    edge: float = 0.3  # fall of the grey value within `edge_mm` of the outline, nine tenths of which are so sharp
    edge_mm: float = 0.35
    least_area_mm2: float = 0.9
    #: Area over that of the largest disc that fits in: wires and clips, bent or not, are bands of even width, ...
    least_band: float = 3.2
    #: ... beads are discs; a calcification that is as white is neither.
    most_round: float = 1.2
    reach_mm: float = 0.5  # marks this near to metal are parts of it, and so are pieces twice as near to each other

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("level", "top", "flat_share"):
            check(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "a value in [0, 1]")

    def pieces(self, image: np.ndarray, labels: np.ndarray, spacing_mm: Spacing) -> list[MetalPiece]:
        """The metal that marks touch, in an image float32 (rows, cols); labels int (rows, cols), 0 background."""
        mm = float(np.sqrt(spacing_mm[0] * spacing_mm[1]))
        bright = cv2.compare(image, self.level, cv2.CMP_GE)  # 255 where it is
        margin = round(2 * (self.edge_mm + self.reach_mm) / mm) + 2
        found = []
        on_marks = cv2.bitwise_and(bright, cv2.compare(labels.astype(np.int32, copy=False), 0.0, cv2.CMP_GT))
        places = cv2.findNonZero(on_marks)
        for col, row in [] if places is None else places.reshape(-1, 2).tolist():
            if bright[row, col] != 255:
                continue  # of a component that was looked at
            area, _, _, (left, top, cols, rows) = cv2.floodFill(bright, None, (col, row), 1, flags=8)
            high, wide = (
                slice(max(start - margin, 0), start + size + margin) for start, size in ((top, rows), (left, cols))
            )
            mask = bright[high, wide] == 1
            bright[high, wide][mask] = 2
            if area * mm**2 >= self.least_area_mm2 and (reason := self._reason(image[high, wide], mask, mm)):
                found.append(MetalPiece(mask, (high, wide), reason))
        return found

    def _reason(self, image: np.ndarray, mask: np.ndarray, mm: float) -> str:
        """Why a component is metal, in words; "" if it is none."""
        values = image[mask]
        top = float(np.percentile(values, 90))
        flat = float(np.mean(values >= top - self.flat_range))
        if top < self.top or flat < self.flat_share:
            return ""
        outside = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 5) * mm
        ring = (outside >= self.edge_mm - mm) & (outside <= self.edge_mm + mm)
        if not ring.any() or top - float(np.percentile(image[ring], 90)) < self.edge:
            return ""
        depth = cv2.distanceTransform(np.pad(mask, 1).view(np.uint8), cv2.DIST_L2, 5).max()
        band = mask.sum() / (np.pi * depth**2)
        if not (band >= self.least_band or band <= self.most_round):
            return ""
        form = "a band" if band >= self.least_band else "a disc"
        return f"metal: {form} at {top:.2f} of white, {flat:.0%} of it flat, sharp edges"

    def join(self, image: np.ndarray, labels: np.ndarray, scores: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
        """Labels with each piece of metal, whole, as one object of the number that had the highest score of its parts.

        Labels are int (rows, cols), scores (n + 1,) by number. Those of the other parts have no pixels afterwards.
        """
        pieces = self.pieces(image, labels, spacing_mm)
        if not pieces:
            return labels
        whole = np.zeros(labels.shape, np.uint8)
        for piece in pieces:
            whole[piece.window] |= piece.mask.view(np.uint8)
        near = cv2.dilate(whole, _disc(round(self.reach_mm / np.sqrt(spacing_mm[0] * spacing_mm[1]))))
        _, groups = cv2.connectedComponents(near, connectivity=8)
        joined = labels.copy()
        part = groups[labels > 0], labels[labels > 0]
        pairs = np.unique(np.stack(part, 1), axis=0)
        for group in np.unique(pairs[:, 0][pairs[:, 0] > 0]):
            members = pairs[pairs[:, 0] == group, 1]
            best = members[np.argmax(scores[members])]
            joined[np.isin(labels, members)] = best
            joined[(groups == group) & (whole > 0)] = best
        return joined

    def marks(self, image: np.ndarray, labels: np.ndarray, spacing_mm: Spacing) -> dict[int, str]:
        """Numbers of the marks that are metal: those with half of their pixels on it, and why."""
        pieces, found = self.pieces(image, labels, spacing_mm), dict[int, str]()
        area = np.bincount(labels.ravel()) if pieces else np.zeros(0)
        for piece in pieces:
            on = labels[piece.window][cv2.dilate(piece.mask.view(np.uint8), np.ones((3, 3), np.uint8)) > 0]
            numbers, pixels = np.unique(on[on > 0], return_counts=True)
            found |= {int(n): piece.reason for n, px in zip(numbers, pixels, strict=True) if 2 * px >= area[n]}
        return found


def _disc(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= (radius + 0.5) ** 2).astype(np.uint8)
