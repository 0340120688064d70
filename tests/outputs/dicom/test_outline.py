"""The polygon of an object holds just its pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.draw import polygon2mask

from scripts.common.objects import label_objects, measure_objects
from scripts.outputs.dicom.outline import hull_of, outline, score_of, trace


def area_and_centroid(corners):
    """Of a polygon, by Green's theorem."""
    (y, x), (y2, x2) = corners.T, np.roll(corners, -1, axis=0).T
    cross = y * x2 - y2 * x
    area = cross.sum() / 2
    return abs(area), ((y + y2) @ cross) / (6 * area), ((x + x2) @ cross) / (6 * area)


def test_one_pixel_is_a_square_clockwise():
    assert trace(np.ones((1, 1), bool)).tolist() == [[0, 0], [0, 1], [1, 1], [1, 0]]


def test_two_pixels_that_touch_at_a_corner_are_one_polygon():
    corners = trace(np.array([[1, 0], [0, 1]], bool))
    assert corners.tolist() == [[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [1, 0]]


@given(arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 9))))
def test_polygon_holds_just_the_pixels(mask):
    labels, count = label_objects(mask)
    for mc in measure_objects(labels, np.ones(count + 1), (0.1, 0.2)):
        corners, own = outline(labels, mc), ndimage.binary_fill_holes(labels == mc.id)
        assert (polygon2mask(mask.shape, corners) == own).all()
        rows, cols = np.nonzero(own)
        assert area_and_centroid(corners) == pytest.approx((own.sum(), rows.mean(), cols.mean()))


def test_hull_of_a_cluster_without_one_is_the_box_of_its_members():
    marks = {3: {"bounding_box": (2, 5, 4, 6), "score": 0.4}, 8: {"bounding_box": (7, 1, 9, 3), "score": 0.7}}
    cluster = {"members": [3, 8]}
    assert hull_of(cluster, marks).tolist() == [[1.5, 0.5], [1.5, 5.5], [8.5, 5.5], [8.5, 0.5]]
    assert score_of(cluster, marks) == 0.7
    given_hull = [[0, 0], [0, 9], [5, 4]]
    assert hull_of(cluster | {"hull_px": given_hull}, marks).tolist() == given_hull
