"""Kinds of microcalcifications (MCs) on which methods fail, each with figures that show how; docs/metrics.md.

Large ones come out hollow, in pieces, or with false objects around them; close ones merge; in dense clusters and on
faint ones objects are lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.common.checks import check_fields
from scripts.evaluation.cases import CaseScores
from scripts.evaluation.iou import best_iou
from scripts.evaluation.matching import Matched
from scripts.evaluation.measures import CONTRAST, GAP, NEIGHBOURS, TO_LARGE, Neighbourhood
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section
from scripts.evaluation.statistics import ratio_interval

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
class FailureClassesSection(Section):
    """Figures of each kind of annotated objects at the operating threshold. An object may be of several kinds."""

    margin_mm: float = 1.0  # a false positive is around a large MC when it lies beside it, at most this far away
    gap_px: float = 6.0  # "close" is nearer than this to another annotated object, between the nearest pixel centres
    neighbours: int = 10  # "dense" has at least so many neighbours
    contrast: float = 2.0  # "faint" has less contrast to noise; one pixel and undefined ratios are not faint
    neighbourhood: Neighbourhood = field(default_factory=Neighbourhood)  # large objects and neighbours, as measured

    def __post_init__(self) -> None:
        above = "(0, inf)"
        check_fields(self, margin_mm=above, gap_px=above, neighbours=above, contrast=above)

    @property
    def needs(self) -> Sequence[str]:
        """Names of the measured values that it reads."""
        return self.neighbourhood.names

    def members(self, case: CaseScores) -> dict[str, np.ndarray]:
        """Which annotated objects are of each kind: bool (annotations,) by name; "all" first."""
        nothing = np.full(len(case.annotations), np.nan)
        values = {name: case.object_values.get(name, nothing) for name in (GAP, NEIGHBOURS, CONTRAST)}
        kinds = {
            LARGE: self.neighbourhood.large(case),
            CLOSE: values[GAP] < self.gap_px,
            DENSE: values[NEIGHBOURS] >= self.neighbours,
            FAINT: (values[CONTRAST] < self.contrast) & (case.annotations.area_px > 1),
        }
        of_none = ~np.any(list(kinds.values()), axis=0)
        return {EVERY: np.ones(of_none.size, bool), **kinds, NONE: of_none}

    def results(self, scored: ScoredSet) -> Results:
        """`failure_classes`: {"rule": what each kind is, "classes"}.

        Classes are {name: {"images", "annotated", "overlapped", "merged_predictions", and an interval for each of
        `RATIOS`}}; "large" also has "false_around", "false_on" and "false_around_per_object".
        """
        values, rule = vars(self) | vars(self.neighbourhood), ("large_mm", "margin_mm", "gap_px", "radius_mm")
        counted = [self._counts(matched) for matched in scored.operating]
        classes = {
            name: _summary([row[name] for row in counted], name == LARGE or not counted, scored.weights)
            for name in (EVERY, LARGE, CLOSE, DENSE, FAINT, NONE)
        }
        found = {"rule": {name: values[name] for name in (*rule, "neighbours", "contrast")}, "classes": classes}
        return Results({"failure_classes": found})

    def _counts(self, matched: Matched) -> dict[str, dict[str, float]]:
        """Sums over the annotated objects of each kind in one image, under the names in `RATIOS` and their divisors."""
        case, pairs, predictions = matched.case, matched.case.pairs, matched.case.predictions
        used = matched.kept[pairs.prediction] & (pairs.iou > 0)
        a, p, iou = pairs.annotation[used], pairs.prediction[used], pairs.iou[used]
        area, several_px = case.annotations.area_px, case.annotations.area_px > 1
        shared = iou / (1 + iou) * (area[a] + predictions.area_px[p])  # from iou = shared / (both - shared)
        pieces = np.bincount(a, minlength=area.size)
        covered = np.bincount(a, shared, minlength=area.size) / area
        merging = np.bincount(p, minlength=len(predictions)) > 1
        merged = np.bincount(a[merging[p]], minlength=area.size) > 0
        overlap = best_iou(case, matched.threshold)

        found = {}
        for name, of_kind in self.members(case).items():
            sized = of_kind & several_px
            found[name] = {
                "annotated": of_kind.sum(),
                "tpr": (of_kind & matched.hit).sum(),
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
        false = matched.false_positive
        found[LARGE]["false_around"] = (false & (distance > 0) & (distance <= self.margin_mm)).sum()
        found[LARGE]["false_on"] = (false & (distance == 0)).sum()
        return found


def _summary(images: list[dict[str, float]], around: bool, weights: np.ndarray) -> dict[str, Any]:
    """Sums and ratios over images; also those of the false positives around objects, where asked for."""

    def column(name: str) -> np.ndarray:
        return np.array([counts[name] for counts in images], np.float64)

    found: dict[str, Any] = {"images": int((column("annotated") > 0).sum())}
    for name in ("annotated", "overlapped", "merged_predictions", *(("false_around", "false_on") if around else ())):
        found[name] = int(column(name).sum())
    for name, total in RATIOS.items():
        found[name] = ratio_interval(column(name), column(total), weights).as_json()
    if around:
        ratio = ratio_interval(column("false_around"), column("annotated"), weights)
        found["false_around_per_object"] = ratio.as_json()
    return found
