"""Which MCs go where: clusters and singles with the sizes, distances and contrasts of real ones.

Sizes in mm are turned into px at once: backgrounds of unknown pixel size are a stage on which px are what counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scripts.simulation.insertion.shapes import KINDS, ShapeBank

#: Shares of `KINDS` among the main shapes of clusters, and among singles.
CLUSTER_KINDS = (0.22, 0.30, 0.26, 0.10, 0.07, 0.03, 0.02)
SINGLE_KINDS = (0.30, 0.20, 0.25, 0.05, 0.02, 0.08, 0.10)


@dataclass(frozen=True)
class InsertionSettings:
    """How MCs are drawn. Lengths in mm.

    Attributes:
        diameter_mm: median of the lognormal diameter (shape over half of its peak thickness).
        diameter_sigma: its sd in log units, over all clusters; half of the variance is between clusters.
        diameter_range_mm: smallest and largest diameter.
        neighbour_mm: median distance of nearest neighbours within a cluster.
        count: fewest and most MCs of a cluster.
        contrast: median peak contrast of an MC of median size, in units of the [0, 1] range.
        contrast_sigma: sd of a cluster's contrast in log units.
        visible_cnr: an MC whose peak is at least this many times the local noise is labelled 1, ...
        ignored_cnr: ... down to this one 2 (ignore); fainter ones are not drawn at all.
    """

    diameter_mm: float = 0.28
    diameter_sigma: float = 0.45
    diameter_range_mm: tuple[float, float] = (0.1, 1.0)
    neighbour_mm: float = 1.0
    count: tuple[int, int] = (3, 30)
    contrast: float = 0.12
    contrast_sigma: float = 0.45
    visible_cnr: float = 3.0
    ignored_cnr: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.ignored_cnr <= self.visible_cnr:
            raise ValueError(f"ignored_cnr: got {self.ignored_cnr}, want 0..visible_cnr ({self.visible_cnr})")
        if not 1 <= self.count[0] <= self.count[1]:
            raise ValueError(f"count: got {self.count}, want 1 <= fewest <= most")


@dataclass(frozen=True)
class InsertedMc:
    """One MC to draw. Positions and lengths in px of the image.

    Attributes:
        row, col: centre, subpixel.
        diameter: equivalent diameter of the shape over half of its peak thickness.
        thickness_mm: peak thickness along the beam.
        aspect: extra stretch, length over width; area is kept.
        angle: rad.
        mirrored: the shape is flipped.
        shape: place in the bank.
        gain: presentation units per log unit of attenuation.
        cluster: 1, 2, ... or 0 for a single.
    """

    row: float
    col: float
    diameter: float
    thickness_mm: float
    aspect: float
    angle: float
    mirrored: bool
    shape: int
    gain: float
    cluster: int


class Places:
    """The pixels of a mask, to draw from evenly: as rows of `np.argwhere`, but each only when it is drawn.

    Args:
        allowed: bool (rows, cols).
    """

    def __init__(self, allowed: np.ndarray) -> None:
        self._flat, self._cols = np.flatnonzero(allowed), allowed.shape[1]

    def __len__(self) -> int:
        return self._flat.size

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(row, col) of one of them."""
        return np.array(divmod(int(self._flat[rng.integers(self._flat.size)]), self._cols))


def sample_mcs(
    rng: np.random.Generator,
    allowed: np.ndarray,
    spacing_mm: float,
    clusters: int,
    singles: int,
    bank: ShapeBank,
    settings: InsertionSettings,
) -> list[InsertedMc]:
    """Draw MCs.

    Args:
        rng: random generator.
        allowed: bool (rows, cols), where centres may lie.
        spacing_mm: pixel size.
        clusters, singles: how many of each.
        bank: shapes.
        settings: distributions.

    Returns:
        MCs whose shapes do not overlap (centres farther apart than the sum of radii and 2 px); fewer than asked
        for where there is no room.
    """
    places = Places(allowed)
    placed: list[InsertedMc] = []
    if not len(places):
        return placed
    for cluster in range(1, clusters + 1):
        for mc in _cluster(rng, places, spacing_mm, cluster, bank, settings):
            _place(mc, placed, allowed)
    for _ in range(singles):
        row, col = places.draw(rng) + rng.uniform(-0.5, 0.5, 2)
        size = rng.normal(0, settings.diameter_sigma)
        gain = _gain(rng, spacing_mm, settings)
        kind = int(rng.choice(len(KINDS), p=SINGLE_KINDS))
        _place(_mc(rng, row, col, size, gain, kind, 0, spacing_mm, bank, settings), placed, allowed)
    return placed


