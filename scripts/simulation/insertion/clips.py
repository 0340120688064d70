"""Metal in the breast: biopsy markers, surgical clips, wires, skin markers; opaque, nearly white, with sharp edges.

`sample_clip` draws one at random, `draw_clip` renders it.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.simulation.insertion.rendering import SUBPIXELS
from scripts.simulation.insertion.sampling import Places
from scripts.simulation.insertion.strokes import Line
from scripts.simulation.parameters import Parameters, Range, Rng, between
from scripts.simulation.phantom.calcifications import clip_window

_SHIFT = 4
#: Lines in units of half the length, (across, along): what each form is bent of.
FORMS: dict[str, tuple[Line, ...]] = {
    "bar": (((0, -1), (0, 1)),),
    "u": (((-0.45, -1), (-0.45, 0.6), (0.0, 1), (0.45, 0.6), (0.45, -1)),),
    "v": (((-0.35, -1), (0, 1), (0.35, -1)),),
    "ribbon": (((-0.5, -1), (0.5, 1), (0.5, 0.7), (-0.5, -0.7), (-0.5, -1)), ((0.5, -1), (-0.5, 1))),
    "coil": (((0.3, -1), (-0.3, -0.6), (0.3, -0.2), (-0.3, 0.2), (0.3, 0.6), (-0.3, 1)),),
    "barbell": (((0, -1), (0, 1)), ((-0.3, -1), (0.3, -1)), ((-0.3, 1), (0.3, 1))),
    "wire": (((0, -1), (0.0, 0.85), (0.1, 1.0), (0.14, 0.9)),),
    "bead": (((0, 0), (0, 0.001)),),
}


@dataclass(frozen=True)
class ClipSettings(Parameters):
    """How metal is drawn. Lengths in mm."""

    shares: tuple[float, ...] = (0.15, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05, 0.1)  # of `FORMS`
    length_range_mm: Range = (2.0, 5.0)
    wire_range_mm: Range = (20.0, 50.0)  # length of a wire
    width_range_mm: Range = (0.35, 0.8)  # of the metal
    bead_range_mm: Range = (1.5, 2.2)  # diameter of a skin marker
    level_range: Range = (0.93, 1.0)  # its grey value, [0, 1]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shares) != len(FORMS):
            raise ValueError(f"shares: got {len(self.shares)} numbers; want a share of each of {', '.join(FORMS)}")


@dataclass(frozen=True)
class Clip:
    """One piece of metal to draw, px."""

    form: str
    lines: tuple[Line, ...]  # (row, col)
    width: float
    level: float  # grey value, [0, 1]


def sample_clip(
    rng: Rng, allowed: np.ndarray, spacing_mm: float, settings: ClipSettings, form: str = ""
) -> Clip | None:
    """Draw a piece of metal with its centre where `allowed`, bool (rows, cols); `form` "" draws one of `FORMS`."""
    places = Places(allowed)
    if not len(places):
        return None
    form = form or str(rng.choice(list(FORMS), p=settings.shares))
    centre, angle = places.draw(rng), rng.uniform(0, 2 * math.pi)
    half = between(rng, settings.wire_range_mm if form == "wire" else settings.length_range_mm) / 2 / spacing_mm
    width = between(rng, settings.bead_range_mm if form == "bead" else settings.width_range_mm) / spacing_mm
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    lines = tuple(tuple(map(tuple, (centre + half * np.array(line) @ turn).tolist())) for line in FORMS[form])
    return Clip(form, lines, width, between(rng, settings.level_range))


def draw_clip(image: np.ndarray, clip: Clip, blur_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw metal into a [0, 1] image, float32 (rows, cols): new image, and the mask of the metal, bool (rows, cols)."""
    points = np.concatenate([np.array(line) for line in clip.lines])
    margin = int(np.ceil(clip.width / 2 + 3 * blur_px)) + 2
    top, left = np.floor(points.min(0)).astype(int) - margin
    bottom, right = np.ceil(points.max(0)).astype(int) + margin + 1
    fine = np.zeros(((bottom - top) * SUBPIXELS, (right - left) * SUBPIXELS), np.float32)
    for line in clip.lines:
        places = ((np.array(line) - (top, left) + 0.5) * SUBPIXELS - 0.5)[:, ::-1]
        places = np.round(places * 2**_SHIFT).astype(np.int32)
        cv2.polylines(fine, [places], False, 1.0, max(1, round(clip.width * SUBPIXELS)), cv2.LINE_8, _SHIFT)
    if blur_px > 0:
        fine = cv2.GaussianBlur(fine, (0, 0), blur_px * SUBPIXELS)
    cover = fine.reshape(bottom - top, SUBPIXELS, right - left, SUBPIXELS).mean(axis=(1, 3))
    window, part = clip_window(int(top), int(left), cover.shape, image.shape)
    result, mask = image.copy(), np.zeros(image.shape, bool)
    cover = cover[part]
    result[window] = np.maximum(image[window], image[window] * (1 - cover) + np.float32(clip.level) * cover)
    mask[window] = cover > 0.5
    return result, mask
