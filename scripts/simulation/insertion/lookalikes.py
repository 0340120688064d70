"""What resembles MCs but is none: lines and their crossings, vessel walls, folds, clips, dust, hot pixels, soft lumps.

Each is a `Lookalike` that `sample_lookalikes` draws at random and `draw_lookalikes` renders.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.common.checks import check
from scripts.simulation.insertion.sampling import Places
from scripts.simulation.parameters import Parameters, Range, Rng, between, named, whole

Line = tuple[tuple[float, float], ...]
_SHIFT = 4  # fractional bits of OpenCV's polyline coordinates


@dataclass(frozen=True)
class LookalikeKind(Parameters):
    """How one kind of look-alike is drawn. A range of one value is that value; lengths in px."""

    rate: float  # mean number per 256 x 256 px of breast
    length_range_px: Range = (0, 0)  # of its line; (0, 0) is a spot
    width_range_px: Range = (0, 0)  # of its line, or diameter of its spot; (0, 0) is a single pixel
    contrast_range: Range = (1, 1)  # peak contrast before blur, in multiples of `contrast_unit`
    contrast_unit: str = "faint"  # `LookalikeSettings`' drawn contrast, "white" the [0, 1] range, "noise" the local one
    blur_range_px: Range = (0, 0)  # Gaussian sigma; 0 is a hard edge, as of dust and hot pixels
    lines: tuple[int, int] = (1, 1)  # fewest and most lines through its place
    gap_range_px: Range = (0, 0)  # distance of two walls instead of one line; (0, 0) for none

    def __post_init__(self) -> None:
        super().__post_init__()
        unit = self.contrast_unit
        check("contrast_unit", unit, unit in ("faint", "white", "noise"), "faint, white or noise")


KINDS: Mapping[str, LookalikeKind] = {
    "line": LookalikeKind(0.5, (30, 250), (1, 4), blur_range_px=(0.8, 0.8)),
    "crossing": LookalikeKind(0.35, (30, 150), (1, 3), blur_range_px=(0.8, 0.8), lines=(2, 3)),
    "vessel_walls": LookalikeKind(0.2, (60, 250), (1, 2.5), blur_range_px=(0.7, 0.7), gap_range_px=(5, 18)),
    "fold": LookalikeKind(0.06, (400, 400), (6, 14), (2, 2), blur_range_px=(2, 5)),
    "lump": LookalikeKind(0.35, (0, 0), (6, 30), (1.5, 1.5), blur_range_px=(3, 8)),
    "clip": LookalikeKind(0.04, (10, 45), (4, 9), (1, 1), "white", (0.5, 0.5)),
    "dust": LookalikeKind(0.06, (0, 4), (1, 3), (0.7, 0.7), "white"),
    "hot_pixel": LookalikeKind(0.25, (0, 0), (0, 0), (0.05, 0.8), "white"),
    "grain": LookalikeKind(0.5, (0, 0), (1, 1), (4, 9), "noise", (0.5, 0.7)),
}


@dataclass(frozen=True)
class LookalikeSettings(Parameters):
    """How many look-alikes there are, and how they look."""

    rate: float = 1.0  # factor on the rates of all kinds
    contrast: float = 0.06  # median of the "faint" contrast, units of the [0, 1] range
    contrast_sd: float = 0.5  # its sd in log units
    bend_sd: float = 0.15  # how far a line bends, as a share of its length
    crossing_range_rad: Range = (0.4, 2.6)  # angle between crossing lines
    kinds: Mapping[str, LookalikeKind] = named(LookalikeKind, KINDS)  # drawn in this order


@dataclass(frozen=True)
class Lookalike:
    """One object to draw, px."""

    kind: str  # its name in `LookalikeSettings.kinds`
    lines: tuple[Line, ...]  # polylines as tuples of (row, col); of one point for a spot
    width: float  # of the lines, or the diameter of a spot; 0 is a single pixel
    contrast: float  # peak, units of the [0, 1] range, before blur
    blur: float  # Gaussian sigma


def sample_lookalikes(rng: Rng, allowed: np.ndarray, noise: np.ndarray, settings: LookalikeSettings) -> list[Lookalike]:
    """Draw look-alikes with centres where `allowed` is true; `noise`: `local_noise` of the image, both (rows, cols)."""
    places = Places(allowed)
    drawn: list[Lookalike] = []
    if not len(places):
        return drawn
    for name, kind in settings.kinds.items():
        for _ in range(int(rng.poisson(settings.rate * kind.rate * len(places) / 256**2))):
            row, col = places.draw(rng)
            drawn.append(_sample(rng, name, float(row), float(col), float(noise[row, col]), settings))
    return drawn


def _sample(rng: Rng, name: str, row: float, col: float, noise: float, settings: LookalikeSettings) -> Lookalike:
    kind = settings.kinds[name]
    angle = rng.uniform(0, 2 * math.pi)
    faint = math.exp(rng.normal(math.log(settings.contrast), settings.contrast_sd))
    turns = [angle]
    if kind.lines[1] > 1:
        turns += [angle + rng.uniform(*settings.crossing_range_rad) for _ in range(kind.lines[1] - 1)]
        turns = turns[: whole(rng, kind.lines)]
    lines: tuple = (((row, col),),)
    lengths = kind.length_range_px
    if lengths[1]:
        lines = tuple(_curve(rng, row, col, turn, between(rng, lengths), settings.bend_sd) for turn in turns)
    if kind.gap_range_px[1]:
        middle, gap = np.array(lines[0]), between(rng, kind.gap_range_px)
        normal = np.array([math.cos(angle), -math.sin(angle)])
        lines = tuple(tuple(map(tuple, (middle + side * gap * normal).tolist())) for side in (-0.5, 0.5))
    width = between(rng, kind.width_range_px)
    contrast = {"faint": faint, "white": 1.0, "noise": noise}[kind.contrast_unit] * between(rng, kind.contrast_range)
    return Lookalike(name, lines, width, contrast, between(rng, kind.blur_range_px))


def _curve(rng: Rng, row: float, col: float, angle: float, length: float, bend_sd: float) -> Line:
    """A gently bent line through (row, col)."""
    steps = np.linspace(-0.5, 0.5, 9)
    bend = rng.normal(0, bend_sd) * length
    along, across = steps * length, bend * (steps**2)
    rows = row + along * math.sin(angle) + across * math.cos(angle)
    cols = col + along * math.cos(angle) - across * math.sin(angle)
    return tuple(zip(rows.tolist(), cols.tolist(), strict=True))


def draw_lookalikes(image: np.ndarray, lookalikes: Sequence[Lookalike]) -> np.ndarray:
    """Add look-alikes to a [0, 1] image, float32 (rows, cols); the sum is clipped at 1."""
    layers: dict[float, np.ndarray] = {}
    result = image.copy()
    for item in lookalikes:
        if item.width == 0:
            row, col = (round(value) for value in item.lines[0][0])
            result[row, col] += item.contrast
            continue
        _draw(layers.setdefault(round(2 * item.blur) / 2, np.zeros(image.shape, np.float32)), item)
    for blur, canvas in layers.items():
        result += cv2.GaussianBlur(canvas, (0, 0), blur) if blur else canvas
    return np.minimum(result, 1.0, out=result)


def _draw(canvas: np.ndarray, item: Lookalike) -> None:
    """Lines and spots of one item, anti-aliased, maximum with what is there."""
    stamp = np.zeros(canvas.shape, np.uint8)
    thickness = max(1, round(item.width))
    for line in item.lines:
        points = np.round(np.array(line)[:, ::-1] * 2**_SHIFT).astype(np.int32)
        if len(points) == 1:
            cv2.circle(stamp, points[0].tolist(), int(item.width / 2 * 2**_SHIFT), 255, -1, cv2.LINE_AA, _SHIFT)
        else:
            cv2.polylines(stamp, [points], False, 255, thickness, cv2.LINE_AA, _SHIFT)
    thin = min(1.0, item.width / thickness)
    np.maximum(canvas, stamp * np.float32(thin * item.contrast / 255), out=canvas)
