"""Breast outline, compressed thickness, skin and pectoral muscle of the phantom (canonical left breast)."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from scripts.simulation.parameters import Rng
from scripts.simulation.phantom.parameters import OutlineSpec, PhantomSpec


class BreastMaps(NamedTuple):
    """Maps (rows, cols), float32, mm: depth under the skin line (negative in air) and tissue path lengths."""

    depth: np.ndarray
    total: np.ndarray
    skin: np.ndarray
    muscle: np.ndarray
    nipple: np.ndarray


def _radius_mm(outline: OutlineSpec, angle: np.ndarray) -> np.ndarray:
    """Distance from (centre, chest wall) to the skin; angle 0 points at the nipple, positive down."""
    sine, cosine = np.abs(np.sin(angle)), np.maximum(np.cos(angle), 0.0)
    down = angle > 0
    axis = np.where(down, outline.lower_mm, outline.upper_mm)
    power = np.where(down, outline.lower_power, outline.upper_power)
    radius = ((sine / axis) ** power + (cosine / outline.depth_mm) ** power) ** (-1.0 / power)
    wave = sum(amplitude * np.sin(order * angle + phase) for order, amplitude, phase in outline.waves)
    return radius * (1.0 + wave)


def contour_mm(outline: OutlineSpec, points: int = 361) -> np.ndarray:
    """Skin line from the upper to the lower end at the chest wall, (points, 2) [row, col] in mm."""
    angle = np.linspace(-math.pi / 2, math.pi / 2, points)
    radius = _radius_mm(outline, angle)
    return np.stack([outline.centre_mm + radius * np.sin(angle), radius * np.cos(angle)], axis=1)


def point_inside(rng: Rng, outline: OutlineSpec, reach: float, ends: tuple[int, int], least: float = 0.0) -> np.ndarray:
    """A point (row, col) at up to `reach` of the way from the chest wall's middle to one of the skin line's 361 points.

    Of these, the points from ends[0] to before ends[1] count; the nearer to the skin, the likelier, as areas are.
    """
    corner, origin = contour_mm(outline)[int(rng.integers(*ends))], np.array([outline.centre_mm, 0.0])
    return origin + (corner - origin) * reach * math.sqrt(rng.uniform(least, 1.0))


def inside_fraction_mm(outline: OutlineSpec, row_mm: float, col_mm: float) -> float:
    """How far (row, col) lies on the way from the chest wall's middle to the skin: 0 to 1, over 1 outside."""
    dr = row_mm - outline.centre_mm
    radius = _radius_mm(outline, np.array([math.atan2(dr, max(col_mm, 1e-9))]))[0]
    return float(math.hypot(dr, col_mm) / radius)


def nipple_mm(outline: OutlineSpec) -> tuple[float, float]:
    """(row, col) of the nipple's base on the skin line."""
    return outline.centre_mm, float(_radius_mm(outline, np.zeros(1))[0])


def breast_maps(spec: PhantomSpec) -> BreastMaps:
    """Depth under the skin and path lengths through breast, skin and muscle."""
    depth = _signed_depth(spec)
    total = spec.thickness_mm * _profile(depth, spec.outline.rolloff_mm)
    inner = (spec.thickness_mm - 2 * spec.skin_mm) * _profile(depth - spec.skin_mm, spec.outline.rolloff_mm)
    return BreastMaps(depth, total, total - inner, _muscle(spec, depth) * inner, _nipple(spec))


def _profile(depth: np.ndarray, rolloff_mm: float) -> np.ndarray:
    """Quarter circle: 0 at the skin line, 1 from `rolloff_mm` inwards."""
    x = np.clip(1.0 - depth / np.float32(rolloff_mm), 0.0, 1.0)
    return np.sqrt(1.0 - x * x, dtype=np.float32)


def _signed_depth(spec: PhantomSpec) -> np.ndarray:
    """Signed distance (mm) to the skin line, positive inside; computed at half resolution and smoothed.

    The canvas is padded so that the chest wall and the image's upper and lower border are not skin.
    """
    step = 2.0 * spec.spacing_mm
    pad = math.ceil((spec.outline.rolloff_mm + 2.0) / step)
    rows, cols = math.ceil(spec.shape[0] / 2) + 2, math.ceil(spec.shape[1] / 2) + 2
    contour = contour_mm(spec.outline, 721)
    far = -2.0 * spec.outline.rolloff_mm - 10.0
    ring = np.concatenate([[[contour[0, 0], far]], contour, [[contour[-1, 0], far]]])
    points = ring[:, ::-1] / step - 0.25 + pad  # half-resolution pixel centres lie at 0.5, 2.5, ... full pixels
    canvas = np.zeros((rows + 2 * pad, cols + 2 * pad), np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 256).astype(np.int32)], 1, shift=8)
    signed = cv2.GaussianBlur((_distance(canvas) - _distance(1 - canvas)) * np.float32(step), (0, 0), 2.0)
    crop = signed[pad : pad + rows, pad : pad + cols]
    big = cv2.resize(crop, (2 * cols, 2 * rows), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(big[: spec.shape[0], : spec.shape[1]])


def _distance(mask: np.ndarray) -> np.ndarray:
    """Distance (px) to the nearest 0; its square is a whole number, so rounding removes bits that depend on threads."""
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.sqrt(np.rint(distance * distance))


def _muscle(spec: PhantomSpec, depth: np.ndarray) -> np.ndarray:
    """Share of the thickness that is pectoral muscle: a triangle in the upper chest wall corner, convex edge."""
    width, length = spec.outline.pectoral_mm
    if not width:
        return np.zeros_like(depth)
    power = spec.outline.pectoral_power
    rows = np.arange(spec.shape[0], dtype=np.float32)[:, None] * np.float32(spec.spacing_mm)
    cols = np.arange(spec.shape[1], dtype=np.float32)[None, :] * np.float32(spec.spacing_mm)
    share = np.clip(1.0 - (rows / np.float32(length)) ** np.float32(power), 0.0, None)
    edge = width * share - 4.0 * (rows > length)
    slope = math.cos(math.atan2(width, length))
    distance = np.clip((edge - cols) * np.float32(slope), 0.0, None)
    return np.float32(0.62) * (1.0 - np.exp(-distance / np.float32(max(2.0, 0.2 * width))))


def _nipple(spec: PhantomSpec) -> np.ndarray:
    """Extra tissue (mm) of the nipple: a dome in profile, half outside of the skin line."""
    radius = spec.outline.nipple_mm
    out = np.zeros(spec.shape, np.float32)
    if not radius:
        return out
    row, col = nipple_mm(spec.outline)
    rows = (np.arange(spec.shape[0], dtype=np.float32) * spec.spacing_mm - row) / radius
    cols = (np.arange(spec.shape[1], dtype=np.float32) * spec.spacing_mm - (col + 0.45 * radius)) / (0.95 * radius)
    near = np.ix_(np.abs(rows) < 1.1, np.abs(cols) < 1.1)
    rho2 = rows[near[0]] ** 2 + cols[near[1]] ** 2
    out[near] = np.clip(1.0 - rho2, 0.0, None) ** 0.5 * radius * 1.3
    return out
