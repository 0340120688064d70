"""The same seeds still give the same pictures: statistics that version 0.3.0 had (rounded: other processors differ)."""

import numpy as np
import pytest

from scripts.data.cache import LEVELS
from scripts.simulation.phantom import render, sample_spec
from scripts.training.insertion_patches import InsertionPatches


@pytest.mark.parametrize(
    ("options", "count", "seed", "draws", "grey", "labels"),
    [
        ({"view": "CC"}, 15, 2025408976772052709, (51.3537, 3.05), (590.2782, 803.1885), (195, 105)),
        (
            {"view": "MLO", "density": "dense", "detector": "CsI", "spacing_mm": 0.1},
            *(8, 2128705064053797486, (32.6796, 3.1061), (791.8751, 874.4798), (21, 249)),
        ),
    ],
)
def test_phantoms(options, count, seed, draws, grey, labels):
    spec = sample_spec(np.random.default_rng(3), shape=(300, 260), **options)
    phantom = render(spec)
    assert (len(spec.mcs), spec.seed, spec.structures.ligaments) == (count, seed, 1)
    assert (spec.thickness_mm, spec.texture.beta) == pytest.approx(draws, abs=1e-4)
    assert (phantom.image.mean(), phantom.image.std()) == pytest.approx(grey, abs=0.05)
    assert [np.count_nonzero(phantom.mask == value) for value in (1, 2)] == pytest.approx(labels, abs=2)


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


@pytest.mark.parametrize(
    ("section", "seed", "epoch", "expected"),
    [
        ("training", 0, 0, [(0.4384, 0.10549, 0, 0), (0.41726, 0.05798, 6, 0), (0.1444, 0.06028, 16, 69)]),
        ("training", 2, 3, [(0.29087, 0.07027, 0, 0), (0.30158, 0.07255, 137, 10), (0.30564, 0.06924, 89, 26)]),
        ("validation", 2, 0, [(0.21039, 0.04401, 253, 0), (0.28451, 0.03404, 0, 62), (0.19631, 0.04395, 167, 26)]),
    ],
)
def test_patches_with_inserted_mcs(section, seed, epoch, expected):
    patches = InsertionPatches(patch_px=96, patches_per_epoch=3, validation_patches=3)
    for entry, (mean, sd, mcs, ignored) in zip(patches.entries([Waves], section, seed), expected, strict=True):
        item = patches.make(entry, epoch)
        image, label = item["image"].numpy(), item["label"].numpy()
        assert (image.mean(), image.std()) == pytest.approx((mean, sd), abs=1e-4)
        assert [np.count_nonzero(label == value) for value in (1, 2)] == pytest.approx((mcs, ignored), abs=2)
