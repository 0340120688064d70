"""Annotated and predicted objects by size at the operating threshold."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase
from scripts.evaluation.strata import SIZE_FIELDS, bin_names, size_histogram


@dataclass(frozen=True)
class SizeSection(SectionBase):
    """Size histogram.

    Attributes:
        edges_mm: of the bins of the diameter, mm.
    """

    edges_mm: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)

    def __post_init__(self) -> None:
        bin_names(self.edges_mm)

    def results(self, scored: ScoredSet) -> Results:
        """sizes.csv."""
        return Results({}, {"sizes.csv": (SIZE_FIELDS, size_histogram(scored.operating, self.edges_mm))})
