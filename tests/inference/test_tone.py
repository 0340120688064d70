"""Dark presentations are brightened: a gamma is undone, bright images and air are left alone."""

import numpy as np
import pytest
import torch

from scripts.inference.tile_inferer import TileInferer
from scripts.inference.tiles import Tiles
from scripts.inference.tone import Curve, Tone

TILES = Tiles(tile_px=64, margin_px=8, align_px=1, breast_only=False)
TONE = Tone(least_median=0.25, least_range=0.0)


def breast():
    """Grey values of a breast whose median is 0.4, [1, 1, 120, 96]."""
    values = np.random.default_rng(0).uniform(0.2, 0.6, (120, 96))
    return torch.from_numpy(values / np.median(values[::4, ::4]) * 0.4)[None, None].float()


def given_to_the_network(images, tone):
    return TileInferer(TILES, "float32", tone=tone)(images, lambda windows: windows)


def test_two_gammas_of_one_image_look_the_same_to_the_network():
    first, second = (given_to_the_network(breast() ** gamma, TONE) for gamma in (1.6, 2.2))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)
    assert float(first[0, 0, ::4, ::4].median()) == pytest.approx(0.25, abs=1e-3)


def test_each_image_of_a_batch_is_its_own_and_bright_ones_are_left_alone():
    image = breast()
    both = given_to_the_network(torch.cat([image, image**2]), TONE)
    assert torch.equal(both[:1], image) and not torch.equal(both[1:], image**2)
    assert torch.equal(given_to_the_network(image**2, None), image**2)


def test_the_air_does_not_count():
    image, mask = breast(), np.ones((1, 120, 96), bool)
    mask[:, :, 30:] = False
    image[..., 30:] = 0.05
    assert TONE.curves(image, mask) == [Curve()]
    assert TONE.curves(image) == [Curve(0.5)]


@pytest.mark.parametrize(("median", "exponent"), [(0.01, 0.5), (0.03, 0.5), (0.125, 2 / 3), (0.25, 1)])
def test_the_power_is_the_ratio_of_logarithms_and_not_below_its_limit(median, exponent):
    assert TONE.curve(np.full(9, median)).exponent == pytest.approx(exponent)


def test_where_a_window_cut_fat_off_nothing_is_brightened():
    values = np.r_[np.zeros(19), np.full(81, 0.125)]
    assert TONE.curve(values).exponent == pytest.approx(2 / 3)
    assert Tone().curve(np.r_[values, np.zeros(5)]) == Curve()


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros(9)])
def test_no_breast_and_a_black_one_are_left_alone(values):
    assert Tone().curve(values) == Curve()


def test_grey_values_outside_of_0_to_1_are_clipped():
    assert Curve(0.5).of(torch.tensor([-0.1, 0.25, 1.2])).tolist() == pytest.approx([0, 0.5, 1])


def test_a_flat_image_gets_the_range_that_is_wanted_about_its_median():
    image, tone = breast() + 0.1, Tone(least_median=0.25, least_range=0.3)
    flat = (image - 0.5) * 0.5 + 0.5
    assert torch.equal(given_to_the_network(image, tone), image)  # its range is about 0.36
    seen = given_to_the_network(flat, tone)[0, 0, ::4, ::4].numpy()
    low, high = np.percentile(seen, (5, 95))
    assert high - low == pytest.approx(0.3, abs=1e-4) and np.median(seen) == pytest.approx(0.5, abs=1e-3)
    wide = given_to_the_network(flat, Tone(least_range=0.9))
    torch.testing.assert_close(wide, Curve(1.0, 0.5, 2.0).of(flat), atol=1e-3, rtol=0)  # no more than `most_gain`


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("least_range", 1),
        ("most_gain", 0.5),
        ("least_median", 0),
        ("least_median", 1),
        ("most_black", 1.1),
        ("least_exponent", 0),
    ],
)
def test_wrong_values_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        Tone(**{name: value})
