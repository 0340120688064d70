"""Domain randomisation: other detectors and other processing of the same breast."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from scripts.common.checks import check_fields
from scripts.simulation.parameters import Parameters, Range, Rng, uniform, whole


@dataclass(frozen=True)
class Domain:
    """How an image is changed, in this order. The defaults change nothing."""

    blur: float = 0.0  # Gaussian sigma, px
    sharpen: float = 0.0  # share of the difference to a Gaussian that is added (edge enhancement)
    sharpen_sigma: float = 1.5  # of that Gaussian, px
    gain: float = 1.0  # contrast about a grey value: centre + gain * (x - centre)
    centre: float = 0.3
    gamma: float = 1.0  # exponent
    noise: float = 0.0  # sd of added noise at mid grey, units of the [0, 1] range
    grain: float = 0.0  # Gaussian sigma of the noise's correlation, px; 0 is white
    levels: int = 0  # grey levels that are left; 0 keeps all
    jpeg: int = 0  # JPEG quality (1..100) of an 8-bit copy; 0 leaves it out
    seed: int = 0  # of the noise

    def __post_init__(self) -> None:
        check_fields(self, sharpen_sigma="(0, inf)", gamma="(0, inf)", jpeg="[0, 100]")


@dataclass(frozen=True)
class DomainSettings(Parameters):
    """How other detectors and other processing are drawn: each change in a share of the draws, and its sd."""

    strength: float = 1.0  # factor on the sd of all changes; 0 changes nothing
    blur_share: float = 0.4
    blur_sd: float = 0.7  # Gaussian blur, px
    sharpen_share: float = 0.35  # edge enhancement
    sharpen_sd: float = 1.0
    sharpen_range_px: Range = (0.8, 4.0)  # its Gaussian
    gain_share: float = 0.6  # contrast
    gain_mean: float = -0.1  # its log
    gain_sd: float = 0.4
    centre_range: Range = (0.15, 0.5)  # grey value about which it changes
    gamma_share: float = 0.6
    gamma_sd: float = 0.35  # log of the exponent
    noise_share: float = 0.5
    noise_sd: float = 0.02  # units of the [0, 1] range
    grain_share: float = 0.6  # of draws whose noise would be correlated
    grain_range_px: Range = (0.4, 1.0)
    levels_share: float = 0.3
    levels: int = 256  # grey levels that are left
    jpeg_share: float = 0.25
    jpeg_range: tuple[int, int] = (60, 97)  # JPEG quality, whole numbers
    intervals: ClassVar[Mapping[str, str]] = {"gain_mean": "(-inf, inf)", "jpeg_range": "[1, 100]"}


def sample_domain(rng: Rng, settings: DomainSettings) -> Domain:
    """Draw a domain."""

    def drawn(share: float) -> bool:
        return bool(rng.random() < share) and settings.strength > 0

    def normal(share: float, mean: float, sd: float) -> float:
        return float(rng.normal(mean * settings.strength, sd * settings.strength)) if drawn(share) else 0.0

    return Domain(
        blur=abs(normal(settings.blur_share, 0.0, settings.blur_sd)),
        sharpen=abs(normal(settings.sharpen_share, 0.0, settings.sharpen_sd)),
        sharpen_sigma=uniform(rng, settings.sharpen_range_px),
        gain=math.exp(normal(settings.gain_share, settings.gain_mean, settings.gain_sd)),
        centre=uniform(rng, settings.centre_range),
        gamma=math.exp(normal(settings.gamma_share, 0.0, settings.gamma_sd)),
        noise=abs(normal(settings.noise_share, 0.0, settings.noise_sd)),
        grain=uniform(rng, settings.grain_range_px) if drawn(settings.grain_share) else 0.0,
        levels=settings.levels if drawn(settings.levels_share) else 0,
        jpeg=whole(rng, settings.jpeg_range) if drawn(settings.jpeg_share) else 0,
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
