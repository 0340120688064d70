"""Domain randomisation: other detectors and other processing of the same breast; and single shifts, to test against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np


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


def sample_domain(rng: np.random.Generator, strength: float = 1.0) -> Domain:
    """Draw a domain; every change is left out in about half of the draws.

    Args:
        rng: random generator.
        strength: factor on the sd of all changes; 0 changes nothing.
    """

    def chance(share: float) -> bool:
        return bool(rng.random() < share) and strength > 0

    return Domain(
        blur=abs(rng.normal(0, 0.7 * strength)) if chance(0.4) else 0.0,
        sharpen=abs(rng.normal(0, 1.0 * strength)) if chance(0.35) else 0.0,
        sharpen_sigma=float(rng.uniform(0.8, 4.0)),
        gain=math.exp(rng.normal(-0.1 * strength, 0.4 * strength)) if chance(0.6) else 1.0,
        centre=float(rng.uniform(0.15, 0.5)),
        gamma=math.exp(rng.normal(0, 0.35 * strength)) if chance(0.6) else 1.0,
        noise=abs(rng.normal(0, 0.02 * strength)) if chance(0.5) else 0.0,
        grain=float(rng.uniform(0.4, 1.0)) if chance(0.6) else 0.0,
        levels=256 if chance(0.3) else 0,
        jpeg=int(rng.integers(60, 98)) if chance(0.25) else 0,
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


#: Single shifts that weights must bear; sizes (x0.7, x1.4) and MONOCHROME1 are made by the benchmark itself.
SHIFTS = {
    "gamma_0.6": Domain(gamma=0.6),
    "gamma_1.6": Domain(gamma=1.6),
    "8_bit": Domain(levels=256),
    "half_contrast": Domain(gain=0.5, centre=0.3),
    "blur": Domain(blur=1.0),
    "noise": Domain(noise=0.02, seed=1),
}
