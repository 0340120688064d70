"""What a cluster is: rules that group microcalcifications (MCs) by their centroids in mm.

A rule is a frozen dataclass; product and evaluation use the same ones (`configs`: key `clusters`).

    CircleClusters          as many as `least` within a circle: the clinical rules (`CLINICAL_RULES`)
    SingleLinkageClusters   steps of at most a distance
    optics.OpticsClusters   density, as in HDoGReg's paper (arXiv 2102.00754, section V-C)
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields
from scripts.findings.clusters.circles import TOLERANCE_MM, circle_groups, number_groups


class ClusterRule(Protocol):
    """A way of forming clusters."""

    @property
    def least(self) -> int:
        """Smallest number of MCs of a cluster."""

    @property
    def sentence(self) -> str:
        """The rule in words, for reports."""

    def groups(self, points_mm: np.ndarray) -> np.ndarray:
        """Number of each point's cluster, int64 (n,) of points (n, 2): from 0 in order of first points, -1 for none."""

    def changes(self, points_mm: np.ndarray) -> np.ndarray:
        """Change in the number of clusters as the points come one after the other, int64 (n,)."""


@dataclass(frozen=True)
class CircleClusters:
    """At least `least` MCs that a circle holds; circles that share an MC are one cluster.

    The default is the lower limit of "grouped" in BI-RADS (5th edition): five calcifications within 1 cm. Scattered
    marks rarely meet it by chance, and it needs no number that has no meaning to a reader (docs/features.md).
    """

    diameter_mm: float = 10.0  # of the closed circle
    least: int = 5

    def __post_init__(self) -> None:
        check_fields(self)
        check("diameter_mm", self.diameter_mm, 0 < self.diameter_mm < math.inf, "a length above 0")
        check("least", self.least, self.least >= 1, "1 or more")

    @property
    def sentence(self) -> str:
        """See `ClusterRule`."""
        return f"at least {self.least} MCs within a circle of {self.diameter_mm:.4g} mm, joined where circles share one"

    def groups(self, points_mm: np.ndarray) -> np.ndarray:
        """See `ClusterRule`."""
        return circle_groups(points_mm, self.diameter_mm, self.least)

    def changes(self, points_mm: np.ndarray) -> np.ndarray:
        """See `ClusterRule`. Circles with a new point lie within a diameter around it: only there is grouped anew."""
        change = np.zeros(len(points_mm), np.int64)
        near = cKDTree(points_mm).query_ball_point(points_mm, self.diameter_mm + 2 * TOLERANCE_MM)
        sets, in_cluster = DisjointSet(range(len(points_mm))), np.zeros(len(points_mm), bool)
        for i, around in enumerate(near):
            local = np.array([j for j in around if j <= i])
            if local.size < self.least:
                continue
            others = local[local != i]
            beside = np.hypot(*(points_mm[others] - points_mm[i]).T) <= self.diameter_mm / 2
            if beside.sum() + 1 >= self.least and in_cluster[others].all() and len({sets[j] for j in others}) == 1:
                in_cluster[i] = True  # in the midst of one cluster: nothing else changes
                sets.merge(others[0], i)
                continue
            labels = self.groups(points_mm[local])
            for group in range(labels.max() + 1):
                members = local[labels == group].tolist()
                change[i] += 1 - len({sets[m] for m in members if in_cluster[m]})
                in_cluster[members] = True
                for member in members[1:]:
                    sets.merge(members[0], member)
        return change


#: name -> rule; a circle of 1 cm^2 has a diameter of 11.284 mm
CLINICAL_RULES = {
    "5 within 1 cm": CircleClusters(10.0, 5),  # BI-RADS 5th edition
    "3 within 1 cm2": CircleClusters(20 / math.sqrt(math.pi), 3),  # older literature
}


@dataclass(frozen=True)
class SingleLinkageClusters:
    """At least `least` MCs, each within `distance_mm` (inclusive) of another one of the cluster."""

    distance_mm: float = 5.0
    least: int = 3

    def __post_init__(self) -> None:
        check_fields(self)
        check("distance_mm", self.distance_mm, 0 < self.distance_mm < math.inf, "a length above 0")
        check("least", self.least, self.least >= 1, "1 or more")

    @property
    def sentence(self) -> str:
        """See `ClusterRule`."""
        return f"at least {self.least} MCs, joined when at most {self.distance_mm:g} mm apart"

    def groups(self, points_mm: np.ndarray) -> np.ndarray:
        """See `ClusterRule`."""
        labels = connected_components(self._graph(points_mm), directed=False)[1]
        return number_groups(labels, np.bincount(labels, minlength=1)[labels] >= self.least)

    def changes(self, points_mm: np.ndarray) -> np.ndarray:
        """See `ClusterRule`.

        The graph's spanning tree of earliest edges has the groups of the graph at every moment, with fewer edges.
        """
        change = np.full(len(points_mm), int(self.least <= 1))
        tree = minimum_spanning_tree(self._graph(points_mm)).tocoo()
        sets = DisjointSet(range(len(points_mm)))
        edges = np.argsort(tree.data, kind="stable")
        for a, b in zip(tree.row[edges].tolist(), tree.col[edges].tolist(), strict=True):
            first, second = sets.subset_size(a), sets.subset_size(b)
            sets.merge(a, b)
            change[max(a, b)] += (first + second >= self.least) - (first >= self.least) - (second >= self.least)
        return change

    def _graph(self, points_mm: np.ndarray) -> csr_array:
        """Pairs of near points, weighted by the later one's number, from 1."""
        pairs = cKDTree(points_mm).query_pairs(self.distance_mm + TOLERANCE_MM, output_type="ndarray")
        shape = (len(points_mm), len(points_mm))
        return csr_array((pairs.max(axis=1, initial=0) + 1.0, (pairs[:, 0], pairs[:, 1])), shape=shape)
