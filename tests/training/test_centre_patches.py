"""Windows that the parting network learns from: one object each, a peak for each of its MCs."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from scripts.inference.object_windows import SIDE_PX, Frame
from scripts.simulation.insertion.mixtures import MixtureSettings
from scripts.training.centre_patches import CentrePatches, centre_map, shown_objects
from tests.training.test_mixture_patches import Waves

FRAME = Frame(15.5, 15.5, 1.0)  # the window is the array


def made(epoch=1, **options):
    patches = CentrePatches(**({"patch_px": 96, "patches_per_epoch": 8, "with_mcs_share": 1.0} | options))
    return [item for entry in patches.entries([Waves], "training", 0) for item in patches.make(entry, epoch)]


def test_windows_repeat_and_hold_an_object_with_its_centres():
    touching = MixtureSettings(cluster_number_shares=(0.0, 1.0), touching_share=1.0)
    items, again = made(mixture=touching), made(mixture=touching)
    assert len(items) == len(again) >= 20
    for item, same in zip(items, again, strict=True):
        assert torch.equal(item["image"], same["image"]) and torch.equal(item["label"], same["label"])
        assert item["image"].shape == (3, SIDE_PX, SIDE_PX) and item["label"].shape == (1, SIDE_PX, SIDE_PX)
        assert item["image"].isfinite().all() and 0.6 < item["label"].max() <= 1 and item["image_id"] == "waves"
    assert not torch.equal(items[0]["image"], made(2, mixture=touching)[0]["image"])
    several = [ndimage.label(item["label"][0].numpy() > 0.6)[1] > 1 for item in items]
    assert 0.1 < np.mean(several) < 0.95


@pytest.mark.parametrize("windows", [1, 3])
def test_a_scene_gives_some_windows_at_most(windows):
    patches = CentrePatches(patch_px=96, patches_per_epoch=4, with_mcs_share=1.0, windows=windows)
    assert all(1 <= len(patches.make(entry, 0)) <= windows for entry in patches.entries([Waves], "training", 0))


def test_peaks_lie_at_the_centres_and_are_as_wide_as_the_mcs():
    numbers = np.zeros((32, 32), np.int32)
    cv2.circle(numbers, (8, 20), 6, 1, -1)
    cv2.circle(numbers, (24, 10), 3, 2, -1)
    cv2.circle(numbers, (24, 26), 3, 3, -1)  # not in the object
    peaks = centre_map(numbers, [1, 2], FRAME)
    assert peaks[20, 8] == peaks[10, 24] == 1 and peaks[26, 24] < 0.01
    sigma = 0.22 * 2 * np.sqrt(np.count_nonzero(numbers == 1) / np.pi)
    np.testing.assert_allclose(peaks[20, 5], np.exp(-9 / (2 * sigma**2)), rtol=1e-5)  # a Gaussian
    crescent = np.zeros((32, 32), np.int32)
    cv2.ellipse(crescent, (16, 16), (10, 10), 0, 0, 180, 1, 2)
    assert crescent[np.unravel_index(centre_map(crescent, [1], FRAME).argmax(), (32, 32))] == 1


def test_touching_mcs_are_one_object_and_others_are_not():
    is_mc = np.zeros((40, 60), bool)
    is_mc[10:18, 10:18] = is_mc[10:18, 19:27] = is_mc[10:18, 40:48] = True  # a seam of one pixel between two
    objects = shown_objects(is_mc, 0.8, 0.4)
    assert objects.max() == 2 and objects[14, 12] == objects[14, 24] != objects[14, 44]
