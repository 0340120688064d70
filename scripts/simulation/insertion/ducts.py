"""MCs of linear and segmental clusters: along one duct, or along the ducts of one segment of the breast.

The most suspicious clusters lie on lines, as calcified arteries do: shorter, irregular, branching, without walls.
"""

import math
from dataclasses import dataclass

import numpy as np

from scripts.simulation.insertion.sampling import InsertedMc, InsertionSettings, McDraw, Places, place_mc
from scripts.simulation.insertion.shapes import KINDS, ShapeBank
from scripts.simulation.parameters import Parameters, Range, Rng, between, log_between

LINEAR, SEGMENTAL = "linear", "segmental"


@dataclass(frozen=True)
class DuctSettings(Parameters):
    """How clusters along ducts are drawn. Lengths in mm."""

    linear_range_mm: Range = (8.0, 30.0)  # length of a linear cluster
    segment_range_mm: Range = (20.0, 50.0)  # of a segmental one
    spread_range_rad: Range = (0.25, 0.7)  # opening angle of a segment
    ducts_range: tuple[int, int] = (3, 6)  # of a segment
    step_range_mm: Range = (0.9, 2.2)  # mean distance of MCs along a duct
    across_sd_mm: float = 0.35  # off the duct's axis
    bend_sd: float = 0.02  # curvature of a duct, per mm
    branch_share: float = 0.5  # of ducts that fork once
    cast_share: float = 0.5  # of MCs that are casts (linear or branching) along the duct
    heading_sd: float = 0.3  # rad, of a cast about its duct
    #: Share of each of `KINDS` among the other MCs.
    shares: tuple[float, ...] = (0.2, 0.45, 0.3, 0.0, 0.0, 0.05, 0.0)


def sample_ducts(
    rng: Rng,
    allowed: np.ndarray,
    spacing_mm: float,
    kind: str,
    number: int,
    bank: ShapeBank,
    settings: DuctSettings,
    insertion: InsertionSettings,
    placed: list[InsertedMc],
) -> None:
    """Add the MCs of a "linear" or "segmental" cluster, its number `number`, to those placed, where `allowed`."""
    places, draw = Places(allowed), McDraw(rng, spacing_mm, bank, insertion)
    if not len(places):
        return
    start, heading = places.draw(rng), rng.uniform(0, 2 * math.pi)
    if kind == LINEAR:
        ducts = [(heading, between(rng, settings.linear_range_mm))]
    else:
        count = int(rng.integers(*settings.ducts_range, endpoint=True))
        spread, length = between(rng, settings.spread_range_rad), between(rng, settings.segment_range_mm)
        turns = heading + np.linspace(-0.5, 0.5, count) * spread + rng.normal(0, 0.04, count)
        ducts = [(float(turn), length * rng.uniform(0.5, 1)) for turn in turns]
    size, gain, step = rng.normal(0, insertion.diameter_sigma / 2), draw.gain(), between(rng, settings.step_range_mm)
    for turn, length in ducts:
        first = 0.0 if kind == LINEAR else rng.uniform(0.15, 0.4) * length
        points = _duct(rng, turn, length, spacing_mm, settings)
        for row, col, angle in _stations(rng, points, first, step, spacing_mm, settings):
            shape = str(rng.choice(["linear", "branching"], p=[0.75, 0.25]))
            is_cast = rng.random() < settings.cast_share
            own = KINDS.index(shape) if is_cast else int(rng.choice(len(KINDS), p=settings.shares))
            deviation = size + rng.normal(0, insertion.diameter_sigma / 2)
            mc = draw.mc(start[0] + row, start[1] + col, deviation, gain, own, number)
            if is_cast:
                mc = _turned(mc, angle + float(rng.normal(0, settings.heading_sd)))
            place_mc(mc, placed, allowed, insertion.gap_px)


def _turned(mc: InsertedMc, angle: float) -> InsertedMc:
    return InsertedMc(**{**mc.__dict__, "angle": angle})


def _duct(rng: Rng, heading: float, length_mm: float, spacing_mm: float, settings: DuctSettings) -> np.ndarray:
    """Points of a duct from its start, and of its fork: (n, 4) row, col (px), heading, mm from the start."""
    step_mm = 0.25

    def path(row: float, col: float, angle: float, start_mm: float, bend: float) -> np.ndarray:
        along = np.arange(max(2, round((length_mm - start_mm) / step_mm))) * step_mm
        angles = angle + bend * along
        rows, cols = (np.cumsum(f(angles)) * step_mm / spacing_mm for f in (np.sin, np.cos))
        return np.stack([row + rows, col + cols, angles, start_mm + along], 1)

    main = path(0.0, 0.0, heading, 0.0, float(rng.normal(0, settings.bend_sd)))
    if rng.random() >= settings.branch_share:
        return main
    row, col, angle, start_mm = main[int(rng.integers(len(main) // 4, 3 * len(main) // 4))]
    turn = angle + float(rng.choice([-1, 1])) * rng.uniform(0.3, 0.8)
    return np.vstack([main, path(row, col, turn, start_mm, float(rng.normal(0, settings.bend_sd)))])


def _stations(
    rng: Rng, points: np.ndarray, first_mm: float, step_mm: float, spacing_mm: float, settings: DuctSettings
) -> np.ndarray:
    """Places of MCs, (n, 3) row, col (px), heading: at uneven distances along the duct, a little off its axis."""
    points = points[points[:, 3] >= first_mm]
    chosen, place = [], rng.uniform(0, step_mm / 0.25)
    while place < len(points):
        chosen.append(int(place))
        place += max(0.4, log_between(rng, (0.4 * step_mm, 2.2 * step_mm))) / 0.25
    rows, cols, angles, _ = points[chosen].T if chosen else np.zeros((4, 0))
    off = rng.normal(0, settings.across_sd_mm / spacing_mm, len(chosen))
    return np.stack([rows + off * np.cos(angles), cols - off * np.sin(angles), angles], 1)
