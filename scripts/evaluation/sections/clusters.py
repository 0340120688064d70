"""FROC per cluster: clusters of annotated MCs found against clusters of false positives, at every distinct score.

A cluster is a group of at least `least` objects that single linkage joins: each is within `distance_mm` of another one
of the group (centroids, inclusive). Definitions and their reasons: docs/metrics.md.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields
from scripts.evaluation.cases import ROUNDING_MM, CaseLevels, CaseScores, places_mm
from scripts.evaluation.froc import IMAGE, EventTable, breast_areas, joined, level_changes
from scripts.evaluation.matching import GREEDY, Matched, match_events
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section, tpr_at_rates
from scripts.evaluation.tables import FROC_FIELDS, froc_rows


@dataclass(frozen=True)
class ClusterRule:
    """What a cluster is, and when it counts as found."""

    distance_mm: float = 5.0  # largest distance of neighbours in a cluster, inclusive
    least: int = 3  # smallest number of objects of a cluster (annotated, or false positives)
    hits: int = 2  # a cluster is found when at least so many of its MCs are hit; at most `least`

    def __post_init__(self) -> None:
        check_fields(self, distance_mm="(0, inf)")
        check("hits", self.hits, 1 <= self.hits <= self.least, f"1 to {self.least} (the smallest size of a cluster)")


@dataclass(frozen=True)
class ClusterSection(Section):
    """FROC per cluster."""

    rule: ClusterRule = field(default_factory=ClusterRule)  # what a cluster is, and when it counts as found
    #: false-positive clusters per image at which the share of clusters found is given
    fp_rates_per_image: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        check_fields(self)

    def results(self, scored: ScoredSet) -> Results:
        """`clusters`, cluster_froc.csv."""
        table, asked = ClusterTable(scored.cases, self.rule, scored.matching), np.array(self.fp_rates_per_image, float)
        curve = table.curve()
        sampled = np.stack([table.curve(weights).tpr_at(asked, IMAGE) for weights in scored.weights])
        metrics = asdict(self.rule) | {
            "annotated": int(table.annotated.sum()),
            "tpr_at_fp_per_image": tpr_at_rates(asked, curve.tpr_at(asked, IMAGE), sampled),
        }
        return Results({"clusters": metrics}, {"cluster_froc.csv": (FROC_FIELDS, froc_rows(curve))})


def single_linkage(points_mm: np.ndarray, distance_mm: float) -> np.ndarray:
    """Group points (n, 2) that a chain of steps of at most `distance_mm` (tolerance 1e-9 mm) connects.

    int (n,): number of the group of each point, from 0 in order of the first points.
    """
    graph = _graph(points_mm, distance_mm, np.ones(len(points_mm)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


class ClusterTable(EventTable):
    """Events of all images: a cluster is found, false-positive clusters become more or fewer.

    At low thresholds false positives run together into few large groups. So that a method gains nothing by that, the
    curve's `fp` is the largest number at this threshold or any higher one, summed over images first.
    """

    def __init__(self, cases: Sequence[CaseScores], rule: ClusterRule | None = None, matching: str = GREEDY) -> None:
        tables = [cluster_events(case, rule or ClusterRule(), matching) for case in cases]
        events = [(score, change[:, 0], change[:, 1]) for _, score, change in tables]
        annotated = np.array([count for count, _, _ in tables], np.int64)
        super().__init__(*joined(events), annotated, breast_areas(cases))


def cluster_events(case: CaseScores, rule: ClusterRule, matching: str = GREEDY) -> tuple[int, np.ndarray, np.ndarray]:
    """What happens to clusters as the threshold falls: number of annotated clusters; score (n,) descending; change int
    (n, 2): more clusters found, more false-positive clusters (negative when two of them join), one row per counted
    prediction (of `CaseLevels` per threshold at which anything changes).
    """
    group = single_linkage(places_mm(case.annotations, case.spacing_mm), rule.distance_mm)
    clusters = np.bincount(group, minlength=1) >= rule.least
    if isinstance(case, CaseLevels):

        def count(matched: Matched) -> tuple[int, int]:
            found = clusters & (np.bincount(group[matched.hit], minlength=clusters.size) >= rule.hits)
            points = places_mm(matched.case.predictions, case.spacing_mm)[matched.false_positive]
            false = np.bincount(single_linkage(points, rule.distance_mm), minlength=1) >= rule.least
            return int(found.sum()), int(false.sum())

        return int(clusters.sum()), *level_changes(case, matching, count)
    prediction, annotation, false_positive = match_events(case, matching)
    change = np.zeros((prediction.size, 2), np.int64)
    hits = np.zeros(clusters.size, np.int64)
    for step in np.flatnonzero(annotation >= 0):
        own = group[annotation[step]]
        hits[own] += 1
        change[step, 0] = clusters[own] and hits[own] == rule.hits
    false = np.flatnonzero(false_positive >= 0)
    points = places_mm(case.predictions, case.spacing_mm)[false_positive[false]]
    change[false, 1] = _group_changes(points, rule)
    return int(clusters.sum()), case.predictions.score[prediction], change


def _group_changes(points_mm: np.ndarray, rule: ClusterRule) -> np.ndarray:
    """Change in the number of groups of at least `rule.least` points, as the points come one after the other; (n,).

    The graph's spanning tree of earliest edges has the groups of the graph at every moment, with fewer edges.
    """
    change = np.full(len(points_mm), int(rule.least <= 1))
    moment = np.arange(1, len(points_mm) + 1)
    tree = minimum_spanning_tree(_graph(points_mm, rule.distance_mm, moment)).tocoo()
    groups = DisjointSet(range(len(points_mm)))
    edges = np.argsort(tree.data, kind="stable")
    for a, b in zip(tree.row[edges].tolist(), tree.col[edges].tolist(), strict=True):
        first, second = groups.subset_size(a), groups.subset_size(b)
        groups.merge(a, b)
        change[max(a, b)] += (first + second >= rule.least) - (first >= rule.least) - (second >= rule.least)
    return change


def _graph(points_mm: np.ndarray, distance_mm: float, moment: np.ndarray) -> csr_array:
    """Pairs of near points, weighted by the later of their moments (1 or more)."""
    first, second = cKDTree(points_mm).query_pairs(distance_mm + ROUNDING_MM, output_type="ndarray").T
    weight = np.maximum(moment[first], moment[second]).astype(np.float64)
    return csr_array((weight, (first, second)), shape=(moment.size, moment.size))
