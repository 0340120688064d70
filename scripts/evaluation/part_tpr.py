"""TPR of a part of the annotated objects (the large ones, say) at rates of false positives over all predictions.

False positives cannot be told apart by the size of what they are not; so the threshold follows from all predictions,
and only hits and annotated objects are of the part. Definition: docs/metrics.md, "FROC".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.evaluation.cases import CaseScores
from scripts.evaluation.froc import rate
from scripts.evaluation.sections import tpr_at_rates
from scripts.evaluation.strata import equivalent_diameter_mm


class PartTable:
    """When each annotated object of the part is hit, over all images; each bootstrap sample is one cumulative sum.

    Args:
        hit_from: per image float (annotations,), the highest threshold at which each is hit (`FrocTable.hit_from`).
        chosen: per image bool (annotations,), which are of the part.
    """

    def __init__(self, hit_from: Sequence[np.ndarray], chosen: Sequence[np.ndarray]) -> None:
        self.annotated = np.array([part.sum() for part in chosen], np.int64)
        score = np.concatenate([values[part] for values, part in zip(hit_from, chosen, strict=True)] + [np.zeros(0)])
        case = np.repeat(np.arange(len(chosen)), self.annotated)
        order = np.argsort(-score, kind="stable")
        self._score, self._case = score[order], case[order]

    def tpr(self, thresholds: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """TPR of the part at thresholds.

        Args:
            thresholds: (n,); an object counts when it is hit at that threshold; NaN gives NaN.
            weights: int (images,), how often each image is in the sample; None takes each once.

        Returns:
            (n,) in [0, 1]; NaN when the sample has no object of the part.
        """
        weights = np.ones(self.annotated.size, np.int64) if weights is None else np.asarray(weights)
        total = np.append(0, np.cumsum(weights[self._case]))
        thresholds = np.asarray(thresholds, np.float64)
        found = total[np.searchsorted(-self._score, -thresholds, side="right")]
        return np.where(np.isnan(thresholds), np.nan, rate(found, weights @ self.annotated))


def large_objects(cases: Sequence[CaseScores], least_mm: float) -> list[np.ndarray]:
    """Per image bool (annotations,): the circle of the object's area has a diameter of at least `least_mm`."""
    if not least_mm > 0:
        raise ValueError(f"large_mc_mm: got {least_mm}, want a diameter above 0 mm")
    return [equivalent_diameter_mm(case.annotations.area_px, case.spacing_mm) >= least_mm for case in cases]


def large_section(
    table: PartTable,
    least_mm: float,
    rates: dict[str, np.ndarray],
    thresholds: dict[str, np.ndarray],
    sampled_thresholds: dict[str, np.ndarray],
    sampled: np.ndarray,
) -> dict[str, Any]:
    """What metrics.json holds of the large MCs.

    Args:
        table: of the large MCs.
        least_mm: smallest diameter.
        rates: {name: (n,)} FP rates.
        thresholds: {name: (n,)} the threshold at each rate.
        sampled_thresholds: {name: (samples, n)} the same for each bootstrap sample.
        sampled: (samples, images) weights from `bootstrap_weights`.
    """
    section: dict[str, Any] = {"large_mc_mm": least_mm, "annotated": int(table.annotated.sum())}
    for name, asked in rates.items():
        values = [table.tpr(at, weights) for at, weights in zip(sampled_thresholds[name], sampled, strict=True)]
        section[name] = tpr_at_rates(asked, table.tpr(thresholds[name]), np.stack(values))
    return section
