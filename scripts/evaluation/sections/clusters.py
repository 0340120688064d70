"""FROC per cluster: clusters of annotated MCs found against clusters of false positives, at every distinct score.

What a cluster is, is said by the same rule as in the product (scripts/findings/clusters/rules.py). Definitions and
their reasons: docs/metrics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.settings import describe
from scripts.evaluation.cases import CaseLevels, CaseScores, places_mm
from scripts.evaluation.froc import IMAGE, EventTable, breast_areas, joined, level_changes
from scripts.evaluation.matching import GREEDY, Matched, match_events
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section, tpr_at_rates
from scripts.evaluation.tables import FROC_FIELDS, froc_rows
from scripts.findings.clusters import CircleClusters, ClusterRule


@dataclass(frozen=True)
class FoundClusters:
    """What a cluster is, and when it counts as found."""

    rule: ClusterRule = field(default_factory=CircleClusters)  # the product's: of annotated MCs, and of false positives
    hits: int = 2  # a cluster is found when at least so many of its MCs are hit; at most the rule's `least`

    def __post_init__(self) -> None:
        check_fields(self, hits="[1, inf)")
        least = self.rule.least
        check("hits", self.hits, 1 <= self.hits <= least, f"1 to {least} (the smallest size of a cluster)")


@dataclass(frozen=True)
class ClusterSection(Section):
    """FROC per cluster."""

    rule: FoundClusters = field(default_factory=FoundClusters)  # what a cluster is, and when it counts as found
    #: false-positive clusters per image at which the share of clusters found is given
    fp_rates_per_image: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        check_fields(self)

    def results(self, scored: ScoredSet) -> Results:
        """`clusters`, cluster_froc.csv."""
        table, asked = ClusterTable(scored.cases, self.rule, scored.matching), np.array(self.fp_rates_per_image, float)
        curve = table.curve()
        sampled = np.stack([table.curve(weights).tpr_at(asked, IMAGE) for weights in scored.weights])
        metrics = {
            "rule": describe(self.rule.rule),
            "sentence": self.rule.rule.sentence,
            "hits": self.rule.hits,
            "annotated": int(table.annotated.sum()),
            "tpr_at_fp_per_image": tpr_at_rates(asked, curve.tpr_at(asked, IMAGE), sampled),
        }
        return Results({"clusters": metrics}, {"cluster_froc.csv": (FROC_FIELDS, froc_rows(curve))})


class ClusterTable(EventTable):
    """Events of all images: a cluster is found, false-positive clusters become more or fewer.

    At low thresholds false positives run together into few large groups. So that a method gains nothing by that, the
    curve's `fp` is the largest number at this threshold or any higher one, summed over images first.
    """

    def __init__(self, cases: Sequence[CaseScores], rule: FoundClusters | None = None, matching: str = GREEDY) -> None:
        tables = [cluster_events(case, rule or FoundClusters(), matching) for case in cases]
        events = [(score, change[:, 0], change[:, 1]) for _, score, change in tables]
        annotated = np.array([count for count, _, _ in tables], np.int64)
        super().__init__(*joined(events), annotated, breast_areas(cases))


def cluster_events(case: CaseScores, rule: FoundClusters, matching: str = GREEDY) -> tuple[int, np.ndarray, np.ndarray]:
    """What happens to clusters as the threshold falls: number of annotated clusters; score (n,) descending; change int
    (n, 2): more clusters found, more false-positive clusters (negative when two of them join), one row per counted
    prediction (of `CaseLevels` per threshold at which anything changes).
    """
    group = rule.rule.groups(places_mm(case.annotations, case.spacing_mm))  # -1 for MCs of no cluster
    count = int(group.max(initial=-1)) + 1
    if isinstance(case, CaseLevels):

        def counts(matched: Matched) -> tuple[int, int]:
            hit = group[matched.hit]
            points = places_mm(matched.case.predictions, case.spacing_mm)[matched.false_positive]
            false = rule.rule.groups(points)
            return int((np.bincount(hit[hit >= 0], minlength=1) >= rule.hits).sum()), int(false.max(initial=-1)) + 1

        return count, *level_changes(case, matching, counts)
    prediction, annotation, false_positive = match_events(case, matching)
    change = np.zeros((prediction.size, 2), np.int64)
    hits = np.zeros(count, np.int64)
    for step in np.flatnonzero(annotation >= 0):
        own = group[annotation[step]]
        if own >= 0:
            hits[own] += 1
            change[step, 0] = hits[own] == rule.hits
    false = np.flatnonzero(false_positive >= 0)
    change[false, 1] = rule.rule.changes(places_mm(case.predictions, case.spacing_mm)[false_positive[false]])
    return count, case.predictions.score[prediction], change
