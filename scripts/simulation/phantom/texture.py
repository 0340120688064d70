"""Fibroglandular map: a power-law texture with the look of strands, fat lobules and septa.

Noise of a power law alone looks like cloud. Strands (ridges of noise stretched towards the nipple) and fat lobules
(Voronoi cells) are mixed in, then the radial spectrum of the sum is brought back to f**-beta, phases untouched.
"""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np
import scipy.fft
from scipy.spatial import cKDTree

from scripts.simulation.phantom.outline import BreastMaps, nipple_mm
from scripts.simulation.phantom.spec import PhantomSpec

#: The texture is made at about this spacing; finer detail is added as a continuation of the power law.
_COARSE_MM = 0.28
#: Below the range in which mammograms follow a power law the spectrum is flat.
_LOW_CUT_PER_MM = 0.035
#: Gland never fills the whole thickness; its share where it is densest varies around this.
_LAYER_MEAN = 0.82


def power_law_field(rng: np.random.Generator, shape: tuple[int, int], spacing_mm: float, beta: float) -> np.ndarray:
    """Periodic Gaussian field with power spectrum f**-beta above 0.035 /mm, flat below; zero mean, unit sd, float32."""
    size = (scipy.fft.next_fast_len(shape[0], real=True), scipy.fft.next_fast_len(shape[1], real=True))
    spectrum = scipy.fft.rfft2(rng.standard_normal(size, dtype=np.float32))
    frequency = _frequency(size, spacing_mm)
    spectrum *= np.maximum(frequency, _LOW_CUT_PER_MM) ** np.float32(-beta / 2)
    spectrum[0, 0] = 0
    field = scipy.fft.irfft2(spectrum, s=size)[: shape[0], : shape[1]]
    return _standard(field)


def shape_spectrum(field: np.ndarray, spacing_mm: float, beta: float) -> np.ndarray:
    """Multiply the spectrum by a smooth radial gain so that its radial mean follows f**-beta; unit sd."""
    frequency = _frequency(field.shape, spacing_mm)
    window = np.outer(np.hanning(field.shape[0]), np.hanning(field.shape[1])).astype(np.float32)
    power = np.abs(scipy.fft.rfft2((field - field.mean()) * window)) ** 2
    edges = np.geomspace(1.5 / (spacing_mm * min(field.shape)), 0.5 / spacing_mm, 22)
    which = np.digitize(frequency, edges)
    counts = np.bincount(which.ravel(), minlength=len(edges) + 1)[1:-1]
    sums = np.bincount(which.ravel(), power.ravel(), minlength=len(edges) + 1)[1:-1]
    used = counts > 0
    middle = np.sqrt(edges[1:] * edges[:-1])[used]
    gain = 0.5 * (-beta * np.log(np.maximum(middle, _LOW_CUT_PER_MM)) - np.log(sums[used] / counts[used] + 1e-30))
    log_f = np.log(np.clip(frequency, middle[0], middle[-1]))
    spectrum = scipy.fft.rfft2(field - field.mean())
    spectrum *= np.exp(np.interp(log_f, np.log(middle), gain - gain.mean())).astype(np.float32)
    return _standard(scipy.fft.irfft2(spectrum, s=field.shape))


def _frequency(shape: tuple[int, ...], spacing_mm: float) -> np.ndarray:
    rows = np.fft.fftfreq(shape[0], spacing_mm).astype(np.float32)[:, None]
    cols = np.fft.rfftfreq(shape[1], spacing_mm).astype(np.float32)[None, :]
    out: np.ndarray = np.hypot(rows, cols)
    out[0, 0] = out[0, 1] if out.shape[1] > 1 else 1.0
    return out


def _standard(field: np.ndarray) -> np.ndarray:
    field = np.ascontiguousarray(field, dtype=np.float32)
    return (field - field.mean()) / max(float(field.std()), 1e-12)


