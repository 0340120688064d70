"""Large calcifications, typically benign: coarse ones, and rims with a lucent centre."""

from dataclasses import dataclass

import cv2
import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing
from scripts.findings.kinds.geometry import Marks


@dataclass(frozen=True)
class CoarseRule:
    """A mark is coarse if it is large."""

    least_diameter_mm: float = 1.0  # of the circle of the same area

    def __post_init__(self) -> None:
        check_fields(self)
        check("least_diameter_mm", self.least_diameter_mm, self.least_diameter_mm > 0, "a length above 0")

    def reason(self, diameter_mm: float) -> str:
        """Why a mark is coarse, in words; "" if it is not."""
        return f"coarse: {diameter_mm:.1f} mm" if diameter_mm >= self.least_diameter_mm else ""


@dataclass(frozen=True)
class RimRule:
    """A mark is a rim if its centre is darker than the band along its outline."""

    least_diameter_mm: float = 0.8  # smaller ones' centres are not resolved
    band_mm: float = 0.25  # width of the band
    lucency: float = 0.25  # least fall from band to centre, over that from band to surroundings
    least_centre_share: float = 0.1  # of the filled mark's area within the band

    def __post_init__(self) -> None:
        check_fields(self)
        check("least_diameter_mm", self.least_diameter_mm, self.least_diameter_mm > 0, "a length above 0")
        check("lucency", self.lucency, self.lucency > 0, "a share above 0")

    def reason(self, image: np.ndarray, labels: np.ndarray, number: int, marks: Marks, spacing_mm: Spacing) -> str:
        """Why a mark is a rim, in words; "" if it is not. Its holes belong to it."""
        top, left, bottom, right = marks.box[number - 1].tolist()
        mm = float(np.sqrt(spacing_mm[0] * spacing_mm[1]))
        margin = round(3 * self.band_mm / mm) + 1
        window = (slice(max(top - margin, 0), bottom + margin), slice(max(left - margin, 0), right + margin))
        own = np.pad((labels[window] == number).view(np.uint8), 1)
        cv2.floodFill(own, None, (0, 0), 2)  # 4-connected: what is not reached is the mark and its holes
        filled = (own != 2)[1:-1, 1:-1]
        if 2 * np.sqrt(filled.sum() * mm**2 / np.pi) < self.least_diameter_mm:
            return ""
        depth = cv2.distanceTransform(np.pad(filled, 1).view(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] * mm
        values = image[window]
        centre = depth >= max(2 * self.band_mm, 0.6 * depth.max())
        band = filled & (depth < self.band_mm + mm)
        around = cv2.dilate(filled.view(np.uint8), np.ones((2 * margin - 1,) * 2, np.uint8)).astype(bool) & ~(
            cv2.dilate(filled.view(np.uint8), np.ones((margin,) * 2, np.uint8)).astype(bool)
        )
        if centre.sum() < self.least_centre_share * filled.sum() or not around.any():
            return ""
        rim, outside = float(np.median(values[band])), float(np.median(values[around]))
        fall = (rim - float(np.median(values[centre]))) / max(rim - outside, 1e-6)
        if rim <= outside or fall < self.lucency:
            return ""
        return f"rim: centre darker by {min(fall, 9.99):.0%} of the rim's contrast"
