"""Tiles around a mask, and boxes within each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scripts.candidates import boxes
from scripts.candidates.boxes import Box, tiles_around


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 20))
def test_tiles_hold_the_mask_and_its_margin(seed: int, margin: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 700)), int(rng.integers(1, 1200)))
    mask = rng.random(shape) < rng.choice([0, 1e-5, 1e-4, 1e-2])
    tiles = tiles_around(mask, margin)
    covered = np.zeros(shape, int)
    for tile in tiles:
        covered[tile.slices] += 1
        assert tile.shape[0] <= boxes.TILE_PX[0] and tile.shape[1] <= boxes.TILE_PX[1]
        assert tile.left % boxes.ALIGN_PX == 0 and (tile.right % boxes.ALIGN_PX == 0 or tile.right == shape[1])
    assert covered.max() <= 1
    assert covered[ndimage.maximum_filter(mask, 2 * margin + 1, mode="constant")].all()
    assert bool(tiles) == mask.any()


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        (Box(10, 20, 64, 96), 0, Box(10, 20, 64, 96)),
        (Box(10, 20, 64, 96), 1, Box(9, 21, 32, 128)),
        (Box(0, 20, 33, 70), 4, Box(0, 24, 0, 96)),
        (Box(40, 50, 96, 130), 3, Box(37, 50, 64, 130)),
    ],
)
def test_a_grown_box_has_whole_columns_and_ends_at_the_image(box: Box, margin: int, expected: Box) -> None:
    assert box.grown(margin, (50, 130)) == expected


def test_box_around_and_within_others() -> None:
    around = Box.around([Box(4, 8, 2, 6), Box(6, 9, 0, 3)])
    assert around == Box(4, 9, 0, 6) and around.shape == (5, 6)
    image = np.arange(100).reshape(10, 10)
    inner = Box(6, 8, 1, 4)
    np.testing.assert_array_equal(image[around.slices][inner.within(around)], image[inner.slices])
