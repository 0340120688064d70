"""One row per image and one per object, at an operating threshold; one row per point of a curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scripts.evaluation.cases import Annotations, Predictions
from scripts.evaluation.froc import Froc
from scripts.evaluation.iou import best_iou, iou_per_image, iou_per_object
from scripts.evaluation.matching import Matched

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


def case_row(matched: Matched) -> dict[str, Any]:
    """One image at a threshold.

    Returns:
        Values under `CASE_FIELDS`; rates without a denominator are NaN. `ignored` counts predictions of that score
        that lie in ignore regions; `iou_sum` / `iou_objects` is the image's mean IoU per object.
    """
    case, threshold = matched.case, matched.threshold
    predicted, single = int(matched.kept.sum()), case.annotations.area_px == 1
    tp, per_object = int(matched.hit.sum()), iou_per_object(case, threshold)
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
        "tp_single_px": int(matched.hit[single].sum()),
        "fp": predicted - tp,
        "tpr": tp / len(case.annotations) if len(case.annotations) else math.nan,
        "fp_per_cm2": (predicted - tp) / case.breast_cm2 if case.breast_cm2 > 0 else math.nan,
        "foreground_iou": per_image.foreground,
        "background_iou": per_image.background,
        "mean_iou": per_image.mean,
        "iou_objects": per_object.size,
        "iou_sum": float(per_object.sum()),
    }


def object_rows(matched: Matched, hit_from: np.ndarray) -> list[dict[str, Any]]:
    """Every annotated object, then every prediction that takes part or is ignored, in label order.

    Args:
        matched: the image at a threshold.
        hit_from: (annotations,) from `FrocTable.hit_from`.

    Returns:
        Rows under `OBJECT_FIELDS`. `partner` is the 1-based place, among the image's predictions (annotated objects)
        in label order, of the other one of a hit, and `distance_mm` between them; `hit_from` the highest threshold
        at which an annotated object is hit. Annotated objects are the same rows in every method's table.
    """
    case, best, pairs = matched.case, best_iou(matched.case, matched.threshold), matched.case.pairs
    distance = dict(
        zip(zip(pairs.annotation.tolist(), pairs.prediction.tolist(), strict=True), pairs.distance_mm, strict=True)
    )
    pixel_mm2 = case.spacing_mm[0] * case.spacing_mm[1]
    names = {"case_id": case.case_id, "patient": case.patient}
    rows, annotation = [], {int(p): a for a, p in enumerate(matched.partner) if p >= 0}
    annotations, predictions = case.annotations, case.predictions
    for a, p in enumerate(matched.partner.tolist()):
        row = names | {"kind": "annotated"} | _place(annotations, a, pixel_mm2)
        row |= {"outcome": "hit" if p >= 0 else "missed", "hit_from": hit_from[a], "best_iou": best[a]}
        if p >= 0:
            row |= {"partner": p + 1, "distance_mm": distance[a, p]}
        rows.append(row)
    for p in np.flatnonzero(predictions.score >= matched.threshold).tolist():
        row = names | {"kind": "predicted", "score": predictions.score[p]} | _place(predictions, p, pixel_mm2)
        row["outcome"] = "false positive"
        if predictions.ignored[p]:
            row["outcome"] = "ignored"
        if p in annotation:
            a = annotation[p]
            row |= {"outcome": "true positive", "partner": a + 1, "distance_mm": distance[a, p]}
        rows.append(row)
    return rows


def froc_rows(curve: Froc) -> list[dict[str, Any]]:
    """The points of a curve, thresholds descending; the first is the empty one."""
    size = curve.threshold.size
    places = range(size) if size <= MOST_POINTS else curve.corners().tolist()
    return [{name: getattr(curve, name)[i] for name in FROC_FIELDS} for i in places]


def _place(objects: Annotations | Predictions, index: int, pixel_mm2: float) -> dict[str, Any]:
    area = int(objects.area_px[index])
    return {"row": objects.row[index], "col": objects.col[index], "area_px": area, "area_mm2": area * pixel_mm2}
