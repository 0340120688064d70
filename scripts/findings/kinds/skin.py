"""Skin-line marks: long ones near the breast's edge and along it, such as the skin's own texture and its folds.

They lie alone or among their like. A long mark in other company there is one of a cluster near the skin.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing
from scripts.findings.kinds.geometry import Marks, angle_between

GRID_MM = 0.28  # pixel size at which the distance to the edge is computed


@dataclass(frozen=True)
class SkinLineRule:
    """When a mark is one of the skin line."""

    depth_mm: float = 3.0  # its centroid is at most this far from the skin's edge
    elongation: float = 2.0  # least length over width
    least_length_mm: float = 0.5
    angle_rad: float = 0.4  # largest angle between its length and the edge
    most_company: int = 3  # marks within `company_mm` that are not such long ones
    company_mm: float = 6.0

    def __post_init__(self) -> None:
        check_fields(self)
        check("depth_mm", self.depth_mm, self.depth_mm >= 0, "0 or more")
        check("elongation", self.elongation, self.elongation >= 1, "1 or more")
        check("most_company", self.most_company, self.most_company >= 0, "0 or more")

    def reasons(self, breast: np.ndarray, marks: Marks, spacing_mm: Spacing) -> list[str]:
        """Why each mark is one, in words; "" if it is not. Breast bool (rows, cols); image borders are no skin."""
        if not len(marks) or breast.all():
            return [""] * len(marks)
        rows, cols = (max(1, round(n * mm / GRID_MM)) for n, mm in zip(breast.shape, spacing_mm, strict=True))
        small = cv2.resize(breast.view(np.uint8) * np.uint8(255), (cols, rows), interpolation=cv2.INTER_AREA)
        inside = np.pad((small > 127).view(np.uint8), 1, mode="edge")
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1] * GRID_MM
        smooth = cv2.GaussianBlur(depth, (0, 0), 2.0)
        at = np.minimum((marks.place_mm / GRID_MM).astype(int), np.array(depth.shape) - 1)
        down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)[at[:, 0], at[:, 1]]
        across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0)[at[:, 0], at[:, 1]]
        edge = np.arctan2(
            across, -down
        )  # along the edge: (row, col) = (sin, cos), the gradient turned by a right angle
        depth_mm, turn = depth[at[:, 0], at[:, 1]], angle_between(marks.angle, edge)
        is_skin = (depth_mm <= self.depth_mm) & (marks.length_mm >= self.least_length_mm) & (turn <= self.angle_rad)
        is_skin &= marks.length_mm >= self.elongation * np.maximum(marks.width_mm, 1e-6)
        near, others = cKDTree(marks.place_mm[is_skin]), cKDTree(marks.place_mm[~is_skin])
        company = np.array([len(found) for found in near.query_ball_tree(others, self.company_mm)], int)
        is_skin[is_skin] = company <= self.most_company
        return [
            f"skin-line: {d:.1f} mm from the edge, along it" if skin else ""
            for d, skin in zip(depth_mm, is_skin, strict=True)
        ]
