"""Look-alikes and clutter: vessels, ligaments, calcified arteries, skin folds, clips, markers, bad pixels.

None of these is a microcalcification and none is labelled; they are what a detector must learn to leave alone.
All maps are log attenuation (added to the breast's) in the canonical frame.
"""

import math
from itertools import pairwise

import cv2
import numpy as np

from scripts.simulation.parameters import Rng, uniform
from scripts.simulation.phantom.outline import BreastMaps, contour_mm, nipple_mm, point_inside
from scripts.simulation.phantom.parameters import PhantomSpec
from scripts.simulation.phantom.physics import MU_ADIPOSE, MU_GLANDULAR, MU_LIGAMENT, MU_SKIN, mc_attenuation

Path = tuple[np.ndarray, np.ndarray]  # points (n, 2) mm, radii (n,) mm


def draw_structures(spec: PhantomSpec, breast: BreastMaps, rng: Rng) -> np.ndarray:
    """Sum of the attenuation (log units) of all structures inside the breast, full size float32."""
    kinds = spec.structures
    paths = [path for _ in range(kinds.vessel_trees) for path in vessel_tree(spec, rng)]
    out = np.zeros(spec.shape, np.float32)
    for points, radii in paths:  # chords through cylinders; joints united by the maximum
        for (start, end), radius in zip(pairwise(points), radii.tolist(), strict=False):
            _stamp(out, spec.spacing_mm, start, end, radius, 2.0 * radius)
    out *= np.float32((MU_GLANDULAR - MU_ADIPOSE) / 10.0 * 1.6)  # blood is about as dense as gland
    for _ in range(kinds.ligaments):
        _ligament(spec, out, rng)
    wide = [path for path in paths if path[1][0] > 0.35] or paths
    for _ in range(kinds.calcified_arteries if wide else 0):
        _calcified_artery(spec, out, wide[int(rng.integers(len(wide)))][0], rng)
    for _ in range(kinds.skin_folds):
        _skin_fold(spec, out, rng)
    out *= np.clip(breast.total / np.float32(8.0), 0.0, 1.0)
    for _ in range(kinds.clips):
        _clip(spec, out, rng)
    for _ in range(kinds.skin_markers):  # a round one (BB) of 1.5-2 mm
        centre = _random_point(spec, rng, 0.9)
        radius = uniform(rng, kinds.looks.marker_radius_range_mm)
        _path(spec, out, np.stack([centre, centre + 1e-3]), radius, np.full(2, 2.0))
    return out


def vessel_tree(spec: PhantomSpec, rng: Rng) -> list[Path]:
    """Centre lines and radii of one vessel with its generations of branches, from the chest wall to the nipple."""
    outline, looks = spec.outline, spec.structures.looks
    reach = 0.75 * min(outline.upper_mm, outline.centre_mm)
    row = outline.centre_mm + rng.uniform(-1, 1) * reach
    start = np.array([row, rng.uniform(*looks.vessel_start_range) * outline.depth_mm])
    target = np.array(nipple_mm(outline)) + rng.normal(0.0, looks.vessel_target_sd, 2) * outline.depth_mm
    heading = math.atan2(target[0] - start[0], target[1] - start[1]) + float(rng.normal(0.0, looks.vessel_heading_sd))
    thickness = uniform(rng, looks.vessel_radius_range_mm)
    length = looks.vessel_length * outline.depth_mm * uniform(rng, looks.vessel_length_range)
    todo, paths = [(start, heading, thickness, length, 1)], []
    while todo:
        point, angle, radius, length, generation = todo.pop()
        count = max(2, round(length / 1.5))
        points, heading = _curve(rng, point, angle, length, count, looks.vessel_bend_sd, looks.vessel_drift_sd)
        paths.append((points, np.linspace(radius, 0.88 * radius, count + 1)))
        if generation == looks.generations or radius < 0.05:
            continue
        split = uniform(rng, looks.branch_split_range)
        for share, side in ((1 - split, 1), (split, -1)):
            bend = uniform(rng, looks.branch_angle_range) * (1.4 * split if share > 0.5 else 1.0)
            thinner = 0.88 * radius * share ** (1 / 2.7)
            shorter = length * uniform(rng, looks.branch_length_range)
            todo.append((points[-1], heading + side * bend, thinner, shorter, generation + 1))
    return paths


