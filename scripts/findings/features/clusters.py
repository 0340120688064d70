"""The 24 features of a cluster of microcalcifications (MCs): eight of size, eight of shape, eight of density.

HDoGReg (arXiv 2102.00754, section V-C) groups clusters by 24 features of "size, shape, and density" and does not
publish which; these are the field's. Every function takes a `Group`, has its unit at the end of its name, and gives
NaN where it is not defined. None depends on where the cluster lies or how it is turned or mirrored.
"""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from scripts.findings.clusters.cluster import hull_of, polygon_area
from scripts.findings.features.microcalcifications import FeatureRecord, rounded


class Group:
    """The MCs of a cluster and what several features need of them.

    Args:
        points_mm: centroids, (n, 2), n >= 1.
        areas_mm2: (n,).
        features: {name: (n,)} of the MCs (`MC_FEATURES`); without an image, those of contrast may be NaN or missing.
    """

    def __init__(self, points_mm: np.ndarray, areas_mm2: np.ndarray, features: Mapping[str, np.ndarray]) -> None:
        self.points_mm, self.areas_mm2, self._features = np.asarray(points_mm, float), np.asarray(areas_mm2), features
        self.count = len(self.points_mm)

    def of_mcs(self, name: str) -> np.ndarray:
        """A feature of those MCs for which it is defined, (k,)."""
        values = self._features.get(name, np.zeros(0))
        return values[np.isfinite(values)]

    @cached_property
    def hull_mm(self) -> np.ndarray:
        """Corners of `hull_of`."""
        return hull_of(self.points_mm, 2 * np.sqrt(self.areas_mm2 / np.pi))

    @cached_property
    def hull_area_mm2(self) -> float:
        """See `hull_area_mm2`."""
        return polygon_area(self.hull_mm)

    @cached_property
    def neighbours_mm(self) -> np.ndarray:
        """Distance of each MC to the nearest other one, (n,), empty for a single one."""
        return cKDTree(self.points_mm).query(self.points_mm, k=[2])[0][:, 0] if self.count > 1 else np.zeros(0)

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """Variances of the centroids along their principal axes, (2,), ascending, mm^2."""
        offset = self.points_mm - self.points_mm.mean(axis=0)
        return np.maximum(np.linalg.eigvalsh(offset.T @ offset / self.count), 0)


def mc_count(group: Group) -> float:
    """Number of MCs. Source: BI-RADS; slim FCN (arXiv 2102.00811), figures 1 and 7."""
    return float(group.count)


def mc_area_sum_mm2(group: Group) -> float:
    """Sum of the MCs' areas, mm^2."""
    return float(group.areas_mm2.sum())


def mc_area_mean_mm2(group: Group) -> float:
    """Mean area of an MC, mm^2. Source: slim FCN, figures 1 and 7."""
    return float(group.areas_mm2.mean())


def mc_area_std_mm2(group: Group) -> float:
    """Population standard deviation of the MCs' areas, mm^2. Source: slim FCN, figures 1 and 7."""
    return float(group.areas_mm2.std())


def mc_area_max_mm2(group: Group) -> float:
    """Area of the largest MC, mm^2."""
    return float(group.areas_mm2.max())


def hull_area_mm2(group: Group) -> float:
    """Area of the convex hull of the MCs, each as the circle of its area (a polygon of 16 corners), mm^2."""
    return group.hull_area_mm2


def hull_perimeter_mm(group: Group) -> float:
    """Length of the hull's border, mm; twice the distance for two points without an area."""
    return float(np.linalg.norm(group.hull_mm - np.roll(group.hull_mm, -1, axis=0), axis=1).sum())


def max_diameter_mm(group: Group) -> float:
    """Largest distance of two of the hull's corners (maximum Feret diameter), mm: the extent that reports give."""
    across = group.hull_mm[:, None] - group.hull_mm
    return float(np.sqrt((across**2).sum(axis=-1)).max())


def eccentricity(group: Group) -> float:
    """sqrt(1 - l_min / l_max), variances of the centroids along their principal axes; 0 round, 1 in a line.

    NaN when all centroids are one point.
    """
    low, high = group.eigenvalues
    return float(np.sqrt(1 - low / high)) if high > 1e-12 else float("nan")


def elongation(group: Group) -> float:
    """Maximum / minimum Feret diameter of the hull, 1 or more; NaN when the hull has no area."""
    if group.hull_area_mm2 <= 0:
        return float("nan")
    hull = group.hull_mm
    side = np.roll(hull, -1, axis=0) - hull
    normal = np.stack([-side[:, 1], side[:, 0]], 1) / np.linalg.norm(side, axis=1, keepdims=True)
    width = np.ptp(hull @ normal.T, axis=0).min()
    return max_diameter_mm(group) / float(width)


def hull_circularity(group: Group) -> float:
    """4 pi area / perimeter^2 of the hull, 1 for a circle, 0 for a line; NaN for a single point."""
    around = hull_perimeter_mm(group)
    return 4 * np.pi * group.hull_area_mm2 / around**2 if around > 0 else float("nan")


