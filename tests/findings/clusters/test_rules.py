"""Cluster rules against brute force: smallest enclosing circles of all subsets, scipy's linkage, everything anew."""

import itertools
import warnings

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import OPTICS

from scripts.findings.clusters import CLINICAL_RULES, CircleClusters, OpticsClusters, SingleLinkageClusters
from scripts.findings.clusters.optics import optics_graph

RULES = [CircleClusters(3.0, 3), CircleClusters(2.0, 1), SingleLinkageClusters(2.0, 3), OpticsClusters(2, least=3)]


def same_partition(first, second):
    return ((first[:, None] == first) & (first >= 0) == (second[:, None] == second) & (second >= 0)).all()


def enclosing_diameter(points):
    """Of the smallest circle around points: one through two or three of them that holds all."""
    best = np.inf
    for a, b in itertools.combinations(points, 2):
        centre, radius = (a + b) / 2, np.linalg.norm(a - b) / 2
        if (np.linalg.norm(points - centre, axis=1) <= radius + 1e-9).all():
            best = min(best, 2 * radius)
    for a, b, c in itertools.combinations(points, 3):
        rows = 2 * np.array([b - a, c - a])
        if abs(np.linalg.det(rows)) > 1e-12:
            centre = np.linalg.solve(rows, [b @ b - a @ a, c @ c - a @ a])
            radius = np.linalg.norm(a - centre)
            if (np.linalg.norm(points - centre, axis=1) <= radius + 1e-9).all():
                best = min(best, 2 * radius)
    return best if len(points) > 1 else 0.0


def circle_reference(points, diameter, least):
    """Groups from every subset of `least` points that the circle holds; those with a common point join."""
    labels = np.full(len(points), -1)
    sizes = (1, 2) if least == 1 else (least,)  # larger groups are chains of these
    for subset in itertools.chain(*(itertools.combinations(range(len(points)), size) for size in sizes)):
        if enclosing_diameter(points[list(subset)]) <= diameter:
            joined = {labels[i] for i in subset} - {-1}
            new = min(joined, default=labels.max() + 1)
            labels[np.isin(labels, list(joined))] = new
            labels[list(subset)] = new
    return labels


@pytest.mark.parametrize("least", [1, 2, 3, 4])
def test_circles_equal_all_subsets_tried(least):
    rng = np.random.default_rng(least)
    for case in range(40):
        points = rng.random((10, 2)) * 7
        if case % 4 == 0:  # equal places and places on a grid: ties
            points = np.round(points)
        found, wanted = CircleClusters(3.0, least).groups(points), circle_reference(points, 3.0, least)
        assert ((found >= 0) == (wanted >= 0)).all() and same_partition(found, wanted), points.tolist()


def test_circles_by_hand():
    rule = CircleClusters(10.0, 3)
    triangle = np.array([[0, 0], [10, 0], [5, 5]])  # all on or in the circle with the diameter (0, 0)-(10, 0)
    assert rule.groups(triangle).tolist() == [0, 0, 0]
    wide = np.array([[0, 0], [9.9, 0], [4.95, 8.6]])  # near in pairs, but its circle has a diameter of 11.4
    assert rule.groups(wide).tolist() == [-1, -1, -1]
    chain = np.array([[0, 0], [0, 5], [0, 10], [0, 15], [0, 20], [50, 0], [50, 1]])
    assert rule.groups(chain).tolist() == [0, 0, 0, 0, 0, -1, -1]
    assert rule.groups(np.zeros((3, 2))).tolist() == [0, 0, 0] and rule.groups(np.zeros((0, 2))).size == 0


def test_clinical_rules():
    ring = np.stack([np.sin(np.arange(5)), np.cos(np.arange(5))], 1)
    assert CLINICAL_RULES["5 within 1 cm"].groups(4.99 * ring).tolist() == [0] * 5
    assert CLINICAL_RULES["5 within 1 cm"].groups(4.99 * ring[:4]).tolist() == [-1] * 4
    triangle = np.stack([np.sin(2 * np.pi * np.arange(3) / 3), np.cos(2 * np.pi * np.arange(3) / 3)], 1)
    square_cm = np.sqrt(100 / np.pi)  # radius of a circle of 1 cm^2
    assert CLINICAL_RULES["3 within 1 cm2"].groups(0.999 * square_cm * triangle).max() == 0
    assert CLINICAL_RULES["3 within 1 cm2"].groups(1.001 * square_cm * triangle).max() == -1


