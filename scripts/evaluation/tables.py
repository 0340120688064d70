"""One row per image and one per object, at an operating threshold; one row per point of a curve."""

import math
from typing import Any

import numpy as np

from scripts.evaluation.cases import Annotations, CaseScores, Predictions
from scripts.evaluation.froc import Froc
from scripts.evaluation.iou import best_iou, iou_per_image, iou_per_object
from scripts.evaluation.matching import Matched
from scripts.evaluation.object_fit import object_fit

CASE_FIELDS = (
    *("case_id", "patient", "breast_cm2", "annotated", "annotated_single_px", "predicted", "ignored"),
    *("tp", "tp_single_px", "fp", "tpr", "fp_per_cm2"),
    *("foreground_iou", "background_iou", "mean_iou", "iou_objects", "iou_sum"),
)
OBJECT_FIELDS = (
    *("case_id", "patient", "kind", "row", "col", "area_px", "area_mm2", "outcome"),
    *("score", "hit_from", "partner", "distance_mm", "best_iou"),
    *("boundary_mm", "hausdorff95_mm", "area_error_percent"),
)
FROC_FIELDS = ("threshold", "fp_per_cm2", "fp_per_image", "tpr", "tp", "fp")
#: A curve with more points than this is written by its corners, which hold the same step function.
MOST_POINTS = 20_000


def case_row(matched: Matched) -> dict[str, Any]:
    """One image at a threshold: values under `CASE_FIELDS`; rates without a denominator are NaN. `ignored` counts
    predictions of that score that lie in ignore regions; `iou_sum` / `iou_objects` is the mean IoU per object.
    """
    case, threshold, single = matched.case, matched.threshold, matched.case.annotations.area_px == 1
    predicted, tp = int(matched.kept.sum()), int(matched.hit.sum())
    per_object, per_image = iou_per_object(case, threshold), iou_per_image(case, threshold)
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

    Rows under `OBJECT_FIELDS`. `partner` is the 1-based place, among the image's predictions (annotated objects) in
    label order, of the other one of a hit, and `distance_mm` between them; `hit_from` the highest threshold at which an
    annotated object is hit (`FrocTable.hit_from`); the last three columns are `ObjectFit`, of annotated ones. Annotated
    objects are the same rows in every method's table.
    """
    case, best, pairs = matched.case, best_iou(matched.case, matched.threshold), matched.case.pairs
    fit = object_fit(case, matched.threshold)
    used = matched.partner[pairs.annotation] == pairs.prediction
    of_annotation, of_prediction = {}, {}
    for a, p, distance in zip(pairs.annotation[used], pairs.prediction[used], pairs.distance_mm[used], strict=True):
        of_annotation[a] = {"partner": p + 1, "distance_mm": distance}
        of_prediction[p] = {"partner": a + 1, "distance_mm": distance}
    rows = []
    for a, hit in enumerate(matched.hit):
        row = _row(case, "annotated", case.annotations, a, "hit" if hit else "missed")
        rows.append(row | {"hit_from": hit_from[a], "best_iou": best[a]} | fit.row(a) | of_annotation.get(a, {}))
    for p in np.flatnonzero(case.predictions.score >= matched.threshold).tolist():
        outcome = "ignored" if case.predictions.ignored[p] else "false positive"
        row = _row(case, "predicted", case.predictions, p, "true positive" if p in of_prediction else outcome)
        rows.append(row | {"score": case.predictions.score[p]} | of_prediction.get(p, {}))
    return rows


def froc_rows(curve: Froc) -> list[dict[str, Any]]:
    """The points of a curve, thresholds descending; the first is the empty one."""
    places = np.arange(curve.tp.size) if curve.tp.size <= MOST_POINTS else curve.corners()
    return [{name: getattr(curve, name)[i] for name in FROC_FIELDS} for i in places]


def _row(case: CaseScores, kind: str, objects: Annotations | Predictions, index: int, outcome: str) -> dict[str, Any]:
    area, pixel_mm2 = int(objects.area_px[index]), case.spacing_mm[0] * case.spacing_mm[1]
    place = (objects.row[index], objects.col[index], area, area * pixel_mm2)
    return dict(zip(OBJECT_FIELDS, (case.case_id, case.patient, kind, *place, outcome), strict=False))
