"""Clusters by OPTICS, as in HDoGReg's paper (arXiv 2102.00754, section V-C).

The order of the points and their reachability are computed here, clusters are cut from them by scikit-learn. Its own
`OPTICS` gives the same and checks its arguments anew for every point: 20 times slower for some hundred MCs.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from scripts.common.checks import check, check_fields
from scripts.findings.clusters.circles import number_groups

#: Distances are rounded to so many digits behind the point, as in scikit-learn, so that equal ones are equal.
DECIMALS = np.finfo(np.float64).precision


class OpticsGraph(NamedTuple):
    """What OPTICS knows of points, (n,) each; the names are scikit-learn's."""

    ordering: np.ndarray  # the points in the order in which they are reached
    core_distances: np.ndarray  # distance of the `min_samples`-th nearest point, itself included; inf beyond the reach
    reachability: np.ndarray  # inf where a new part begins
    predecessor: np.ndarray  # point that it was reached from; -1 for none


@dataclass(frozen=True)
class OpticsClusters:
    """Clusters of OPTICS (Ankerst et al. 1999) as scikit-learn computes it; its names in brackets."""

    min_samples: int = 5  # points in the neighbourhood of a core point, itself included
    max_distance_mm: float = 20.0  # largest neighbourhood (max_eps)
    method: str = "xi"  # how clusters are cut from the reachability: "xi" or "dbscan" (cluster_method)
    xi: float = 0.05  # steepness of a cluster's border in the reachability, (0, 1)
    distance_mm: float = 5.0  # neighbourhood of the method "dbscan" (eps), at most `max_distance_mm`
    least: int = 5  # smallest cluster (min_cluster_size); with "dbscan" smaller ones are dropped
    predecessor_correction: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        check("min_samples", self.min_samples, self.min_samples >= 2, "2 or more")
        check("least", self.least, self.least >= 2, "2 or more")
        check("method", self.method, self.method in ("xi", "dbscan"), "xi or dbscan")
        check("xi", self.xi, 0 < self.xi < 1, "a value in (0, 1)")
        check("max_distance_mm", self.max_distance_mm, self.max_distance_mm > 0, "a length above 0")
        fits = 0 < self.distance_mm <= self.max_distance_mm
        check(
            "distance_mm", self.distance_mm, fits, f"a length above 0, at most max_distance_mm {self.max_distance_mm}"
        )

    @property
    def sentence(self) -> str:
        """See `ClusterRule`."""
        cut = f"xi {self.xi:g}" if self.method == "xi" else f"{self.distance_mm:g} mm"
        return f"OPTICS ({self.method}: {cut}, min_samples {self.min_samples}) with at least {self.least} MCs"

    def groups(self, points_mm: np.ndarray) -> np.ndarray:
        """See `ClusterRule`. Points are taken by row, then column, so that their order does not count."""
        labels = np.full(len(points_mm), -1, np.int64)
        if len(points_mm) < max(self.min_samples, self.least):
            return labels
        order = np.lexsort((points_mm[:, 1], points_mm[:, 0]))
        labels[order] = self._cut(optics_graph(points_mm[order], self.min_samples, self.max_distance_mm))
        size = np.bincount(labels[labels >= 0], minlength=1)
        return number_groups(labels, (labels >= 0) & (size[np.maximum(labels, 0)] >= self.least))

    def changes(self, points_mm: np.ndarray) -> np.ndarray:
        """See `ClusterRule`. Everything is grouped anew for each point: slow for more than some hundred."""
        counts = [self.groups(points_mm[:n]).max() + 1 for n in range(1, len(points_mm) + 1)]
        return np.diff(np.array(counts, np.int64), prepend=0)

    def _cut(self, graph: OpticsGraph) -> np.ndarray:
        """Cluster of each point, int (n,), -1 for none."""
        from sklearn.cluster import cluster_optics_dbscan, cluster_optics_xi  # slow, and other rules do without it

        known = graph._asdict()
        if self.method == "dbscan":
            del known["predecessor"]
            return cluster_optics_dbscan(**known, eps=self.distance_mm)
        del known["core_distances"]
        options = {"min_samples": self.min_samples, "min_cluster_size": self.least, "xi": self.xi}
        with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
            warnings.simplefilter("ignore")  # equal points, or none that is dense: both are results here
            return cluster_optics_xi(**known, **options, predecessor_correction=self.predecessor_correction)[0]


def optics_graph(points_mm: np.ndarray, min_samples: int, max_distance_mm: float) -> OpticsGraph:
    """OPTICS' order of points (n, 2), n >= `min_samples`: always on to the point that is reached at the least distance.

    From a core point P another one is reached at max(core distance of P, distance to P).
    """
    distance = cdist(points_mm, points_mm)
    core = np.partition(distance, min_samples - 1, axis=1)[:, min_samples - 1]
    core[core > max_distance_mm] = np.inf
    reach = np.where(distance <= max_distance_mm, np.maximum(distance, core[:, None]), np.inf).round(DECIMALS)
    core = core.round(DECIMALS)
    count = len(points_mm)
    reachability, predecessor = np.full(count, np.inf), np.full(count, -1)
    ordering, waiting = np.empty(count, np.int64), np.ones(count, bool)
    for place in range(count):
        left = np.flatnonzero(waiting)
        point = left[reachability[left].argmin()]
        ordering[place], waiting[point] = point, False
        nearer = waiting & (reach[point] < reachability)
        reachability[nearer], predecessor[nearer] = reach[point, nearer], point
    return OpticsGraph(ordering, core, reachability, predecessor)
