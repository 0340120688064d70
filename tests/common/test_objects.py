"""Connected objects: holes and measurements, by hand and against SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scripts.common.objects import fill_holes, label_objects, measure_objects, object_boxes, renumbered, summarise


def test_a_ring_is_filled_and_a_neighbour_is_not_touched():
    mask = np.zeros((7, 9), bool)
    mask[1:6, 1:6] = True
    mask[2:5, 2:5] = False
    mask[3, 3] = True  # a dot in the hole is absorbed
    mask[3, 7] = True
    labels, count = label_objects(mask)
    assert count == 3
    filled = fill_holes(labels)
    assert (filled == labels[1, 1]).sum() == 25
    assert filled[3, 7] == labels[3, 7] and (filled > 0).sum() == 26


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_holes_are_those_of_scipy_object_by_object(seed, is_touching):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 20, 2)
    labels = rng.integers(0, 3, shape).astype(np.int32) if is_touching else label_objects(rng.random(shape) < 0.6)[0]
    expected = labels.copy()
    boxes = ndimage.find_objects(labels)
    heights = [(box[0].stop - box[0].start, i) for i, box in enumerate(boxes, start=1) if box is not None]
    for _, number in sorted(heights):  # low objects first
        expected[ndimage.binary_fill_holes(labels == number)] = number
    np.testing.assert_array_equal(fill_holes(labels), expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_measurements_equal_scipys(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(9, rng.integers(1, 15, 2), p=[0.6] + [0.05] * 8).astype(np.int32)
    found = measure_objects(labels, np.arange(9) / 8, (0.1, 0.2))
    present = np.unique(labels[labels > 0])
    assert [mc.score for mc in found] == [number / 8 for number in present]
    for mc, number in zip(found, present, strict=True):
        rows, cols = ndimage.find_objects((labels == number).astype(int))[0]
        assert mc.bounding_box == (rows.start, cols.start, rows.stop, cols.stop)
        assert mc.area_px == (labels == number).sum()
        assert (mc.row, mc.col) == pytest.approx(ndimage.center_of_mass(labels == number), abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_boxes_equal_scipys(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(9, rng.integers(1, 15, 2), p=[0.6] + [0.05] * 8).astype(np.int32)
    expected = {number: box for number, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None}
    assert object_boxes(labels) == expected
    assert list(object_boxes(labels)) == sorted(expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([-np.inf, 0.0, 0.5]))
def test_objects_are_renumbered_without_gaps_and_without_low_scores(seed, threshold):
    rng = np.random.default_rng(seed)
    labels, scores = rng.choice(9, rng.integers(1, 15, 2)).astype(np.int64), rng.random(rng.integers(9, 12))
    kept = [number for number in np.unique(labels[labels > 0]).tolist() if scores[number] >= threshold]
    expected = np.zeros(labels.shape, np.int32)
    for number, old in enumerate(kept, start=1):
        expected[labels == old] = number
    found, own = renumbered(labels, scores, threshold)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(own, [0, *scores[kept]])
    again, same = renumbered(found, own)
    assert again is found  # in order already: not copied
    np.testing.assert_array_equal(same, own)


def test_measurements_by_hand():
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 2:5] = 1  # 2 x 3 px: centroid (1.5, 3)
    labels[5, 7] = 4  # numbers may have gaps
    first, second = measure_objects(labels, np.array([0, 0.5, 0, 0, 0.25]), (0.1, 0.2))
    assert (first.row, first.col, first.area_px, first.score) == (1.5, 3.0, 6, 0.5)
    assert (first.y_mm, first.x_mm) == (0.15, 0.6)
    assert first.area_mm2 == pytest.approx(0.12) and first.bounding_box == (1, 2, 3, 5)
    assert first.equivalent_diameter_mm == pytest.approx(2 * (0.12 / np.pi) ** 0.5, abs=1e-4)
    assert (second.id, second.row, second.col, second.area_px) == (2, 5.0, 7.0, 1)
    summary = summarise([first, second], 2.0)
    assert summary["count_per_cm2"] == 1.0 and summary["mean_area_mm2"] == pytest.approx(0.07)
    assert summary["std_area_mm2"] == pytest.approx(0.05)
