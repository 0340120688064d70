"""Spectra of the fibroglandular texture."""

import dataclasses

import numpy as np
import pytest

from scripts.simulation.phantom.outline import breast_maps
from scripts.simulation.phantom.sampling import sample_spec
from scripts.simulation.phantom.texture import gland_and_septa, power_law_field, radial_slope, shape_spectrum

SPACING = 0.28


def _slope(field: np.ndarray, spacing: float) -> float:
    """Independent estimate: least squares over all frequencies of 0.15-0.7 /mm, each octave weighted alike."""
    window = np.outer(np.hamming(field.shape[0]), np.hamming(field.shape[1]))
    power = np.abs(np.fft.fft2((field - field.mean()) * window)) ** 2
    rows, cols = (np.fft.fftfreq(n, spacing) for n in field.shape)
    frequency = np.hypot(rows[:, None], cols[None, :])
    band = (frequency > 0.15) & (frequency < 0.7)
    slope, _ = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1, w=1.0 / frequency[band])
    return -float(slope)


@pytest.mark.parametrize("beta", [2.6, 3.1, 3.6])
def test_power_law_field_has_its_exponent(beta: float) -> None:
    field = power_law_field(np.random.default_rng(1), (400, 320), SPACING, beta)
    assert field.shape == (400, 320) and field.dtype == np.float32
    assert field.std() == pytest.approx(1.0, abs=1e-3)
    assert _slope(field, SPACING) == pytest.approx(beta, abs=0.2)
    assert radial_slope(field, SPACING) == pytest.approx(beta, abs=0.2)


def test_shape_spectrum_restores_the_exponent_of_something_else() -> None:
    blobs = power_law_field(np.random.default_rng(2), (400, 400), SPACING, 1.5) > 0.5
    shaped = shape_spectrum(blobs.astype(np.float32), SPACING, 3.1)
    assert _slope(blobs.astype(np.float32), SPACING) < 2.4
    assert _slope(shaped, SPACING) == pytest.approx(3.1, abs=0.3)


@pytest.mark.parametrize("density", ["scattered", "heterogeneous", "dense"])
def test_gland_map_has_the_spec_exponent(density: str) -> None:
    errors = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        spec = sample_spec(rng, density=density, shape=(512, 400), spacing_mm=0.28, with_mcs=False)
        gland, _ = gland_and_septa(spec, breast_maps(spec), np.random.default_rng(seed))
        row, col = round(spec.outline.centre_mm / 0.28), round(0.45 * spec.outline.depth_mm / 0.28)
        box = gland[row - 60 : row + 60, max(0, col - 60) : max(120, col + 60)]
        errors.append(_slope(box, 0.28) - spec.texture.beta)
    assert abs(np.mean(errors)) < 0.3


@pytest.mark.parametrize(
    ("density", "fat"), [("fatty", 0.95), ("scattered", 0.85), ("heterogeneous", 0.66), ("dense", 0.4)]
)
def test_gland_share_follows_the_fat_fraction(density: str, fat: float) -> None:
    spec = sample_spec(np.random.default_rng(4), density=density, shape=(416, 320), spacing_mm=0.56, with_mcs=False)
    spec = dataclasses.replace(spec, fat_fraction=fat)
    breast = breast_maps(spec)
    gland, septa = gland_and_septa(spec, breast, np.random.default_rng(4))
    assert 1.0 - gland[breast.depth > 1.0].mean() == pytest.approx(fat, abs=0.05)
    assert gland.min() >= 0.0 and gland.max() <= 1.0
    assert septa.min() >= 0.0


def test_gland_is_not_clipped_to_a_plateau() -> None:
    spec = sample_spec(np.random.default_rng(5), density="dense", shape=(416, 320), spacing_mm=0.56, with_mcs=False)
    gland, _ = gland_and_septa(spec, breast_maps(spec), np.random.default_rng(5))
    assert (gland == 1.0).mean() < 0.01 and (gland == 0.0).mean() < 0.02


def test_radial_slope_wants_enough_detail() -> None:
    with pytest.raises(ValueError, match="field"):
        radial_slope(np.zeros((6, 6), np.float32), 0.3)
