"""How far scores are from probabilities; docs/metrics.md, "Calibration"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.evaluation.matching import Matched
from scripts.evaluation.pixel_curves import CalibrationCounts, PixelCurvesHandler, Reliability
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase

RELIABILITY_FIELDS = ("of", "low", "high", "count", "mean_score", "share_positive")


@dataclass(frozen=True)
class CalibrationSection(SectionBase):
    """Reliability curves of object and pixel scores."""

    bins: int = 15  # of the objects' curve, of equal width over [0, 1]
    pixels: PixelCurvesHandler | None = None  # the pixels' counts after the run; without a map they are left out

    def results(self, scored: ScoredSet) -> Results:
        """`calibration`, reliability.csv."""
        curves = {"objects": object_reliability(scored.all_objects, self.bins)}
        if self.pixels is not None and self.pixels.images:
            curves["pixels"] = self.pixels.calibration.reliability()
        metrics = {"expected_calibration_error_of_objects": curves["objects"].ece}
        return Results({"calibration": metrics}, {"reliability.csv": (RELIABILITY_FIELDS, _rows(curves))})


def object_reliability(images: Sequence[Matched], bins: int) -> Reliability:
    """Reliability of the scores of all counted predictions; positive are those matched when all take part.

    Scores outside of [0, 1] are no probabilities: then the curve is empty.
    """
    score = np.concatenate([m.case.predictions.score[m.kept] for m in images] + [np.zeros(0)])
    hit = np.concatenate([m.true_positive[m.kept] for m in images] + [np.zeros(0, bool)])
    if score.size and not 0 <= score.min() <= score.max() <= 1:
        score, hit = score[:0], hit[:0]
    counts = CalibrationCounts(bins)
    counts.add(score, hit)
    return counts.reliability()


def _rows(curves: Mapping[str, Reliability]) -> list[dict[str, Any]]:
    rows = []
    for name, curve in curves.items():
        edges = np.linspace(0, 1, curve.count.size + 1)
        columns = zip(edges[:-1], edges[1:], curve.count, curve.mean_score, curve.share_positive, strict=True)
        rows += [dict(zip(RELIABILITY_FIELDS, (name, *values), strict=True)) for values in columns]
    return rows
