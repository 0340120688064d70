"""How well outline and area of found objects fit the annotated ones, at a threshold."""

from typing import NamedTuple

import numpy as np

from scripts.evaluation.cases import CaseScores


class ObjectFit(NamedTuple):
    """The best prediction of each annotated object, (annotations,) each; NaN where nothing overlaps."""

    boundary_mm: np.ndarray  # mean distance of the outlines
    hausdorff95_mm: np.ndarray
    area_error_percent: np.ndarray  # (predicted - annotated) / annotated

    def row(self, annotation: int) -> dict[str, float]:
        """The values of one annotated object that are known."""
        values = {name: float(column[annotation]) for name, column in self._asdict().items()}
        return {name: value for name, value in values.items() if value == value}


def object_fit(case: CaseScores, threshold: float) -> ObjectFit:
    """Fit of the prediction of score >= threshold that has the best IoU with each annotated object."""
    pairs, count = case.pairs, len(case.annotations)
    kept = np.flatnonzero((case.predictions.score[pairs.prediction] >= threshold) & (pairs.iou > 0))
    best = np.full(count, -1)
    for pair in kept[np.argsort(pairs.iou[kept], kind="stable")]:
        best[pairs.annotation[pair]] = pair
    columns, there = np.full((3, count), np.nan), best >= 0
    chosen = best[there]
    columns[0, there], columns[1, there] = pairs.boundary_mm[chosen], pairs.hausdorff95_mm[chosen]
    truth = case.annotations.area_px[there]
    columns[2, there] = 100 * (case.predictions.area_px[pairs.prediction[chosen]] - truth) / truth
    return ObjectFit(*columns)
