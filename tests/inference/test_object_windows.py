"""Windows around objects: places, magnification, grey values."""

import numpy as np
import pytest

from scripts.inference.object_windows import OBJECT_PX, SIDE_PX, ZOOM, Frame, frame_of, object_window

MIDDLE = (SIDE_PX - 1) / 2


@pytest.mark.parametrize(("side", "zoom"), [(2, ZOOM[1]), (11, OBJECT_PX / 11), (22, OBJECT_PX / 22), (400, ZOOM[0])])
def test_objects_are_magnified_to_one_size_within_limits(side, zoom):
    assert frame_of((slice(5, 5 + side), slice(10, 12))) == Frame(5 + (side - 1) / 2, 10.5, pytest.approx(zoom))


@pytest.mark.parametrize("frame", [Frame(40.5, 50.0, 1.6), Frame(30.0, 45.5, 0.8)])
def test_a_plane_is_cut_as_its_equation_says(frame):
    rows, cols = np.indices((90, 110), np.float32)
    row, col = np.indices((SIDE_PX, SIDE_PX))
    wanted = 2 * ((row - MIDDLE) / frame.zoom + frame.row) - 3 * ((col - MIDDLE) / frame.zoom + frame.col)
    np.testing.assert_allclose(frame.cut(2 * rows - 3 * cols), wanted, atol=0.1)  # OpenCV's weights are 32nds of a px


def test_beyond_the_image_its_edge_goes_on_and_no_object_does():
    frame, ones = Frame(0.0, 0.0, 1.0), np.ones((50, 50), np.int32)
    assert (frame.cut(np.full((50, 50), 0.25, np.float32)) == 0.25).all()
    mask = frame.cut(ones, 1)
    assert (mask[:15] == 0).all() and (mask[17:, 17:] == 1).all() and (frame.cut(ones, 2) == 0).all()


def test_places_are_the_inverse_of_the_cut():
    frame = Frame(20.0, 30.0, 2.5)
    labels = np.zeros((60, 60), np.int32)
    labels[22, 27] = 7
    place = np.unravel_index(frame.cut(labels, 7).argmax(), (SIDE_PX, SIDE_PX))
    found = frame.places(np.array([22]), np.array([27]))
    assert (int(found[0][0]), int(found[1][0])) == place
    assert [int(edge[0]) for edge in frame.places(np.array([0]), np.array([59]))] == [0, SIDE_PX - 1]


def test_grey_values_are_of_the_objects_contrast_whatever_the_image_is():
    rng, labels = np.random.default_rng(0), np.zeros((60, 60), np.int32)
    labels[25:33, 25:33] = 1
    image = (0.3 + 0.2 * (labels > 0) + rng.normal(0, 0.005, labels.shape)).astype(np.float32)
    frame = frame_of((slice(25, 33), slice(25, 33)))
    window = object_window(image, labels, 1, frame)
    assert window.dtype == np.float32 and window.shape == (3, SIDE_PX, SIDE_PX)
    np.testing.assert_allclose(object_window(0.1 + 0.5 * image, labels, 1, frame), window, atol=1e-3)
    assert abs(np.median(window[0][window[1] < 0.5])) < 1e-5 and 0.9 < window[0][window[1] > 0.9].mean() < 1.05
    assert np.isfinite(object_window(np.zeros_like(image), labels, 1, frame)).all()
    assert (window[2] == np.float32(np.log2(frame.zoom) / 2)).all()
