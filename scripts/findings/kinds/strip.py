"""The picture along a chain, straightened: does a line, or do two, go on along it?

A vessel's wall goes on between its brightest plaques: thin plaques below the marks' threshold, the wall itself. The
MCs of a duct are spots with nothing between them. So the share of a chain's length at which its best path holds a
line, compared with paths found alike beside it, tells the one from the other.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing
from scripts.findings.kinds.chains import STEP_MM

ALONG_MM, ACROSS_MM = 0.5, 0.14  # sampling of the straightened picture


@dataclass(frozen=True)
class LineSettings:
    """How lines along a chain are looked for. Lengths in mm."""

    band_mm: float = 1.8  # a vessel's lines are this near to its centreline; bands as wide beside it are compared
    line_mm: float = 0.3  # width of a line
    window_mm: float = 3.0  # length over which a line is averaged (a Gaussian of 0.4 of it)
    most_sd: float = 3.0  # grey values over this many sd of the texture beside the chain count as that, ...
    least_sd: float = 0.5  # ... and the averaged texture's sd as at least this share of the texture's own
    present_sd: float = 1.5  # a line is there where the average stands out by this many sd of the averaged texture
    gap_range_mm: tuple[float, float] = (0.8, 3.6)  # distance of two walls

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("band_mm", "line_mm", "window_mm"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a length above 0")


@dataclass(frozen=True)
class LineEvidence:
    """Shares of a chain's length."""

    line: float  # with a line on the best path along the chain
    line_beside: float  # the like on the better one of the best paths beside the chain
    walls: float  # with two lines at once, on the best two paths that keep one distance from each other
    walls_beside: float  # the like, mean of both sides beside the chain


def straightened(
    image: np.ndarray, line_mm: np.ndarray, spacing_mm: Spacing, half_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """A strip around a centreline (n, 2): grey values, float32 (along, across), and offsets in mm (across,)."""
    fine = round(STEP_MM / ALONG_MM)
    at = np.arange((len(line_mm) - 1) * fine + 1) / fine
    centre = np.stack([np.interp(at, np.arange(len(line_mm)), side) for side in line_mm.T], 1)
    ahead = np.gradient(centre, axis=0) if len(centre) > 1 else np.array([[0.0, 1.0]])
    ahead /= np.maximum(np.hypot(*ahead.T), 1e-9)[:, None]
    count = round(half_mm / ACROSS_MM)
    offset = np.arange(-count, count + 1) * ACROSS_MM
    rows = ((centre[:, :1] + offset * ahead[:, 1:]) / spacing_mm[0]).astype(np.float32)
    cols = ((centre[:, 1:] - offset * ahead[:, :1]) / spacing_mm[1]).astype(np.float32)
    return cv2.remap(image, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), offset


def line_evidence(image: np.ndarray, line_mm: np.ndarray, spacing_mm: Spacing, settings: LineSettings) -> LineEvidence:
    """Lines along a centreline (n, 2) in mm of an image, float32 (rows, cols)."""
    band, (low, high) = settings.band_mm, settings.gap_range_mm
    strip, offset = straightened(image, line_mm, spacing_mm, 3 * band + high / 2 + 0.9)
    narrow = max(1, round(settings.line_mm / ACROSS_MM)) | 1
    ridge = cv2.blur(strip, (narrow, 1)) - cv2.blur(strip, (3 * narrow + 2, 1))
    outside = np.abs(offset) > band + high / 2
    most = settings.most_sd  # so that a bright spot is no line
    ridge = np.clip(ridge / _sd(ridge[:, outside]), -most, most)
    ridge = cv2.GaussianBlur(ridge, (0, 0), sigmaX=1e-3, sigmaY=settings.window_mm / 2.5 / ALONG_MM)
    present = settings.present_sd
    z = np.clip(ridge / max(_sd(ridge[:, outside]), settings.least_sd), -present, 2 * present)
    halves = range(round(low / 2 / ACROSS_MM), round(high / 2 / ACROSS_MM) + 1)  # of gaps, in samples
    reach = halves[-1]
    first, second = (np.stack([z[:, reach + s * h : z.shape[1] - reach + s * h] for h in halves]) for s in (-1, 1))
    both, single = np.minimum(first, second), z[:, reach : z.shape[1] - reach][None]
    size, centre = round(band / ACROSS_MM), single.shape[2] // 2
    bands = [slice(centre + shift - size, centre + shift + size + 1) for shift in (0, -2 * size, 2 * size)]
    lines, walls = ([float(_shares(field[:, :, part], present).max()) for part in bands] for field in (single, both))
    return LineEvidence(lines[0], max(lines[1:]), walls[0], sum(walls[1:]) / 2)


def _sd(values: np.ndarray) -> float:
    """Standard deviation of a normal distribution of this median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + 1e-6


def _shares(values: np.ndarray, present: float) -> np.ndarray:
    """Share of values over `present` on the path of the largest sum through each of n fields (n, along, across).

    A path moves by at most one column a row; dynamic programming.
    """
    fields, rows, cols = values.shape
    total, count = values[:, 0].copy(), (values[:, 0] >= present).astype(np.int32)
    padded = np.full((fields, cols + 2), -np.inf, values.dtype)
    counts = np.zeros((fields, cols + 2), np.int32)
    for row in range(1, rows):
        padded[:, 1:-1], counts[:, 1:-1] = total, count
        for moved in (slice(0, -2), slice(2, None)):
            better = padded[:, moved] > total
            total = np.where(better, padded[:, moved], total)
            count = np.where(better, counts[:, moved], count)
        total = total + values[:, row]
        count = count + (values[:, row] >= present)
    return count[np.arange(fields), total.argmax(1)] / rows
