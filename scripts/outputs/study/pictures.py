"""A mammogram for the study page: JPEG tiles of a pyramid, and what display needs to know of it.

Level 0 has the image's own pixels, every further one half as many along each side, until it fits one tile. Grey values
are 8 bits of the display window and compression loses a little: for finding one's way, not for diagnosis.
"""

import base64
import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from scripts.common.checks import check_fields

DARK = 3  # grey values of 255 under which a tile shows nothing


@dataclass(frozen=True)
class Pictures:
    """How mammograms are put into a study page."""

    tile_px: int = 1024
    quality: int = 85  # of JPEG
    full_size: bool = True  # else at most one tile of each image: pages of a tenth of the size

    def __post_init__(self) -> None:
        check_fields(self, tile_px="[64, 4096]", quality="[1, 100]")


def pyramid(image: np.ndarray, high: float, pictures: Pictures) -> dict[str, Any]:
    """Tiles of a mammogram, float (rows, cols) in [0, 1], black at 0 and white at `high`.

    {"levels": [{"rows", "cols", "tiles": {"row,col": base64 of a JPEG file}}, ...]}, level 0 first (without tiles where
    the page holds no full size); a tile that is black is left out.
    """
    grey = (np.clip(image / high, 0.0, 1.0) * 255).round().astype(np.uint8)
    levels = []
    while True:
        rows, cols = grey.shape
        last = max(rows, cols) <= pictures.tile_px
        told = _tiles(grey, pictures) if last or pictures.full_size else {}
        levels.append({"rows": rows, "cols": cols, "tiles": told})
        if last:
            return {"levels": levels}
        grey = cv2.resize(grey, (-(-cols // 2), -(-rows // 2)), interpolation=cv2.INTER_AREA)


def _tiles(grey: np.ndarray, pictures: Pictures) -> dict[str, str]:
    side, found = pictures.tile_px, {}
    for row in range(0, grey.shape[0], side):
        for col in range(0, grey.shape[1], side):
            part = grey[row : row + side, col : col + side]
            if part.max() > DARK:
                found[f"{row // side},{col // side}"] = _jpeg(part, pictures.quality)
    return found


def _jpeg(grey: np.ndarray, quality: int) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(file, format="JPEG", quality=quality)
    return base64.b64encode(file.getvalue()).decode("ascii")


def breast_box(breast: np.ndarray, spacing_mm: tuple[float, float], rim_mm: float = 3.0) -> tuple[int, int, int, int]:
    """(first row, first col, end row, end col) of the breast, bool (rows, cols), and a rim; all without a breast."""
    ends = []
    for axis, mm in enumerate(spacing_mm):
        inside, size, rim = np.flatnonzero(breast.any(axis=1 - axis)), breast.shape[axis], round(rim_mm / mm)
        ends.append((max(int(inside[0]) - rim, 0), min(int(inside[-1]) + 1 + rim, size)) if len(inside) else (0, size))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def chest_wall_side(breast: np.ndarray) -> str:
    """ "left" or "right": the edge that more of the breast, bool (rows, cols), touches; "" if neither."""
    rim = max(1, breast.shape[1] // 50)
    left, right = int(breast[:, :rim].sum()), int(breast[:, -rim:].sum())
    return "" if left == right else "left" if left > right else "right"


def is_mirrored(laterality: str, breast: np.ndarray) -> bool:
    """Whether a picture is mirrored for display: the chest wall of a right breast belongs right, of a left one left."""
    wanted = {"R": "right", "L": "left"}.get(laterality, "")
    side = chest_wall_side(breast)
    return bool(wanted and side and side != wanted)
