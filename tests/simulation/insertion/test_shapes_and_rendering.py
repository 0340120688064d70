"""Shapes, their rendering and labels against hand-worked physics and areas."""

import numpy as np
import pytest
from scipy import ndimage

from scripts.simulation.insertion.rendering import filled, insert_mcs, local_noise, mc_signal
from scripts.simulation.insertion.sampling import InsertedMc, InsertionSettings, Places, sample_mcs
from scripts.simulation.insertion.shapes import KINDS, ShapeBank, half_peak_diameter, shape_bank
from scripts.simulation.phantom.physics import mc_attenuation


@pytest.fixture(scope="module")
def bank():
    return shape_bank(0, per_kind=6)


def disc_bank(radius=20.0):
    """A flat disc: its thickness is 1 or 0, so every area is known."""
    axis = np.arange(96) - 47.5
    disc = (np.hypot(axis[:, None], axis[None, :]) <= radius).astype(np.float32)
    return ShapeBank(disc[None], np.array([half_peak_diameter(disc)], np.float32), np.array([0]))


def mc(**changes):
    values = {"row": 50.0, "col": 50.0, "diameter": 10.0, "thickness_mm": 0.3, "aspect": 1.0, "angle": 0.0}
    return InsertedMc(**{**values, "mirrored": False, "shape": 0, "gain": 1.0, "cluster": 0, **changes})


def test_bank_holds_every_kind_normalised_and_inside_its_maps(bank):
    assert set(bank.kind) == set(range(len(KINDS)))
    np.testing.assert_allclose(bank.maps.max(axis=(1, 2)), 1)
    assert bank.maps.min() >= 0
    border = np.concatenate([bank.maps[:, 0], bank.maps[:, -1], bank.maps[:, :, 0], bank.maps[:, :, -1]], axis=1)
    assert np.mean(border.max(axis=1) > 0.5) < 0.1


def test_bank_is_repeatable_and_seeds_differ(bank):
    np.testing.assert_array_equal(bank.maps, shape_bank.__wrapped__(0, 6).maps)
    assert not np.array_equal(bank.maps, shape_bank(1, per_kind=6).maps)


def test_a_disc_has_its_diameter_and_beer_lambert_contrast():
    top, left, signal = mc_signal(mc(), disc_bank(), blur_px=0.0)
    assert signal.max() == pytest.approx(mc_attenuation(np.array(0.3)), rel=1e-4)
    area = signal.sum() / signal.max()
    assert area == pytest.approx(np.pi * 25, rel=0.03)
    rows, cols = np.indices(signal.shape)
    assert (rows * signal).sum() / signal.sum() + top == pytest.approx(50, abs=0.05)
    assert (cols * signal).sum() / signal.sum() + left == pytest.approx(50, abs=0.05)


@pytest.mark.parametrize(("row", "col"), [(50.3, 49.6), (12.5, 80.25)])
def test_subpixel_places_are_kept(row, col):
    top, left, signal = mc_signal(mc(row=row, col=col, diameter=4.0), disc_bank(), blur_px=0.5)
    rows, cols = np.indices(signal.shape)
    assert (rows * signal).sum() / signal.sum() + top == pytest.approx(row, abs=0.05)
    assert (cols * signal).sum() / signal.sum() + left == pytest.approx(col, abs=0.05)


def test_aspect_keeps_the_area_and_stretches_along_the_angle():
    _, _, signal = mc_signal(mc(aspect=2.0), disc_bank(), blur_px=0.0)
    assert signal.sum() / signal.max() == pytest.approx(np.pi * 25, rel=0.03)
    body = signal > 0.5 * signal.max()
    height, width = (np.count_nonzero(body.any(axis=axis)) for axis in (1, 0))
    assert width / height == pytest.approx(2.0, rel=0.15)


def test_labels_are_the_pixels_over_half_of_the_peak():
    image = np.full((100, 100), 0.3, np.float32)
    inserted = insert_mcs(image, [mc()], disc_bank(), 0.0, InsertionSettings())
    added = inserted.image - image
    np.testing.assert_array_equal(inserted.label == 1, added > 0.5 * added.max())
    assert added.max() == pytest.approx(mc_attenuation(np.array(0.3)), rel=1e-3)
    assert inserted.records[0]["area_px"] == np.count_nonzero(inserted.label)


