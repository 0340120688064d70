"""Calcified arteries ("tram tracks"): a bent vessel of some centimetres, plaques along both of its walls.

`sample_artery` draws one at random, `draw_artery` renders it. Nothing of it is a microcalcification that readers count.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from scripts.simulation.insertion.sampling import Places
from scripts.simulation.insertion.strokes import Line, Stroke, draw_strokes, white_damping
from scripts.simulation.parameters import Parameters, Range, Rng, between, log_between, uniform

STEP_MM = 0.25  # between the points of a centreline
#: Of a patch's density of plaques, either way. A line much shorter than `patch_length_mm` has one density along all of
#: it, and its logarithm is far beyond: e to this power is no plaques or no gaps at all, and a number.
MOST_LOG_DENSITY = 50.0


@dataclass(frozen=True)
class ArterySettings(Parameters):
    """How arteries are drawn. Lengths in mm."""

    length_range_mm: Range = (25.0, 70.0)  # of the vessel that is calcified
    bend_sd: float = 0.035  # of the curvature, per mm
    bend_length_mm: float = 8.0  # over which the curvature changes
    gap_range_mm: Range = (1.0, 3.0)  # distance of the two walls' axes
    taper_range: Range = (0.7, 1.0)  # gap at the far end over gap at the near one
    plaque_mm: float = 1.2  # median length of a plaque along the wall
    plaque_sd: float = 0.7  # its sd in log units
    plaque_range_mm: Range = (0.3, 6.0)
    free_range_mm: Range = (0.3, 1.8)  # median length without plaque, drawn per artery: heavily to lightly calcified
    patch_length_mm: float = 8.0  # over which the density of plaques varies
    patch_sd: float = 0.8  # log of that density
    width_range_mm: Range = (0.2, 0.6)  # of a plaque across the wall
    thickness_range: Range = (0.3, 1.3)  # along the beam, over the width
    faint_sd: float = 0.5  # log of a plaque's gain about its artery's
    scatter_mm: float = 0.15  # sd of a plaque's distance from its wall
    grain_range: Range = (0.6, 1.0)  # unevenness of plaques
    contrast_range: Range = (0.5, 1.5)  # gain, presentation units per log unit
    tube_range: Range = (0.0, 0.05)  # peak contrast of the vessel's soft tissue, units of the [0, 1] range
    sheet_share: float = 0.3  # of arteries with faint plaques across their whole width as well
    ring_rate: float = 0.25  # mean number of rings (a branch seen end-on)
    branch_share: float = 0.35  # of arteries with a side branch


@dataclass(frozen=True)
class CalcifiedArtery:
    """One artery to draw, px."""

    centrelines: tuple[Line, ...]  # of the vessel and its branches, (row, col)
    gaps: tuple[float, ...]  # distance of each one's walls
    plaques: tuple[Stroke, ...]
    tube_contrast: float


def sample_artery(rng: Rng, allowed: np.ndarray, spacing_mm: float, settings: ArterySettings) -> CalcifiedArtery | None:
    """Draw an artery that stays where `allowed`, bool (rows, cols); None where no place was found in 100 tries."""
    places = Places(allowed)
    length = between(rng, settings.length_range_mm)
    for attempt in range(100 if len(places) else 0):
        wanted = length * (1 - attempt / 200)
        line = _centreline(rng, places.draw(rng), rng.uniform(0, 2 * math.pi), wanted, spacing_mm, settings)
        if _inside(line, allowed):
            break
    else:
        return None
    return _calcified(rng, line, length, spacing_mm, settings, allowed)


def sample_artery_through(
    rng: Rng, allowed: np.ndarray, spacing_mm: float, settings: ArterySettings
) -> CalcifiedArtery | None:
    """Draw an artery through a place where `allowed`, bool (rows, cols); it may leave the image, as in a patch.

    None where nothing is allowed.
    """
    places = Places(allowed)
    if not len(places):
        return None
    length = between(rng, settings.length_range_mm)
    line = _centreline(rng, np.zeros(2), rng.uniform(0, 2 * math.pi), length, spacing_mm, settings)
    line += places.draw(rng) - line[int(rng.integers(len(line)))]
    artery = _calcified(rng, line, length, spacing_mm, settings)
    reach = np.array(allowed.shape) + 20
    plaques = tuple(
        plaque
        for plaque in artery.plaques
        if (np.array(plaque.line).max(0) > -20).all() and (np.array(plaque.line).min(0) < reach).all()
    )
    return replace(artery, plaques=plaques)


def _calcified(
    rng: Rng,
    line: np.ndarray,
    length: float,
    spacing_mm: float,
    settings: ArterySettings,
    allowed: np.ndarray | None = None,
) -> CalcifiedArtery:
    """An artery along a centreline, (n, 2) px; its branch stays where `allowed`, if that is given."""
    gap = log_between(rng, settings.gap_range_mm)
    gain, free = log_between(rng, settings.contrast_range), log_between(rng, settings.free_range_mm)
    lines, gaps = [line], [gap]
    if rng.random() < settings.branch_share:
        start = line[int(rng.integers(len(line) // 4, 3 * len(line) // 4))]
        ahead = line[-1] - line[0]
        angle = math.atan2(ahead[0], ahead[1]) + float(rng.choice([-1, 1])) * rng.uniform(0.5, 1.1)
        branch = _centreline(rng, start, angle, length * rng.uniform(0.3, 0.6), spacing_mm, settings)
        if allowed is None or _inside(branch, allowed):
            lines, gaps = [line, branch], [gap, 0.7 * gap]
    plaques: list[Stroke] = []
    for centre, width in zip(lines, gaps, strict=True):
        plaques += _plaques(rng, centre, width, free, gain, spacing_mm, settings)
    for _ in range(int(rng.poisson(settings.ring_rate))):
        plaques.append(_ring(rng, line[rng.integers(len(line))], gap, gain, spacing_mm, settings))
    curves = tuple(tuple(map(tuple, centre.tolist())) for centre in lines)
    return CalcifiedArtery(
        curves, tuple(g / spacing_mm for g in gaps), tuple(plaques), uniform(rng, settings.tube_range)
    )


def draw_artery(
    image: np.ndarray, artery: CalcifiedArtery, blur_px: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add an artery to a [0, 1] image, float32 (rows, cols).

    Gives the new image, clipped at 1, the mask of its plaques, and that of the whole vessel, walls included, bool.
    """
    base = cv2.GaussianBlur(image, (0, 0), 4.0)
    tube, vessel = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.uint8)
    for line, gap in zip(artery.centrelines, artery.gaps, strict=True):
        points = [np.round(np.array(line)[:, ::-1] * 16).astype(np.int32)]
        body = np.zeros(image.shape, np.uint8)
        cv2.polylines(body, points, False, 1, max(1, round(gap)), cv2.LINE_8, 4)
        depth = np.minimum(cv2.distanceTransform(body, cv2.DIST_L2, 3) / np.float32(max(gap / 2, 1)), 1)
        np.maximum(tube, np.sqrt(1 - (1 - depth) ** 2) * body, out=tube)
        cv2.polylines(vessel, points, False, 1, max(1, round(gap * 1.2 + 8)), cv2.LINE_8, 4)
    soft = cv2.GaussianBlur(tube, (0, 0), 1.5) * np.float32(artery.tube_contrast)
    result, plaques = draw_strokes(image + soft * white_damping(base), artery.plaques, blur_px, base)
    return np.clip(result, 0, 1), plaques, vessel.astype(bool) | plaques


