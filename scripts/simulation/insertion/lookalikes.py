"""What resembles MCs but is none: lines and their crossings, vessel walls, folds, clips, dust, hot pixels, soft lumps.

Each is a `Lookalike` that `sample_lookalikes` draws at random and `draw_lookalikes` renders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.simulation.insertion.sampling import Places

#: Mean number per 256 x 256 px of each kind.
RATES = {
    "line": 0.5,
    "crossing": 0.35,
    "vessel_walls": 0.2,
    "fold": 0.06,
    "lump": 0.35,
    "clip": 0.04,
    "dust": 0.06,
    "hot_pixel": 0.25,
    "grain": 0.5,
}
_SHIFT = 4  # fractional bits of OpenCV's polyline coordinates


@dataclass(frozen=True)
class Lookalike:
    """One object to draw, px.

    Attributes:
        kind: one of `RATES`.
        lines: polylines as tuples of (row, col).
        width: of the lines, or the diameter of a spot.
        contrast: peak, units of the [0, 1] range, before blur.
        blur: Gaussian sigma; 0 is a hard edge, as of dust and hot pixels.
    """

    kind: str
    lines: tuple[tuple[tuple[float, float], ...], ...]
    width: float
    contrast: float
    blur: float


def sample_lookalikes(rng: np.random.Generator, allowed: np.ndarray, rate: float, noise: np.ndarray) -> list[Lookalike]:
    """Draw look-alikes.

    Args:
        rng: random generator.
        allowed: bool (rows, cols), where centres may lie.
        rate: factor on `RATES`.
        noise: local noise of the image, (rows, cols), see `local_noise`.
    """
    places = Places(allowed)
    if not len(places):
        return []
    found = []
    for kind, mean in RATES.items():
        for _ in range(int(rng.poisson(rate * mean * len(places) / 256**2))):
            row, col = places.draw(rng)
            found.append(_sample(rng, kind, float(row), float(col), float(noise[row, col])))
    return found


def _sample(rng: np.random.Generator, kind: str, row: float, col: float, noise: float) -> Lookalike:
    angle = rng.uniform(0, 2 * math.pi)
    faint = math.exp(rng.normal(math.log(0.06), 0.5))
    if kind == "line":
        return Lookalike(kind, (_curve(rng, row, col, angle, rng.uniform(30, 250)),), rng.uniform(1, 4), faint, 0.8)
    if kind == "crossing":
        turns = [angle, angle + rng.uniform(0.4, 2.6), angle + rng.uniform(0.4, 2.6)][: int(rng.integers(2, 4))]
        lines = tuple(_curve(rng, row, col, turn, rng.uniform(30, 150)) for turn in turns)
        return Lookalike(kind, lines, rng.uniform(1, 3), faint, 0.8)
    if kind == "vessel_walls":
        middle, gap = np.array(_curve(rng, row, col, angle, rng.uniform(60, 250))), rng.uniform(5, 18)
        normal = np.array([math.cos(angle), -math.sin(angle)])
        walls = tuple(tuple(map(tuple, (middle + side * gap * normal).tolist())) for side in (-0.5, 0.5))
        return Lookalike(kind, walls, rng.uniform(1, 2.5), faint, 0.7)
    if kind == "fold":
        return Lookalike(kind, (_curve(rng, row, col, angle, 400),), rng.uniform(6, 14), 2 * faint, rng.uniform(2, 5))
    if kind == "lump":
        return Lookalike(kind, (((row, col),),), rng.uniform(6, 30), 1.5 * faint, rng.uniform(3, 8))
    if kind == "clip":
        return Lookalike(kind, (_curve(rng, row, col, angle, rng.uniform(10, 45)),), rng.uniform(4, 9), 1.0, 0.5)
    if kind == "dust":
        return Lookalike(kind, (_curve(rng, row, col, angle, rng.uniform(0, 4)),), rng.uniform(1, 3), 0.7, 0.0)
    if kind == "hot_pixel":
        return Lookalike(kind, (((row, col),),), 0.0, float(rng.uniform(0.05, 0.8)), 0.0)
    return Lookalike("grain", (((row, col),),), 1.0, float(noise * rng.uniform(4, 9)), float(rng.uniform(0.5, 0.7)))


def _curve(
    rng: np.random.Generator, row: float, col: float, angle: float, length: float
) -> tuple[tuple[float, float], ...]:
    """A gently bent line through (row, col)."""
    steps = np.linspace(-0.5, 0.5, 9)
    bend = rng.normal(0, 0.15) * length
    along, across = steps * length, bend * (steps**2)
    rows = row + along * math.sin(angle) + across * math.cos(angle)
    cols = col + along * math.cos(angle) - across * math.sin(angle)
    return tuple(zip(rows.tolist(), cols.tolist(), strict=True))


def draw_lookalikes(image: np.ndarray, found: Sequence[Lookalike]) -> np.ndarray:
    """Add look-alikes to a [0, 1] image, float32 (rows, cols); the sum is clipped at 1."""
    layers: dict[float, np.ndarray] = {}
    result = image.copy()
    for item in found:
        if item.kind == "hot_pixel":
            row, col = (round(value) for value in item.lines[0][0])
            result[row, col] += item.contrast
            continue
        blur = round(2 * item.blur) / 2
        canvas = layers.setdefault(blur, np.zeros(image.shape, np.float32))
        _draw(canvas, item)
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
            centre = (int(points[0, 0]), int(points[0, 1]))
            cv2.circle(stamp, centre, int(item.width / 2 * 2**_SHIFT), 255, -1, cv2.LINE_AA, _SHIFT)
        else:
            cv2.polylines(stamp, [points], False, 255, thickness, cv2.LINE_AA, _SHIFT)
    thin = min(1.0, item.width / thickness)
    np.maximum(canvas, stamp * np.float32(thin * item.contrast / 255), out=canvas)