def test_contrast_fades_towards_white_and_never_exceeds_it():
    image = np.full((100, 100), 0.875, np.float32)
    inserted = insert_mcs(image, [mc(gain=0.2)], disc_bank(), 0.0, InsertionSettings())
    assert (inserted.image - image).max() == pytest.approx(0.5 * 0.2 * mc_attenuation(np.array(0.3)), rel=1e-3)
    assert insert_mcs(image, [mc(gain=50)], disc_bank(), 0.0, InsertionSettings()).image.max() == 1


def test_faint_mcs_are_ignored_and_fainter_ones_left_out():
    rng = np.random.default_rng(0)
    noise = 0.02
    image = (0.4 + noise * rng.standard_normal((200, 200))).astype(np.float32)
    peak = float(mc_attenuation(np.array(0.3)))
    grey = float(local_noise(image)[100, 100])

    def label_at(cnr):
        made = insert_mcs(
            image, [mc(row=100.0, col=100.0, gain=cnr * grey / peak)], disc_bank(), 0.0, InsertionSettings()
        )
        return int(made.label.max())

    assert [label_at(cnr) for cnr in (0.9, 1.1, 2.9, 3.1)] == [0, 2, 2, 1]


def test_local_noise_is_the_sd_of_white_noise_less_what_the_gaussian_keeps():
    noise = np.random.default_rng(1).normal(0, 0.02, (300, 300)).astype(np.float32)
    kept = 1 - 2 / (2 * np.pi * 4) + 1 / (4 * np.pi * 4)  # variance of white noise minus its Gaussian of sigma 2
    assert local_noise(noise).mean() == pytest.approx(0.02 * np.sqrt(kept), rel=0.02)


def test_sampled_mcs_stay_apart_inside_and_in_range(bank):
    allowed = np.zeros((400, 400), bool)
    allowed[100:300, 50:350] = True
    settings = InsertionSettings()
    mcs = sample_mcs(np.random.default_rng(3), allowed, 0.07, 3, 20, bank, settings)
    assert len(mcs) > 15
    for i, one in enumerate(mcs):
        assert allowed[round(one.row), round(one.col)]
        assert 0.1 <= one.diameter * 0.07 <= 1.0
        for other in mcs[:i]:
            assert np.hypot(one.row - other.row, one.col - other.col) > (one.diameter + other.diameter) / 2 + 2


def test_sizes_and_contrasts_follow_the_settings(bank):
    settings = InsertionSettings(diameter_mm=0.3, contrast=0.1)
    allowed = np.ones((3000, 3000), bool)
    mcs = sample_mcs(np.random.default_rng(5), allowed, 0.07, 0, 600, bank, settings)
    plain = [one for one in mcs if KINDS[bank.kind[one.shape]] not in ("coarse", "rim")]
    assert np.median([one.diameter * 0.07 for one in plain]) == pytest.approx(0.3, rel=0.08)
    spread = np.std(np.log([one.diameter for one in plain]))
    assert spread == pytest.approx(settings.diameter_sigma, rel=0.12)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="ignored_cnr"):
        InsertionSettings(ignored_cnr=4.0, visible_cnr=3.0)
    with pytest.raises(ValueError, match="count"):
        InsertionSettings(count=(0, 3))


@pytest.mark.parametrize("seed", range(20))
def test_holes_arefilled_as_scipy_does(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((int(rng.integers(1, 24)), int(rng.integers(1, 24)))) < rng.uniform(0.3, 0.8)
    np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))


def test_a_ring_cut_by_the_border_is_open_there():
    ring = disc_bank(20.0).maps[0] - disc_bank(10.0).maps[0] > 0
    assert np.count_nonzero(filled(ring)) > np.count_nonzero(ring)
    np.testing.assert_array_equal(filled(ring[:48]), ring[:48])


def test_places_are_drawn_as_rows_of_argwhere():
    allowed = np.random.default_rng(0).random((13, 29)) < 0.3
    places, rows = Places(allowed), np.argwhere(allowed)
    assert len(places) == len(rows)
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    for _ in range(50):
        np.testing.assert_array_equal(places.draw(first), rows[second.integers(len(rows))])
