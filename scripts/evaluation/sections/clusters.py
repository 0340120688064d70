"""Clusters found against false-positive clusters; docs/metrics.md, "Clusters"."""

from dataclasses import asdict, dataclass, field

import numpy as np

from scripts.evaluation.cluster_froc import ClusterRule, ClusterTable
from scripts.evaluation.froc import IMAGE
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase, tpr_at_rates
from scripts.evaluation.tables import FROC_FIELDS, froc_rows


@dataclass(frozen=True)
class ClusterSection(SectionBase):
    """FROC per cluster."""

    rule: ClusterRule = field(default_factory=ClusterRule)  # what a cluster is, and when it counts as found
    #: false-positive clusters per image at which the share of clusters found is given
    fp_rates_per_image: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0)

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
