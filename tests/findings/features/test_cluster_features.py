"""The 24 features of clusters: known values, invariance, what is not defined; the page tells of all."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from scripts.findings.features import CLUSTER_FEATURES, MC_FEATURES, cluster_features
from scripts.findings.features.clusters import DENSITY, SHAPE, SIZE, Group, spanning_tree

NAN = float("nan")
#: A square with sides of 3 mm, MCs without an area but for two values of other features.
SQUARE = {
    "mc_count": 4,
    "mc_area_sum_mm2": 0,
    "mc_area_mean_mm2": 0,
    "mc_area_std_mm2": 0,
    "mc_area_max_mm2": 0,
    "hull_area_mm2": 9,
    "hull_perimeter_mm": 12,
    "max_diameter_mm": 3 * np.sqrt(2),
    "eccentricity": 0,
    "elongation": np.sqrt(2),
    "hull_circularity": np.pi / 4,
    "tree_path_fraction": 1,
    "mc_circularity_mean": 0.7,
    "mc_circularity_std": 0.1,
    "mc_eccentricity_mean": 0.5,
    "mc_solidity_mean": 0.9,
    "density_per_cm2": 400 / 9,
    "coverage": 0,
    "neighbour_mean_mm": 3,
    "neighbour_std_mm": 0,
    "neighbour_max_mm": 3,
    "pairwise_mean_mm": (4 * 3 + 2 * 3 * np.sqrt(2)) / 6,
    "mc_contrast_mean": 0.25,
    "mc_contrast_std": 0.05,
}
#: A cross of five: centre, 1 mm up and down, 4 mm left and right; areas of 1 to 5 hundredths of a mm^2.
CROSS = {
    "mc_count": 5,
    "mc_area_sum_mm2": 0.15,
    "mc_area_mean_mm2": 0.03,
    "mc_area_std_mm2": 0.01 * np.sqrt(2),
    "mc_area_max_mm2": 0.05,
    "eccentricity": np.sqrt(1 - 1 / 16),
    "tree_path_fraction": 0.8,
    "neighbour_mean_mm": (1 * 3 + 4 * 2) / 5,
    "neighbour_std_mm": np.sqrt(2.16),
    "neighbour_max_mm": 4,
    "pairwise_mean_mm": (2 * 1 + 2 * 4 + 2 + 8 + 4 * np.sqrt(17)) / 10,
}
#: Powers of mm in a feature's unit.
POWERS = {"_mm2": 2, "_mm": 1, "_cm2": -2}


def square():
    features = {"circularity": [0.6, 0.8, 0.6, 0.8], "eccentricity": [0.5, 0.5, NAN, 0.5], "solidity": [0.9] * 4}
    features["contrast"] = [0.2, 0.3, 0.3, 0.2]
    points = np.array([[0, 0], [0, 3], [3, 0], [3, 3]])
    return Group(points, np.zeros(4), {name: np.array(values) for name, values in features.items()})


def random_group(seed, count=12):
    rng = np.random.default_rng(seed)
    features = {name: rng.random(count) for name in MC_FEATURES}
    return rng.normal(0, 5, (count, 2)), rng.uniform(0.01, 0.5, count), features


def power_of(name):
    return next((power for end, power in POWERS.items() if name.endswith(end)), 0)


def test_there_are_24_and_each_has_a_known_value():
    assert len(CLUSTER_FEATURES) == 24 == len(SIZE) + len(SHAPE) + len(DENSITY)
    assert [len(part) for part in (SIZE, SHAPE, DENSITY)] == [8, 8, 8] and set(SQUARE) == set(CLUSTER_FEATURES)


@pytest.mark.parametrize("name", CLUSTER_FEATURES)
def test_of_a_square(name):
    assert CLUSTER_FEATURES[name](square()) == pytest.approx(SQUARE[name], abs=1e-9)


@pytest.mark.parametrize("name", CROSS)
def test_of_a_cross(name):
    points = np.array([[0, 0], [1, 0], [-1, 0], [0, 4], [0, -4]])
    group = Group(points, np.array([3, 1, 2, 4, 5]) / 100, {})
    assert CLUSTER_FEATURES[name](group) == pytest.approx(CROSS[name])


def test_of_two_circles():
    radius = 0.5
    group = Group(np.array([[0, 0], [0, 10.0]]), np.full(2, np.pi * radius**2), {})
    corner = radius * np.sqrt(np.pi / (8 * np.sin(np.pi / 8)))  # of the 16-gon of the circle's area
    area = np.pi * radius**2 + 10 * 2 * corner
    assert CLUSTER_FEATURES["hull_area_mm2"](group) == pytest.approx(area)
    assert CLUSTER_FEATURES["coverage"](group) == pytest.approx(2 * np.pi * radius**2 / area)
    assert CLUSTER_FEATURES["density_per_cm2"](group) == pytest.approx(200 / area)
    assert CLUSTER_FEATURES["max_diameter_mm"](group) == pytest.approx(10 + 2 * corner)
    assert CLUSTER_FEATURES["elongation"](group) == pytest.approx((10 + 2 * corner) / (2 * corner))
    assert CLUSTER_FEATURES["eccentricity"](group) == 1


def test_one_two_equal_and_collinear_points_give_none_where_nothing_is_defined():
    for points in ([[2, 2]], [[2, 2], [2, 2]], [[0, 0], [0, 5]], [[0, 0], [1, 1], [3, 3]]):
        for area in (0.0, 0.1):
            record = cluster_features(Group(np.array(points), np.full(len(points), area), {}))
            json.dumps(record, allow_nan=False)
            assert record["mc_contrast_mean"] is None
            assert (record["density_per_cm2"] is None) == (record["hull_area_mm2"] == 0) == (area == 0)
            assert (record["neighbour_mean_mm"] is None) == (len(points) == 1)
    line = cluster_features(Group(np.array([[0, 0], [0, 2], [0, 5]]), np.zeros(3), {}))
    assert line["eccentricity"] == 1 and line["hull_perimeter_mm"] == 10 and line["tree_path_fraction"] == 1
    assert line["elongation"] is None and line["hull_circularity"] == 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(3, 25),
    scale=st.floats(0.1, 10),
    shift=st.floats(-100, 100),
    turns=st.integers(0, 3),
    flip=st.booleans(),
)
def test_invariance(seed, count, scale, shift, turns, flip):
    points, areas, features = random_group(seed, count)
    moved = points * (1, -1 if flip else 1)
    for _ in range(turns):
        moved = np.stack([moved[:, 1], -moved[:, 0]], 1)
    order = np.random.default_rng(seed).permutation(count)
    other = Group((moved * scale + shift)[order], (areas * scale**2)[order], {n: v[order] for n, v in features.items()})
    plain = Group(points, areas, features)
    for name, feature in CLUSTER_FEATURES.items():
        assert feature(other) == pytest.approx(feature(plain) * scale ** power_of(name), rel=1e-6), name


@pytest.mark.parametrize("count", [1, 2, 3, 10, 60])
def test_the_spanning_tree_is_scipys(count):
    points = np.random.default_rng(count).random((count, 2))
    before, lengths = spanning_tree(points)
    assert lengths.sum() == pytest.approx(minimum_spanning_tree(squareform(pdist(points))).sum())
    assert len(before) == count and all(link < number for number, link in enumerate(before) if number)


def test_a_bent_chain_has_no_branches_and_a_star_has():
    turn = np.linspace(0, np.pi, 12)
    chain = Group(np.stack([np.sin(turn), np.cos(turn)], 1) * 10, np.zeros(12), {})
    assert CLUSTER_FEATURES["tree_path_fraction"](chain) == pytest.approx(1)
    rays = np.stack([np.sin(2 * np.pi * np.arange(3) / 3), np.cos(2 * np.pi * np.arange(3) / 3)], 1)
    star = Group(np.concatenate([np.zeros((1, 2)), rays, 2 * rays]), np.zeros(7), {})
    assert CLUSTER_FEATURES["tree_path_fraction"](star) == pytest.approx(4 / 6)


def test_the_page_tells_of_the_features_of_the_code(root):
    page = (root / "docs" / "features.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z]\w+)` \|(.*)\|$", page, re.M)
    names = [name for name, _ in rows]
    assert names == [*CLUSTER_FEATURES, *MC_FEATURES]
    assert all(len(cells.split(" | ")) == 3 and all(cell.strip() for cell in cells.split(" | ")) for _, cells in rows)
