"""Agreement of annotation and method at the operating threshold; docs/metrics.md, "Agreement"."""

from dataclasses import dataclass

from scripts.evaluation.agreement import pooled_agreement
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase
from scripts.evaluation.statistics import Interval


@dataclass(frozen=True)
class AgreementSection(SectionBase):
    """Index of specific agreement and Cohen's kappa."""

    def results(self, scored: ScoredSet) -> Results:
        """`agreement`."""
        found = pooled_agreement(scored.operating, scored.weights)
        return Results({"agreement": {k: v.as_json() if isinstance(v, Interval) else v for k, v in found.items()}})
