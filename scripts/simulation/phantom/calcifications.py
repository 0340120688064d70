"""Microcalcifications: where they lie, how large they are, what they look like at 8x subpixels.

Sizes and numbers are those of `McRanges`: outlined MCs; thickness over diameter is 0.40 / 0.69 / 1.08 and length over
width 1.2 / 1.67 / 2.8 at the 10th / 50th / 90th percentile (specimen micro-CT).
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from scripts.simulation.parameters import Rng, uniform, whole
from scripts.simulation.phantom.outline import inside_fraction_mm, point_inside
from scripts.simulation.phantom.parameters import FULL_FIELD, McRanges, McSpec, OutlineSpec, Primitive
from scripts.simulation.phantom.physics import detector_pixels, mc_attenuation

SUBPIXELS = 8
McPatch = tuple[int, int, np.ndarray, np.ndarray]  # top, left, transmission or signal, label
Window = tuple[slice, ...]


def sample_mcs(rng: Rng, outline: OutlineSpec, field: tuple[float, float], ranges: McRanges) -> tuple[McSpec, ...]:
    """Clusters and scattered singles inside the breast, away from the skin and the image's border."""
    scale = min(1.0, math.sqrt(field[0] * field[1] / FULL_FIELD) * 1.5)
    mcs: list[McSpec] = []
    margin = min(3.0, 0.04 * min(field))

    def is_free(row: float, col: float) -> bool:
        """Inside the breast and the image, and away from every MC before."""
        inside = margin < row < field[0] - margin and margin < col < field[1] - margin
        inside = inside and inside_fraction_mm(outline, row, col) <= ranges.most_reach
        return inside and all((row - mc.row_mm) ** 2 + (col - mc.col_mm) ** 2 > ranges.gap_mm**2 for mc in mcs)

    def add(points: np.ndarray, cluster: int, shares: tuple[float, ...], size: float) -> None:
        for row, col in points.tolist():
            if is_free(row, col):
                shape = str(rng.choice(list(SHAPES), p=shares))
                mcs.append(_sample_mc(rng, row, col, cluster, shape, size, ranges))

    for cluster in range(1, 1 + whole(rng, (1, max(2, round(ranges.most_clusters * scale))))):
        least, most = ranges.count_range
        count = whole(rng, (least, max(least + 3, round(most * scale))))
        centre = point_inside(rng, outline, ranges.cluster_reach, (45, 315), 0.02)
        points = _cluster_points(rng, outline, centre, count, scale, ranges)
        shift = uniform(rng, (-ranges.cluster_size_shift, ranges.cluster_size_shift))
        add(points, cluster, ranges.cluster_shares, shift)
    number = int(rng.poisson(ranges.singles_least + ranges.singles_rate * scale**2))
    singles = [point_inside(rng, outline, ranges.single_reach, (45, 315), 0.02) for _ in range(number)]
    add(np.array(singles).reshape(-1, 2), 0, ranges.single_shares, 0.0)
    return tuple(mcs)


def _sample_mc(rng: Rng, row: float, col: float, cluster: int, shape: str, size: float, ranges: McRanges) -> McSpec:
    """One MC; `size` is the cluster's own shift of the mean log diameter (MCs of one cluster are alike)."""
    spread = math.sqrt(ranges.diameter_sd**2 - ranges.cluster_size_shift**2 / 3) if size else ranges.diameter_sd
    diameter = float(np.clip(ranges.diameter_mm * math.exp(rng.normal(size, spread)), *ranges.diameter_range_mm))
    # The diameters are those of MCs that readers outline, the ratios those of all MCs of specimens: of a few draws
    # take the first that is thick enough to be outlined, else the thickest.
    ratios = ranges.thickness_ratio * np.exp(rng.normal(0.0, ranges.thickness_sd, ranges.outlined_draws))
    ratios = np.clip(ratios, *ranges.thickness_range)
    outlined = ratios * diameter >= ranges.outlined_mm
    ratio = float(ratios[np.argmax(outlined)] if outlined.any() else ratios.max())
    longer = math.exp(rng.normal(math.log(ranges.elongation), ranges.elongation_sd))
    aspect = float(np.clip(1.0 + longer, *ranges.aspect_range))
    aspect = min(aspect, ranges.rim_aspect) if shape == "rim" else aspect
    angle = uniform(rng, (0, math.pi))
    return McSpec(row, col, diameter, 1000.0 * diameter * ratio, angle, aspect, shape, SHAPES[shape](rng), cluster)


