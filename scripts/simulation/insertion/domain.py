"""Domain randomisation: other detectors and other processing of the same breast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.simulation.parameters import Parameters, Range


@dataclass(frozen=True)
class Domain:
    """How an image is changed, in this order. The defaults change nothing.

    Attributes:
        blur: Gaussian sigma, px.
        sharpen: share of the difference to a Gaussian of `sharpen_sigma` that is added (edge enhancement).
        sharpen_sigma: px.
        gain, centre: contrast about a grey value: centre + gain * (x - centre).
        gamma: exponent.
        noise: sd of added noise at mid grey, units of the [0, 1] range.
        grain: Gaussian sigma of the noise's correlation, px; 0 is white.
        levels: grey levels that are left; 0 keeps all.
        jpeg: JPEG quality (1..100) of an 8-bit copy; 0 leaves it out.
        seed: of the noise.
    """

    blur: float = 0.0
    sharpen: float = 0.0
    sharpen_sigma: float = 1.5
    gain: float = 1.0
    centre: float = 0.3
    gamma: float = 1.0
    noise: float = 0.0
    grain: float = 0.0
    levels: int = 0
    jpeg: int = 0
    seed: int = 0


@dataclass(frozen=True)
class DomainSettings(Parameters):
    """How other detectors and other processing are drawn: each change in a share of the draws, and its sd.

    Attributes:
        strength: factor on the sd of all changes; 0 changes nothing.
        blur_share, blur_sd: Gaussian blur, px.
        sharpen_share, sharpen_sd, sharpen_range_px: edge enhancement, and the range of its Gaussian.
        gain_share, gain_mean, gain_sd, centre_range: log of the contrast, and the grey value about which it changes.
        gamma_share, gamma_sd: log of the exponent.
        noise_share, noise_sd: units of the [0, 1] range.
        grain_share, grain_range_px: share of draws whose noise would be correlated.
        levels_share, levels: grey levels that are left.
        jpeg_share, jpeg_range: JPEG quality, whole numbers.
    """

    strength: float = 1.0
    blur_share: float = 0.4
    blur_sd: float = 0.7
    sharpen_share: float = 0.35
    sharpen_sd: float = 1.0
    sharpen_range_px: Range = (0.8, 4.0)
    gain_share: float = 0.6
    gain_mean: float = -0.1
    gain_sd: float = 0.4
    centre_range: Range = (0.15, 0.5)
    gamma_share: float = 0.6
    gamma_sd: float = 0.35
    noise_share: float = 0.5
    noise_sd: float = 0.02
    grain_share: float = 0.6
    grain_range_px: Range = (0.4, 1.0)
    levels_share: float = 0.3
    levels: int = 256
    jpeg_share: float = 0.25
    jpeg_range: tuple[int, int] = (60, 97)


def sample_domain(rng: np.random.Generator, settings: DomainSettings) -> Domain:
    """Draw a domain."""
    strength = settings.strength

    def drawn(share: float) -> bool:
        return bool(rng.random() < share) and strength > 0

    return Domain(
        blur=abs(rng.normal(0, settings.blur_sd * strength)) if drawn(settings.blur_share) else 0.0,
        sharpen=abs(rng.normal(0, settings.sharpen_sd * strength)) if drawn(settings.sharpen_share) else 0.0,
        sharpen_sigma=float(rng.uniform(*settings.sharpen_range_px)),
        gain=math.exp(rng.normal(settings.gain_mean * strength, settings.gain_sd * strength))
        if drawn(settings.gain_share)
        else 1.0,
        centre=float(rng.uniform(*settings.centre_range)),
        gamma=math.exp(rng.normal(0, settings.gamma_sd * strength)) if drawn(settings.gamma_share) else 1.0,
        noise=abs(rng.normal(0, settings.noise_sd * strength)) if drawn(settings.noise_share) else 0.0,
        grain=float(rng.uniform(*settings.grain_range_px)) if drawn(settings.grain_share) else 0.0,
        levels=settings.levels if drawn(settings.levels_share) else 0,
        jpeg=int(rng.integers(*settings.jpeg_range, endpoint=True)) if drawn(settings.jpeg_share) else 0,
        seed=int(rng.integers(2**31)),
    )


def apply_domain(image: np.ndarray, domain: Domain) -> np.ndarray:
    """Change a [0, 1] image, float32 (rows, cols); black (air) stays black."""
    x = image
    if domain.blur > 0.05:
        x = cv2.GaussianBlur(x, (0, 0), domain.blur)
    if domain.sharpen > 0:
        x = x + np.float32(domain.sharpen) * (x - cv2.GaussianBlur(x, (0, 0), domain.sharpen_sigma))
    if domain.gain != 1:
        x = np.float32(domain.centre) + np.float32(domain.gain) * (x - np.float32(domain.centre))
    x = np.clip(x, 0, 1)
    if domain.gamma != 1:
        x = cv2.pow(x, domain.gamma)
    if domain.noise > 0:
        x = np.clip(x + _noise(x, domain), 0, 1)
    if domain.levels:
        x = np.round(x * (domain.levels - 1)) / np.float32(domain.levels - 1)
    if domain.jpeg:
        _, stream = cv2.imencode(".jpg", np.round(x * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, domain.jpeg])
        x = cv2.imdecode(stream, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    x = np.ascontiguousarray(x, np.float32)
    x[image <= 0] = 0
    return x


def _noise(image: np.ndarray, domain: Domain) -> np.ndarray:
    """Noise whose variance rises with the grey value below mid grey's, correlated by `grain`."""
    noise = np.random.default_rng(domain.seed).standard_normal(image.shape, np.float32)
    if domain.grain > 0.05:
        noise = cv2.GaussianBlur(noise, (0, 0), domain.grain)
        noise /= noise.std()
    return noise * (np.float32(domain.noise) * np.sqrt(0.4 + 1.2 * image, dtype=np.float32))
