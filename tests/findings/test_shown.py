"""What a trained network shows, as a source of training windows: a network whose map is the image."""

import numpy as np
import pytest
import torch

from scripts.common.settings import describe
from scripts.findings.peaks import PeakObjects
from scripts.findings.shown import ShownObjects
from scripts.training.centre_patches import CentrePatches
from tests.training.test_mixture_patches import Waves


class Brightness(torch.nn.Module):
    """Logits: 20 times the image less `offset`."""

    def __init__(self):
        super().__init__()
        self.offset = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return 20 * (x - self.offset)


def shown(tmp_path, offset=0.5):
    torch.save({"offset": torch.tensor(offset)}, tmp_path / f"{offset}.pt")
    return ShownObjects(Brightness(), str(tmp_path / f"{offset}.pt"), PeakObjects(map=0, cores=None))


def test_objects_are_those_of_the_networks_map(tmp_path):
    image = np.zeros((40, 50), np.float32)
    image[10:14, 10:14], image[30, 40], image[20, 20] = 1.0, 0.45, 0.2  # the last is fainter than the threshold
    labels = shown(tmp_path).labels(image)
    assert labels.shape == image.shape and labels.dtype == np.int32
    np.testing.assert_array_equal(labels > 0, image > 0.4)
    assert len(np.unique(labels)) == 3


def test_settings_tell_the_weights_by_their_hash(tmp_path):
    first, again, other = describe(shown(tmp_path)), describe(shown(tmp_path)), describe(shown(tmp_path, 0.25))
    assert first == again and first["weights"] != other["weights"] and first["score_threshold"] == 0.05


def test_windows_are_of_the_objects_that_are_shown(tmp_path):
    class Nothing(ShownObjects):
        def labels(self, image, spacing_mm=(0.07, 0.07)):
            return np.zeros(image.shape, np.int32)

    class Whole(ShownObjects):
        def labels(self, image, spacing_mm=(0.07, 0.07)):
            return np.ones(image.shape, np.int32)

    scene = {"patch_px": 96, "patches_per_epoch": 1, "with_mcs_share": 1.0}
    patches = CentrePatches(**scene, shown=Whole(torch.nn.Identity(), "any.pt"))
    items = patches.make(patches.entries([Waves], "training", 0)[0], 0)
    assert len(items) == 1 and (items[0]["image"][1] > 0.5).float().mean() > 0.25  # the whole scene is the object
    blind = CentrePatches(**scene, shown=Nothing(torch.nn.Identity(), "any.pt"), attempts=2)
    with pytest.raises(ValueError, match=r"got no object with an MC in 2 scenes; want MCs"):
        blind.make(blind.entries([Waves], "training", 0)[0], 0)


def test_without_weights_windows_are_of_the_true_outlines():
    class Nothing(ShownObjects):
        def labels(self, image, spacing_mm=(0.07, 0.07)):
            raise AssertionError("no network is asked")

    scene = {"patch_px": 96, "patches_per_epoch": 1, "with_mcs_share": 1.0}
    given, none = (CentrePatches(**scene, shown=shown) for shown in (Nothing(torch.nn.Identity(), ""), None))
    for item, same in zip(*(p.make(p.entries([Waves], "training", 0)[0], 0) for p in (given, none)), strict=True):
        assert torch.equal(item["image"], same["image"]) and torch.equal(item["label"], same["label"])
    assert describe(ShownObjects(torch.nn.Identity(), ""))["weights"] == ""