def _stamp(
    target: np.ndarray, spacing: float, start: np.ndarray, end: np.ndarray, radius: float, height: float
) -> None:
    """Unite (by the maximum) with a segment of a round (chord) profile of `height`, softened to the pixel."""
    soft = math.hypot(radius, 0.45 * spacing)
    height *= radius / soft
    low = np.floor((np.minimum(start, end) - soft) / spacing).astype(int)
    high = np.ceil((np.maximum(start, end) + soft) / spacing).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, target.shape)
    if (low >= high).any():
        return
    rows = np.arange(low[0], high[0], dtype=np.float32)[:, None] * np.float32(spacing) - np.float32(start[0])
    cols = np.arange(low[1], high[1], dtype=np.float32)[None, :] * np.float32(spacing) - np.float32(start[1])
    dr, dc = float(end[0] - start[0]), float(end[1] - start[1])
    share = np.clip((rows * np.float32(dr) + cols * np.float32(dc)) / np.float32(dr * dr + dc * dc + 1e-9), 0.0, 1.0)
    distance2 = (rows - share * np.float32(dr)) ** 2 + (cols - share * np.float32(dc)) ** 2
    profile = np.float32(height) * np.sqrt(np.clip(1.0 - distance2 / np.float32(soft * soft), 0.0, None))
    view = target[low[0] : high[0], low[1] : high[1]]
    np.maximum(view, profile, out=view)


def _curve(
    rng: Rng, start: np.ndarray, angle: float, length: float, count: int, bend: float, drift: float
) -> tuple[np.ndarray, float]:
    """Points (count + 1, 2) of a line that bends by random angles (sd, rad per step); its last heading."""
    turns = angle + np.cumsum(rng.normal(0.0, bend, count)) + float(rng.normal(0, drift)) * np.arange(count)
    steps = (length / count) * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    return np.concatenate([start[None], start + np.cumsum(steps, axis=0)]), float(turns[-1])


def _random_point(spec: PhantomSpec, rng: Rng, reach: float = 0.95) -> np.ndarray:
    return np.clip(point_inside(rng, spec.outline, reach, (20, 341)), 0.0, np.array(spec.shape) * spec.spacing_mm)


def _path(spec: PhantomSpec, out: np.ndarray, points: np.ndarray, radius: float, heights: np.ndarray) -> None:
    """Add a line whose height varies along it, drawn into its own patch so that joints do not add up."""
    low = np.maximum(np.floor((points.min(axis=0) - radius) / spec.spacing_mm).astype(int) - 1, 0)
    high = np.minimum(np.ceil((points.max(axis=0) + radius) / spec.spacing_mm).astype(int) + 2, out.shape)
    if (low >= high).any():
        return
    patch = np.zeros(tuple(high - low), np.float32)
    for (start, end), height in zip(pairwise(points - low * spec.spacing_mm), heights.tolist(), strict=False):
        _stamp(patch, spec.spacing_mm, start, end, radius, height)
    out[low[0] : high[0], low[1] : high[1]] += patch


def _ligament(spec: PhantomSpec, out: np.ndarray, rng: Rng) -> None:
    """A sheet seen edge-on: 0.2-0.4 mm wide, 1-4 mm deep along the beam, often running to the nipple."""
    looks, start, nipple = spec.structures.looks, _random_point(spec, rng), nipple_mm(spec.outline)
    towards = math.atan2(nipple[0] - start[0], nipple[1] - start[1])
    if rng.random() < looks.ligament_to_nipple_share:
        angle = towards + float(rng.normal(0.0, looks.ligament_heading_sd))
    else:
        angle = uniform(rng, (0, 2 * math.pi))
    length = min(uniform(rng, looks.ligament_length_range_mm), 0.4 * spec.outline.depth_mm)
    points, _ = _curve(rng, start, angle, length, max(3, round(length / 1.2)), 0.09, 0.09 / 3)
    taper = np.sin(np.linspace(0.15, math.pi - 0.15, len(points)))
    depth_mm = min(looks.ligament_depth_limit_mm, float(rng.gamma(looks.ligament_depth_shape, 1.0)))
    heights = (MU_LIGAMENT - MU_ADIPOSE) / 10.0 * depth_mm * taper
    _path(spec, out, points, uniform(rng, looks.ligament_radius_range_mm), heights)


