"""Scores as probabilities: calibration of objects and pixels, pixel ROC and precision-recall; docs/metrics.md,
"Calibration", "Pixels".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.common.checks import check_fields
from scripts.evaluation.matching import Matched
from scripts.evaluation.pixel_curves import PixelCurvesHandler, Reliability
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section
from scripts.evaluation.tables import MOST_POINTS
from scripts.findings.calibration import fit_calibration

RELIABILITY_FIELDS = ("of", "low", "high", "count", "mean_score", "share_positive")
PIXEL_FIELDS = ("threshold", "precision", "recall", "false_positive_rate", "tp", "fp")


@dataclass(frozen=True)
class CalibrationSection(Section):
    """Reliability curves of object and pixel scores."""

    bins: int = 15  # of the objects' curve, of equal width over [0, 1]
    pixels: PixelCurvesHandler | None = None  # the pixels' counts after the run; without a map they are left out

    def __post_init__(self) -> None:
        check_fields(self, bins="[1, inf)")

    def results(self, scored: ScoredSet) -> Results:
        """`calibration`, reliability.csv."""
        curves = {"objects": object_reliability(scored.all_objects, self.bins)}
        if self.pixels is not None and self.pixels.images:
            curves["pixels"] = self.pixels.calibration
        metrics = {"expected_calibration_error_of_objects": curves["objects"].ece}
        return Results({"calibration": metrics}, {"reliability.csv": (RELIABILITY_FIELDS, _reliability_rows(curves))})


def object_reliability(images: Sequence[Matched], bins: int) -> Reliability:
    """Reliability of the scores of all counted predictions; positive are those matched when all take part.

    Scores outside of [0, 1] are no probabilities: then the curve is empty.
    """
    score = np.concatenate([m.case.predictions.score[m.kept] for m in images] + [np.zeros(0)])
    hit = np.concatenate([m.true_positive[m.kept] for m in images] + [np.zeros(0, bool)])
    if score.size and not 0 <= score.min() <= score.max() <= 1:
        score, hit = score[:0], hit[:0]
    reliability = Reliability(bins)
    reliability.add(score, hit)
    return reliability


def calibrate(images: Sequence[Matched], bins: int = 15, folds: int = 5) -> dict[str, Any] | None:
    """The curve from score to probability of these images' marks, and how much better it is than the score itself.

    {"method", "curve", "marks", "mcs", "expected_calibration_error": {"score", "probability"}}; the error of the
    probability is of marks of images that had no part in the curve (`folds` parts of the images, in order). None where
    there is no mark, scores are no probabilities, or fewer than two images have marks.
    """
    parts = [(m.case.predictions.score[m.kept], m.true_positive[m.kept]) for m in images]
    parts = [(score, hit) for score, hit in parts if score.size]
    if len(parts) < 2 or not all(0 <= score.min() <= score.max() <= 1 for score, _ in parts):
        return None
    plain, held_out = Reliability(bins), Reliability(bins)
    for score, hit in parts:
        plain.add(score, hit)
    folds = min(folds, len(parts))
    for fold in range(folds):
        others = [part for place, part in enumerate(parts) if place % folds != fold]
        curve = fit_calibration(*map(np.concatenate, zip(*others, strict=True)))
        for score, hit in parts[fold::folds]:
            held_out.add(curve.probability(score), hit)
    score, hit = map(np.concatenate, zip(*parts, strict=True))
    return {
        "method": "isotonic",
        "curve": fit_calibration(score, hit).as_json(),
        "marks": int(score.size),
        "mcs": int(hit.sum()),
        "expected_calibration_error": {"score": plain.ece, "probability": held_out.ece},
    }


def _reliability_rows(curves: Mapping[str, Reliability]) -> list[dict[str, Any]]:
    rows = []
    for name, curve in curves.items():
        edges = np.linspace(0, 1, curve.count.size + 1)
        columns = zip(edges[:-1], edges[1:], curve.count, curve.mean_score, curve.share_positive, strict=True)
        rows += [dict(zip(RELIABILITY_FIELDS, (name, *values), strict=True)) for values in columns]
    return rows


@dataclass(frozen=True)
class PixelSection(Section):
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
            "roc_auc": histogram.roc_auc()._asdict(),
            "average_precision": histogram.average_precision()._asdict(),
            "expected_calibration_error": self.pixels.calibration.ece,
        }
        return Results({"pixels": metrics}, {"pixel_curve.csv": (PIXEL_FIELDS, _pixel_rows(histogram.curve()))})


def _pixel_rows(curve: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The points of the pixel curves where recall rises, and the last; of more than 20,000 an even choice."""
    kept = np.flatnonzero(np.diff(curve["tp"], prepend=0))
    if curve["tp"].size:
        kept = np.union1d(kept, [curve["tp"].size - 1])
    if kept.size > MOST_POINTS:
        kept = kept[np.linspace(0, kept.size - 1, MOST_POINTS).round().astype(np.int64)]
    return [{name: curve[name][i] for name in PIXEL_FIELDS} for i in kept]
