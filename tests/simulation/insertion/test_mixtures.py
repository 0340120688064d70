"""Mixtures of findings: what they hold, that touching MCs stay two objects, real-looking statistics."""

import numpy as np
import pytest

from scripts.common.objects import label_objects
from scripts.simulation.insertion.mixtures import MixtureSettings, _parted, render_mixture, sample_mixture
from scripts.simulation.insertion.shapes import shape_bank

NOTHING = {
    **dict.fromkeys(("singles_rate", "large_rate", "rod_rate", "skin_rate", "artery_rate", "clip_rate"), 0.0),
    "touching_share": 0.0,
    "cluster_number_shares": (1.0,),
}
IMAGE = np.full((400, 400), 0.3, np.float32)
EVERYWHERE = np.ones(IMAGE.shape, bool)


@pytest.fixture(scope="module")
def bank():
    return shape_bank(1, 8)


def make(bank, seed=0, allowed=EVERYWHERE, image=IMAGE, **options):
    settings = MixtureSettings(**(NOTHING | options))
    return render_mixture(
        image, sample_mixture(np.random.default_rng(seed), allowed, 0.07, bank, settings), bank, allowed
    )


def test_nothing_is_drawn_where_nothing_is_wanted(bank):
    mixture = make(bank)
    np.testing.assert_array_equal(mixture.image, IMAGE)
    assert not mixture.records and not mixture.objects.any() and not mixture.artery.any()


def test_touching_mcs_are_a_pixel_apart(bank):
    mixture = make(bank, singles_rate=12.0, touching_share=1.0)
    groups = [record["group"] for record in mixture.records]
    assert groups.count("touching") >= 10
    present = np.setdiff1d(np.unique(mixture.objects), 0)
    _, count = label_objects(mixture.objects > 0)
    pieces = sum(label_objects(mixture.objects == number)[1] for number in present)
    assert count == pieces == present.size  # 8-connected components never hold pixels of two MCs, nor a part of one
    gaps = [
        np.hypot(one["row"] - other["row"], one["col"] - other["col"]) - (one["diameter_px"] + other["diameter_px"]) / 2
        for place, one in enumerate(mixture.records)
        for other in mixture.records[:place]
    ]
    assert min(gaps) < 1  # closer than the two pixels that others keep


def test_of_an_mc_that_another_cuts_in_two_the_larger_piece_is_left():
    body, objects = np.zeros((2, 9, 20), np.int32)
    body[4, 2:18], objects[:, 8] = 1, 7  # columns 7 to 9 are taken: pieces of 5 and 8 px
    np.testing.assert_array_equal(np.flatnonzero(_parted(body > 0, objects)[4]), np.arange(10, 18))
    np.testing.assert_array_equal(_parted(body > 0, np.zeros_like(objects)), body > 0)
    assert not _parted(body > 0, np.ones_like(objects)).any()


def test_large_ones_and_rods_have_their_sizes(bank):
    mixture = make(bank, large_rate=3.0, rod_rate=2.0, seed=2)
    for record in mixture.records:
        low, high = {"large": (1.0, 3.0), "rod": (0.6, 1.6)}[record["group"]]
        assert low <= record["diameter_px"] * 0.07 <= high
        if record["group"] == "rod":
            assert record["kind"] == "linear"
    assert {record["group"] for record in mixture.records} == {"large", "rod"}


def test_mcs_near_the_skin_are_near_it(bank):
    allowed = EVERYWHERE.copy()
    allowed[:, 300:] = False
    mixture = make(bank, allowed=allowed, skin_rate=8.0)
    assert mixture.records
    for record in mixture.records:
        assert 0.5 <= (300 - record["col"]) * 0.07 <= 3.0 + 0.07


def test_arteries_and_metal_are_no_mcs_and_stay_in_the_breast(bank):
    allowed = EVERYWHERE.copy()
    allowed[:, 300:] = False
    image = np.where(allowed, IMAGE, 0).astype(np.float32)
    mixture = make(bank, allowed=allowed, image=image, artery_rate=3.0, clip_rate=2.0, singles_rate=5.0)
    assert mixture.artery.any() and not mixture.artery[:, 300:].any()
    assert not mixture.without[:, 300:].any()
    assert (mixture.without != image).any()
    assert not (mixture.artery & (mixture.objects > 0)).any()
    np.testing.assert_array_equal(mixture.image[mixture.objects == 0] >= mixture.without[mixture.objects == 0], True)


def test_clusters_look_like_segmented_real_ones():
    """Published: 7 to 40 MCs, median area 32 px, nearest neighbour 14.6 px (5-95 %: 6.6-35.9)."""
    bank, areas, nearest = shape_bank(0), [], []
    image, allowed = np.full((900, 900), 0.3, np.float32), np.ones((900, 900), bool)
    for seed in range(25):
        settings = {"real_share": 1.0, "cluster_number_shares": (0.0, 1.0), "touching_share": 0.12}
        records = make(bank, seed, allowed, image, **settings).records
        places = np.array([(record["row"], record["col"]) for record in records])
        distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        nearest += (distance + 1e9 * np.eye(len(places))).min(1).tolist() if len(places) > 1 else []
        areas += [record["area_px"] for record in records]
    assert np.median(areas) == pytest.approx(32, rel=0.2)
    assert np.median(nearest) == pytest.approx(14.6, rel=0.2)
    assert np.percentile(nearest, 95) == pytest.approx(35.9, rel=0.25)