def tree_path_fraction(group: Group) -> float:
    """Longest path in the minimum spanning tree of the centroids / length of the tree: 1 for a chain, (0, 1].

    Also for a bent chain, and less the more it branches; NaN when the tree has no length.
    """
    before, lengths = spanning_tree(group.points_mm)
    if not lengths.sum() > 0:
        return float("nan")
    deepest, longest = [0.0] * group.count, 0.0  # longest way down from each point; longest path so far
    for point in range(group.count - 1, 0, -1):
        way = deepest[point] + float(lengths[point])
        longest = max(longest, deepest[before[point]] + way)
        deepest[before[point]] = max(deepest[before[point]], way)
    return min(longest / float(lengths.sum()), 1.0)


def mc_circularity_mean(group: Group) -> float:
    """Mean circularity of the MCs."""
    return _mean(group.of_mcs("circularity"))


def mc_circularity_std(group: Group) -> float:
    """Population standard deviation of the MCs' circularity: how unlike each other they are (pleomorphism)."""
    return _std(group.of_mcs("circularity"))


def mc_eccentricity_mean(group: Group) -> float:
    """Mean eccentricity of the MCs: high for rods (fine linear ones)."""
    return _mean(group.of_mcs("eccentricity"))


def mc_solidity_mean(group: Group) -> float:
    """Mean solidity of the MCs: low for branching ones."""
    return _mean(group.of_mcs("solidity"))


def density_per_cm2(group: Group) -> float:
    """Number of MCs / area of the hull, 1/cm^2; NaN when the hull has no area. Source: clinical rules, MCs per cm^2."""
    return 100 * group.count / group.hull_area_mm2 if group.hull_area_mm2 > 0 else float("nan")


def coverage(group: Group) -> float:
    """Sum of the MCs' areas / area of the hull; NaN when the hull has no area."""
    return float(group.areas_mm2.sum() / group.hull_area_mm2) if group.hull_area_mm2 > 0 else float("nan")


def neighbour_mean_mm(group: Group) -> float:
    """Mean distance of an MC's centroid to the nearest other one, mm; NaN for a single MC."""
    return _mean(group.neighbours_mm)


def neighbour_std_mm(group: Group) -> float:
    """Population standard deviation of the distances to the nearest other MC, mm; NaN for a single MC."""
    return _std(group.neighbours_mm)


def neighbour_max_mm(group: Group) -> float:
    """Distance of the most lonely MC to the nearest other one, mm; NaN for a single MC."""
    return float(group.neighbours_mm.max()) if group.count > 1 else float("nan")


def pairwise_mean_mm(group: Group) -> float:
    """Mean distance of two MCs' centroids over all pairs, mm; NaN for a single MC."""
    return _mean(pdist(group.points_mm))


def mc_contrast_mean(group: Group) -> float:
    """Mean contrast of the MCs (grey values, [0, 1]); NaN where none has one."""
    return _mean(group.of_mcs("contrast"))


def mc_contrast_std(group: Group) -> float:
    """Population standard deviation of the MCs' contrast (grey values); NaN where none has one."""
    return _std(group.of_mcs("contrast"))


SIZE = (
    *(mc_count, mc_area_sum_mm2, mc_area_mean_mm2, mc_area_std_mm2, mc_area_max_mm2),
    *(hull_area_mm2, hull_perimeter_mm, max_diameter_mm),
)
SHAPE = (
    *(eccentricity, elongation, hull_circularity, tree_path_fraction),
    *(mc_circularity_mean, mc_circularity_std, mc_eccentricity_mean, mc_solidity_mean),
)
DENSITY = (
    *(density_per_cm2, coverage, neighbour_mean_mm, neighbour_std_mm, neighbour_max_mm, pairwise_mean_mm),
    *(mc_contrast_mean, mc_contrast_std),
)
#: name -> function of a `Group`, in the order of the outputs; 24
CLUSTER_FEATURES: dict[str, Callable[[Group], float]] = {f.__name__: f for f in (*SIZE, *SHAPE, *DENSITY)}


def cluster_features(group: Group) -> FeatureRecord:
    """All 24 features of a cluster, ready for JSON: five significant digits, None where one is not defined."""
    return {name: rounded(function(group)) for name, function in CLUSTER_FEATURES.items()}


def spanning_tree(points_mm: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Minimum spanning tree of points (n, 2), n >= 1, by Prim's algorithm, numbered as they are reached.

    Gives for each the number of the point that it hangs on, lower than its own, and the distance to it; 0 for point 0.
    """
    count = len(points_mm)
    nearest, link = np.full(count, np.inf), np.zeros(count, np.int64)  # to the tree so far: distance, and to which
    is_open, number = np.ones(count, bool), np.zeros(count, np.int64)
    before, lengths, current = [0], np.zeros(count), 0
    for reached in range(1, count):
        is_open[current] = False
        offset = points_mm - points_mm[current]
        distance = np.sqrt(offset[:, 0] ** 2 + offset[:, 1] ** 2)
        closer = is_open & (distance < nearest)
        nearest[closer], link[closer] = distance[closer], number[current]
        current = int(np.where(is_open, nearest, np.inf).argmin())
        number[current], lengths[reached] = reached, nearest[current]
        before.append(int(link[current]))
    return before, lengths


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _std(values: np.ndarray) -> float:
    return float(values.std()) if values.size else float("nan")
