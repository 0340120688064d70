"""Kinds of microcalcifications (MCs) on which methods fail, each with figures that show how; docs/metrics.md.

Large ones come out hollow, in pieces, or with false objects around them; close ones merge; in dense clusters and on
faint ones objects are lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scripts.common.objects import Spacing
from scripts.evaluation.cases import Annotations, CaseScores, annotated_objects, predicted_objects
from scripts.evaluation.contrast import CONTRAST
from scripts.evaluation.iou import best_iou
from scripts.evaluation.matching import match
from scripts.evaluation.plain import named
from scripts.evaluation.statistics import ratio_interval
from scripts.evaluation.strata import equivalent_diameter_mm
from scripts.evaluation.surroundings import (
    GAP,
    NEIGHBOURS,
    TO_LARGE,
    distances_mm,
    nearest_gaps_px,
    neighbours_within,
)

EVERY, LARGE, CLOSE, DENSE, FAINT, NONE = "all", "large", "close", "dense", "faint", "none of these"
#: figures that are counted in every image: name -> what it is divided by
RATIOS = {
    "tpr": "annotated",
    "iou_per_object": "iou_objects",
    "share_covered": "iou_objects",
    "pieces_per_object": "overlapped",
    "share_in_pieces": "annotated",
    "share_merged": "annotated",
}


@dataclass(frozen=True)
class FailureClasses:
    """What each kind is. An annotated object may be of several kinds.

    Attributes:
        large_mm: "large" has a circle of equal area of at least this diameter, mm.
        margin_mm: a false positive is around a large MC when it lies beside it, at most this far away, mm.
        gap_px: "close" is nearer than this to another annotated object, px between the nearest pixel centres.
        radius_mm: neighbours are other annotated objects with centroids at most this far away, mm.
        neighbours: "dense" has at least so many neighbours.
        contrast: "faint" has a lower contrast to noise; objects of one pixel and undefined ratios are not faint.
    """

    large_mm: float = 0.5
    margin_mm: float = 1.0
    gap_px: float = 6.0
    radius_mm: float = 5.0
    neighbours: int = 10
    contrast: float = 2.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"{name}: got {value}, want a value above 0")

    def object_values(self, case: CaseScores, label: np.ndarray) -> dict[str, np.ndarray]:
        """Gap and number of neighbours of the annotated objects, (annotations,) each."""
        points = np.stack([case.annotations.row, case.annotations.col], 1) * case.spacing_mm
        near = neighbours_within(points, self.radius_mm).astype(np.float64)
        return {GAP: nearest_gaps_px(annotated_objects(label)), NEIGHBOURS: near}

    def prediction_values(self, case: CaseScores, label: np.ndarray, instances: np.ndarray) -> dict[str, np.ndarray]:
        """Distance of the predictions to the nearest large annotated object, (predictions,)."""
        large = np.append(False, self._large(case.annotations, case.spacing_mm))[annotated_objects(label)]
        return {TO_LARGE: distances_mm(predicted_objects(instances), large, case.spacing_mm)}

    def members(self, case: CaseScores) -> dict[str, np.ndarray]:
        """Which annotated objects are of each kind: bool (annotations,) by name; "all" first."""
        nothing = np.full(len(case.annotations), np.nan)
        values = {name: case.object_values.get(name, nothing) for name in (GAP, NEIGHBOURS, CONTRAST)}
        kinds = {
            LARGE: self._large(case.annotations, case.spacing_mm),
            CLOSE: values[GAP] < self.gap_px,
            DENSE: values[NEIGHBOURS] >= self.neighbours,
            FAINT: (values[CONTRAST] < self.contrast) & (case.annotations.area_px > 1),
        }
        of_none = ~np.any(list(kinds.values()), axis=0)
        return {EVERY: np.ones(of_none.size, bool), **kinds, NONE: of_none}

    def _large(self, annotations: Annotations, spacing_mm: Spacing) -> np.ndarray:
        return equivalent_diameter_mm(annotations.area_px, spacing_mm) >= self.large_mm


def failure_section(
    cases: Sequence[CaseScores], threshold: float, matching: str, rule: FailureClasses, sampled: np.ndarray
) -> dict[str, Any]:
    """What metrics.json holds: the rule, and figures of each kind of annotated objects at a threshold.

    Args:
        cases: the scored images, with the rule's values.
        threshold: predictions with score >= threshold take part; ignored ones never.
        matching: "greedy" or "optimal".
        rule: what each kind is.
        sampled: (samples, images) weights from `bootstrap_weights`.

    Returns:
        {"rule", "classes": {name: {"images", "annotated", "overlapped", "merged_predictions", and an interval for
        each of `RATIOS`}}}; "large" also has "false_around", "false_on" and "false_around_per_object".
    """
    counted = [_counts(case, threshold, matching, rule) for case in cases]
    names = list(rule.members(cases[0])) if cases else [EVERY, LARGE, CLOSE, DENSE, FAINT, NONE]
    classes: dict[str, Any] = {}
    for name in names:
        keys = counted[0][name] if cases else {}
        columns = {key: np.array([row[name][key] for row in counted], np.float64) for key in keys}
        classes[name] = _summary(columns, sampled)
    return {"rule": asdict(rule), "classes": classes}


def _summary(columns: dict[str, np.ndarray], sampled: np.ndarray) -> dict[str, Any]:
    nothing = np.zeros(sampled.shape[1])

    def column(name: str) -> np.ndarray:
        return columns.get(name, nothing)

    found: dict[str, Any] = {"images": int((column("annotated") > 0).sum())}
    for name in ("annotated", "overlapped", "merged_predictions", "false_around", "false_on"):
        if name in columns or not columns:
            found[name] = int(column(name).sum())
    for name, total in RATIOS.items():
        found[name] = named(ratio_interval(column(name), column(total), sampled))
    if "false_around" in found:
        ratio = ratio_interval(column("false_around"), column("annotated"), sampled)
        found["false_around_per_object"] = named(ratio)
    return found


def _counts(case: CaseScores, threshold: float, matching: str, rule: FailureClasses) -> dict[str, dict[str, float]]:
    """Sums over the annotated objects of each kind in one image, under the names in `RATIOS` and their divisors."""
    held, pairs, predictions = match(case, threshold, matching), case.pairs, case.predictions
    kept = predictions.kept(threshold)
    used = kept[pairs.prediction] & (pairs.iou > 0)
    a, p, iou = pairs.annotation[used], pairs.prediction[used], pairs.iou[used]
    area, several_px = case.annotations.area_px, case.annotations.area_px > 1
    shared = iou / (1 + iou) * (area[a] + predictions.area_px[p])  # from iou = shared / (both - shared)
    pieces = np.bincount(a, minlength=area.size)
    covered = np.bincount(a, shared, minlength=area.size) / area
    merging = np.bincount(p, minlength=len(predictions)) > 1
    merged = np.bincount(a[merging[p]], minlength=area.size) > 0
    overlap = best_iou(case, threshold)
    false = kept.copy()
    false[held[held >= 0]] = False

    found = {}
    for name, of_kind in rule.members(case).items():
        sized = of_kind & several_px
        found[name] = {
            "annotated": of_kind.sum(),
            "tpr": (of_kind & (held >= 0)).sum(),
            "iou_objects": sized.sum(),
            "iou_per_object": overlap[sized].sum(),
            "share_covered": covered[sized].sum(),
            "overlapped": (of_kind & (pieces > 0)).sum(),
            "pieces_per_object": pieces[of_kind].sum(),
            "share_in_pieces": (of_kind & (pieces > 1)).sum(),
            "share_merged": (of_kind & merged).sum(),
            "merged_predictions": np.unique(p[merging[p] & of_kind[a]]).size,
        }
    distance = case.prediction_values.get(TO_LARGE, np.full(len(predictions), np.inf))
    found[LARGE]["false_around"] = (false & (distance > 0) & (distance <= rule.margin_mm)).sum()
    found[LARGE]["false_on"] = (false & (distance == 0)).sum()
    return found
