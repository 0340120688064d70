"""Which MCs go where: clusters and singles with the sizes, distances and contrasts of real ones.

Sizes in mm are turned into px at once: backgrounds of unknown pixel size are a stage on which px are what counts.
"""

import math
from dataclasses import dataclass

import numpy as np

from scripts.common.checks import check
from scripts.simulation.insertion.shapes import KINDS, ShapeBank
from scripts.simulation.parameters import Parameters, Range, Rng, uniform


@dataclass(frozen=True)
class InsertionSettings(Parameters):
    """How MCs are drawn. Lengths in mm; an sd of a lognormal quantity is in log units."""

    diameter_mm: float = 0.28  # median of the lognormal diameter (shape over half of its peak thickness)
    diameter_sigma: float = 0.45  # its sd over all clusters; half of the variance is between clusters
    diameter_range_mm: Range = (0.1, 1.0)
    coarse_factor: float = 1.6  # how much larger MCs of the kinds "coarse" and "rim" are
    neighbour_mm: float = 1.0  # median distance of nearest neighbours within a cluster
    neighbour_sd: float = 0.4  # its sd over clusters
    count: tuple[int, int] = (3, 30)  # fewest and most MCs of a cluster
    stretch_sd: float = 0.45  # length over width of a cluster
    stretch_limit: float = 3.0
    contrast: float = 0.12  # median peak contrast of an MC of median size, in units of the [0, 1] range
    contrast_sigma: float = 0.45  # sd of a cluster's contrast
    visible_cnr: float = 3.0  # an MC whose peak is at least this many times the local noise is labelled 1, ...
    ignored_cnr: float = 1.0  # ... down to this one 2 (ignore); fainter ones are not drawn at all
    #: Share of each of `KINDS` among the main kinds of clusters (and of their other MCs).
    cluster_shares: tuple[float, ...] = (0.22, 0.30, 0.26, 0.10, 0.07, 0.03, 0.02)
    main_kind_share: float = 0.7  # of a cluster's MCs that surely have its main kind
    single_shares: tuple[float, ...] = (0.30, 0.20, 0.25, 0.05, 0.02, 0.08, 0.10)  # of `KINDS` among single MCs
    thickness_ratio: float = 0.69  # thickness over diameter (micro-CT: 0.40 / 0.69 / 1.08)
    thickness_sd: float = 0.387
    thickness_range: Range = (0.25, 1.6)
    aspect_sd: float = 0.25  # extra stretch of an MC, length over width
    aspect_limit: float = 2.0
    gap_px: float = 2.0  # least distance between the outlines of two MCs

    def __post_init__(self) -> None:
        super().__post_init__()
        visible, ignored, count = self.visible_cnr, self.ignored_cnr, self.count
        check("ignored_cnr", ignored, 0 <= ignored <= visible, f"0..visible_cnr ({visible})")
        check("count", count, 1 <= count[0] <= count[1], "1 <= fewest <= most")
        for name in ("cluster_shares", "single_shares"):
            shares = getattr(self, name)
            check(name, shares, len(shares) == len(KINDS), f"a share of each of {', '.join(KINDS)}")


@dataclass(frozen=True)
class InsertedMc:
    """One MC to draw. Positions and lengths in px of the image."""

    row: float  # centre, subpixel
    col: float
    diameter: float  # equivalent diameter of the shape over half of its peak thickness
    thickness_mm: float  # peak thickness along the beam
    aspect: float  # extra stretch, length over width; area is kept
    angle: float  # rad
    mirrored: bool  # the shape is flipped
    shape: int  # place in the bank
    gain: float  # presentation units per log unit of attenuation
    cluster: int  # 1, 2, ... or 0 for a single


class Places:
    """The pixels of a bool mask (rows, cols), to draw from: rows of `np.argwhere`, each made only when it is drawn."""

    def __init__(self, allowed: np.ndarray) -> None:
        self._flat, self._cols = np.flatnonzero(allowed), allowed.shape[1]

    def __len__(self) -> int:
        return self._flat.size

    def draw(self, rng: Rng) -> np.ndarray:
        """(row, col) of one of them."""
        return np.array(divmod(int(self._flat[rng.integers(self._flat.size)]), self._cols))