def sample_near(rng: Rng, mcs: Sequence[McSpec], count: int, ranges: McRanges) -> list[McSpec]:
    """Up to `count` more MCs, each beside an old one as neighbours of a cluster are, of the old one's cluster."""
    found: list[McSpec] = []
    for _ in range(20 * count if mcs else 0):
        beside = mcs[int(rng.integers(len(mcs)))]
        angle, distance = uniform(rng, (0, 2 * math.pi)), uniform(rng, (1.0, 3.0)) * ranges.neighbour_mm
        row, col = beside.row_mm + distance * math.sin(angle), beside.col_mm + distance * math.cos(angle)
        if min(math.hypot(row - mc.row_mm, col - mc.col_mm) for mc in (*mcs, *found)) > 2 * ranges.gap_mm:
            shape = str(rng.choice(list(SHAPES), p=ranges.cluster_shares))
            found.append(_sample_mc(rng, row, col, beside.cluster, shape, 0.0, ranges))
        if len(found) == count:
            break
    return found


def _ellipsoids(rng: Rng) -> tuple[Primitive, ...]:
    parts = [(0.0, 0.0, 1.0, uniform(rng, (0.8, 1.0)), 0.0, 1.0)]
    for _ in range(int(rng.integers(1, 5))):
        angle, radius = uniform(rng, (0, 2 * math.pi)), uniform(rng, (0.3, 0.9))
        a, b = rng.uniform(0.35, 0.8, 2).tolist()
        spin = uniform(rng, (0, math.pi))
        parts.append((radius * math.sin(angle), radius * math.cos(angle), a, b, spin, uniform(rng, (0.5, 1.0))))
    return tuple(parts)


def _polyline(rng: Rng, start: np.ndarray, angle: float, length: float) -> list[Primitive]:
    """Overlapping ellipsoids along a gently bent line."""
    parts, point = [], start.copy()
    for _ in range(max(2, round(length / 0.35))):
        width = uniform(rng, (0.24, 0.36))
        parts.append((*point.tolist(), width, width * 1.5, -angle, uniform(rng, (0.7, 1.0))))
        angle += float(rng.normal(0.0, 0.18))
        point = point + 0.35 * np.array([math.sin(angle), math.cos(angle)])
    return parts


def _rod(rng: Rng) -> tuple[Primitive, ...]:
    return tuple(_polyline(rng, np.array([0.0, -1.0]), 0.0, 2.0))


def _branching(rng: Rng) -> tuple[Primitive, ...]:
    parts = _polyline(rng, np.array([0.0, -1.2]), 0.0, 1.4)
    fork = np.array(parts[-1][:2])
    for sign in (-1, 1):
        parts += _polyline(rng, fork, sign * uniform(rng, (0.4, 0.9)), uniform(rng, (0.7, 1.3)))
    return tuple(parts)


def _rim(rng: Rng) -> tuple[Primitive, ...]:
    inner = uniform(rng, (0.6, 0.8))
    return ((0.0, 0.0, 1.0, 1.0, 0.0, 1.0), (0.0, 0.0, inner, inner, 0.0, -inner))


SHAPES = {"ellipsoids": _ellipsoids, "rod": _rod, "branching": _branching, "rim": _rim}


def _cluster_points(
    rng: Rng, outline: OutlineSpec, centre: np.ndarray, count: int, scale: float, ranges: McRanges
) -> np.ndarray:
    """`count` points in an ellipse sized for nearest neighbours of about 1 mm; long clusters point at the nipple."""
    neighbour = math.exp(rng.normal(math.log(ranges.neighbour_mm), ranges.neighbour_sd))
    neighbour = float(np.clip(neighbour, *ranges.neighbour_range_mm))
    max_mm = ranges.extent_range_mm[1] * scale
    area = count * (2.0 * neighbour) ** 2
    diameter = float(np.clip(2.0 * math.sqrt(area / math.pi), min(ranges.extent_range_mm[0], max_mm), max_mm))
    stretch = float(np.clip(math.exp(abs(rng.normal(0.0, ranges.stretch_sd))), 1.0, ranges.stretch_limit))
    to_nipple = np.array([outline.centre_mm, outline.depth_mm]) - centre
    angle = math.atan2(to_nipple[0], to_nipple[1]) + float(rng.normal(0.0, ranges.heading_sd))
    radius = 0.5 * diameter * np.sqrt(rng.random(count)) ** 1.15
    turn = rng.uniform(0, 2 * math.pi, count)
    along, across = radius * np.cos(turn) * math.sqrt(stretch), radius * np.sin(turn) / math.sqrt(stretch)
    rows = centre[0] + along * math.sin(angle) + across * math.cos(angle)
    cols = centre[1] + along * math.cos(angle) - across * math.sin(angle)
    return np.stack([rows, cols], axis=1)


