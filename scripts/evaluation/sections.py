"""The further sections of metrics.json and the rows of their CSV files; definitions: docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.evaluation.cases import CaseScores
from scripts.evaluation.cluster_froc import ClusterRule, ClusterTable
from scripts.evaluation.froc import IMAGE, Froc
from scripts.evaluation.iou import iou_per_object
from scripts.evaluation.matching import match
from scripts.evaluation.pixel_curves import Binned, PixelCurvesHandler, Reliability, reliability
from scripts.evaluation.plain import column, named
from scripts.evaluation.statistics import interval, ratio_interval
from scripts.evaluation.strata import DIAMETER, equivalent_diameter_mm, sensitivity_by_image, sensitivity_by_object
from scripts.evaluation.tables import MOST_POINTS

PIXEL_FIELDS = ("threshold", "precision", "recall", "false_positive_rate", "tp", "fp")
RELIABILITY_FIELDS = ("of", "low", "high", "count", "mean_score", "share_positive")
Rows = list[dict[str, Any]]


def iou_section(cases: Sequence[CaseScores], threshold: float, rows: Rows, sampled: np.ndarray) -> dict[str, Any]:
    """IoU per object and per image at a threshold; `rows` from `tables.case_row`."""
    with_mc = column(rows, "annotated") > 0
    per_image: dict[str, Any] = {}
    for name in ("foreground_iou", "background_iou", "mean_iou"):
        values = column(rows, name)
        per_image[name] = {
            kind: named(ratio_interval(values * chosen, chosen.astype(float), sampled)) | _spread(values[chosen])
            for kind, chosen in (("images_with_mc", with_mc), ("all_images", np.ones_like(with_mc)))
        }
    values = np.concatenate([iou_per_object(case, threshold) for case in cases] + [np.zeros(0)])
    per_object = ratio_interval(column(rows, "iou_sum"), column(rows, "iou_objects"), sampled)
    return {"per_object": named(per_object) | _spread(values), "per_image": per_image}


def cluster_section(
    cases: Sequence[CaseScores], rule: ClusterRule, matching: str, rates: Sequence[float], sampled: np.ndarray
) -> tuple[dict[str, Any], Froc]:
    """Clusters found at rates of false-positive clusters per image, and the curve."""
    table, asked = ClusterTable(cases, rule, matching), np.asarray(rates, np.float64)
    curve = table.curve()
    at = np.stack([table.curve(weights).tpr_at(asked, IMAGE) for weights in sampled])
    section = {
        "distance_mm": rule.distance_mm,
        "least": rule.least,
        "hits": rule.hits,
        "annotated": int(table.annotated.sum()),
        "tpr_at_fp_per_image": tpr_at_rates(asked, curve.tpr_at(asked, IMAGE), at),
    }
    return section, curve


def tpr_at_rates(rates: np.ndarray, values: np.ndarray, sampled: np.ndarray) -> dict[str, Any]:
    """{rate: interval} of TPRs; `sampled` is (samples, rates)."""
    return {
        str(float(rate)): named(interval(value, sample))
        for rate, value, sample in zip(rates, values, sampled.T, strict=True)
    }


def strata_section(
    cases: Sequence[CaseScores],
    threshold: float,
    matching: str,
    edges: Mapping[str, Sequence[float]],
    rows: Rows,
    sampled: np.ndarray,
) -> Rows:
    """TPR by every value in `edges` (the diameter, or one of `CaseScores.object_values`) and by every image value.

    False positives are counted by those values that predictions have, too.
    """
    held = [match(case, threshold, matching) for case in cases]
    hits = [found >= 0 for found in held]
    wrong = [_false_positives(case, threshold, found) for case, found in zip(cases, held, strict=True)]
    found: Rows = []
    for name, bins in edges.items():
        values = [_object_value(case, name) for case in cases]
        marks = [_marks(case, name, here) for case, here in zip(cases, wrong, strict=True)]
        known = None if None in marks else [mark for mark in marks if mark is not None]
        found += sensitivity_by_object(cases, hits, values, bins, sampled, name, known)
    for name in cases[0].image_values if cases else ():
        found += sensitivity_by_image([case.image_values[name] for case in cases], rows, sampled, name)
    return found


def pixel_section(handler: PixelCurvesHandler) -> dict[str, Any]:
    """Pixel ROC AUC, average precision and ECE. `low` and `high` bound the error of the bins; no interval."""
    positive, negative = (int(counts.sum()) for counts in (handler.histogram.positive, handler.histogram.negative))
    return {
        "images": handler.images,
        "channel": handler.channel,
        "positive_px": positive,
        "negative_px": negative,
        "roc_auc": _bounded(handler.histogram.roc_auc()),
        "average_precision": _bounded(handler.histogram.average_precision()),
        "expected_calibration_error": handler.calibration.reliability().ece,
    }


def pixel_rows(handler: PixelCurvesHandler) -> Rows:
    """The points of the pixel curves where recall rises, and the last; of more than 20,000 an even choice."""
    curve = handler.histogram.curve()
    kept = np.flatnonzero(np.diff(curve["tp"], prepend=0))
    if curve["tp"].size:
        kept = np.union1d(kept, [curve["tp"].size - 1])
    if kept.size > MOST_POINTS:
        kept = kept[np.linspace(0, kept.size - 1, MOST_POINTS).round().astype(np.int64)]
    return [{name: curve[name][i] for name in PIXEL_FIELDS} for i in kept]


def object_reliability(cases: Sequence[CaseScores], matching: str, bins: int) -> Reliability:
    """Reliability of the scores of all counted predictions; positive are those matched when all take part.

    Scores outside of [0, 1] are no probabilities: then the curve is empty.
    """
    scores, true = [np.zeros(0)], [np.zeros(0, bool)]
    for case in cases:
        held = match(case, -np.inf, matching)
        hit = np.zeros(len(case.predictions), bool)
        hit[held[held >= 0]] = True
        counted = ~case.predictions.ignored
        scores.append(case.predictions.score[counted])
        true.append(hit[counted])
    every, hits = np.concatenate(scores), np.concatenate(true)
    if every.size and not 0 <= every.min() <= every.max() <= 1:
        every, hits = every[:0], hits[:0]
    return reliability(every, hits, bins)


def reliability_rows(curves: Mapping[str, Reliability]) -> Rows:
    """One row per bin of each curve."""
    found: Rows = []
    for name, curve in curves.items():
        edges = np.linspace(0, 1, curve.count.size + 1)
        columns = zip(edges[:-1], edges[1:], curve.count, curve.mean_score, curve.share_positive, strict=True)
        found += [dict(zip(RELIABILITY_FIELDS, (name, *values), strict=True)) for values in columns]
    return found


def _object_value(case: CaseScores, name: str) -> np.ndarray:
    if name == DIAMETER:
        return equivalent_diameter_mm(case.annotations.area_px, case.spacing_mm)
    return case.object_values.get(name, np.full(len(case.annotations), np.nan))


def _false_positives(case: CaseScores, threshold: float, held: np.ndarray) -> np.ndarray:
    wrong = case.predictions.kept(threshold)
    wrong[held[held >= 0]] = False
    return wrong


def _marks(case: CaseScores, name: str, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Value and area of false positives; None for a value that predictions do not have."""
    area = case.predictions.area_px[wrong]
    if name == DIAMETER:
        return equivalent_diameter_mm(area, case.spacing_mm), area
    return (case.prediction_values[name][wrong], area) if name in case.prediction_values else None


def _bounded(found: Binned) -> dict[str, float]:
    return {"value": found.value, "binning_low": found.low, "binning_high": found.high}


def _spread(values: np.ndarray) -> dict[str, float | int | None]:
    """The paper's "+-": standard deviation over objects or images (population), and how many they are."""
    return {"std": float(values.std()) if values.size else None, "n": int(values.size)}
