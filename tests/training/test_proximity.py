import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scripts.training.proximity import core_mask, proximity_map


def brute_force(label, xi, alpha):
    """Eq. (7)-(9) as printed: the maximum over all MC pixels of g."""
    rows, cols = np.indices(label.shape)
    best = np.zeros(label.shape)
    for row, col in np.argwhere(label == 1):
        r = np.sqrt((rows - row) ** 2 + (cols - col) ** 2)
        g = (np.exp(alpha * (1 - r / xi)) - 1) / (np.exp(alpha) - 1)
        best = np.maximum(best, np.where(r <= xi, g, 0))
    return best


@pytest.mark.parametrize("xi", [6, 8, 10, 12, 2.5])
@pytest.mark.parametrize("alpha", [-2, -1, 1e-4, 1, 2])
def test_equals_the_equations_by_brute_force(xi, alpha):
    label = (np.random.default_rng(0).random((50, 61)) < 0.004).astype(np.uint8)
    label[20:23, 30:34] = 1
    proximity = proximity_map(label, xi, alpha)
    assert proximity.dtype == np.float32
    np.testing.assert_allclose(proximity, brute_force(label, xi, alpha), atol=2e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 29)), min_size=1, max_size=4))
def test_window_never_shows(points):
    """MCs anywhere, borders and corners too: only a window is computed, the result is that of the whole image."""
    label = np.zeros((40, 30), np.uint8)
    label[tuple(np.transpose(points))] = 1
    np.testing.assert_allclose(proximity_map(label, 7, 1.0), brute_force(label, 7, 1.0), atol=2e-6)


def test_hand_worked_values():
    label = np.zeros((3, 31), np.uint8)
    label[1, 15] = 1
    row = proximity_map(label, radius_px=10, alpha=1)[1]
    assert row[15] == 1.0
    assert row[10] == row[20] == pytest.approx((math.sqrt(math.e) - 1) / (math.e - 1), abs=1e-6)
    assert row[24] > 0
    assert row[25] == row[5] == 0.0  # r = xi
    assert row[26] == 0.0


def test_small_alpha_has_the_linear_limit():
    label = np.zeros((25, 25), np.uint8)
    label[12, 12] = 1
    limit = proximity_map(label, 10, 0.0)
    assert limit[12, 15] == pytest.approx(0.7, abs=1e-6)
    for alpha in (1e-9, -1e-9, 1e-5, -1e-5):
        np.testing.assert_allclose(proximity_map(label, 10, alpha), limit, atol=1e-5)


def test_ignored_pixels_are_no_mcs_and_no_mc_means_zero():
    label = np.zeros((9, 9), np.uint8)
    label[4, 4] = 2
    assert not proximity_map(label).any()
    assert not proximity_map(np.zeros((0, 5), np.uint8)).any()


def test_all_mc_is_one_everywhere():
    assert (proximity_map(np.ones((6, 7), np.uint8)) == 1).all()


@pytest.mark.parametrize(
    ("label", "radius_px", "alpha", "message"),
    [
        (np.zeros((1, 4, 4)), 10, 1, r"label: got shape \(1, 4, 4\)"),
        (np.zeros((4, 4)), 0, 1, "radius_px: got 0"),
        (np.zeros((4, 4)), 10, float("nan"), "alpha: got nan"),
        (np.zeros((4, 4)), 10, 200.0, "alpha: got 200"),
    ],
)
def test_bad_arguments_are_refused(label, radius_px, alpha, message):
    with pytest.raises(ValueError, match=message):
        proximity_map(label, radius_px, alpha)


def test_the_same_label_gives_the_same_bits_wherever_it_lies_in_memory():
    rng = np.random.default_rng(0)
    label = (rng.random((64, 61)) > 0.99).astype(np.uint8)
    room = np.zeros(label.size + 64, np.uint8)
    maps = set()
    for offset in range(40):
        moved = room[offset : offset + label.size].reshape(label.shape)
        moved[:] = label
        maps.add(proximity_map(moved).tobytes())
    assert len(maps) == 1


def test_cores_by_hand():
    """A square of 5 px: distances to its outside are 1, 2, 3 from the edge inwards. A line of 2 px is all core."""
    label = np.zeros((20, 30), np.uint8)
    label[2:7, 2:7] = label[10:12, 3:20] = 1
    wanted = np.zeros(label.shape, bool)
    wanted[3:6, 3:6] = wanted[10:12, 3:20] = True
    np.testing.assert_array_equal(core_mask(label, 0.6), wanted)  # 2 / 3 reaches 0.6, 1 / 3 does not
    wanted[3:6, 3:6], wanted[4, 4] = False, True
    np.testing.assert_array_equal(core_mask(label, 0.7), wanted)
    np.testing.assert_array_equal(core_mask(label, 0.01), label == 1)


def test_cores_of_touching_mcs_lie_apart_and_ignored_ones_have_none():
    rows, cols = np.indices((21, 40))
    label = (np.hypot(rows - 10, cols - 10) <= 4).astype(np.uint8)
    second = (np.hypot(rows - 10, cols - 19) <= 4) & ~ndimage.binary_dilation(label, np.ones((3, 3)))
    label[second] = 1
    label[8:12, 30:34] = 2
    objects, count = ndimage.label(label == 1, np.ones((3, 3)))
    cores, core_count = ndimage.label(core_mask(label), np.ones((3, 3)))
    assert count == core_count == 2 and not core_mask(label)[:, 28:].any()
    gaps = [ndimage.distance_transform_edt(parts != 1)[parts == 2].min() for parts in (objects, cores)]
    assert gaps[0] == 2 and gaps[1] >= 4  # of one pixel between, and more


def test_what_lies_beyond_the_patch_limits_no_core():
    label = np.zeros((12, 12), np.uint8)
    label[:4, :] = 1
    np.testing.assert_array_equal(core_mask(label, 0.9), np.arange(12)[:, None] * np.ones(12) < 1)  # distances 4, 3, ..
    assert core_mask(np.ones((5, 5), np.uint8)).all()
    assert not core_mask(np.zeros((5, 5), np.uint8)).any()
    with pytest.raises(ValueError, match="depth"):
        core_mask(label, 0.0)
