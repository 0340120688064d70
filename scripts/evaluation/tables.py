"""One row per image and one per object, at an operating threshold."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.files import write_atomically
from scripts.evaluation.cases import CaseScores
from scripts.evaluation.froc import Froc
from scripts.evaluation.iou import best_iou, iou_per_image, iou_per_object
from scripts.evaluation.matching import match

CASE_FIELDS = (
    *("case_id", "patient", "breast_cm2", "annotated", "annotated_single_px", "predicted", "ignored"),
    *("tp", "tp_single_px", "fp", "tpr", "fp_per_cm2"),
    *("foreground_iou", "background_iou", "mean_iou", "iou_objects", "iou_sum"),
)
OBJECT_FIELDS = (
    *("case_id", "patient", "kind", "row", "col", "area_px", "area_mm2", "outcome"),
    *("score", "hit_from", "partner", "distance_mm", "best_iou"),
)
FROC_FIELDS = ("threshold", "fp_per_cm2", "fp_per_image", "tpr", "tp", "fp")
#: A curve with more points than this is written by its corners, which hold the same step function.
MOST_POINTS = 20_000


def case_row(case: CaseScores, threshold: float, matching: str) -> dict[str, Any]:
    """One image at a threshold.

    Args:
        case: the scored image.
        threshold: predictions with score >= threshold take part.
        matching: "greedy" or "optimal".

    Returns:
        Values under `CASE_FIELDS`; rates without a denominator are NaN. `ignored` counts predictions of that score
        that lie in ignore regions; `iou_sum` / `iou_objects` is the image's mean IoU per object.
    """
    held = match(case, threshold, matching)
    predicted, single = int(case.predictions.kept(threshold).sum()), case.annotations.area_px == 1
    tp, per_object = int((held >= 0).sum()), iou_per_object(case, threshold)
    per_image = iou_per_image(case, threshold)
    return {
        "case_id": case.case_id,
        "patient": case.patient,
        "breast_cm2": case.breast_cm2,
        "annotated": len(case.annotations),
        "annotated_single_px": int(single.sum()),
        "predicted": predicted,
        "ignored": int((case.predictions.ignored & (case.predictions.score >= threshold)).sum()),
        "tp": tp,
        "tp_single_px": int((held[single] >= 0).sum()),
        "fp": predicted - tp,
        "tpr": tp / len(case.annotations) if len(case.annotations) else math.nan,
        "fp_per_cm2": (predicted - tp) / case.breast_cm2 if case.breast_cm2 > 0 else math.nan,
        "foreground_iou": per_image.foreground,
        "background_iou": per_image.background,
        "mean_iou": per_image.mean,
        "iou_objects": per_object.size,
        "iou_sum": float(per_object.sum()),
    }


def object_rows(case: CaseScores, threshold: float, matching: str, hit_from: np.ndarray) -> list[dict[str, Any]]:
    """Every annotated object, then every prediction with score >= threshold, in label order.

    Args:
        case: the scored image.
        threshold, matching: as for `case_row`.
        hit_from: (annotations,) from `FrocTable.hit_from`.

    Returns:
        Rows under `OBJECT_FIELDS`. `partner` is the 1-based place, among the image's predictions (annotated objects)
        in label order, of the other one of a hit, and `distance_mm` between them; `hit_from` the highest threshold
        at which an annotated object is hit.
    """
    held, best = match(case, threshold, matching), best_iou(case, threshold)
    pairs = case.pairs
    pair_at = {ap: i for i, ap in enumerate(zip(pairs.annotation.tolist(), pairs.prediction.tolist(), strict=True))}
    pixel_mm2 = case.spacing_mm[0] * case.spacing_mm[1]
    names = {"case_id": case.case_id, "patient": case.patient}
    rows, holder = [], {int(p): a for a, p in enumerate(held) if p >= 0}
    annotations, predictions = case.annotations, case.predictions
    for a, p in enumerate(held.tolist()):
        row = names | {"kind": "annotated"} | _place(annotations, a, pixel_mm2)
        row |= {"outcome": "hit" if p >= 0 else "missed", "hit_from": hit_from[a], "best_iou": best[a]}
        if p >= 0:
            row |= {"partner": p + 1, "distance_mm": pairs.distance_mm[pair_at[a, p]]}
        rows.append(row)
    for p in np.flatnonzero(predictions.score >= threshold).tolist():
        row = names | {"kind": "predicted", "score": predictions.score[p]} | _place(predictions, p, pixel_mm2)
        row["outcome"] = "ignored" if predictions.ignored[p] else "true positive" if p in holder else "false positive"
        if p in holder:
            row |= {"partner": holder[p] + 1, "distance_mm": pairs.distance_mm[pair_at[holder[p], p]]}
        rows.append(row)
    return rows


def froc_rows(curve: Froc) -> list[dict[str, Any]]:
    """The points of a curve, thresholds descending; the first is the empty one."""
    size = curve.threshold.size
    places = range(size) if size <= MOST_POINTS else curve.corners().tolist()
    return [{name: getattr(curve, name)[i] for name in FROC_FIELDS} for i in places]


def write_csv(path: str | Path, fields: Sequence[str], rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows; NaN, minus infinity and missing values are empty cells, numbers have nine significant digits."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(fields)
    table.writerows([_cell(row.get(field)) for field in fields] for row in rows)
    return write_atomically(path, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8"))


def _place(objects: Any, index: int, pixel_mm2: float) -> dict[str, Any]:
    area = int(objects.area_px[index])
    return {"row": objects.row[index], "col": objects.col[index], "area_px": area, "area_mm2": area * pixel_mm2}


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) or value == -math.inf else f"{value:.9g}"
    return "" if value is None else str(value)