def test_single_linkage_is_a_chain_and_its_bound_is_inclusive():
    points = np.array([[0, 0], [3, 4], [0, 10.001], [40, 40], [6, 8]])
    assert SingleLinkageClusters(5.0, 1).groups(points).tolist() == [0, 0, 1, 2, 0]  # ends 10 mm apart
    assert SingleLinkageClusters(5.0, 3).groups(points).tolist() == [0, 0, -1, -1, 0]
    assert SingleLinkageClusters(4.9999, 1).groups(points).tolist() == [0, 1, 2, 3, 4]
    assert SingleLinkageClusters().groups(np.zeros((0, 2))).size == 0


@pytest.mark.parametrize("seed", range(10))
def test_single_linkage_equals_scipys(seed):
    points = np.random.default_rng(seed).random((40, 2)) * 30
    wanted = fcluster(linkage(points, "single"), 3.0, "distance")
    wanted[np.bincount(wanted)[wanted] < 3] = -1
    assert same_partition(SingleLinkageClusters(3.0, 3).groups(points), wanted)


@pytest.mark.parametrize("seed", range(6))
def test_optics_is_scikit_learns_whatever_the_order_of_points(seed):
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.normal(centre, 1, (15, 2)) for centre in (0, 20)] + [rng.random((10, 2)) * 40])
    points = np.concatenate([points, points[:3], np.indices((3, 4)).reshape(2, -1).T + 30.0])  # equal ones; a grid
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    for rule, options in (
        (OpticsClusters(4, 30.0, xi=0.1, least=6), {"xi": 0.1, "min_cluster_size": 6}),
        (OpticsClusters(3, 6.0, xi=0.02, least=3, predecessor_correction=False), {"xi": 0.02, "min_cluster_size": 3}),
        (OpticsClusters(4, 30.0, "dbscan", distance_mm=2.0, least=2), {"cluster_method": "dbscan", "eps": 2.0}),
    ):
        known = {"min_samples": rule.min_samples, "max_eps": rule.max_distance_mm}
        correction = rule.predecessor_correction
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # reachabilities of 0 are divided by
            wanted = OPTICS(**known, **options, predecessor_correction=correction).fit(points)
        graph = optics_graph(points, rule.min_samples, rule.max_distance_mm)
        for name, values in graph._asdict().items():
            np.testing.assert_allclose(values, getattr(wanted, f"{name}_"), rtol=0, atol=1e-12, err_msg=name)
        found = rule.groups(points)
        assert found.max() >= 1 and same_partition(found, wanted.labels_)
        distinct = np.unique(points, axis=0)  # equal points are told apart by nothing but their order
        order = rng.permutation(len(distinct))
        assert same_partition(rule.groups(distinct[order]), rule.groups(distinct)[order])


@pytest.mark.parametrize("rule", [*CLINICAL_RULES.values(), SingleLinkageClusters(), OpticsClusters()])
def test_few_equal_and_collinear_points(rule):
    for points in (np.zeros((0, 2)), np.zeros((1, 2)), np.zeros((2, 2)), np.zeros((30, 2))):
        groups = rule.groups(points)
        assert groups.shape == (len(points),) and groups.dtype == np.int64
    assert (rule.groups(np.stack([np.arange(30), np.zeros(30)], 1)) == 0).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_changes_are_those_of_grouping_anew(rule):
    for seed in range(1 if isinstance(rule, OpticsClusters) else 8):
        points = np.random.default_rng(seed).random((20, 2)) * 12
        counts = [rule.groups(points[:n]).max() + 1 for n in range(1, 21)]
        assert np.cumsum(rule.changes(points)).tolist() == counts
    assert rule.changes(np.zeros((0, 2))).size == 0


def test_bad_parameters_are_named():
    for make, name in (
        *((lambda: CircleClusters(0), "diameter_mm"), (lambda: CircleClusters(least=0), "least")),
        *((lambda: SingleLinkageClusters(-1), "distance_mm"), (lambda: OpticsClusters(1), "min_samples")),
        *((lambda: OpticsClusters(method="x"), "method"), (lambda: OpticsClusters(xi=1), "xi")),
        (lambda: OpticsClusters(distance_mm=30), "distance_mm"),
    ):
        with pytest.raises(ValueError, match=f"^{name}: got .*; want"):
            make()
