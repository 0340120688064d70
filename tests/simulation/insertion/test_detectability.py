"""d' of a matched filter: known signals in known noise, a brute-force reference, and labels by it."""

import numpy as np
import pytest

from scripts.simulation.insertion.detectability import Detectability, label_detectable, matched_filter_d


def test_white_noise_gives_energy_over_noise():
    rng = np.random.default_rng(0)
    background = rng.normal(0.4, 0.02, (400, 400)).astype(np.float32)
    signal = np.zeros((7, 7), np.float32)
    signal[3, 3] = 0.1
    found = matched_filter_d(background, signal, 200, 200, Detectability(around_px=300))
    assert found == pytest.approx(0.1 / 0.02 * np.sqrt(1 - 1 / 49), rel=0.05)
    signal[2:5, 2:5] = 0.1  # nine pixels: energy of the signal less its mean
    energy = np.sum((signal - signal.mean()) ** 2)
    assert matched_filter_d(background, signal, 200, 200, Detectability(around_px=300)) == pytest.approx(
        np.sqrt(energy) / 0.02, rel=0.05
    )


def test_as_a_loop_over_places_has_it():
    rng = np.random.default_rng(1)
    background = (0.5 + 0.1 * np.sin(np.arange(40)[:, None] / 3) + rng.normal(0, 0.01, (40, 50))).astype(np.float32)
    signal = np.zeros((5, 6), np.float32)
    signal[1:4, 2:5] = [[0.02, 0.05, 0.02], [0.05, 0.1, 0.03], [0, 0.04, 0.01]]
    template = signal - signal.mean()
    # a square of 20 px around the MC at (3, 30) cut at the image's upper edge
    responses = [
        np.sum(template * background[row : row + 5, col : col + 6]) for row in range(14) for col in range(20, 41)
    ]
    spread = 1.4826 * np.median(np.abs(responses - np.median(responses)))
    expected = np.sum(template * signal) / spread
    assert matched_filter_d(background, signal, 3, 30, Detectability(around_px=20)) == pytest.approx(expected, rel=1e-3)


def test_the_level_does_not_count_and_empty_cases_are_defined():
    background = np.random.default_rng(2).normal(0.2, 0.02, (60, 60)).astype(np.float32)
    signal = np.zeros((5, 5), np.float32)
    signal[2, 2] = 0.1
    found = matched_filter_d(background, signal, 20, 20)
    assert matched_filter_d(background + np.float32(0.5), signal, 20, 20) == pytest.approx(found, rel=1e-3)
    assert matched_filter_d(background, 2 * signal, 20, 20) == pytest.approx(2 * found, rel=1e-5)
    assert matched_filter_d(background, 0 * signal, 20, 20) == 0
    assert matched_filter_d(np.full((60, 60), 0.3, np.float32), signal, 20, 20) == np.inf


def test_labels_follow_d():
    without = np.random.default_rng(3).normal(0.4, 0.02, (120, 120)).astype(np.float32)
    objects = np.zeros(without.shape, np.int32)
    objects[30:33, 30:33], objects[80:83, 80:83] = 1, 3  # the second one has no pixel
    image = without + np.where(objects == 1, np.float32(0.1), np.where(objects == 3, np.float32(0.012), 0))
    label, found = label_detectable(image, without, objects, 3, Detectability())
    assert found[0] > 5 > found[2] > 0 and found[1] == 0
    np.testing.assert_array_equal(label, np.select([objects == 1, objects == 3], [1, 2], 0))
    assert (label_detectable(image, without, objects, 3, Detectability(least_d=0.1))[0] == (objects > 0)).all()


def test_a_neighbour_adds_nothing():
    without = np.random.default_rng(4).normal(0.4, 0.02, (120, 120)).astype(np.float32)
    alone = np.zeros(without.shape, np.int32)
    alone[30:33, 30:33] = 1
    both = alone.copy()
    both[30:33, 34:37] = 2  # a pixel between them

    def first(objects):
        image = without + np.where(objects > 0, np.float32(0.1), 0)
        return label_detectable(image, without, objects, 2, Detectability())[1][0]

    assert first(both) == pytest.approx(first(alone), rel=1e-5)
