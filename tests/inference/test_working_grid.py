"""The working grid, with networks whose answer is known: the image itself, its size, its mask."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from scripts.candidates.breast_mask import BreastRegion
from scripts.common.resampling import WorkingGrid, resample
from scripts.inference.tile_inferer import TileInferer
from scripts.inference.tiles import Tiles
from scripts.inference.working_grid import WorkingGridInferer


class Recorder(Inferer):
    """Gives the image back and keeps what it was given."""

    def __call__(self, inputs, network, *args, breast=None, **kwargs):
        self.seen, self.breast = inputs, breast
        return network(inputs)


def identity(images):
    return images


def image_of(array, spacing_mm):
    return MetaTensor(torch.as_tensor(array, dtype=torch.float32)[None, None], meta={"spacing_mm": (spacing_mm,) * 2})


def ramp(rows, cols):
    return np.add.outer(np.arange(rows), 2.0 * np.arange(cols)) / (rows + 2 * cols)


@pytest.mark.parametrize(("spacing_mm", "seen"), [(0.14, (80, 120)), (0.035, (20, 30)), (0.1, (57, 86))])
def test_network_sees_the_working_grid_and_the_result_has_the_image_s_pixels(spacing_mm, seen):
    recorder = Recorder()
    image = image_of(ramp(40, 60), spacing_mm)
    result = WorkingGridInferer(recorder, WorkingGrid(0.07))(image, identity)
    assert tuple(recorder.seen.shape[2:]) == seen
    assert result.shape == image.shape and result.meta["spacing_mm"] == (spacing_mm,) * 2
    inner = np.s_[0, 0, 4:-4, 4:-4]  # linear there and back leaves a ramp as it is, away from the borders
    np.testing.assert_allclose(result[inner].numpy(), image[inner].numpy(), atol=0.003)


@pytest.mark.parametrize(("working_mm", "spacing_mm"), [(0.0, 0.2), (0.07, 0.07), (0.07, 0.0728)])
def test_own_pixels_without_a_grid_and_within_the_tolerance(working_mm, spacing_mm):
    recorder = Recorder()
    image = image_of(np.random.default_rng(0).random((40, 60)), spacing_mm)
    assert WorkingGridInferer(recorder, WorkingGrid(working_mm))(image, identity) is image
    assert recorder.seen is image


def test_breast_mask_follows():
    recorder, mask = Recorder(), np.zeros((40, 60), bool)
    mask[10:20, 30:60] = True
    breast = torch.from_numpy(mask)[None, None]
    WorkingGridInferer(recorder, WorkingGrid(0.07))(image_of(mask, 0.14), identity, breast=breast)
    np.testing.assert_array_equal(recorder.breast[0, 0].numpy(), mask.repeat(2, 0).repeat(2, 1))


def test_a_breast_mask_that_is_not_given_is_the_chains_own():
    """As a server calls it: the tiles, and so the logits, are those of a run whose chain has a breast mask."""
    rows, cols = np.indices((420, 300))
    breast = (rows - 205) ** 2 / 190**2 + cols**2 / 240**2 < 1
    array = np.where(breast, 0.4 + 0.1 * np.random.default_rng(0).random(breast.shape), 0).astype(np.float32)
    seen = []
    for given in (None, torch.from_numpy(BreastRegion(0).masks(array, 0.08)[0])[None, None]):
        recorder = Recorder()
        WorkingGridInferer(recorder, WorkingGrid(0.07))(image_of(array, 0.08), identity, breast=given)
        seen.append(recorder.breast)
    assert torch.equal(*seen) and 0.3 < seen[0].float().mean() < 0.9


def test_a_bright_spot_stays_in_place_through_tiles():
    array = np.zeros((200, 160))
    array[60:64, 100:104] = 1
    tiles = TileInferer(Tiles(128, 32, align_px=1, breast_only=False), "float32")
    inferer = WorkingGridInferer(tiles, WorkingGrid(0.07))
    result = inferer(image_of(array, 0.1), identity)[0, 0].numpy()
    rows, cols = np.indices(array.shape)
    assert (rows * result).sum() / result.sum() == pytest.approx(61.5, abs=0.05)
    assert (cols * result).sum() / result.sum() == pytest.approx(101.5, abs=0.05)


@pytest.mark.parametrize("options", [{"spacing_mm": -0.07}, {"tolerance": -1.0}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        WorkingGrid(**options)


@pytest.mark.parametrize("spacing_mm", [0.05, 0.085, 0.1])
def test_network_sees_what_the_one_resampler_makes(spacing_mm):
    array = np.full((90, 120), 0.3, np.float32)
    array[40:43, 60:63] = 0.9  # a bright spot, whose height is what resamplers differ in
    recorder = Recorder()
    WorkingGridInferer(recorder, WorkingGrid(0.07))(image_of(array, spacing_mm), identity)
    seen = recorder.seen[0, 0].numpy()
    np.testing.assert_array_equal(seen, resample(array, seen.shape))
    assert seen.max() > 0.75
