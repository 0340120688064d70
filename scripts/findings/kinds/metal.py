"""Metal: clips, biopsy markers, wires, skin markers. Nearly white, flat, with sharp straight edges; one object each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.objects import Box, object_pixels
from scripts.common.tensors import Spacing


class MetalPiece(NamedTuple):
    """One connected piece of metal."""

    mask: np.ndarray  # bool (rows, cols) of its window
    window: tuple[slice, slice]
    reason: str


@dataclass(frozen=True)
class MetalRule:
    """When a bright component is metal. Grey values in [0, 1], lengths in mm."""

    #: Components of {image >= level} are looked at, of the first level that parts metal from bright tissue around it.
    levels: tuple[float, ...] = (0.8, 0.9)
    top: float = 0.9  # their brightest tenth is at least this
    flat_share: float = 0.7  # of their pixels within `flat_range` of that
    flat_range: float = 0.05
    #: Least fall of the grey value within `edge_mm` of the outline, for each level, ...
    edges: tuple[float, ...] = (0.25, 0.4)
    edge_mm: float = 0.35
    edge_share: float = 0.7  # ... along this share of it; ...
    #: ... of that fall, this share within `sharp_mm`: a calcification as white gets darker towards its edge.
    sharp_share: float = 0.55
    sharp_mm: float = 0.15
    least_area_mm2: float = 0.7
    #: Area over that of the largest disc that fits in: wires and clips, bent or not, are bands of even width, ...
    least_band: float = 2.6
    widest_mm: float = 1.25  # diameter of a band's largest disc: calcifications as white are thicker
    #: ... beads are discs; a calcification that is as white is neither.
    most_round: float = 1.08
    reach_mm: float = 0.5  # marks this near to metal are parts of it, and so are pieces twice as near to each other

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("top", "flat_share", "edge_share", "sharp_share"):
            check(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "a value in [0, 1]")
        check("edges", self.edges, len(self.edges) == len(self.levels), f"one for each of the levels {self.levels}")

    def pieces(self, image: np.ndarray, breast: np.ndarray, spacing_mm: Spacing) -> list[MetalPiece]:
        """The metal of an image, float32 (rows, cols): pieces with half of their pixels in the breast, bool."""
        found: list[MetalPiece] = []
        for level, edge in zip(self.levels, self.edges, strict=True):
            bright = cv2.compare(image, level, cv2.CMP_GE)
            for piece in found:  # of a lower level
                bright[piece.window][piece.mask] = 0
            found += self._pieces(image, bright, edge, breast, float(np.sqrt(spacing_mm[0] * spacing_mm[1])))
        return found

    def _pieces(
        self, image: np.ndarray, bright: np.ndarray, edge: float, breast: np.ndarray, mm: float
    ) -> list[MetalPiece]:
        """The metal among the components of a mask, 0 or 255 (rows, cols)."""
        margin = round(2 * (self.edge_mm + self.reach_mm) / mm) + 2
        found = []
        for box, own in _components(bright, self.least_area_mm2 / mm**2):
            inside = breast[box][own]
            if 2 * np.count_nonzero(inside) < inside.size or not self._is_white(image[box][own]):
                continue
            first_row, first_col = max(box[0].start - margin, 0), max(box[1].start - margin, 0)
            window = slice(first_row, box[0].stop + margin), slice(first_col, box[1].stop + margin)
            mask = np.zeros(image[window].shape, bool)
            mask[box[0].start - first_row :, box[1].start - first_col :][: own.shape[0], : own.shape[1]] = own
            if reason := self._reason(image[window], mask, edge, mm):
                found.append(MetalPiece(mask, window, reason))
        return found

    def _is_white(self, values: np.ndarray) -> bool:
        top = float(np.percentile(values, 90))
        return top >= self.top and float(np.mean(values >= top - self.flat_range)) >= self.flat_share

    def _reason(self, image: np.ndarray, mask: np.ndarray, edge: float, mm: float) -> str:
        """Why a white, flat component is metal, in words; "" if it is none."""
        values = image[mask]
        top = float(np.percentile(values, 90))
        flat = float(np.mean(values >= top - self.flat_range))
        outside = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 5) * mm

        def fall(at_mm: float) -> float:
            ring = (outside >= at_mm - mm) & (outside <= at_mm + mm)
            return top - float(np.percentile(image[ring], 100 * self.edge_share)) if ring.any() else 0.0

        if fall(self.edge_mm) < edge or fall(self.sharp_mm) < self.sharp_share * fall(self.edge_mm):
            return ""
        depth = cv2.distanceTransform(np.pad(mask, 1).view(np.uint8), cv2.DIST_L2, 5).max()
        band = mask.sum() / (np.pi * depth**2)
        is_band = band >= self.least_band and 2 * depth * mm <= self.widest_mm
        if not (is_band or band <= self.most_round):
            return ""
        form = "a band" if is_band else "a disc"
        return f"metal: {form} at {top:.2f} of white, {flat:.0%} of it flat, sharp edges"

    def join(
        self, labels: np.ndarray, scores: np.ndarray, pieces: Sequence[MetalPiece], spacing_mm: Spacing
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels, int (rows, cols), and scores (n + 1,) by number, with each piece of metal, whole, as one object.

        Pieces near to each other are one. A piece has the number of the part that had the highest score, the other
        parts have no pixels afterwards; one that no mark touches gets a number of its own. As metal is found without
        a network, its score is 1.
        """
        if not pieces:
            return labels, scores
        rows, cols = zip(*(piece.window for piece in pieces), strict=True)
        window = tuple(slice(min(s.start for s in side), max(s.stop for s in side)) for side in (rows, cols))
        whole = np.zeros(labels.shape, np.uint8)[window]
        for (high, wide), mask in ((piece.window, piece.mask) for piece in pieces):
            top, left = high.start - window[0].start, wide.start - window[1].start
            whole[top:, left:][: mask.shape[0], : mask.shape[1]] |= mask.view(np.uint8)
        near = cv2.dilate(whole, _disc(round(self.reach_mm / np.sqrt(spacing_mm[0] * spacing_mm[1]))))
        count, groups = cv2.connectedComponents(near, connectivity=8)
        joined, every = labels.copy(), np.asarray(scores).tolist()
        part = labels[window]
        pairs = np.unique(np.stack((groups[part > 0], part[part > 0]), 1), axis=0)
        places = object_pixels(labels)
        values = labels.ravel()[places]
        for group in range(1, count):
            members = pairs[pairs[:, 0] == group, 1]
            if not members.size:
                every.append(1.0)
                members = np.array([len(every) - 1])
            best = members[np.argmax(np.array(every)[members])]
            changed = np.isin(values, members)
            joined.ravel()[places[changed]] = best
            joined[window][(groups == group) & (whole > 0)] = best
            values = joined.ravel()[places]
            every[best] = 1.0
        return joined, np.array(every, np.float32)

    def marks(self, labels: np.ndarray, pieces: Sequence[MetalPiece]) -> dict[int, str]:
        """Numbers of the marks that are metal: those with half of their pixels on a piece of it, and why."""
        found = dict[int, str]()
        area = np.bincount(labels.ravel()[object_pixels(labels)]) if pieces else np.zeros(0)
        for piece in pieces:
            on = labels[piece.window][cv2.dilate(piece.mask.view(np.uint8), np.ones((3, 3), np.uint8)) > 0]
            numbers, pixels = np.unique(on[on > 0], return_counts=True)
            found |= {int(n): piece.reason for n, px in zip(numbers, pixels, strict=True) if 2 * px >= area[n]}
        return found


def _components(mask: np.ndarray, least_px: float) -> list[tuple[Box, np.ndarray]]:
    """The 8-connected components of a mask, 0 or else (rows, cols), of at least so many pixels: box, and bool in it.

    Of outlines most are told to be too small, at a fiftieth of the time that numbering all pixels takes.
    """
    outlines, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for place, outline in enumerate(outlines):
        x, y, wide, high = cv2.boundingRect(outline)
        if hierarchy[0, place, 3] >= 0 or wide * high < least_px:  # a hole's outline, or too small if it filled its box
            continue
        box = slice(y, y + high), slice(x, x + wide)
        _, numbers = cv2.connectedComponents(np.ascontiguousarray(mask[box]), connectivity=8, ltype=cv2.CV_32S)
        col, row = outline[0, 0] - (x, y)
        own = numbers == numbers[row, col]
        if np.count_nonzero(own) >= least_px:
            found.append((box, own))
    return sorted(found, key=lambda one: (one[0][0].start, one[0][1].start))


def _disc(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= (radius + 0.5) ** 2).astype(np.uint8)
