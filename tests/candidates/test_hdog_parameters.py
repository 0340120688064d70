"""HDoG's parameters, pruning, refused inputs, and components that hold a seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scripts.candidates.dog import (
    components_with_seed,
    dog_responses,
    gaussian_radius,
    prune_overlaps,
)
from scripts.candidates.hdog import HDoGParameters, hdog

PAPER = HDoGParameters()


PAPER = HDoGParameters()


# --- parameters, pruning, errors ------------------------------------------------------------------------------


def test_published_parameters_give_three_layers() -> None:
    np.testing.assert_allclose(PAPER.sigmas, [1.18, 1.888, 3.0208, 4.83328])
    assert gaussian_radius(PAPER.sigmas[-1]) == 19
    assert len(dog_responses(np.zeros((30, 30), np.float32), PAPER.sigmas)) == 3


@pytest.mark.parametrize("spacing_mm", [0.05, 0.1, 0.07 / 0.7, 0.07 / 3])
def test_another_pixel_size_moves_both_sigmas_and_keeps_the_layers(spacing_mm: float) -> None:
    parameters = HDoGParameters(sigma_min_px=1.0, sigma_max_px=2.56)  # exactly 1.6 ** 2: rounding must not matter
    scaled = parameters.at(spacing_mm)
    np.testing.assert_allclose(scaled.sigmas, 0.07 / spacing_mm * parameters.sigmas)
    assert scaled.at(0.05) == scaled  # in px of its image now
    assert len(scaled.sigmas) == 4 and scaled.dog_threshold == parameters.dog_threshold


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sigma_min_px", 0.0),
        ("sigma_max_px", 1.0),
        ("sigma_max_px", float("inf")),
        ("sigma_ratio", 1.0),
        ("dog_threshold", -0.1),
        ("dog_threshold", float("nan")),
        ("blob_overlap", 1.5),
        ("hessian_threshold", -1.0),
    ],
)
def test_invalid_parameter_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        HDoGParameters(**{name: value})


def test_overlap_of_equal_discs_at_one_radius_is_the_known_lens() -> None:
    lens = 2 / 3 - np.sqrt(3) / (2 * np.pi)  # 0.391
    blobs = np.array([[0, 0, 2], [0, 2 * np.sqrt(2), 2]])
    assert prune_overlaps(blobs, lens + 1e-6).tolist() == [True, True]
    assert prune_overlaps(blobs, lens - 1e-6).tolist() == [False, True]


def test_smaller_of_two_nested_discs_goes() -> None:
    blobs = np.array([[10, 10, 1.18], [10, 11, 3.02], [40, 40, 1.18]])
    assert prune_overlaps(blobs, 0.99).tolist() == [False, True, True]
    assert prune_overlaps(blobs, 1.0).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 4, 5), np.float32), r"image: got shape \(3, 4, 5\)"),
        (np.zeros((0, 4), np.float32), "non-empty"),
        (np.zeros((4, 4), np.uint16), "got uint16"),
        (np.full((4, 4), np.nan, np.float32), "NaN"),
        (np.array([[0.0, np.inf]]), "infinite"),
    ],
)
def test_bad_image_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hdog(image, PAPER)


@pytest.mark.parametrize("mask", [np.zeros((4, 5), bool), np.zeros((4, 4), np.uint8)])
def test_bad_mask_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mask: got"):
        hdog(np.zeros((4, 4), np.float32), PAPER, mask)


# --- components with a seed -----------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6))
def test_components_with_a_seed_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 30)), int(rng.integers(1, 30)))
    known = np.kron(rng.random((5, 5)) < 0.7, np.ones((6, 6), bool))[: shape[0], : shape[1]]
    mask = known & (rng.random(shape) < rng.choice([0.3, 0.6, 0.8]))  # from specks to mazes
    seeds = known & (rng.random(shape) < 0.03)
    wanted = rng.random(shape) < 0.1

    labels, _ = ndimage.label(mask)
    expected = (labels > 0) & np.isin(labels, labels[seeds])
    rim = known & ndimage.binary_dilation(~known)  # a pixel beyond it is in the image and not known
    in_doubt = (labels > 0) & np.isin(labels, labels[rim]) & ~expected

    found, is_in_doubt = components_with_seed(mask, *np.nonzero(seeds), np.flatnonzero(rim), wanted)
    np.testing.assert_array_equal(found, expected)
    assert is_in_doubt == (in_doubt & wanted).any()
