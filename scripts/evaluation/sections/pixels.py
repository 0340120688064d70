"""Pixel ROC and precision-recall; docs/metrics.md, "Pixels"."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.evaluation.pixel_curves import Binned, PixelCurvesHandler
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase
from scripts.evaluation.tables import MOST_POINTS

PIXEL_FIELDS = ("threshold", "precision", "recall", "false_positive_rate", "tp", "fp")


@dataclass(frozen=True)
class PixelSection(SectionBase):
    """ROC AUC, average precision and calibration error of pixels. `binning_low` and `binning_high` bound the error of
    the bins; they are no confidence interval.
    """

    pixels: PixelCurvesHandler  # the pixels' counts after the run; without any image with a map no results

    def results(self, scored: ScoredSet) -> Results:
        """`pixels`, pixel_curve.csv."""
        histogram = self.pixels.histogram
        if not self.pixels.images:
            return Results({})
        metrics = {
            "images": self.pixels.images,
            "channel": self.pixels.channel,
            "positive_px": int(histogram.positive.sum()),
            "negative_px": int(histogram.negative.sum()),
            "roc_auc": _bounded(histogram.roc_auc()),
            "average_precision": _bounded(histogram.average_precision()),
            "expected_calibration_error": self.pixels.calibration.reliability().ece,
        }
        return Results({"pixels": metrics}, {"pixel_curve.csv": (PIXEL_FIELDS, _rows(histogram.curve()))})


def _rows(curve: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The points of the pixel curves where recall rises, and the last; of more than 20,000 an even choice."""
    kept = np.flatnonzero(np.diff(curve["tp"], prepend=0))
    if curve["tp"].size:
        kept = np.union1d(kept, [curve["tp"].size - 1])
    if kept.size > MOST_POINTS:
        kept = kept[np.linspace(0, kept.size - 1, MOST_POINTS).round().astype(np.int64)]
    return [{name: curve[name][i] for name in PIXEL_FIELDS} for i in kept]


def _bounded(found: Binned) -> dict[str, float]:
    return {"value": found.value, "binning_low": found.low, "binning_high": found.high}
