"""TPR and false positives by size, contrast, gap, neighbours and density; docs/metrics.md, "Strata"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.evaluation.matching import Matched
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results
from scripts.evaluation.strata import (
    DIAMETER,
    STRATUM_FIELDS,
    bin_names,
    equivalent_diameter_mm,
    sensitivity_by_image,
    sensitivity_by_object,
)


@dataclass(frozen=True)
class StrataSection:
    """TPR at the operating threshold in bins of values of the objects, and by every value of the images.

    False positives are counted by those values that predictions have, too.

    Attributes:
        edges: {"diameter_mm", or a measured value such as "contrast_to_noise", "gap_px", "neighbours": ascending
            edges of its bins}.
    """

    edges: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for edges in self.edges.values():
            bin_names(edges)

    @property
    def needs(self) -> Sequence[str]:
        """Names of the measured values that it reads."""
        return tuple(self.edges)

    def results(self, scored: ScoredSet) -> Results:
        """`strata`, strata.csv."""
        images, rows = scored.operating, []
        for name, edges in self.edges.items():
            values = [_annotation_values(matched, name) for matched in images]
            false = [_false_positives(matched, name) for matched in images]
            known = [each for each in false if each is not None]
            rows += sensitivity_by_object(
                images, values, edges, scored.weights, name, known if len(known) == len(false) else None
            )
        for name in scored.cases[0].image_values if scored.cases else ():
            names = [case.image_values[name] for case in scored.cases]
            rows += sensitivity_by_image(names, scored.rows, scored.weights, name)
        return Results({"strata": rows}, {"strata.csv": (STRATUM_FIELDS, rows)})


def _annotation_values(matched: Matched, name: str) -> np.ndarray:
    case = matched.case
    if name == DIAMETER:
        return equivalent_diameter_mm(case.annotations.area_px, case.spacing_mm)
    return case.object_values.get(name, np.full(len(case.annotations), np.nan))


def _false_positives(matched: Matched, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Value and area of false positives; None for a value that predictions do not have."""
    case, area = matched.case, matched.case.predictions.area_px[matched.false_positive]
    if name == DIAMETER:
        return equivalent_diameter_mm(area, case.spacing_mm), area
    values: Any = case.prediction_values.get(name)
    return None if values is None else (values[matched.false_positive], area)
