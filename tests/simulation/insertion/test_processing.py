"""Presentations: neutral by default, curves rise from 0 to 1, edges get steeper, air stays black."""

import numpy as np
import pytest

from scripts.simulation.insertion.processing import (
    FAMILIES,
    Processing,
    ProcessingSettings,
    apply_processing,
    sample_processing,
    tone_curve,
)

RAMP = np.linspace(0, 1, 101, dtype=np.float32)


def test_nothing_changes_by_default():
    image = np.random.default_rng(0).random((30, 40), np.float32)
    np.testing.assert_array_equal(apply_processing(image, Processing()), image)


@pytest.mark.parametrize(("family", "strength"), [("sigmoid", 5), ("power", 0.5), ("power", -0.5), ("shoulder", 0.6)])
def test_curves_rise_from_0_to_1(family, strength):
    curve = tone_curve(RAMP, Processing(family, strength, 0.4))
    assert curve[0] == pytest.approx(0, abs=1e-6) and curve[-1] == pytest.approx(1, abs=1e-6)
    assert (np.diff(curve) > 0).all()


def test_curves_are_what_their_names_say():
    assert tone_curve(RAMP, Processing("power", np.log(2)))[50] == pytest.approx(0.25)
    sigmoid = tone_curve(RAMP, Processing("sigmoid", 6, 0.5))
    assert sigmoid[50] == pytest.approx(0.5) and np.diff(sigmoid).argmax() in (49, 50)
    slope = np.diff(tone_curve(RAMP, Processing("shoulder", 0.6, 0.4)))
    assert slope[60] / slope[10] == pytest.approx(0.4, rel=1e-3)


def test_edges_get_steeper_and_air_stays_black():
    image = np.full((40, 60), 0.3, np.float32)
    image[:, 30:], image[:, :5] = 0.5, 0
    result = apply_processing(image, Processing(enhancement=(0, 0.8, 0)))
    assert result[20, 31] > 0.52 and result[20, 28] < 0.29  # overshoot on both sides
    assert result[20, 55] == pytest.approx(0.5, abs=0.01) and not result[:, :5].any()


def test_draws_repeat_and_know_all_families():
    drawn = [sample_processing(np.random.default_rng(seed), ProcessingSettings()) for seed in range(60)]
    assert drawn == [sample_processing(np.random.default_rng(seed), ProcessingSettings()) for seed in range(60)]
    assert {one.family for one in drawn} == set(FAMILIES)
    assert any(any(one.enhancement) for one in drawn) and not all(any(one.enhancement) for one in drawn)
    with pytest.raises(ValueError, match="family: got 'log'; want one of sigmoid, power, shoulder"):
        Processing("log")
