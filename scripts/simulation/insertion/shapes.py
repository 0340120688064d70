"""A bank of irregular MC shapes as thickness maps, drawn once per seed and then only scaled, turned and stretched.

Kinds: "punctate" (round, smooth), "pleomorphic" (unions of ellipsoids), "lumpy" (noise-carved bodies), "linear" and
"branching" (fine casts of ducts), "coarse" (popcorn), "rim" (hollow). The first, second and last four come from the
phantom's primitives (scripts/simulation/phantom/calcifications.py).
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import ndimage

from scripts.simulation.phantom.calcifications import SHAPES, Primitive, unit_thickness

KINDS = ("punctate", "pleomorphic", "lumpy", "linear", "branching", "coarse", "rim")
SHAPE_SEEDS = {"training": 0, "validation": 1, "testing": 2}  # so that their shapes are different ones
MAP_PX = 96
REACH = 2.6  # half the side of a map in units of the primitives' frame


@dataclass(frozen=True, eq=False)
class ShapeBank:
    """Thickness maps of many shapes."""

    maps: np.ndarray  # float32 (n, MAP_PX, MAP_PX), thickness over its peak, [0, 1], centred
    diameter_px: np.ndarray  # float32 (n,), equivalent diameter of the filled area over half of the peak, px of the map
    kind: np.ndarray  # (n,) index into `KINDS`


@lru_cache(maxsize=4)
def shape_bank(seed: int = 0, per_kind: int = 96) -> ShapeBank:
    """Draw a bank of `per_kind` shapes of each kind; equal arguments give equal banks."""
    generators = [np.random.default_rng([seed, number]) for number in range(len(KINDS))]
    maps = np.stack([_draw(rng, kind) for rng, kind in zip(generators, KINDS, strict=True) for _ in range(per_kind)])
    diameters = np.array([half_peak_diameter(thickness) for thickness in maps], np.float32)
    return ShapeBank(maps, diameters, np.repeat(np.arange(len(KINDS)), per_kind))


def half_peak_diameter(thickness: np.ndarray) -> float:
    """Equivalent diameter (px) of the filled area where a map exceeds half of its peak."""
    area = np.count_nonzero(ndimage.binary_fill_holes(thickness > 0.5 * thickness.max()))
    return float(np.sqrt(4 * area / np.pi))


def _draw(rng: np.random.Generator, kind: str) -> np.ndarray:
    primitives: tuple[Primitive, ...]
    if kind == "lumpy":
        return _lumpy(rng)
    if kind == "punctate":
        primitives = ((0.0, 0.0, 1.0, float(rng.uniform(0.8, 1.0)), 0.0, 1.0),)
    elif kind == "coarse":
        primitives = tuple(part for _ in range(4) for part in _moved(rng, SHAPES["ellipsoids"](rng)))
    else:
        primitives = SHAPES[{"pleomorphic": "ellipsoids", "linear": "rod"}.get(kind, kind)](rng)
    axis = np.linspace(-REACH, REACH, MAP_PX)
    thickness = unit_thickness(primitives, axis[:, None], axis[None, :]).astype(np.float32)
    return thickness / thickness.max()


def _moved(rng: np.random.Generator, primitives: tuple[Primitive, ...]) -> list[Primitive]:
    """The ellipsoids at 0.6 of their size around another centre."""
    row, col = rng.uniform(-0.7, 0.7, 2)
    return [(0.6 * p[0] + row, 0.6 * p[1] + col, 0.6 * p[2], 0.6 * p[3], p[4], p[5]) for p in primitives]


def _lumpy(rng: np.random.Generator) -> np.ndarray:
    """The central piece of smooth noise over a level, under a Gaussian envelope: ragged outline, uneven thickness."""
    axis = np.linspace(-REACH, REACH, MAP_PX)
    envelope = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / 0.75**2)
    while True:
        noise = cv2.GaussianBlur(rng.standard_normal((MAP_PX, MAP_PX)), (0, 0), float(rng.uniform(3.0, 7.0)))
        body = np.clip(envelope * (1 + 0.45 * noise / noise.std()) - 0.35, 0, None)
        pieces, _ = ndimage.label(body > 0)
        piece = pieces[MAP_PX // 2, MAP_PX // 2]
        if not piece:
            continue
        body = np.sqrt(np.where(pieces == piece, body, 0))
        row, col = ndimage.center_of_mass(body)
        centred = ndimage.shift(body, (MAP_PX / 2 - 0.5 - row, MAP_PX / 2 - 0.5 - col), order=1)
        return (centred / centred.max()).astype(np.float32)