def _calcified_artery(spec: PhantomSpec, out: np.ndarray, points: np.ndarray, rng: Rng) -> None:
    """Two broken lines 0.1-0.2 mm wide and 1-2 mm apart along a vessel."""
    looks = spec.structures.looks
    fine = np.linspace(0, len(points) - 1, 3 * len(points))
    dense = np.stack([np.interp(fine, np.arange(len(points)), points[:, k]) for k in range(2)], axis=1)
    tangent = np.gradient(dense, axis=0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    gap = uniform(rng, looks.artery_gap_range_mm)
    for side in (-1, 1):
        wall = dense + side * gap * normal
        strength = cv2.GaussianBlur(rng.standard_normal((len(wall), 1)), (1, 0), 1.2, sigmaY=1.2)[:, 0]
        thickness = looks.artery_thickness_mm + looks.artery_thickness_sd * strength
        heights = mc_attenuation(np.clip(thickness, 0.0, looks.artery_thickness_limit_mm))
        _path(spec, out, wall, uniform(rng, looks.artery_radius_range_mm), heights)


def _skin_fold(spec: PhantomSpec, out: np.ndarray, rng: Rng) -> None:
    """A broad band (1.5-3 mm) with a sharp outer edge near the upper or lower end of the chest wall."""
    looks, contour = spec.structures.looks, contour_mm(spec.outline)
    index = int(rng.integers(len(contour) // 12, len(contour) // 5))
    start = contour[index if rng.random() < 0.5 else -index]
    start = np.clip(start, 0.0, np.array(spec.shape) * spec.spacing_mm)
    inward = math.atan2(spec.outline.centre_mm - start[0], 0.3 * spec.outline.depth_mm - start[1])
    angle, length = inward + float(rng.normal(0, looks.fold_heading_sd)), 0.28 * spec.outline.depth_mm
    points, _ = _curve(rng, start, angle, length, max(3, round(length / 1.2)), 0.05, 0.05 / 3)
    depth_mm = uniform(rng, looks.fold_depth_range_mm)
    heights = (MU_SKIN - MU_ADIPOSE) / 10.0 * depth_mm * np.linspace(1.0, 0.05, len(points))
    for shift, radius in ((0.0, 1.4), (0.5, 0.7)):
        _path(spec, out, points + shift, radius, heights)


def _clip(spec: PhantomSpec, out: np.ndarray, rng: Rng) -> None:
    """A metal biopsy clip: a bent wire of 0.35 mm, about 3 mm long, nearly opaque."""
    looks = spec.structures.looks
    points, angle = [_random_point(spec, rng, 0.7)], uniform(rng, (0, 2 * math.pi))
    for _ in range(3):
        step = uniform(rng, looks.clip_step_range_mm)
        points.append(points[-1] + step * np.array([math.sin(angle), math.cos(angle)]))
        angle += float(rng.choice([-1.0, 1.0])) * uniform(rng, looks.clip_turn_range)
    _path(spec, out, np.stack(points), 0.2, np.full(4, 2.5))


def bad_pixels(spec: PhantomSpec, quanta: np.ndarray, rng: Rng) -> None:
    """Dead or hot pixels and specks of dust before the detector, in place."""
    looks = spec.structures.looks
    for _ in range(spec.structures.dead_pixels):
        row, col = int(rng.integers(quanta.shape[0])), int(rng.integers(quanta.shape[1]))
        quanta[row, col] *= np.float32(rng.choice(looks.dead_pixel_factors))
    for _ in range(spec.structures.dust):
        row, col = int(rng.integers(2, quanta.shape[0] - 4)), int(rng.integers(2, quanta.shape[1] - 4))
        size = rng.integers(looks.dust_size_range_px[0], looks.dust_size_range_px[1] + 1, 2)
        quanta[row : row + size[0], col : col + size[1]] *= np.float32(rng.uniform(*looks.dust_range))


def draw_view_marker(image: np.ndarray, spec: PhantomSpec) -> None:
    """Side and view as bright letters in the air beside the breast, in place; image in its final orientation."""
    if not spec.structures.view_marker:
        return
    height = max(8, round(0.022 * image.shape[0]))
    font, thick, text = cv2.FONT_HERSHEY_DUPLEX, max(1, height // 9), spec.laterality + spec.view
    scale = cv2.getFontScaleFromHeight(font, height, thick)
    (width, _), _ = cv2.getTextSize(text, font, scale, thick)
    margin = max(3, height // 2)
    row, col = margin + height, image.shape[1] - margin - width if spec.laterality == "L" else margin
    box = image[max(0, row - height - 2) : row + 4, max(0, col - 2) : col + width + 2]
    if box.size and float(box.max()) > 0.02:  # never over the breast
        return
    canvas = np.zeros(image.shape, np.uint8)
    cv2.putText(canvas, text, (col, row), font, scale, 255, thick, lineType=cv2.LINE_AA)
    np.maximum(image, canvas.astype(np.float32) * np.float32(0.9 / 255), out=image)