def unit_thickness(primitives: tuple[Primitive, ...], rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Thickness of an MC's shape at (rows, cols) of its own unit frame, before aspect and rotation.

    Positive ellipsoids are united (maximum of their chords), cavities are subtracted.
    """
    solid = np.zeros(np.broadcast(rows, cols).shape, np.float32)
    cavity = np.zeros_like(solid)
    for row, col, a, b, angle, height in primitives:
        dr, dc = rows - row, cols - col
        sine, cosine = math.sin(angle), math.cos(angle)
        rho2 = ((dr * cosine + dc * sine) / a) ** 2 + ((dc * cosine - dr * sine) / b) ** 2
        chord = abs(height) * np.sqrt(np.clip(1.0 - rho2, 0.0, None))
        if height > 0:
            np.maximum(solid, chord, out=solid)
        else:
            cavity += chord
    return np.clip(solid - cavity, 0.0, None)


def mc_thickness_mm(mc: McSpec, rows_mm: np.ndarray, cols_mm: np.ndarray) -> np.ndarray:
    """Thickness (mm) of an MC at offsets (mm) from its centre.

    Scaled so that the filled area over half of the peak has the equivalent diameter `mc.diameter_mm`.
    """
    axis = np.linspace(-2.6, 2.6, 105)
    unit = unit_thickness(mc.primitives, axis[:, None], axis[None, :])
    peak = float(unit.max())
    area = float(ndimage.binary_fill_holes(unit > 0.5 * peak).sum()) * (axis[1] - axis[0]) ** 2
    unit_mm = mc.diameter_mm / 2.0 / math.sqrt(area / math.pi)
    sine, cosine, stretch = math.sin(mc.angle), math.cos(mc.angle), math.sqrt(mc.aspect)
    along, across = rows_mm * sine + cols_mm * cosine, rows_mm * cosine - cols_mm * sine
    thickness = unit_thickness(mc.primitives, across / unit_mm * stretch, along / unit_mm / stretch)
    return thickness * (mc.thickness_um / 1000.0 / peak)


def mc_patch(mc: McSpec, spacing_mm: float, blur_px: float) -> McPatch:
    """Render one MC through the detector's aperture and blur: first row, first column, transmission, label.

    The transmission is relative (1 = no MC). The label has the filled pixels whose attenuation is over half of the
    MC's peak; it is never empty.
    """
    half = math.ceil((2.2 * mc.diameter_mm * math.sqrt(mc.aspect) + 3.0 * blur_px * spacing_mm) / spacing_mm) + 2
    top, left = round(mc.row_mm / spacing_mm) - half, round(mc.col_mm / spacing_mm) - half
    fine = (np.arange((2 * half + 1) * SUBPIXELS) + 0.5) / SUBPIXELS - 0.5
    rows = (fine + top) * spacing_mm - mc.row_mm
    cols = (fine + left) * spacing_mm - mc.col_mm
    thickness = mc_thickness_mm(mc, rows[:, None], cols[None, :])
    transmission = detector_pixels(np.exp(-mc_attenuation(thickness)), blur_px, SUBPIXELS)
    signal = -np.log(transmission)
    label = ndimage.binary_fill_holes(signal > 0.5 * signal.max())
    return top, left, transmission.astype(np.float32), label


def assign_instances(shape: tuple[int, int], patches: Iterable[tuple[int, *McPatch]]) -> np.ndarray:
    """Map (uint16) of the ids of patches (id, top, left, signal, label): a pixel is the MC's of the strongest signal.

    An MC whose pixels all went to others keeps its own peak.
    """
    instances, strength = np.zeros(shape, np.uint16), np.zeros(shape, np.float32)
    peaks: dict[int, tuple[int, int]] = {}
    for number, top, left, signal, label in patches:
        window, part = clip_window(top, left, label.shape, shape)
        if not label[part].any():
            continue
        values = np.where(label[part], signal[part], -np.inf)
        row, col = np.unravel_index(np.argmax(values), values.shape)
        peaks[number] = (int(window[0].start + row), int(window[1].start + col))
        wins = values > strength[window]
        instances[window][wins], strength[window][wins] = number, values[wins]
    owners = set(np.unique(instances).tolist())
    for number, peak in peaks.items():
        if number not in owners:
            instances[peak] = number
    return instances


def clip_window(top: int, left: int, size: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Window, Window]:
    """Where a piece whose first pixel is (top, left) lies in an image, and which part of the piece that is."""
    first = np.array([top, left])
    low, high = np.clip(first, 0, shape), np.clip(first + size, 0, shape)
    return tuple(map(slice, low, high)), tuple(map(slice, low - first, high - first))