def sample_mcs(
    rng: Rng,
    allowed: np.ndarray,
    spacing_mm: float,
    clusters: int,
    singles: int,
    bank: ShapeBank,
    settings: InsertionSettings,
) -> list[InsertedMc]:
    """Draw clusters and single MCs with centres where `allowed`, bool (rows, cols); fewer where there is no room.

    Their shapes do not overlap: centres are farther apart than the sum of radii and `gap_px`.
    """
    places = Places(allowed)
    placed: list[InsertedMc] = []
    if not len(places):
        return placed
    draw = McDraw(rng, spacing_mm, bank, settings)
    for number in range(1, clusters + 1):
        for mc in draw.cluster(number, places):
            place_mc(mc, placed, allowed, settings.gap_px)
    for _ in range(singles):
        row, col = places.draw(rng) + rng.uniform(-0.5, 0.5, 2)
        deviation, gain = rng.normal(0, settings.diameter_sigma), draw.gain()
        kind = int(rng.choice(len(KINDS), p=settings.single_shares))
        place_mc(draw.mc(row, col, deviation, gain, kind, 0), placed, allowed, settings.gap_px)
    return placed


@dataclass(frozen=True, eq=False)
class McDraw:
    """Draws of one patch's MCs."""

    rng: Rng
    spacing_mm: float
    bank: ShapeBank
    settings: InsertionSettings

    def cluster(self, number: int, places: Places) -> list[InsertedMc]:
        """MCs in an ellipse around a place; alike in size, contrast and kind."""
        rng, settings = self.rng, self.settings
        count = round(math.exp(rng.uniform(math.log(settings.count[0]), math.log(settings.count[1] + 0.5))))
        neighbour = settings.neighbour_mm / self.spacing_mm * math.exp(rng.normal(0, settings.neighbour_sd))
        radius = neighbour * math.sqrt(count * 4 / math.pi)  # random points: neighbours at 0.5 / sqrt(density)
        stretch = min(math.exp(abs(rng.normal(0, settings.stretch_sd))), settings.stretch_limit)
        angle, centre = rng.uniform(0, math.pi), places.draw(rng)
        spread = settings.diameter_sigma / math.sqrt(2)
        size, gain = rng.normal(0, spread), self.gain()
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
        aspect = min(math.exp(abs(rng.normal(0, settings.aspect_sd))), settings.aspect_limit)
        angle, mirrored = uniform(rng, (0, 2 * math.pi)), bool(rng.random() < 0.5)
        shape = int(shapes[rng.integers(len(shapes))])
        size = (diameter_mm / self.spacing_mm, diameter_mm * ratio)
        return InsertedMc(float(row), float(col), *size, aspect, angle, mirrored, shape, gain, cluster)

    def gain(self) -> float:
        """Gain that gives the median MC, blurred by the detector, the drawn peak contrast."""
        settings = self.settings
        attenuation = 0.675 * settings.diameter_mm * settings.thickness_ratio  # 6.75 / cm
        radius = settings.diameter_mm / 2 / self.spacing_mm
        kept = 1 - math.exp(-(radius**2) / (2 * 0.7**2))  # peak of a disc behind a Gaussian of 0.7 px
        return settings.contrast * math.exp(self.rng.normal(0, settings.contrast_sigma)) / (attenuation * kept)


def place_mc(mc: InsertedMc, placed: list[InsertedMc], allowed: np.ndarray, gap_px: float) -> None:
    """Add an MC to those placed if its centre is allowed and it keeps `gap_px` from each of them."""
    row, col = round(mc.row), round(mc.col)
    if not (0 <= row < allowed.shape[0] and 0 <= col < allowed.shape[1] and allowed[row, col]):
        return
    if all(math.hypot(mc.row - o.row, mc.col - o.col) > (mc.diameter + o.diameter) / 2 + gap_px for o in placed):
        placed.append(mc)
