"""Patches of the second wave: repeatable, labels by d', arteries a class of their own in the third map."""

import numpy as np
import pytest
import torch

from scripts.data.cache import LEVELS
from scripts.simulation.insertion.mixtures import MixtureSettings
from scripts.training.insertion_patches import SHAPE_SEEDS
from scripts.training.losses import ProximityLoss
from scripts.training.mixture_patches import MixturePatches
from scripts.transforms import ProximityTargetd


class Waves:
    """Stands for a decoded background."""

    image_id = "waves"
    levels = np.uint16(
        LEVELS
        * (
            0.3
            + 0.1 * np.sin(np.indices((400, 300)).sum(axis=0) / 9)
            + np.random.default_rng(1).normal(0, 0.02, (400, 300))
        )
    )
    label = np.zeros((400, 300), np.uint8)


def made(count=6, **options):
    patches = MixturePatches(**({"patch_px": 96, "patches_per_epoch": count} | options))
    return [patches.make(entry, 1) for entry in patches.entries([Waves], "training", 0)]


def test_patches_repeat_and_hold_all_labels():
    items = made(12, mixture=MixtureSettings(artery_rate=1.0))
    for item, again in zip(items, made(12, mixture=MixtureSettings(artery_rate=1.0)), strict=True):
        assert torch.equal(item["image"], again["image"]) and torch.equal(item["label"], again["label"])
        assert item["image"].shape == item["label"].shape == (1, 96, 96)
        assert item["image"].dtype == torch.float32 and 0 <= item["image"].min() <= item["image"].max() <= 1
    assert set(torch.cat([item["label"] for item in items]).unique().tolist()) == {0, 1, 2}


def test_arteries_in_patches_without_mcs_are_background():
    labels = torch.cat(
        [item["label"] for item in made(8, with_mcs_share=0.0, mixture=MixtureSettings(artery_rate=2.0))]
    )
    assert set(labels.unique().tolist()) == {0}


def test_known_labels_stay():
    class Known(Waves):
        label = np.full((400, 300), 2, np.uint8)

    patches = MixturePatches(patch_px=96, patches_per_epoch=2)
    for entry in patches.entries([Known], "training", 0):
        assert (patches.make(entry, 1)["label"] == 2).all()


def test_a_share_is_drawn_and_labelled_as_in_the_first_wave():
    """At a share of 1 the patches are those of the base class; faint MCs are labelled there, not ignored."""
    wave = {"patch_px": 96, "patches_per_epoch": 4, "with_mcs_share": 1.0, "spacing_range_mm": (0.05, 0.14)}
    second = MixturePatches(**wave, first_wave_share=1.0)
    for entry in second.entries([Waves], "training", 0):
        rng = np.random.default_rng([0, 1, entry["index"]])
        image, known, _ = second._background(rng, [Waves])
        rng.random()  # the share
        wanted = super(MixturePatches, second)._insert(rng, image, known, SHAPE_SEEDS["training"])
        ours = second.make(entry, 1)
        assert ours["label"].sum() == wanted[1].sum() and set(ours["label"].unique().tolist()) <= {0, 1, 2}
        assert ours["image"].sum().item() == pytest.approx(wanted[0].sum(), rel=1e-5)


def test_the_third_map_is_the_cores():
    label = torch.zeros(1, 30, 30, dtype=torch.uint8)
    label[0, 4:9, 4:9], label[0, 0, 29] = 1, 2
    three = ProximityTargetd("label", maps=3)({"label": label})["label"]
    two = ProximityTargetd("label", maps=2)({"label": label})["label"]
    assert three.shape == (3, 30, 30)
    torch.testing.assert_close(three[:2], two)
    core = torch.zeros(30, 30, dtype=torch.bool)
    core[5:8, 5:8] = True
    assert torch.equal(three[2] == 1, core) and (three[:, 0, 29] == 2).all()
    with pytest.raises(ValueError, match="maps"):
        ProximityTargetd("label", maps=4)


def test_the_third_map_has_its_weight_in_the_loss():
    logits, target = torch.randn(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    parts = {weight: ProximityLoss(bce_weight=1.0, core_weight=weight)(logits, target) for weight in (0.0, 0.5, 1.0)}
    torch.testing.assert_close(parts[0.0], ProximityLoss(bce_weight=1.0)(logits[:, :2], target[:, :2]))
    torch.testing.assert_close(parts[1.0] - parts[0.5], parts[0.5] - parts[0.0])
    assert parts[1.0] > parts[0.0]
