"""Dark presentations are brightened: a gamma is undone, bright images and air are left alone."""

import numpy as np
import pytest
import torch

from scripts.inference.tile_inferer import TileInferer
from scripts.inference.tiles import Tiles
from scripts.inference.tone import Tone

TILES = Tiles(tile_px=64, margin_px=8, align_px=1, breast_only=False)


def breast(seed=0, shape=(120, 96)):
    """Grey values of a breast whose median is 0.4."""
    values = np.random.default_rng(seed).uniform(0.2, 0.6, shape)
    return torch.from_numpy(values / np.median(values[::4, ::4]) * 0.4)[None, None].float()


def test_two_gammas_of_one_image_look_the_same_to_the_network():
    image, tone = breast(), Tone(least_median=0.25)
    first, second = (tone.brightened(image**gamma) for gamma in (1.6, 2.2))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)
    assert float(first[0, 0, ::4, ::4].median()) == pytest.approx(0.25, abs=1e-3)


def test_bright_images_are_left_alone():
    image = breast()
    assert Tone(least_median=0.25).brightened(image) is image


def test_each_image_of_a_batch_is_its_own():
    image = breast()
    both = Tone(least_median=0.25).brightened(torch.cat([image, image**2]))
    assert torch.equal(both[:1], image) and not torch.equal(both[1:], image**2)


def test_the_air_does_not_count():
    image = breast()
    mask = np.ones((1, 120, 96), bool)
    mask[:, :, 30:] = False
    image[..., 30:] = 0
    tone = Tone(least_median=0.25)
    assert tone.brightened(image, mask) is image and tone.brightened(image) is not image


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.01])
def test_a_black_breast_is_brightened_by_no_smaller_power(value):
    assert Tone(least_median=0.25, least_exponent=0.5).exponent(np.full(9, value)) == 0.5


def test_no_breast_no_power():
    assert Tone().exponent(np.zeros(0)) == 1


def test_the_inferer_gives_the_network_the_brightened_image():
    image = breast() ** 2
    tone = Tone(least_median=0.25)
    given = TileInferer(TILES, "float32", tone=tone)(image, lambda windows: windows)
    torch.testing.assert_close(given, tone.brightened(image))
    torch.testing.assert_close(TileInferer(TILES, "float32")(image, lambda windows: windows), image)


@pytest.mark.parametrize(("name", "value"), [("least_median", 0.0), ("least_median", 1.0), ("least_exponent", 0.0)])
def test_wrong_values_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        Tone(**{name: value})
