"""Touching objects parted, large ones whole: hand-made shapes."""

import cv2
import numpy as np
import pytest

from scripts.common.objects import label_objects
from scripts.findings.splitting import Parting, Wholes, quartile

SPACING = (0.07, 0.07)


def discs(*places, radius=6, shape=(60, 90)):
    mask = np.zeros(shape, np.int32)
    for place in places:
        cv2.circle(mask, place, radius, 1, -1)
    return mask


def test_switched_off_they_leave_everything_as_it_is():
    labels, scores = discs((20, 30), (31, 30)), np.array([0, 0.7])
    assert Parting(neck=0).part(labels, scores)[0] is labels
    assert Wholes(least_diameter_mm=0).make(np.ones((60, 90), np.float32), labels, scores, SPACING)[0] is labels


@pytest.mark.parametrize(
    ("places", "parts"), [([(20, 30)], 1), ([(20, 30), (31, 30)], 2), ([(20, 30), (31, 30), (31, 41)], 3)]
)
def test_touching_discs_are_parted(places, parts):
    labels, scores = Parting(neck=0.8).part(discs(*places), np.array([0, 0.7], np.float32))
    assert np.unique(labels[labels > 0]).size == parts
    np.testing.assert_allclose(scores[1:], 0.7)
    assert len(scores) == parts + 1
    np.testing.assert_array_equal(labels > 0, discs(*places) > 0)
    assert len({int(labels[row, col]) for col, row in places}) == parts


def test_only_some_objects_are_parted_and_parts_tell_their_origin():
    labels = discs((20, 20), (31, 20)) + 2 * discs((60, 40), (71, 40))
    scores = np.array([0, 0.7, 0.2], np.float32)
    parted, own, origins = Parting().parted(labels, scores, {2})
    assert origins == [2]
    np.testing.assert_array_equal(parted == 1, labels == 1)
    np.testing.assert_array_equal((parted == 2) | (parted == 3), labels == 2)
    np.testing.assert_array_equal(own, np.array([0, 0.7, 0.2, 0.2], np.float32))


def test_thin_ends_are_united_as_watersheds_would():
    body = discs((40, 30))  # one wide body, and arms with knobs: many tops, one of them wide enough
    body[29:31, 10:70] = 1
    for col in (12, 20, 58, 66):
        body[28:31, col] = 1
    np.testing.assert_array_equal(Parting().part(body, np.array([0, 0.7]))[0], body)
    assert Parting(least_radius_px=1.2).part(body, np.array([0, 0.7]))[0].max() == 5  # so the limit decides


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 101, 2001])
def test_quartiles_are_numpys_to_the_bit(size):
    values = np.random.default_rng(size).random(size).astype(np.float32)
    assert quartile(values, 1) == float(np.percentile(values, 25))
    assert quartile(values, 3) == float(np.percentile(values, 75))


def test_a_wide_pass_and_an_ellipse_are_no_neck():
    ellipse = np.zeros((60, 90), np.int32)
    cv2.ellipse(ellipse, (45, 30), (25, 8), 20, 0, 360, 1, -1)
    for labels in (ellipse, discs((20, 30), (25, 30))):
        np.testing.assert_array_equal(Parting(neck=0.8).part(labels, np.array([0, 0.7]))[0], labels)


def test_numbers_of_other_objects_stay():
    labels = discs((20, 30), (31, 30)) + 2 * discs((70, 30))
    parted, scores = Parting(neck=0.8).part(labels, np.array([0, 0.7, 0.2]))
    assert (parted[labels == 2] == 2).all()
    np.testing.assert_allclose(scores, [0, 0.7, 0.2, 0.7])


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


@pytest.mark.parametrize(
    ("rule", "wrong"), [(Parting, {"neck": 1.0}), (Wholes, {"share": 0.0}), (Wholes, {"most_diameter_mm": 0.0})]
)
def test_values_out_of_range_are_refused(rule, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        rule(**wrong)


def test_parts_do_not_depend_on_the_threads_of_opencv():
    rng, threads = np.random.default_rng(0), cv2.getNumThreads()
    noise = cv2.GaussianBlur(rng.standard_normal((300, 300)).astype(np.float32), (0, 0), 6)
    labels = label_objects(noise > 0.01)[0]
    found = []
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            found.append(Parting().part(labels, np.ones(labels.max() + 1))[0])
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(*found)
    assert found[0].max() > labels.max()