def gland_and_septa(spec: PhantomSpec, breast: BreastMaps, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Gland share of the inner thickness (0..1) and path length in septa (mm), both full size float32."""
    step = max(1, round(_COARSE_MM / spec.spacing_mm))
    coarse_mm = spec.spacing_mm * step
    rows, cols = -(-spec.shape[0] // step), -(-spec.shape[1] // step)
    grid_r = np.arange(rows, dtype=np.float32)[:, None] * np.float32(coarse_mm) + np.zeros((1, cols), np.float32)
    grid_c = np.arange(cols, dtype=np.float32)[None, :] * np.float32(coarse_mm) + np.zeros((rows, 1), np.float32)
    warp = [power_law_field(rng, (rows, cols), coarse_mm, 3.6) * np.float32(1.6) for _ in range(2)]
    warped = (grid_r + warp[0], grid_c + warp[1])
    lobule = min(spec.texture.lobule_mm, 0.2 * min(rows, cols) * coarse_mm)
    near, second = _cells(rng, warped, lobule)
    noise, strands = _radial_textures(spec, rng, warped, coarse_mm)
    noise = 0.8 * noise + 0.6 * power_law_field(rng, (rows, cols), coarse_mm, spec.texture.beta)
    cells = _standard(-np.tanh((second - near) / np.float32(0.55 * lobule)))
    texture = noise + spec.texture.strands * strands + spec.texture.lobules * cells
    layer = power_law_field(rng, (rows, cols), coarse_mm, spec.texture.beta) + np.float32(0.7) * strands
    wide = power_law_field(rng, (rows, cols), coarse_mm, 4.0)
    maps = (breast.depth[::step, ::step], breast.muscle[::step, ::step], grid_r, grid_c)
    gland = _gland_of_slope(spec, texture, layer, _envelope(spec, wide, *maps), maps[0], coarse_mm)
    full = _enlarge(gland, step, spec.shape)
    full += _fine_detail(spec, rng, step) * _enlarge(gland * (1 - gland), step, spec.shape)
    septa = _septa(spec, rng, (second - near, warped, lobule), gland, (step, coarse_mm))
    return np.clip(full, 0.0, 1.0, out=full), septa


def _enlarge(small: np.ndarray, step: int, shape: tuple[int, int]) -> np.ndarray:
    """Cubic enlargement by `step`, aligned so that small[i] sits at pixel i * step."""
    matrix = np.array([[1.0 / step, 0.0, 0.0], [0.0, 1.0 / step, 0.0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(small, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _cells(
    rng: np.random.Generator, points: tuple[np.ndarray, np.ndarray], size_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distances (mm) to the nearest and second nearest of random seeds, one per `size_mm` squared."""
    low = (float(points[0].min()) - size_mm, float(points[1].min()) - size_mm)
    high = (float(points[0].max()) + size_mm, float(points[1].max()) + size_mm)
    count = max(4, round((high[0] - low[0]) * (high[1] - low[1]) / size_mm**2))
    seeds = rng.uniform(low, high, (count, 2))
    query = np.stack([points[0].ravel(), points[1].ravel()], axis=1)
    distance, _ = cKDTree(seeds).query(query, k=2)
    distance = distance.astype(np.float32).reshape(*points[0].shape, 2)
    return distance[..., 0], distance[..., 1]


def _radial_textures(
    spec: PhantomSpec, rng: np.random.Generator, points: tuple[np.ndarray, np.ndarray], spacing_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Power-law noise and its ridges (strands), both drawn out towards a point before the nipple."""
    row, col = nipple_mm(spec.outline)
    dr, dc = points[0] - np.float32(row), points[1] - np.float32(col + 0.25 * spec.outline.depth_mm)
    radius, angle = np.hypot(dr, dc), np.arctan2(dr, -dc)
    size = 1024
    across = angle * np.float32(0.8 * spec.outline.depth_mm / spacing_mm) + np.float32(size / 2)
    along = radius * np.float32(0.3 / spacing_mm)
    base = power_law_field(rng, (size, size), spacing_mm, spec.texture.beta)
    noise = _polar(base, along, across)
    out = np.zeros_like(radius)
    for scale_mm, weight in ((5.0, 1.0), (2.2, 0.8), (1.0, 0.6), (0.5, 0.45)):
        sigma = max(0.6, scale_mm / spacing_mm / 2.5)
        band = cv2.GaussianBlur(rng.standard_normal((size, size), dtype=np.float32), (0, 0), sigma)
        band -= cv2.GaussianBlur(band, (0, 0), 1.6 * sigma)
        band /= band.std()
        ridge = np.exp(-np.abs(band) / np.float32(0.45))
        out += np.float32(weight) * _polar(ridge, along, across)
    return _standard(noise), _standard(out)


def _polar(field: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Look `field` up at (row `across`, column `along`), mirrored beyond its border."""
    return cv2.remap(field, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def radial_slope(field: np.ndarray, spacing_mm: float) -> float:
    """Exponent beta of the radial power spectrum f**-beta over 0.15-0.7 /mm, under a Hann window."""
    window = np.outer(np.hanning(field.shape[0]), np.hanning(field.shape[1]))
    centred = (field - (field * window).sum() / window.sum()) * window
    power = np.abs(scipy.fft.rfft2(centred)) ** 2
    frequency = _frequency(field.shape, spacing_mm)
    edges = np.geomspace(0.15, 0.7, 9)
    log_f, log_power = [], []
    for low, high in pairwise(edges):
        band = (frequency >= low) & (frequency < high)
        if band.any():
            log_f.append(float(np.log(frequency[band]).mean()))
            log_power.append(math.log(float(power[band].mean()) + 1e-30))
    if len(log_f) < 4:
        raise ValueError(f"field: got {field.shape} at {spacing_mm} mm; want more detail in 0.15-0.7 /mm")
    return -float(np.polyfit(log_f, log_power, 1)[0])


def _gland_of_slope(
    spec: PhantomSpec,
    texture: np.ndarray,
    layer: np.ndarray,
    envelope: np.ndarray,
    depth: np.ndarray,
    spacing_mm: float,
) -> np.ndarray:
    """Gland share with the spec's spectral exponent; squashing flattens it, so it is measured and put right."""
    outline, tex = spec.outline, spec.texture
    half = max(12, round(0.3 * min(outline.depth_mm, outline.lower_mm) / spacing_mm))
    row = round((outline.centre_mm + tex.centre[0] * 0.5 * outline.lower_mm) / spacing_mm)
    col = max(half, round(tex.centre[1] * outline.depth_mm / spacing_mm))
    box = (slice(max(0, row - half), row + half), slice(max(0, col - half), col + half))
    beta = tex.beta
    for _ in range(3):
        even = np.clip(_LAYER_MEAN + 0.09 * shape_spectrum(layer, spacing_mm, beta), 0.5, 1.0)
        gland = even * _gland_share(spec, shape_spectrum(texture, spacing_mm, beta), envelope, depth)
        beta = float(np.clip(beta + tex.beta - radial_slope(gland[box], spacing_mm), 2.2, 4.8))
    return gland


def _envelope(
    spec: PhantomSpec,
    wide: np.ndarray,
    depth: np.ndarray,
    muscle: np.ndarray,
    rows_mm: np.ndarray,
    cols_mm: np.ndarray,
) -> np.ndarray:
    """Where gland is likely: an ellipse behind the nipple, not under the skin, not over the muscle."""
    outline, tex = spec.outline, spec.texture
    half = 0.5 * (min(outline.upper_mm, outline.centre_mm) + outline.lower_mm)
    row0, col0 = outline.centre_mm + tex.centre[0] * half, tex.centre[1] * outline.depth_mm
    rho2 = ((rows_mm - row0) / (tex.extent[0] * half)) ** 2
    rho2 += ((cols_mm - col0) / (tex.extent[1] * outline.depth_mm)) ** 2
    envelope = 1.8 * (1.0 - rho2) + 0.6 * wide
    envelope = np.maximum(envelope, -1.6 + 0.15 * envelope)
    fat_mm = min(9.0, 0.12 * outline.depth_mm)
    envelope -= 2.0 * np.clip(muscle / np.float32(8.0), 0.0, 1.0)
    out: np.ndarray = envelope - 2.5 * np.exp(-((np.clip(depth, 0, None) / np.float32(fat_mm)) ** 2))
    return out


def _gland_share(spec: PhantomSpec, texture: np.ndarray, envelope: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Squash texture + envelope so that the mean over the breast times the layer is 1 - fat fraction."""
    logits = np.float32(spec.texture.amplitude) * texture + envelope
    inside = logits[depth > 1.0][::7]
    target, low, high = (1.0 - spec.fat_fraction) / _LAYER_MEAN, -40.0, 40.0
    for _ in range(30):
        offset = 0.5 * (low + high)
        mean = float(_squash(inside + np.float32(offset)).mean()) if len(inside) else target
        low, high = (offset, high) if mean < target else (low, offset)
    return _squash(logits + np.float32(offset))


def _squash(value: np.ndarray) -> np.ndarray:
    """Sigmoid with algebraic tails, 0..1 with slope 1/4 at 0: never a flat plateau, unlike the logistic one."""
    half = np.float32(0.5) * value
    out: np.ndarray = np.float32(0.5) * (1.0 + half / np.sqrt(1.0 + half * half))
    return out


def _fine_detail(spec: PhantomSpec, rng: np.random.Generator, step: int) -> np.ndarray:
    """The power law above the coarse grid's Nyquist frequency, at full size, in units of the texture's sd."""
    if step == 1:
        return np.zeros(spec.shape, np.float32)
    size = (scipy.fft.next_fast_len(spec.shape[0], real=True), scipy.fft.next_fast_len(spec.shape[1], real=True))
    frequency = _frequency(size, spec.spacing_mm)
    gain = np.maximum(frequency, _LOW_CUT_PER_MM) ** np.float32(-spec.texture.beta / 2)
    norm = math.sqrt(2.0 * float((gain.astype(np.float64) ** 2).sum()) / (size[0] * size[1]))
    corner = np.float32(0.4 / (spec.spacing_mm * step))
    gain *= 1.0 - np.exp(-((frequency / corner) ** 4))
    spectrum = scipy.fft.rfft2(rng.standard_normal(size, dtype=np.float32), workers=2)
    spectrum *= gain * np.float32(spec.texture.amplitude / norm)
    field = scipy.fft.irfft2(spectrum, s=size, workers=2, overwrite_x=True)[: spec.shape[0], : spec.shape[1]]
    out: np.ndarray = np.ascontiguousarray(field, dtype=np.float32)
    return out


def _septa(
    spec: PhantomSpec,
    rng: np.random.Generator,
    cells: tuple[np.ndarray, tuple[np.ndarray, np.ndarray], float],
    gland: np.ndarray,
    grid: tuple[int, float],
) -> np.ndarray:
    """Cooper's ligaments as cell walls: 0.2-0.4 mm wide where seen edge-on, else faded; mm along the beam."""
    gap, points, lobule = cells
    step, coarse_mm = grid
    small_near, small_second = _cells(rng, points, 0.55 * lobule)
    out = np.zeros(spec.shape, np.float32)
    for field, half_width, depth_mm in ((gap, 0.22, 3.6), (small_second - small_near, 0.14, 2.2)):
        visible = power_law_field(rng, gland.shape, coarse_mm, 3.0)
        visible = np.clip(visible - 0.1, 0.0, 1.5) * (0.5 + 0.5 * np.minimum(1.0, 3.0 * gland))
        wall = _enlarge(field, step, spec.shape)
        wall *= np.float32(0.5 / half_width)
        np.multiply(wall, wall, out=wall)
        wall = cv2.exp(-wall)
        wall *= _enlarge(np.float32(depth_mm * spec.texture.septa) * visible.astype(np.float32), step, spec.shape)
        out += wall
    return out
