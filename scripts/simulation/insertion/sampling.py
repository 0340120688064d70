"""Which MCs go where: clusters and singles with the sizes, distances and contrasts of real ones.

Sizes in mm are turned into px at once: backgrounds of unknown pixel size are a stage on which px are what counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scripts.simulation.insertion.shapes import KINDS, ShapeBank
from scripts.simulation.parameters import Parameters, Range


@dataclass(frozen=True)
class InsertionSettings(Parameters):
    """How MCs are drawn. Lengths in mm; an sd of a lognormal quantity is in log units.

    Attributes:
        diameter_mm: median of the lognormal diameter (shape over half of its peak thickness).
        diameter_sigma: its sd over all clusters; half of the variance is between clusters.
        diameter_range_mm: smallest and largest diameter.
        coarse_factor: how much larger MCs of the kinds "coarse" and "rim" are.
        neighbour_mm, neighbour_sd: median distance of nearest neighbours within a cluster, and its sd over clusters.
        count: fewest and most MCs of a cluster.
        stretch_sd, stretch_limit: length over width of a cluster.
        contrast: median peak contrast of an MC of median size, in units of the [0, 1] range.
        contrast_sigma: sd of a cluster's contrast.
        visible_cnr: an MC whose peak is at least this many times the local noise is labelled 1, ...
        ignored_cnr: ... down to this one 2 (ignore); fainter ones are not drawn at all.
        cluster_shares: share of each of `KINDS` among the main kinds of clusters (and of their other MCs).
        main_kind_share: share of a cluster's MCs that surely have its main kind.
        single_shares: share of each of `KINDS` among single MCs.
        thickness_ratio, thickness_sd, thickness_range: thickness over diameter (micro-CT: 0.40 / 0.69 / 1.08).
        aspect_sd, aspect_limit: extra stretch of an MC, length over width.
        gap_px: least distance between the outlines of two MCs.
    """

    diameter_mm: float = 0.28
    diameter_sigma: float = 0.45
    diameter_range_mm: Range = (0.1, 1.0)
    coarse_factor: float = 1.6
    neighbour_mm: float = 1.0
    neighbour_sd: float = 0.4
    count: tuple[int, int] = (3, 30)
    stretch_sd: float = 0.45
    stretch_limit: float = 3.0
    contrast: float = 0.12
    contrast_sigma: float = 0.45
    visible_cnr: float = 3.0
    ignored_cnr: float = 1.0
    cluster_shares: tuple[float, ...] = (0.22, 0.30, 0.26, 0.10, 0.07, 0.03, 0.02)
    main_kind_share: float = 0.7
    single_shares: tuple[float, ...] = (0.30, 0.20, 0.25, 0.05, 0.02, 0.08, 0.10)
    thickness_ratio: float = 0.69
    thickness_sd: float = 0.387
    thickness_range: Range = (0.25, 1.6)
    aspect_sd: float = 0.25
    aspect_limit: float = 2.0
    gap_px: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ignored_cnr <= self.visible_cnr:
            raise ValueError(f"ignored_cnr: got {self.ignored_cnr}; want 0..visible_cnr ({self.visible_cnr})")
        if not 1 <= self.count[0] <= self.count[1]:
            raise ValueError(f"count: got {self.count}; want 1 <= fewest <= most")
        for name in ("cluster_shares", "single_shares"):
            if len(getattr(self, name)) != len(KINDS):
                raise ValueError(f"{name}: got {getattr(self, name)}; want a share of each of {', '.join(KINDS)}")


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
    draw = _Draw(rng, spacing_mm, bank, settings)
    for number in range(1, clusters + 1):
        for mc in draw.cluster(number, places):
            _place(mc, placed, allowed, settings.gap_px)
    for _ in range(singles):
        row, col = places.draw(rng) + rng.uniform(-0.5, 0.5, 2)
        deviation = rng.normal(0, settings.diameter_sigma)
        gain = draw.gain()
        kind = int(rng.choice(len(KINDS), p=settings.single_shares))
        _place(draw.mc(row, col, deviation, gain, kind, 0), placed, allowed, settings.gap_px)
    return placed


@dataclass(frozen=True, eq=False)
class _Draw:
    """Draws of one patch."""

    rng: np.random.Generator
    spacing_mm: float
    bank: ShapeBank
    settings: InsertionSettings

    def cluster(self, number: int, places: Places) -> list[InsertedMc]:
        """MCs in an ellipse around a place; alike in size, contrast and kind."""
        rng, settings = self.rng, self.settings
        low, high = settings.count
        count = round(math.exp(rng.uniform(math.log(low), math.log(high + 0.5))))
        neighbour = settings.neighbour_mm / self.spacing_mm * math.exp(rng.normal(0, settings.neighbour_sd))
        radius = neighbour * math.sqrt(count * 4 / math.pi)  # random points: neighbours at 0.5 / sqrt(density)
        stretch = min(math.exp(abs(rng.normal(0, settings.stretch_sd))), settings.stretch_limit)
        angle = rng.uniform(0, math.pi)
        centre = places.draw(rng)
        spread = settings.diameter_sigma / math.sqrt(2)
        size = rng.normal(0, spread)
        gain = self.gain()
        main = int(rng.choice(len(KINDS), p=settings.cluster_shares))
        mcs = []
        for _ in range(count):
            distance, turn = radius * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
            along = distance * math.cos(turn) * math.sqrt(stretch)
            across = distance * math.sin(turn) / math.sqrt(stretch)
            row = centre[0] + along * math.sin(angle) + across * math.cos(angle)
            col = centre[1] + along * math.cos(angle) - across * math.sin(angle)
            is_main = rng.random() < settings.main_kind_share
            kind = main if is_main else int(rng.choice(len(KINDS), p=settings.cluster_shares))
            mcs.append(self.mc(row, col, size + rng.normal(0, spread), gain, kind, number))
        return mcs

    def mc(self, row: float, col: float, deviation: float, gain: float, kind: int, cluster: int) -> InsertedMc:
        """One MC; `deviation` of its log diameter from the median."""
        rng, settings = self.rng, self.settings
        factor = settings.coarse_factor if KINDS[kind] in ("coarse", "rim") else 1.0
        diameter_mm = float(np.clip(settings.diameter_mm * factor * math.exp(deviation), *settings.diameter_range_mm))
        ratio = settings.thickness_ratio * math.exp(rng.normal(0, settings.thickness_sd))
        ratio = float(np.clip(ratio, *settings.thickness_range))
        shapes = np.flatnonzero(self.bank.kind == kind)
        return InsertedMc(
            row=float(row),
            col=float(col),
            diameter=diameter_mm / self.spacing_mm,
            thickness_mm=diameter_mm * ratio,
            aspect=min(math.exp(abs(rng.normal(0, settings.aspect_sd))), settings.aspect_limit),
            angle=float(rng.uniform(0, 2 * math.pi)),
            mirrored=bool(rng.random() < 0.5),
            shape=int(shapes[rng.integers(len(shapes))]),
            gain=gain,
            cluster=cluster,
        )

    def gain(self) -> float:
        """Gain that gives the median MC, blurred by the detector, the drawn peak contrast."""
        settings = self.settings
        attenuation = 0.675 * settings.diameter_mm * settings.thickness_ratio  # 6.75 / cm
        radius = settings.diameter_mm / 2 / self.spacing_mm
        kept = 1 - math.exp(-(radius**2) / (2 * 0.7**2))  # peak of a disc behind a Gaussian of 0.7 px
        return settings.contrast * math.exp(self.rng.normal(0, settings.contrast_sigma)) / (attenuation * kept)


def _place(mc: InsertedMc, placed: list[InsertedMc], allowed: np.ndarray, gap_px: float) -> None:
    row, col = round(mc.row), round(mc.col)
    if not (0 <= row < allowed.shape[0] and 0 <= col < allowed.shape[1] and allowed[row, col]):
        return
    if all(math.hypot(mc.row - o.row, mc.col - o.col) > (mc.diameter + o.diameter) / 2 + gap_px for o in placed):
        placed.append(mc)
