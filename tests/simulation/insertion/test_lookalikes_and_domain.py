"""Look-alikes and domain changes: what they add, where, and that defaults change nothing."""

import numpy as np
import pytest

from scripts.simulation.benchmark import BenchmarkSettings
from scripts.simulation.insertion.domain import Domain, DomainSettings, apply_domain, sample_domain
from scripts.simulation.insertion.lookalikes import (
    Lookalike,
    LookalikeKind,
    LookalikeSettings,
    draw_lookalikes,
    sample_lookalikes,
)

KINDS = LookalikeSettings().kinds


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(0.2, 0.6, (128, 128)).astype(np.float32)


def test_every_kind_is_drawn_and_brightens_only(image):
    allowed = np.ones((512, 512), bool)
    found = sample_lookalikes(
        np.random.default_rng(1), allowed, np.full((512, 512), 0.02, np.float32), LookalikeSettings(20.0)
    )
    assert {item.kind for item in found} == set(KINDS)
    black = np.zeros((512, 512), np.float32)
    for kind in KINDS:
        drawn = draw_lookalikes(black, [item for item in found if item.kind == kind])
        assert drawn.min() >= 0
        assert 0 < np.count_nonzero(drawn) < drawn.size
        assert drawn.max() <= 1


def test_counts_follow_the_rates():
    allowed = np.ones((256, 256), bool)
    noise = np.full(allowed.shape, 0.02, np.float32)
    draws = [sample_lookalikes(np.random.default_rng(i), allowed, noise, LookalikeSettings(2.0)) for i in range(300)]
    for kind, rate in ((name, kind.rate) for name, kind in KINDS.items()):
        mean = sum(item.kind == kind for found in draws for item in found) / 300
        assert mean == pytest.approx(2 * rate, abs=5 * np.sqrt(2 * rate / 300))


def test_a_hot_pixel_is_one_pixel(image):
    drawn = draw_lookalikes(image, [Lookalike("hot_pixel", (((5.0, 7.0),),), 0.0, 0.3, 0.0)])
    changed = np.argwhere(drawn != image)
    np.testing.assert_array_equal(changed, [[5, 7]])
    assert drawn[5, 7] == pytest.approx(image[5, 7] + 0.3)


def test_no_allowed_pixel_gives_no_lookalike(image):
    assert (
        sample_lookalikes(
            np.random.default_rng(0), np.zeros((9, 9), bool), np.zeros((9, 9), np.float32), LookalikeSettings()
        )
        == []
    )


def test_the_default_domain_changes_nothing(image):
    np.testing.assert_array_equal(apply_domain(image, Domain()), image)


def test_strength_zero_changes_nothing(image):
    for seed in range(20):
        np.testing.assert_array_equal(
            apply_domain(image, sample_domain(np.random.default_rng(seed), DomainSettings(0.0))), image
        )


def test_single_changes_by_hand(image):
    np.testing.assert_allclose(apply_domain(image, Domain(gamma=2.0)), image**2, rtol=1e-5)
    np.testing.assert_allclose(apply_domain(image, Domain(gain=0.5, centre=0.3)), 0.15 + 0.5 * image, rtol=1e-5)
    levels = apply_domain(image, Domain(levels=256)) * 255
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    assert np.abs(levels - image * 255).max() <= 0.5 + 1e-4


def test_noise_has_its_sd_at_mid_grey_and_repeats():
    grey = np.full((400, 400), 0.5, np.float32)
    for grain in (0.0, 0.8):
        domain = Domain(noise=0.02, grain=grain, seed=4)
        noisy = apply_domain(grey, domain)
        assert noisy.std() == pytest.approx(0.02, rel=0.03)
        np.testing.assert_array_equal(noisy, apply_domain(grey, domain))


def test_black_stays_black(image):
    image[:20] = 0
    for domain in BenchmarkSettings().shifts.values():
        assert not apply_domain(image, domain)[:20].any()


def test_drawn_domains_give_images(image):
    for seed in range(40):
        changed = apply_domain(image, sample_domain(np.random.default_rng(seed), DomainSettings()))
        assert changed.shape == image.shape
        assert changed.dtype == np.float32
        assert 0 <= changed.min() <= changed.max() <= 1


def test_a_kind_of_a_config_is_drawn_as_it_says():
    spots = {"spot": {"rate": 3.0, "width_range_px": [9, 9], "contrast_range": [0.5, 0.5], "contrast_unit": "white"}}
    settings = LookalikeSettings(kinds=spots)
    assert settings.kinds == {
        "spot": LookalikeKind(3.0, width_range_px=(9, 9), contrast_range=(0.5, 0.5), contrast_unit="white")
    }
    allowed = np.ones((256, 256), bool)
    drawn = sample_lookalikes(np.random.default_rng(0), allowed, np.zeros(allowed.shape), settings)
    assert drawn and all((item.width, item.contrast, item.blur) == (9, 0.5, 0) for item in drawn)
    assert all(len(item.lines) == len(item.lines[0]) == 1 for item in drawn)


@pytest.mark.parametrize("change", ["blur_share", "sharpen_share", "gain_share", "gamma_share", "noise_share"])
def test_a_share_of_none_never_changes_that_and_of_all_always_does(change):
    name = change.removesuffix("_share")
    shares = [share for share in vars(DomainSettings()) if share.endswith("_share")]
    only = DomainSettings(**{share: float(share == change) for share in shares})
    for seed in range(10):
        drawn = sample_domain(np.random.default_rng(seed), only)
        changed = {key for key, value in vars(drawn).items() if value != getattr(Domain(), key)}
        assert changed - {"sharpen_sigma", "centre", "seed"} == {name}
