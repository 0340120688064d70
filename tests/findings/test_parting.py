"""Touching MCs parted between their centres: maps made by hand, and what the shipped network does with plain shapes."""

import shutil

import cv2
import numpy as np
import pytest
import torch

from scripts.common.settings import describe
from scripts.findings import parting
from scripts.findings.parting import WEIGHTS, CentreParting
from scripts.inference.object_windows import SIDE_PX, frame_of
from scripts.networks.checkpoint import WeightsError

IMAGE = np.zeros((60, 90), np.float32)
SCORES = np.array([0, 0.7], np.float32)


def discs(*places, radius=6, shape=(60, 90)):
    mask = np.zeros(shape, np.int32)
    for place in places:
        cv2.circle(mask, place, radius, 1, -1)
    return mask


def heights(box, peaks, saddle=0.0):
    """A map of probabilities in the window of a box: (row, col, height) of the image's pixels, and `saddle` else."""
    made = np.full((SIDE_PX, SIDE_PX), saddle, np.float32)
    for row, col, height in peaks:
        places = frame_of(box).places(np.array([row]), np.array([col]))
        made[places] = height
    return made


@pytest.fixture
def network_says(monkeypatch):
    """Have the network give a map of probabilities, the same for each object."""

    def say(probabilities):
        logits = torch.logit(torch.from_numpy(probabilities).clamp(1e-6, 1 - 1e-6))
        network = lambda windows: logits[None, None].repeat(len(windows), 1, 1, 1)  # noqa: E731
        monkeypatch.setattr(parting, "centre_net", lambda weights: network)

    return say


def test_without_weights_nothing_is_parted():
    labels = discs((20, 30), (31, 30))
    found, scores, origins = CentreParting(weights="").part(IMAGE, labels, SCORES)
    assert found is labels and origins == [] and describe(CentreParting(weights=""))["weights"] == ""
    np.testing.assert_array_equal(scores, SCORES)


@pytest.mark.parametrize("places", [[(20, 30)], [(20, 30), (31, 30)], [(20, 30), (31, 30), (31, 41)]])
def test_an_object_has_a_part_for_each_centre(network_says, places):
    labels = discs(*places)
    box = slice(*_ends(labels.any(1))), slice(*_ends(labels.any(0)))
    network_says(heights(box, [(row, col, 0.9) for col, row in places]))
    found, scores, origins = CentreParting().part(IMAGE, labels, SCORES)
    assert len({int(found[row, col]) for col, row in places}) == len(np.unique(found[found > 0])) == len(places)
    np.testing.assert_array_equal(found > 0, labels > 0)
    np.testing.assert_array_equal(scores, [0, *[np.float32(0.7)] * len(places)])
    assert origins == [1] * (len(places) - 1)


@pytest.mark.parametrize(("saddle", "fall", "parts"), [(0.5, 0.3, 2), (0.7, 0.3, 1), (0.7, 0.1, 2), (0.0, 0.85, 1)])
def test_a_lower_peak_counts_if_the_map_falls_enough_beside_it(network_says, saddle, fall, parts):
    labels = discs((20, 30), (31, 30))
    box = slice(*_ends(labels.any(1))), slice(*_ends(labels.any(0)))
    network_says(heights(box, [(30, 20, 0.95), (30, 31, 0.84)], saddle))
    assert CentreParting(fall=fall).part(IMAGE, labels, SCORES)[0].max() == parts


def test_a_peak_outside_of_the_object_is_another_ones(network_says):
    labels = discs((20, 30))
    box = slice(*_ends(labels.any(1))), slice(*_ends(labels.any(0)))
    network_says(heights(box, [(30, 20, 0.9), (30, 29, 0.9)]))
    np.testing.assert_array_equal(CentreParting().part(IMAGE, labels, SCORES)[0], labels)


def test_only_some_objects_are_parted_and_the_largest_part_keeps_the_number(network_says):
    labels = discs((20, 20), (31, 20)) + 2 * discs((60, 40), (71, 40))
    labels[36:45, 78:82] = 2  # the right one is larger
    box = slice(*_ends((labels == 2).any(1))), slice(*_ends((labels == 2).any(0)))
    network_says(heights(box, [(40, 60, 0.9), (40, 72, 0.9)]))
    found, scores, origins = CentreParting().part(IMAGE, labels, np.array([0, 0.7, 0.2]), {2})
    assert origins == [2] and found[40, 72] == 2 and found[40, 60] == 3
    np.testing.assert_array_equal(found == 1, labels == 1)
    np.testing.assert_array_equal(scores, [0, 0.7, 0.2, 0.2])
    assert CentreParting(least_area_px=1000).part(IMAGE, labels, np.array([0, 0.7, 0.2]))[2] == []


@pytest.mark.parametrize("radius", [2, 4, 8])
def test_the_shipped_network_parts_two_discs_and_no_single_one(radius):
    rng = np.random.default_rng(radius)
    for places, parts in (([(40, 30)], 1), ([(40 - radius, 30), (40 + radius, 30)], 2)):
        labels = discs(*places, radius=radius)
        blurred = cv2.GaussianBlur(labels.astype(np.float32), (0, 0), 0.7)
        image = 0.3 + 0.2 * blurred + rng.normal(0, 0.01, labels.shape).astype(np.float32)
        found = CentreParting().part(image, labels, SCORES)[0]
        assert found.max() == parts
        assert len({int(found[row, col]) for col, row in places}) == parts


def test_settings_tell_the_weights_wherever_they_lie(tmp_path):
    copy = shutil.copy(WEIGHTS, tmp_path / "other_name.pt")
    assert describe(CentreParting(weights=str(copy))) == describe(CentreParting())
    with pytest.raises(FileNotFoundError, match=r"gone\.pt does not exist"):
        describe(CentreParting(weights=str(tmp_path / "gone.pt")))
    with pytest.raises(WeightsError, match="another network"):
        describe(CentreParting(weights=str(WEIGHTS.with_name("slim_fcn.pt"))))
    with pytest.raises(ValueError, match="fall"):
        CentreParting(fall=0.0)


def _ends(present):
    places = np.flatnonzero(present)
    return int(places[0]), int(places[-1]) + 1
