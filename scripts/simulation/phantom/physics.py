"""X-ray physics of the phantom: attenuation, scatter, detector blur, noise, log, presentation.

Linear attenuation in 1/cm at about 19 keV (the effective energy of a W/Rh or Mo/Rh beam behind the breast).
"""

import math
from typing import TypeVar

import cv2
import numpy as np

from scripts.simulation.phantom.parameters import DetectorSpec, PresentationSpec

FloatOrArray = TypeVar("FloatOrArray", float, np.ndarray)

MU_ADIPOSE, MU_GLANDULAR, MU_SKIN, MU_MUSCLE, MU_LIGAMENT = 0.567, 0.862, 0.946, 0.975, 0.986
#: Calcification minus the tissue it displaces; the quadratic term is beam hardening. Reproduces the primary
#: contrasts 6.5 / 12.6 / 28.3 / 48 % of 0.1 / 0.2 / 0.5 / 1.0 mm.
MU_MC, MU_MC_HARDENING = 6.75, 2.0


def mc_attenuation(thickness_mm: np.ndarray) -> np.ndarray:
    """Attenuation (log units) that a calcification adds, thickness in mm along the beam."""
    cm = np.minimum(np.asarray(thickness_mm) / 10.0, 0.5)
    return MU_MC * cm - MU_MC_HARDENING * cm**2


def detector_pixels(fine: np.ndarray, blur_px: float, subpixels: int) -> np.ndarray:
    """Sample a finely sampled intensity: Gaussian of `blur_px` detector pixels, then the box of the pixel aperture.

    `fine` is (rows * subpixels, cols * subpixels).
    """
    kernel = np.exp(-0.5 * (np.arange(-4 * subpixels, 4 * subpixels + 1) / (blur_px * subpixels)) ** 2)
    kernel = kernel[kernel > 1e-7 * kernel.max()]
    kernel /= kernel.sum()
    blurred = cv2.sepFilter2D(fine.astype(np.float64), -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    rows, cols = fine.shape[0] // subpixels, fine.shape[1] // subpixels
    return blurred.reshape(rows, subpixels, cols, subpixels).mean(axis=(1, 3))


def detector_blur(image: np.ndarray, blur_px: float) -> np.ndarray:
    """The same Gaussian on an image that is already pixel averages: a kernel with the Gaussian's MTF.

    A sampled Gaussian is wrong at 0.27 px, so the taps are the inverse transform of its MTF over the Nyquist band.
    """
    frequency = (np.arange(256) + 0.5) / 512.0
    mtf = np.exp(-2.0 * (math.pi * blur_px * frequency) ** 2)
    taps = np.array([(mtf * np.cos(2 * math.pi * frequency * n)).mean() for n in range(-4, 5)])
    taps /= taps.sum()
    return cv2.sepFilter2D(image, -1, taps, taps, borderType=cv2.BORDER_REPLICATE)


def scatter(primary: np.ndarray, weight: np.ndarray, sigma_px: float) -> np.ndarray:
    """Scattered intensity before its fraction: `primary * weight` smoothed by a wide Gaussian, at 1/8 resolution.

    The weight is the thickness over the full thickness: scatter starts in tissue, not in air.
    """
    small = (max(2, primary.shape[1] // 8), max(2, primary.shape[0] // 8))
    source = cv2.resize(primary * weight, small, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(source, (0, 0), max(0.3, sigma_px / 8.0), borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(smooth, primary.shape[::-1], interpolation=cv2.INTER_LINEAR)


def noise_variance(quanta: FloatOrArray, detector: DetectorSpec) -> FloatOrArray:
    """Variance of a pixel that detects `quanta` on average: quantum + electronic + structured noise."""
    return quanta + detector.electronic**2 + (detector.structured * quanta) ** 2


def add_noise(quanta: np.ndarray, detector: DetectorSpec, rng: np.random.Generator) -> np.ndarray:
    """Noisy quanta (Gaussian limit of Poisson); white for a-Se, correlated by the scintillator's blur for CsI."""
    grain = rng.standard_normal(quanta.shape, dtype=np.float32)
    if detector.kind == "CsI":
        grain = cv2.GaussianBlur(grain, (0, 0), detector.blur_px)
        grain /= grain.std()
    grain *= np.sqrt(noise_variance(quanta, detector))
    grain += quanta
    return grain


def log_image(quanta: np.ndarray, air_quanta: float) -> np.ndarray:
    """-log(quanta / air_quanta); at least one quantum is assumed."""
    return np.float32(math.log(air_quanta)) - cv2.log(np.maximum(quanta, np.float32(1.0)))


def present(
    log_units: np.ndarray,
    rolloff: np.ndarray,  # attenuation (log units) missing at the breast's rim because it is thinner there
    level: float,  # log value of plain fat of full thickness, shown at `window.fat_level`
    weight: np.ndarray,  # 1 in the breast, 0 in air (which is shown black)
    window: PresentationSpec,
    large_px: float,  # sigma over which `window.compression` sees large areas
) -> np.ndarray:
    """Remove the thickness roll-off from a -log image, then map `window` log units to [0, 1]."""
    out = log_units + np.float32(window.equalisation) * rolloff
    out -= np.float32(level)
    out -= np.float32(window.compression) * (large_areas(out, weight, large_px) * weight)
    out *= np.float32(1.0 / window.window)
    out += np.float32(window.fat_level)
    out *= weight
    return np.clip(out, 0.0, 1.0, out=out)


def large_areas(image: np.ndarray, weight: np.ndarray, sigma_px: float) -> np.ndarray:
    """Weighted Gaussian mean of `image` over `sigma_px`, at 1/16 resolution; 0 where nothing has weight."""
    small = (max(2, image.shape[1] // 16), max(2, image.shape[0] // 16))
    maps = [cv2.resize(part, small, interpolation=cv2.INTER_AREA) for part in (image * weight, weight)]
    sigma = max(0.3, sigma_px / 16)
    total, share = (cv2.GaussianBlur(part, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for part in maps)
    mean = np.where(share > 1e-3, total / np.maximum(share, 1e-3), 0.0).astype(np.float32)
    return cv2.resize(mean, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
