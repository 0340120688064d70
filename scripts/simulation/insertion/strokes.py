"""Calcified strokes: thin bodies along a line, such as a plaque in a vessel's wall, drawn like MCs (Beer-Lambert)."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.simulation.insertion.rendering import SUBPIXELS, WHITE_RANGE
from scripts.simulation.phantom.calcifications import clip_window
from scripts.simulation.phantom.physics import mc_attenuation

Line = tuple[tuple[float, float], ...]
_SHIFT = 4  # fractional bits of OpenCV's polyline coordinates


@dataclass(frozen=True)
class Stroke:
    """One body to draw. Positions and lengths in px of the image."""

    line: Line  # its axis, (row, col) each
    width: float  # full width
    thickness_mm: float  # along the beam, on the axis
    gain: float  # presentation units per log unit of attenuation
    grain: float = 0.0  # how uneven it is: 0 smooth, 1 with gaps
    grain_px: float = 2.0  # Gaussian sigma of the unevenness
    seed: int = 0  # of the unevenness
    closed: bool = False  # the line is a ring


def stroke_signal(stroke: Stroke, blur_px: float) -> tuple[int, int, np.ndarray]:
    """First row, first column and attenuation (log units), float32, of a stroke behind the detector's blur."""
    points = np.array(stroke.line, np.float64)
    margin = int(np.ceil(stroke.width / 2 + 3 * blur_px)) + 2
    top, left = np.floor(points.min(0)).astype(int) - margin
    bottom, right = np.ceil(points.max(0)).astype(int) + margin + 1
    size = ((bottom - top) * SUBPIXELS, (right - left) * SUBPIXELS)
    fine = ((points - (top, left) + 0.5) * SUBPIXELS - 0.5)[:, ::-1]
    body, diameter = np.zeros(size, np.uint8), max(2, round(stroke.width * SUBPIXELS))
    cv2.polylines(body, [np.round(fine * 2**_SHIFT).astype(np.int32)], stroke.closed, 1, diameter, cv2.LINE_8, _SHIFT)
    depth = np.minimum(cv2.distanceTransform(body, cv2.DIST_L2, 3) / np.float32(diameter / 2), 1)
    profile = np.sqrt(1 - (1 - depth) ** 2) * (body > 0)  # chord of a round cross-section
    if stroke.grain > 0:
        noise = np.random.default_rng(stroke.seed).standard_normal(size, np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), stroke.grain_px * SUBPIXELS)
        noise = np.clip(0.5 + 0.35 * noise / noise.std(), 0, 1)
        profile *= 1 - np.float32(stroke.grain) * noise
    transmission = np.exp(-mc_attenuation(profile * np.float32(stroke.thickness_mm))).astype(np.float32)
    if blur_px > 0:
        transmission = cv2.GaussianBlur(transmission, (0, 0), blur_px * SUBPIXELS, borderType=cv2.BORDER_REPLICATE)
    pixels = transmission.reshape(bottom - top, SUBPIXELS, right - left, SUBPIXELS).mean(axis=(1, 3))
    return int(top), int(left), -np.log(pixels)


def draw_strokes(
    image: np.ndarray, strokes: Sequence[Stroke], blur_px: float, base: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add strokes to a [0, 1] image, float32 (rows, cols).

    `base` is the smooth image whose brightness damps them near white. Besides the new image, not clipped, comes the
    mask of the strokes, bool (rows, cols): pixels over half of the stroke's own peak.
    """
    result, mask = image.copy(), np.zeros(image.shape, bool)
    for stroke in strokes:
        top, left, signal = stroke_signal(stroke, blur_px)
        window, part = clip_window(top, left, signal.shape, image.shape)
        signal = signal[part]
        if not signal.size or signal.max() <= 0:
            continue
        result[window] += signal * (stroke.gain * white_damping(base[window]))
        mask[window] |= signal > 0.5 * signal.max()
    return result, mask


def white_damping(base: np.ndarray) -> np.ndarray:
    """Factor on contrasts near white, as display curves have it, float32."""
    return np.clip((1 - base) / np.float32(WHITE_RANGE), 0, 1).astype(np.float32)
