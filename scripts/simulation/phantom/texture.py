"""Fibroglandular map: a power-law texture with the look of strands, fat lobules and septa.

Noise of a power law alone looks like cloud. Strands (ridges of noise stretched towards the nipple) and fat lobules
(Voronoi cells) are mixed in, then the radial spectrum of the sum is brought back to f**-beta, phases untouched.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import scipy.fft
from scipy.spatial import cKDTree

from scripts.simulation.parameters import Rng
from scripts.simulation.phantom.outline import BreastMaps, nipple_mm
from scripts.simulation.phantom.parameters import PhantomSpec

_COARSE_MM = 0.28  # the texture is made at about this spacing; finer detail continues the power law
_LOW_CUT_PER_MM = 0.035  # below the range in which mammograms follow a power law the spectrum is flat
_LAYER_MEAN = 0.82  # gland never fills the whole thickness; its share where it is densest varies around this


def power_law_field(rng: Rng, shape: tuple[int, ...], spacing_mm: float, beta: float) -> np.ndarray:
    """Periodic Gaussian field with power spectrum f**-beta above 0.035 /mm, flat below; zero mean, unit sd, float32."""
    size = tuple(scipy.fft.next_fast_len(n, real=True) for n in shape)
    spectrum = scipy.fft.rfft2(rng.standard_normal(size, dtype=np.float32))
    spectrum *= np.maximum(_frequency(size, spacing_mm), _LOW_CUT_PER_MM) ** np.float32(-beta / 2)
    spectrum[0, 0] = 0
    return _standard(scipy.fft.irfft2(spectrum, s=size)[: shape[0], : shape[1]])


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
    out = np.hypot(rows, cols)
    out[0, 0] = out[0, 1] if out.shape[1] > 1 else 1.0
    return out


def _standard(field: np.ndarray) -> np.ndarray:
    field = np.ascontiguousarray(field, dtype=np.float32)
    return (field - field.mean()) / max(float(field.std()), 1e-12)


def radial_slope(field: np.ndarray, spacing_mm: float) -> float:
    """Exponent beta of the radial power spectrum f**-beta over 0.15-0.7 /mm, under a Hann window."""
    window = np.outer(np.hanning(field.shape[0]), np.hanning(field.shape[1]))
    power = np.abs(scipy.fft.rfft2((field - (field * window).sum() / window.sum()) * window)) ** 2
    frequency = _frequency(field.shape, spacing_mm)
    bands = [(frequency >= low) & (frequency < high) for low, high in pairwise(np.geomspace(0.15, 0.7, 9))]
    bands = [band for band in bands if band.any()]
    if len(bands) < 4:
        raise ValueError(f"field: got {field.shape} at {spacing_mm} mm; want more detail in 0.15-0.7 /mm")
    log_f = [float(np.log(frequency[band]).mean()) for band in bands]
    log_power = [math.log(float(power[band].mean()) + 1e-30) for band in bands]
    return -float(np.polyfit(log_f, log_power, 1)[0])


def gland_and_septa(spec: PhantomSpec, breast: BreastMaps, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Gland share of the inner thickness (0..1) and path length in septa (mm), both full size float32."""
    step = max(1, round(_COARSE_MM / spec.spacing_mm))
    shape, spacing_mm = [-(-length // step) for length in spec.shape], spec.spacing_mm * step
    make = _Texture(spec, rng, step, spacing_mm, np.indices(shape, dtype=np.float32) * np.float32(spacing_mm))
    warped = np.stack([axis + make.field(3.6) * np.float32(1.6) for axis in make.grid])
    lobule = min(spec.texture.lobule_mm, 0.2 * min(shape) * spacing_mm)
    near, second = make.cells(warped, lobule)
    noise, strands = make.radial(warped)
    noise = 0.8 * noise + 0.6 * make.field(spec.texture.beta)
    cells = _standard(-np.tanh((second - near) / np.float32(0.55 * lobule)))
    texture = noise + spec.texture.strands * strands + spec.texture.lobules * cells
    layer = make.field(spec.texture.beta) + np.float32(0.7) * strands
    depth, muscle = breast.depth[::step, ::step], breast.muscle[::step, ::step]
    gland = make.gland(texture, layer, make.envelope(make.field(4.0), depth, muscle), depth)
    full = make.enlarge(gland)
    full += make.fine_detail() * make.enlarge(gland * (1 - gland))
    small_near, small_second = make.cells(warped, 0.55 * lobule)
    septa = make.septa(second - near, small_second - small_near, gland)
    return np.clip(full, 0.0, 1.0, out=full), septa


@dataclass(frozen=True, eq=False)
class _Texture:
    """The parts of one breast's texture, on a coarse grid."""

    spec: PhantomSpec
    rng: Rng
    step: int  # pixels per grid point
    spacing_mm: float  # of the grid
    grid: np.ndarray  # float32 (2, rows, cols): row and column of its points, mm

    def field(self, beta: float) -> np.ndarray:
        """A `power_law_field` on the grid."""
        return power_law_field(self.rng, self.grid.shape[1:], self.spacing_mm, beta)

    def enlarge(self, small: np.ndarray) -> np.ndarray:
        """Cubic enlargement to full size, aligned so that small[i] sits at pixel i * step."""
        matrix = np.array([[1.0 / self.step, 0.0, 0.0], [0.0, 1.0 / self.step, 0.0]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(small, matrix, self.spec.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def cells(self, points: np.ndarray, size_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Distances (mm) of points (2, rows, cols) to the nearest and second nearest seed, one per `size_mm`**2."""
        low = [float(axis.min()) - size_mm for axis in points]
        high = [float(axis.max()) + size_mm for axis in points]
        count = max(4, round((high[0] - low[0]) * (high[1] - low[1]) / size_mm**2))
        seeds = self.rng.uniform(low, high, (count, 2))
        distance, _ = cKDTree(seeds).query(points.reshape(2, -1).T, k=2)
        near, second = distance.astype(np.float32).T.reshape(points.shape)
        return near, second

    def radial(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Power-law noise and its ridges (strands), both drawn out towards a point before the nipple."""
        depth_mm, spacing_mm, size = self.spec.outline.depth_mm, self.spacing_mm, 1024
        row, col = nipple_mm(self.spec.outline)
        dr, dc = points[0] - np.float32(row), points[1] - np.float32(col + 0.25 * depth_mm)
        across = np.arctan2(dr, -dc) * np.float32(0.8 * depth_mm / spacing_mm) + np.float32(size / 2)
        along = np.hypot(dr, dc) * np.float32(0.3 / spacing_mm)

        def polar(field: np.ndarray) -> np.ndarray:
            """Look `field` up at (row `across`, column `along`), mirrored beyond its border."""
            return cv2.remap(field, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

        noise = polar(power_law_field(self.rng, (size, size), spacing_mm, self.spec.texture.beta))
        strands = np.zeros_like(along)
        for scale_mm, weight in ((5.0, 1.0), (2.2, 0.8), (1.0, 0.6), (0.5, 0.45)):
            sigma = max(0.6, scale_mm / spacing_mm / 2.5)
            band = cv2.GaussianBlur(self.rng.standard_normal((size, size), dtype=np.float32), (0, 0), sigma)
            band -= cv2.GaussianBlur(band, (0, 0), 1.6 * sigma)
            band /= band.std()
            strands += np.float32(weight) * polar(np.exp(-np.abs(band) / np.float32(0.45)))
        return _standard(noise), _standard(strands)

    def envelope(self, wide: np.ndarray, depth: np.ndarray, muscle: np.ndarray) -> np.ndarray:
        """Where gland is likely: an ellipse behind the nipple, not under the skin, not over the muscle."""
        outline, tex = self.spec.outline, self.spec.texture
        half = 0.5 * (min(outline.upper_mm, outline.centre_mm) + outline.lower_mm)
        row, col = outline.centre_mm + tex.centre[0] * half, tex.centre[1] * outline.depth_mm
        rho2 = ((self.grid[0] - row) / (tex.extent[0] * half)) ** 2
        rho2 += ((self.grid[1] - col) / (tex.extent[1] * outline.depth_mm)) ** 2
        envelope = 1.8 * (1.0 - rho2) + 0.6 * wide
        envelope = np.maximum(envelope, -1.6 + 0.15 * envelope)
        fat_mm = min(9.0, 0.12 * outline.depth_mm)
        envelope -= 2.0 * np.clip(muscle / np.float32(8.0), 0.0, 1.0)
        return envelope - 2.5 * np.exp(-((np.clip(depth, 0, None) / np.float32(fat_mm)) ** 2))

    def gland(self, texture: np.ndarray, layer: np.ndarray, envelope: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Gland share with the spec's spectral exponent; squashing flattens it, so it is measured and put right."""
        outline, tex, spacing_mm = self.spec.outline, self.spec.texture, self.spacing_mm
        half = max(12, round(0.3 * min(outline.depth_mm, outline.lower_mm) / spacing_mm))
        row = round((outline.centre_mm + tex.centre[0] * 0.5 * outline.lower_mm) / spacing_mm)
        col = max(half, round(tex.centre[1] * outline.depth_mm / spacing_mm))
        box = (slice(max(0, row - half), row + half), slice(max(0, col - half), col + half))
        beta = tex.beta
        for _ in range(3):
            even = np.clip(_LAYER_MEAN + 0.09 * shape_spectrum(layer, spacing_mm, beta), 0.5, 1.0)
            gland = even * self._share(shape_spectrum(texture, spacing_mm, beta), envelope, depth)
            beta = float(np.clip(beta + tex.beta - radial_slope(gland[box], spacing_mm), 2.2, 4.8))
        return gland

    def _share(self, texture: np.ndarray, envelope: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Squash texture + envelope so that the mean over the breast times the layer is 1 - fat fraction."""
        logits = np.float32(self.spec.texture.amplitude) * texture + envelope
        inside = logits[depth > 1.0][::7]
        target, low, high = (1.0 - self.spec.fat_fraction) / _LAYER_MEAN, -40.0, 40.0
        for _ in range(30):
            offset = 0.5 * (low + high)
            mean = float(_squash(inside + np.float32(offset)).mean()) if len(inside) else target
            low, high = (offset, high) if mean < target else (low, offset)
        return _squash(logits + np.float32(offset))

    def fine_detail(self) -> np.ndarray:
        """The power law above the coarse grid's Nyquist frequency, at full size, in units of the texture's sd."""
        spec = self.spec
        if self.step == 1:
            return np.zeros(spec.shape, np.float32)
        size = tuple(scipy.fft.next_fast_len(n, real=True) for n in spec.shape)
        frequency = _frequency(size, spec.spacing_mm)
        gain = np.maximum(frequency, _LOW_CUT_PER_MM) ** np.float32(-spec.texture.beta / 2)
        norm = math.sqrt(2.0 * float((gain.astype(np.float64) ** 2).sum()) / (size[0] * size[1]))
        gain *= 1.0 - np.exp(-((frequency / np.float32(0.4 / self.spacing_mm)) ** 4))
        spectrum = scipy.fft.rfft2(self.rng.standard_normal(size, dtype=np.float32), workers=2)
        spectrum *= gain * np.float32(spec.texture.amplitude / norm)
        field = scipy.fft.irfft2(spectrum, s=size, workers=2, overwrite_x=True)[: spec.shape[0], : spec.shape[1]]
        return np.ascontiguousarray(field, dtype=np.float32)

    def septa(self, lobules: np.ndarray, small_lobules: np.ndarray, gland: np.ndarray) -> np.ndarray:
        """Cooper's ligaments as cell walls: 0.2-0.4 mm wide where seen edge-on, else faded; mm along the beam.

        The first two maps are what the second nearest cell's seed is farther away than the nearest one's, mm.
        """
        out = np.zeros(self.spec.shape, np.float32)
        for gap, half_width, depth_mm in ((lobules, 0.22, 3.6), (small_lobules, 0.14, 2.2)):
            visible = np.clip(self.field(3.0) - 0.1, 0.0, 1.5) * (0.5 + 0.5 * np.minimum(1.0, 3.0 * gland))
            wall = self.enlarge(gap)
            wall *= np.float32(0.5 / half_width)
            np.multiply(wall, wall, out=wall)
            wall = cv2.exp(-wall)
            wall *= self.enlarge(np.float32(depth_mm * self.spec.texture.septa) * visible.astype(np.float32))
            out += wall
        return out


def _squash(value: np.ndarray) -> np.ndarray:
    """Sigmoid with algebraic tails, 0..1 with slope 1/4 at 0: never a flat plateau, unlike the logistic one."""
    half = np.float32(0.5) * value
    return np.float32(0.5) * (1.0 + half / np.sqrt(1.0 + half * half))
