"""Physics of the phantom against tabulated contrasts and closed forms."""

import math

import numpy as np
import pytest

from scripts.simulation.phantom.parameters import DetectorSpec
from scripts.simulation.phantom.physics import (
    MU_ADIPOSE,
    add_noise,
    detector_blur,
    detector_pixels,
    large_areas,
    log_image,
    mc_attenuation,
    noise_variance,
    scatter,
)

ASE = DetectorSpec("a-Se", 0.27, 3000.0, 6.0, 0.00116, 0.15, 3.0)
CSI = DetectorSpec("CsI", 0.57, 3000.0, 6.0, 0.00116, 0.15, 3.0)


@pytest.mark.parametrize(
    ("thickness_mm", "percent"), [(0.1, 6.5), (0.2, 12.6), (0.3, 18.2), (0.5, 28.3), (0.75, 39.0), (1.0, 48.0)]
)
def test_primary_contrast_of_a_calcification_follows_the_table(thickness_mm: float, percent: float) -> None:
    contrast = 100.0 * (1.0 - math.exp(-float(mc_attenuation(np.array(thickness_mm)))))
    assert contrast == pytest.approx(percent, rel=0.02)


def _edge_mtf(blur_px: float, frequency: float, through_kernel: bool) -> float:
    """MTF at `frequency` (1/px) from an edge seen at 16 subpixel phases: derivative of the oversampled edge."""
    sub, length, rows = 16, 33, 9
    spread = np.zeros(length * sub)
    for phase in range(sub):
        fine = np.zeros((rows * sub, length * sub))
        fine[:, length * sub // 2 + phase :] = 1.0
        if through_kernel:  # area sampling first, then the kernel for images that are already pixel averages
            pixels = detector_blur(fine.reshape(rows, sub, length, sub).mean(axis=(1, 3)), blur_px)
        else:
            pixels = detector_pixels(fine, blur_px, sub)
        spread[sub - 1 - phase :: sub] = pixels[rows // 2]
    line = np.diff(spread)
    at = np.exp(-2j * math.pi * frequency * np.arange(len(line)) / sub)
    return float(abs((line * at).sum()) / abs(line.sum()))


@pytest.mark.parametrize("through_kernel", [False, True])
@pytest.mark.parametrize("frequency", [0.25, 0.5])
def test_edge_mtf_is_box_times_gaussian(frequency: float, through_kernel: bool) -> None:
    expected = np.sinc(frequency) * math.exp(-2.0 * (math.pi * 0.27 * frequency) ** 2)
    assert _edge_mtf(0.27, frequency, through_kernel) == pytest.approx(expected, abs=0.02)


def test_edge_mtf_at_nyquist_is_that_of_a_selenium_detector() -> None:
    assert 0.40 < _edge_mtf(0.27, 0.5, through_kernel=False) < 0.50


def test_indirect_detector_blurs_more() -> None:
    assert _edge_mtf(CSI.blur_px, 0.5, through_kernel=False) < 0.3


@pytest.mark.parametrize("quanta", [800.0, 4000.0])
@pytest.mark.parametrize("detector", [ASE, CSI])
def test_noise_variance_against_signal(quanta: float, detector: DetectorSpec) -> None:
    flat = np.full((300, 300), quanta, np.float32)
    noisy = add_noise(flat, detector, np.random.default_rng(3))
    expected = quanta + 36.0 + (0.00116 * quanta) ** 2
    assert noise_variance(quanta, detector) == pytest.approx(expected)
    assert noisy.var() == pytest.approx(expected, rel=0.03)
    assert noisy.mean() == pytest.approx(quanta, rel=0.002)


def test_direct_detector_noise_is_white_and_indirect_is_not() -> None:
    flat = np.full((300, 300), 2000.0, np.float32)

    def neighbour_correlation(detector: DetectorSpec) -> float:
        noise = add_noise(flat, detector, np.random.default_rng(5)) - 2000.0
        return float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var())

    assert abs(neighbour_correlation(ASE)) < 0.02
    assert neighbour_correlation(CSI) > 0.2


def test_scatter_of_a_flat_field_is_the_field_and_starts_only_in_tissue() -> None:
    primary = np.full((128, 160), 0.1, np.float32)
    np.testing.assert_allclose(scatter(primary, np.ones_like(primary), 40.0), 0.1, rtol=1e-5)
    np.testing.assert_array_equal(scatter(primary, np.zeros_like(primary), 40.0), 0.0)


def test_log_image_inverts_attenuation() -> None:
    path_cm = np.array([[1.0, 3.0], [4.0, 5.0]], np.float32)
    quanta = np.float32(5e4) * np.exp(-MU_ADIPOSE * path_cm)
    np.testing.assert_allclose(log_image(quanta, 5e4), MU_ADIPOSE * path_cm, rtol=1e-5)


def test_large_areas_ignores_what_has_no_weight() -> None:
    image = np.full((256, 256), 2.0, np.float32)
    image[:, 128:] = 100.0
    weight = np.zeros_like(image)
    weight[:, :128] = 1.0
    assert large_areas(image, weight, 30.0)[:, :120] == pytest.approx(2.0, rel=1e-4)
