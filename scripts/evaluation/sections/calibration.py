"""How far scores are from probabilities; docs/metrics.md, "Calibration"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.evaluation.matching import Matched
from scripts.evaluation.pixel_curves import PixelCurvesHandler, Reliability, reliability
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase

RELIABILITY_FIELDS = ("of", "low", "high", "count", "mean_score", "share_positive")


@dataclass(frozen=True)
class CalibrationSection(SectionBase):
    """Reliability curves of object and pixel scores.

    Attributes:
        bins: of the objects' curve, of equal width over [0, 1].
        pixels: holds the pixels' counts after the run; None, or no image with a map, leaves them out.
    """

    bins: int = 15
    pixels: PixelCurvesHandler | None = None

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
    return reliability(score, hit, bins)


def _rows(curves: Mapping[str, Reliability]) -> list[dict[str, Any]]:
    """One row per bin of each curve."""
    rows = []
    for name, curve in curves.items():
        edges = np.linspace(0, 1, curve.count.size + 1)
        columns = zip(edges[:-1], edges[1:], curve.count, curve.mean_score, curve.share_positive, strict=True)
        rows += [dict(zip(RELIABILITY_FIELDS, (name, *values), strict=True)) for values in columns]
    return rows