def _cluster(
    rng: np.random.Generator,
    places: Places,
    spacing_mm: float,
    number: int,
    bank: ShapeBank,
    settings: InsertionSettings,
) -> list[InsertedMc]:
    """MCs in an ellipse around a place; alike in size, contrast and kind."""
    low, high = settings.count
    count = round(math.exp(rng.uniform(math.log(low), math.log(high + 0.5))))
    neighbour = settings.neighbour_mm / spacing_mm * math.exp(rng.normal(0, 0.4))
    radius = neighbour * math.sqrt(count * 4 / math.pi)  # random points lie 0.5 / sqrt(density) from their neighbour
    stretch = min(math.exp(abs(rng.normal(0, 0.45))), 3.0)
    angle = rng.uniform(0, math.pi)
    centre = places.draw(rng)
    size = rng.normal(0, settings.diameter_sigma / math.sqrt(2))
    gain = _gain(rng, spacing_mm, settings)
    main = int(rng.choice(len(KINDS), p=CLUSTER_KINDS))
    mcs = []
    for _ in range(count):
        distance, turn = radius * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
        along, across = distance * math.cos(turn) * math.sqrt(stretch), distance * math.sin(turn) / math.sqrt(stretch)
        row = centre[0] + along * math.sin(angle) + across * math.cos(angle)
        col = centre[1] + along * math.cos(angle) - across * math.sin(angle)
        kind = main if rng.random() < 0.7 else int(rng.choice(len(KINDS), p=CLUSTER_KINDS))
        deviation = size + rng.normal(0, settings.diameter_sigma / math.sqrt(2))
        mcs.append(_mc(rng, row, col, deviation, gain, kind, number, spacing_mm, bank, settings))
    return mcs


def _mc(
    rng: np.random.Generator,
    row: float,
    col: float,
    deviation: float,
    gain: float,
    kind: int,
    cluster: int,
    spacing_mm: float,
    bank: ShapeBank,
    settings: InsertionSettings,
) -> InsertedMc:
    scale = 1.6 if KINDS[kind] in ("coarse", "rim") else 1.0
    diameter_mm = float(np.clip(settings.diameter_mm * scale * math.exp(deviation), *settings.diameter_range_mm))
    ratio = float(np.clip(0.69 * math.exp(rng.normal(0, 0.387)), 0.25, 1.6))  # micro-CT: 0.40 / 0.69 / 1.08
    shapes = np.flatnonzero(bank.kind == kind)
    return InsertedMc(
        row=float(row),
        col=float(col),
        diameter=diameter_mm / spacing_mm,
        thickness_mm=diameter_mm * ratio,
        aspect=min(math.exp(abs(rng.normal(0, 0.25))), 2.0),
        angle=float(rng.uniform(0, 2 * math.pi)),
        mirrored=bool(rng.random() < 0.5),
        shape=int(shapes[rng.integers(len(shapes))]),
        gain=gain,
        cluster=cluster,
    )


def _gain(rng: np.random.Generator, spacing_mm: float, settings: InsertionSettings) -> float:
    """Gain that gives the median MC, blurred by the detector, the drawn peak contrast."""
    attenuation = 0.675 * settings.diameter_mm * 0.69  # 6.75 / cm, thickness 0.69 of the diameter
    radius = settings.diameter_mm / 2 / spacing_mm
    kept = 1 - math.exp(-(radius**2) / (2 * 0.7**2))  # peak of a disc behind a Gaussian of 0.7 px
    return settings.contrast * math.exp(rng.normal(0, settings.contrast_sigma)) / (attenuation * kept)


def _place(mc: InsertedMc, placed: list[InsertedMc], allowed: np.ndarray) -> None:
    row, col = round(mc.row), round(mc.col)
    if not (0 <= row < allowed.shape[0] and 0 <= col < allowed.shape[1] and allowed[row, col]):
        return
    if all(math.hypot(mc.row - o.row, mc.col - o.col) > (mc.diameter + o.diameter) / 2 + 2 for o in placed):
        placed.append(mc)
