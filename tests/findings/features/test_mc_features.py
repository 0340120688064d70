"""Features of single MCs: shapes with known values, scikit-image, invariance."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import perimeter_crofton, regionprops

from scripts.common.objects import label_objects
from scripts.findings.features import MC_FEATURES, MCFeatures
from scripts.findings.features.contrast import Ring
from scripts.findings.features.microcalcifications import arrays_of, records_of

LENGTHS = ("perimeter_mm", "major_axis_mm", "minor_axis_mm")
RATIOS = ("circularity", "compactness", "eccentricity", "solidity")


def measured(mask, spacing_mm=(1.0, 1.0), image=None, ring=None):
    labels = mask.astype(np.int32) if mask.dtype != bool else label_objects(mask)[0]
    return MCFeatures(ring or Ring()).measure(labels, np.zeros(mask.shape) if image is None else image, spacing_mm)


def of(mask, spacing_mm=(1.0, 1.0)):
    return {name: float(values[0]) for name, values in measured(mask, spacing_mm).items()}


def random_blobs(seed, shape=(40, 44)):
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    for _ in range(6):
        row, col = rng.integers(0, shape[0] - 6), rng.integers(0, shape[1] - 6)
        mask[row : row + 6, col : col + 6] |= rng.random((6, 6)) > 0.35
    return mask


def test_a_rectangle():
    mask = np.zeros((9, 12), bool)
    mask[3:5, 2:8] = True  # 2 x 6 px of 0.5 mm: 1 x 3 mm
    found = of(mask, (0.5, 0.5))
    axes = 4 * np.sqrt(1 / 12), 4 * np.sqrt(9 / 12)
    assert (found["minor_axis_mm"], found["major_axis_mm"]) == pytest.approx(axes)
    assert found["eccentricity"] == pytest.approx(np.sqrt(1 - 1 / 9)) and found["solidity"] == 1
    assert found["compactness"] == pytest.approx(3 / (2 * np.pi * (1 + 9) / 12))
    assert found["orientation_deg"] == 0 and of(mask.T, (0.5, 0.5))["orientation_deg"] == 90
    # chords: 2 rows, 6 columns, 7 diagonals each way
    assert found["perimeter_mm"] == pytest.approx(np.pi / 4 * (0.5 * (2 + 6) + 0.5 / np.sqrt(2) * 14))
    assert found["circularity"] == pytest.approx(4 * np.pi * 3 / found["perimeter_mm"] ** 2)


def test_a_pixel_a_square_a_corner_and_a_slope():
    pixel = of(np.pad(np.ones((1, 1), bool), 2))
    assert pixel["solidity"] == 1 and pixel["eccentricity"] == 0 and np.isnan(pixel["orientation_deg"])
    assert pixel["compactness"] == pytest.approx(3 / np.pi) and pixel["circularity"] == 1  # 1.75 without the limit
    corner = np.pad(np.array([[1, 0], [1, 1]], bool), 1)
    assert of(corner)["solidity"] == pytest.approx(3 / 3.5)  # a square of 4 without a triangle of 0.5
    assert of(np.eye(5, dtype=bool))["orientation_deg"] == pytest.approx(-45)  # down to the right
    assert of(np.eye(5, dtype=bool)[:, ::-1])["orientation_deg"] == pytest.approx(45)


def test_a_disc_is_round():
    rows, cols = np.mgrid[:81, :81] - 40
    disc = of(rows**2 + cols**2 <= 36**2, (0.1, 0.1))
    assert disc["perimeter_mm"] == pytest.approx(2 * np.pi * 3.6, rel=0.02)
    assert disc["circularity"] > 0.97 and disc["compactness"] == pytest.approx(1, abs=0.002)
    assert disc["major_axis_mm"] == pytest.approx(7.2, rel=0.01) and disc["solidity"] > 0.97


@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_image(seed):
    labels = label_objects(random_blobs(seed))[0]
    found = measured(labels, (0.3, 0.3))
    for number, region in enumerate(regionprops(labels)):
        # scikit-image takes pixels as points, which have no moment of their own
        axes = [np.sqrt(axis**2 + 16 / 12) for axis in (region.axis_major_length, region.axis_minor_length)]
        assert found["major_axis_mm"][number] == pytest.approx(0.3 * axes[0])
        assert found["minor_axis_mm"][number] == pytest.approx(0.3 * axes[1])
        assert found["perimeter_mm"][number] == pytest.approx(0.3 * perimeter_crofton(np.pad(region.image, 1), 4))


def test_contrast_by_hand():
    image = np.full((60, 60), 0.2)
    image[::2] = 0.3  # mean 0.25, standard deviation 0.05
    mask = np.zeros((60, 60), bool)
    mask[30:32, 30:32] = True
    image[30:32, 30:32] = [[0.5, 0.7], [0.6, 0.8]]
    found = {name: values[0] for name, values in measured(mask, (0.1, 0.1), image).items()}
    assert found["contrast"] == pytest.approx(0.4, abs=0.005) and found["max_contrast"] == pytest.approx(
        0.55, abs=0.005
    )
    assert found["contrast_to_noise"] == pytest.approx(8, abs=0.2)


def test_sharp_borders_are_sharper_whatever_the_contrast():
    cols = np.arange(60) * 0.1
    edges = {}
    for width_mm in (0.1, 0.3):
        for height in (0.1, 0.4):
            profile = 0.2 + height * np.clip((0.5 + width_mm / 2 - np.abs(cols - 3.0)) / width_mm, 0, 1)
            image, mask = np.tile(profile, (60, 1)), np.zeros((60, 60), bool)
            mask[:, np.abs(cols - 3.0) <= 0.5] = True
            edges[width_mm, height] = measured(mask, (0.1, 0.1), image)["edge_sharpness_per_mm"][0]
    assert edges[0.1, 0.1] == pytest.approx(edges[0.1, 0.4]) and edges[0.3, 0.1] == pytest.approx(edges[0.3, 0.4])
    assert edges[0.1, 0.4] > 1.3 * edges[0.3, 0.4]


def test_a_step_of_one_pixel_has_half_of_its_slope():
    image, mask = np.zeros((40, 40)), np.zeros((40, 40), bool)
    mask[:, 18:22] = True
    image[mask] = 0.4  # central difference at the border: 0.4 / 2 px
    # of 84 border pixels the four in the middle of its ends have no slope
    assert measured(mask, (0.1, 0.1), image)["edge_sharpness_per_mm"][0] == pytest.approx(80 / 84 / 0.2)


def test_what_is_not_defined_is_none_in_json():
    nothing = measured(np.zeros((4, 4), bool))
    assert list(nothing) == list(MC_FEATURES) and all(values.size == 0 for values in nothing.values())
    assert records_of(nothing) == []
    full = records_of(measured(np.ones((4, 4), bool)))  # no ring around it
    assert full[0]["contrast"] is None and full[0]["edge_sharpness_per_mm"] is None and full[0]["solidity"] == 1
    json.dumps(full, allow_nan=False)
    again = arrays_of([*full, {}])
    assert again["solidity"][0] == 1 and np.isnan(again["contrast"]).all() and np.isnan(again["solidity"][1])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.02, 3), turns=st.integers(0, 3), flip=st.booleans())
def test_invariance(seed, scale, turns, flip):
    mask = random_blobs(seed)
    image = np.random.default_rng(seed).random(mask.shape)
    ring = Ring(2.0, 4.0, 3)

    def turned(array):
        array = np.rot90(array[:, ::-1] if flip else array, turns)
        return np.ascontiguousarray(np.pad(array, ((0, 0), (3, 0)), mode="edge"))

    labels = label_objects(mask)[0]
    plain = measured(labels, (1.0, 1.0), image, ring)
    moved = np.pad(np.rot90(labels[:, ::-1] if flip else labels, turns), ((0, 0), (3, 0)))
    found = measured(np.ascontiguousarray(moved), (scale, scale), turned(image), Ring(2 * scale, 4 * scale, 3))
    for name in RATIOS:
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-6, atol=1e-6, err_msg=name)
    for name in LENGTHS:
        np.testing.assert_allclose(found[name], plain[name] * scale, rtol=1e-6, atol=1e-9, err_msg=name)


def test_contrast_turns_with_the_image_and_ignores_the_spacing_but_for_slopes():
    mask, rng = np.zeros((60, 60), bool), np.random.default_rng(0)
    mask[20:23, 20:25] = mask[35:40, 30:33] = True
    image, labels = rng.random((60, 60)) + mask, label_objects(mask)[0]
    plain = measured(labels, (0.1, 0.1), image)
    for turn in range(1, 4):
        turned = measured(np.rot90(labels, turn).copy(), (0.1, 0.1), np.rot90(image, turn).copy())
        for name in ("contrast", "max_contrast", "contrast_to_noise", "edge_sharpness_per_mm"):
            np.testing.assert_allclose(turned[name], plain[name], rtol=1e-5)
    coarse = measured(labels, (0.2, 0.2), image, ring=Ring(0.4, 2.0))
    np.testing.assert_allclose(coarse["contrast"], plain["contrast"], rtol=1e-5)
    np.testing.assert_allclose(coarse["edge_sharpness_per_mm"], plain["edge_sharpness_per_mm"] / 2, rtol=1e-5)


def test_other_spacings_of_rows_than_of_columns():
    mask = np.zeros((30, 30), bool)
    mask[10:14, 10:12] = True
    found = of(mask, (0.5, 1.0))  # 2 x 2 mm
    assert found["eccentricity"] == pytest.approx(0) and found["compactness"] == pytest.approx(3 / np.pi)


def test_bad_shapes_and_rings_are_named():
    with pytest.raises(ValueError, match=r"^image: got"):
        MCFeatures().measure(np.zeros((3, 3), np.int32), np.zeros((3, 4)), (1, 1))
    for wrong in ({"gap_mm": -1}, {"width_mm": 0}, {"least_px": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Ring(**wrong)
