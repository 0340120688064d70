"""Large calcifications whole: hand-made shapes."""

import cv2
import numpy as np
import pytest

from scripts.findings.wholes import Wholes, quartile

SPACING = (0.07, 0.07)


def discs(*places, radius=6, shape=(60, 90)):
    mask = np.zeros(shape, np.int32)
    for place in places:
        cv2.circle(mask, place, radius, 1, -1)
    return mask


def test_switched_off_it_leaves_everything_as_it_is():
    labels, scores = discs((20, 30), (31, 30)), np.array([0, 0.7])
    assert Wholes(least_diameter_mm=0).make(np.ones((60, 90), np.float32), labels, scores, SPACING)[0] is labels


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 101, 2001])
def test_quartiles_are_numpys_to_the_bit(size):
    values = np.random.default_rng(size).random(size).astype(np.float32)
    assert quartile(values, 1) == float(np.percentile(values, 25))
    assert quartile(values, 3) == float(np.percentile(values, 75))


def test_pieces_of_a_rim_become_one_filled_object():
    ring = np.zeros((120, 120), np.uint8)
    cv2.circle(ring, (60, 60), 15, 1, 4)
    image = 0.3 + 0.3 * cv2.GaussianBlur(ring.astype(np.float32), (0, 0), 0.8)
    pieces = np.zeros((120, 120), np.int32)
    pieces[(ring > 0) & (np.indices(ring.shape)[1] < 50)] = 1
    pieces[(ring > 0) & (np.indices(ring.shape)[1] > 70)] = 2
    labels, _ = Wholes(least_diameter_mm=1.0).make(image, pieces, np.array([0, 0.5, 0.9]), SPACING)
    assert set(np.unique(labels)) == {0, 2}  # of the higher score
    disc = np.zeros((120, 120), np.uint8)
    cv2.circle(disc, (60, 60), 17, 1, -1)
    overlap = np.count_nonzero((labels > 0) & (disc > 0)) / np.count_nonzero((labels > 0) | (disc > 0))
    assert overlap > 0.9


def test_small_mcs_and_tissue_stay():
    labels = discs((20, 30), radius=3)
    image = np.full((60, 90), 0.3, np.float32)
    image[labels > 0] = 0.7
    rule = Wholes(least_diameter_mm=1.0)
    np.testing.assert_array_equal(rule.make(image, labels, np.array([0, 0.5]), SPACING)[0], labels)
    image[20:] = 0.7  # bright tissue to the border
    np.testing.assert_array_equal(rule.make(image, labels, np.array([0, 0.5]), SPACING)[0], labels)


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"most_diameter_mm": 0.0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Wholes(**wrong)