def _centreline(
    rng: Rng, start: np.ndarray, angle: float, length_mm: float, spacing_mm: float, settings: ArterySettings
) -> np.ndarray:
    """Points (n, 2) px, `STEP_MM` apart, of a curve whose curvature is a smooth random function of length."""
    steps = max(8, round(length_mm / STEP_MM))
    sigma = settings.bend_length_mm / STEP_MM
    bend = gaussian_filter1d(rng.standard_normal(steps + round(8 * sigma)), sigma)[round(4 * sigma) :][:steps]
    bend *= settings.bend_sd * math.sqrt(2 * math.sqrt(math.pi) * sigma)  # unit sd before the factor
    heading = angle + np.cumsum(bend) * STEP_MM
    moves = np.stack([np.sin(heading), np.cos(heading)], 1) * (STEP_MM / spacing_mm)
    return start + np.cumsum(moves, 0)


def _inside(line: np.ndarray, allowed: np.ndarray) -> bool:
    rows, cols = np.round(line).astype(int).T
    within = (rows >= 0) & (rows < allowed.shape[0]) & (cols >= 0) & (cols < allowed.shape[1])
    return bool(within.all() and allowed[rows, cols].all())


def _plaques(
    rng: Rng,
    centre: np.ndarray,
    gap_mm: float,
    free_mm: float,
    gain: float,
    spacing_mm: float,
    settings: ArterySettings,
) -> list[Stroke]:
    """Plaques and free stretches in turn along each wall; both walls share the regions that are calcified more."""
    along = np.gradient(centre, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.hypot(*along.T)[:, None]
    gaps = gap_mm * np.linspace(1, between(rng, settings.taper_range), len(centre)) / spacing_mm
    sigma = settings.patch_length_mm / STEP_MM
    patch = gaussian_filter1d(rng.standard_normal(len(centre) + 1), sigma, mode="wrap")
    patch = np.exp(np.clip(settings.patch_sd * patch / max(patch.std(), 1e-9), -MOST_LOG_DENSITY, MOST_LOG_DENSITY))
    sheets = rng.random() < settings.sheet_share
    strokes = []
    for side in (-0.5, 0.5) + ((0.0,) if sheets else ()):
        place = rng.exponential(free_mm) / STEP_MM
        while place < len(centre) - 2:
            length = float(np.clip(log_normal(rng, settings.plaque_mm, settings.plaque_sd), *settings.plaque_range_mm))
            first, last = int(place), min(len(centre), int(place + max(2, length / STEP_MM)) + 1)
            if last - first >= 2:
                shift = side * gaps[first:last, None] + rng.normal(0, settings.scatter_mm) / spacing_mm
                line = centre[first:last] + shift * normal[first:last]
                width = log_between(rng, settings.width_range_mm) if side else gap_mm * rng.uniform(0.4, 0.9)
                thickness = width * between(rng, settings.thickness_range) if side else rng.uniform(0.03, 0.12)
                own = gain * math.exp(rng.normal(0, settings.faint_sd))
                strokes.append(_stroke(rng, line, width, thickness, own, spacing_mm, settings))
            free = log_normal(rng, free_mm, settings.plaque_sd) / patch[min(first, len(centre) - 1)]
            place = last + free / STEP_MM
    return strokes


def _ring(
    rng: Rng, centre: np.ndarray, gap_mm: float, gain: float, spacing_mm: float, settings: ArterySettings
) -> Stroke:
    """A vessel seen end-on."""
    turns, radius = np.linspace(0, 2 * math.pi, 24, endpoint=False), rng.uniform(0.5, 1.0) * gap_mm / 2 / spacing_mm
    place = centre + rng.normal(0, gap_mm / spacing_mm, 2)
    line = place + radius * np.stack([np.sin(turns), np.cos(turns) * rng.uniform(0.7, 1)], 1)
    width = settings.width_range_mm[0]
    return _stroke(rng, line, width, 2 * width, gain, spacing_mm, settings, closed=True)


def _stroke(
    rng: Rng,
    line: np.ndarray,
    width_mm: float,
    thickness_mm: float,
    gain: float,
    spacing_mm: float,
    settings: ArterySettings,
    closed: bool = False,
) -> Stroke:
    points = tuple(map(tuple, line.tolist()))
    grain, seed = between(rng, settings.grain_range), int(rng.integers(2**31))
    return Stroke(points, width_mm / spacing_mm, thickness_mm, gain, grain, 0.12 / spacing_mm, seed, closed)


def log_normal(rng: Rng, median: float, sd: float) -> float:
    """A number with a lognormal distribution."""
    return median * math.exp(rng.normal(0, sd))
