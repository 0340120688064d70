"""Bands, tiles and components with a seed, against brute force on small random masks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scripts.candidates import boxes
from scripts.candidates.boxes import Box, bands_around, cut_lines, shared_columns
from scripts.candidates.components import band_components, settle


def random_bands(rng: np.random.Generator, shape: tuple[int, int]) -> list[Box]:
    """Bands of random heights and spans, some of them missing."""
    rows = np.unique([0, shape[0], *rng.integers(0, shape[0], 4)])
    bands = []
    for top, bottom in itertools.pairwise(rows):
        left, right = np.sort(rng.choice(shape[1] + 1, 2, replace=False))
        if rng.random() < 0.4:
            left, right = 0, shape[1]
        bands.append(Box(int(top), int(bottom), int(left), int(right)))
    return [band for band in bands if len(bands) == 1 or rng.random() < 0.9] or bands


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6))
def test_components_with_a_seed_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 30)), int(rng.integers(1, 30)))
    mask = rng.random(shape) < rng.choice([0.3, 0.6, 0.8])  # from specks to mazes that wind through many bands
    bands = random_bands(rng, shape)
    domain = np.zeros(shape, bool)
    for band in bands:
        domain[band.slices] = True
    seeds = domain & (rng.random(shape) < 0.03)

    labels, _ = ndimage.label(mask & domain)
    expected = (labels > 0) & np.isin(labels, labels[seeds])
    at_cut = domain & ndimage.binary_dilation(~domain)  # a pixel beyond it is in the image and in no band
    in_doubt = (labels > 0) & np.isin(labels, labels[at_cut]) & ~expected

    found, parts = np.zeros(shape, bool), []
    for number, band in enumerate(bands):
        rows, cols = np.nonzero(seeds[band.slices])
        found[band.slices], part = band_components(mask[band.slices], rows, cols, cut_lines(bands, number, shape))
        parts.append(part)
    assert not (found & ~expected).any()
    settled = settle(bands, parts)
    found[settled.kept] = True
    np.testing.assert_array_equal(found, expected)
    doubtful = np.zeros(shape, bool)
    doubtful[settled.in_doubt] = True
    np.testing.assert_array_equal(doubtful, in_doubt)


def test_a_component_that_winds_through_a_band_again_and_again_is_one() -> None:
    mask = np.zeros((9, 12), bool)
    mask[1:8, ::2] = True  # a meander: down, along the last row, up, along the first one
    mask[7, 1::4] = mask[1, 3::4] = True
    bands = [Box(0, 3, 0, 12), Box(3, 6, 0, 12), Box(6, 9, 0, 12)]
    parts = []
    for band in bands:
        rows, cols = ([4 - band.top], [0]) if band.top == 3 else ([], [])
        _, part = band_components(mask[band.slices], np.array(rows, int), np.array(cols, int), [])
        parts.append(part)
    rows, cols = settle(bands, parts).kept
    assert rows.size == np.count_nonzero(mask) - 3  # all but what the middle band knew by itself


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 20))
def test_bands_hold_the_mask_and_its_margin(seed: int, margin: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 700)), int(rng.integers(1, 200)))
    mask = rng.random(shape) < rng.choice([0, 1e-4, 1e-2])
    bands = bands_around(mask, margin)
    covered = np.zeros(shape, int)
    for band in bands:
        covered[band.slices] += 1
        assert band.bottom - band.top <= boxes.BAND_ROWS and band.left % boxes.ALIGN_PX == 0
        assert band.right % boxes.ALIGN_PX == 0 or band.right == shape[1]
    assert covered.max() <= 1
    assert covered[ndimage.maximum_filter(mask, 2 * margin + 1, mode="constant")].all()
    assert bool(bands) == mask.any()


@pytest.mark.parametrize("width", [1, 31, 1536, 1537, 2560, 4915])
def test_tiles_part_a_band(width: int) -> None:
    band = Box(3, 8, 64, 64 + width)
    tiles = list(band.tiles())
    assert [tiles[0].left, *(tile.right for tile in tiles)] == [*(tile.left for tile in tiles), band.right]
    assert max(tile.right - tile.left for tile in tiles) <= boxes.TILE_COLS + boxes.ALIGN_PX
    assert all(tile.left % boxes.ALIGN_PX == 0 and tile[:2] == (3, 8) for tile in tiles)


def test_boxes_that_do_not_touch_share_no_column() -> None:
    above = Box(0, 4, 2, 6)
    assert shared_columns(above, Box(4, 8, 5, 9)) == slice(5, 6)
    assert shared_columns(above, Box(4, 8, 6, 9)) == shared_columns(above, Box(5, 8, 2, 6)) == slice(0, 0)
