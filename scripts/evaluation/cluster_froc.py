"""FROC per cluster: clusters of annotated MCs found against clusters of false positives, at every distinct score.

A cluster is a group of at least `least` objects that single linkage joins: each is within `distance_mm` of another one
of the group (centroids, inclusive). Definitions and their reasons: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from scripts.evaluation.cases import ROUNDING_MM, Annotations, CaseScores, Predictions
from scripts.evaluation.froc import Froc, rate
from scripts.evaluation.matching import GREEDY, walk


@dataclass(frozen=True)
class ClusterRule:
    """What a cluster is, and when it counts as found.

    Attributes:
        distance_mm: largest distance of neighbours in a cluster, mm, inclusive.
        least: smallest number of objects of a cluster (annotated, or false positives).
        hits: a cluster is found when at least so many of its MCs are hit; at most `least`.
    """

    distance_mm: float = 5.0
    least: int = 3
    hits: int = 2

    def __post_init__(self) -> None:
        if not self.distance_mm > 0:
            raise ValueError(f"distance_mm: got {self.distance_mm}, want a value above 0")
        if not 1 <= self.hits <= self.least:
            raise ValueError(f"hits: got {self.hits}, want 1 to {self.least} (the smallest size of a cluster)")


def single_linkage(points_mm: np.ndarray, distance_mm: float) -> np.ndarray:
    """Group points that a chain of steps of at most `distance_mm` connects.

    Args:
        points_mm: (n, 2).
        distance_mm: inclusive, with a tolerance of 1e-9 mm.

    Returns:
        int (n,): number of the group of each point, from 0 in order of the first points.
    """
    graph = _graph(points_mm, distance_mm, np.ones(len(points_mm)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


class ClusterTable:
    """Events of all images, sorted once: a cluster is found, false-positive clusters become more or fewer.

    Args:
        cases: the scored images.
        rule: what a cluster is.
        matching: "greedy" or "optimal".
    """

    def __init__(self, cases: Sequence[CaseScores], rule: ClusterRule | None = None, matching: str = GREEDY) -> None:
        rule = rule or ClusterRule()
        tables = [cluster_events(case, rule, matching) for case in cases]
        self.annotated = np.array([count for count, _, _ in tables], np.int64)
        self.breast_cm2 = np.array([case.breast_cm2 for case in cases], np.float64)
        score = np.concatenate([scores for _, scores, _ in tables] + [np.zeros(0)])
        change = np.concatenate([changes for _, _, changes in tables] + [np.zeros((0, 2), np.int64)])
        order = np.argsort(-score, kind="stable")
        score, self._change = score[order], change[order]
        sizes = np.array([scores.size for _, scores, _ in tables], np.int64)
        self._case = np.repeat(np.arange(len(cases)), sizes)[order]
        self._ends = np.flatnonzero(np.append(np.diff(score) != 0, [True] * bool(score.size)))
        self._threshold = np.append(np.inf, score[self._ends])

    def curve(self, weights: np.ndarray | None = None) -> Froc:
        """The curve: `tp` clusters found, `fp` false-positive clusters, rates per cm^2 of breast and per image.

        At low thresholds false positives run together into few large groups. So that a method gains nothing by that,
        `fp` is the largest number at this threshold or any higher one, summed over images first.

        Args:
            weights: int (cases,), how often each image is in the sample; None takes each once.
        """
        weights = np.ones(self.annotated.size, np.int64) if weights is None else np.asarray(weights)
        if weights.shape != self.annotated.shape:
            raise ValueError(f"weights: got shape {weights.shape}, want one per image {self.annotated.shape}")
        totals = np.cumsum(self._change * weights[self._case][:, None], axis=0)[self._ends]
        found, false = np.concatenate([np.zeros((1, 2), np.int64), totals]).T
        false = np.maximum.accumulate(false)
        return Froc(
            threshold=self._threshold,
            tp=found,
            fp=false,
            tpr=rate(found, weights @ self.annotated),
            fp_per_cm2=rate(false, weights @ self.breast_cm2),
            fp_per_image=rate(false, weights.sum()),
        )


def cluster_events(case: CaseScores, rule: ClusterRule, matching: str = GREEDY) -> tuple[int, np.ndarray, np.ndarray]:
    """What happens to clusters as the threshold falls.

    Args:
        case: the scored image.
        rule: what a cluster is.
        matching: "greedy" or "optimal".

    Returns:
        number of annotated clusters; score (n,) descending; change int (n, 2): more clusters found, more
        false-positive clusters (negative when two of them join), one row per counted prediction.
    """
    order, gained, dropped = walk(case, matching)
    change = np.zeros((order.size, 2), np.int64)
    group = single_linkage(_places(case, case.annotations), rule.distance_mm)
    clusters = np.bincount(group, minlength=1) >= rule.least
    hits = np.zeros(clusters.size, np.int64)
    for step in np.flatnonzero(gained >= 0):
        hits[group[gained[step]]] += 1
        change[step, 0] = clusters[group[gained[step]]] and hits[group[gained[step]]] == rule.hits

    false = np.flatnonzero(dropped >= 0)
    points = _places(case, case.predictions)[dropped[false]]
    change[false, 1] = _group_changes(points, rule)
    return int(clusters.sum()), case.predictions.score[order], change


def _group_changes(points_mm: np.ndarray, rule: ClusterRule) -> np.ndarray:
    """Change in the number of groups of at least `rule.least` points, as the points come one after the other; (n,).

    The graph's spanning tree of earliest edges has the groups of the graph at every moment, with fewer edges.
    """
    change = np.full(len(points_mm), int(rule.least <= 1))
    moment = np.arange(1, len(points_mm) + 1)
    tree = minimum_spanning_tree(_graph(points_mm, rule.distance_mm, moment)).tocoo()
    parent, size = list(range(len(points_mm))), [1] * len(points_mm)

    def root(point: int) -> int:
        while parent[point] != point:
            parent[point] = point = parent[parent[point]]
        return point

    edges = np.argsort(tree.data, kind="stable")
    for a, b in zip(tree.row[edges].tolist(), tree.col[edges].tolist(), strict=True):
        first, second = root(a), root(b)
        before = (size[first] >= rule.least) + (size[second] >= rule.least)
        if size[first] < size[second]:
            first, second = second, first
        parent[second], size[first] = first, size[first] + size[second]
        change[max(a, b)] += (size[first] >= rule.least) - before
    return change


def _graph(points_mm: np.ndarray, distance_mm: float, moment: np.ndarray) -> csr_array:
    """Pairs of near points, weighted by the later of their moments (1 or more)."""
    count = len(points_mm)
    pairs = np.zeros((0, 2), np.int64)
    if count:
        pairs = cKDTree(points_mm).query_pairs(distance_mm + ROUNDING_MM, output_type="ndarray")
    weight = np.maximum(moment[pairs[:, 0]], moment[pairs[:, 1]]).astype(np.float64)
    return csr_array((weight, (pairs[:, 0], pairs[:, 1])), shape=(count, count))


def _places(case: CaseScores, objects: Annotations | Predictions) -> np.ndarray:
    return np.stack([objects.row, objects.col], 1) * case.spacing_mm
