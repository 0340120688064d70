"""What kind of calcification every prediction is, told as the product tells it."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from scripts.common.calcification_kinds import INDIVIDUAL, KINDS
from scripts.common.checks import check_fields
from scripts.common.objects import measure_objects
from scripts.evaluation.cases import CaseScores, ImageArrays
from scripts.findings.kinds.rules import KindRules

KIND = "kind"  # name of the value: place in `KINDS`


@dataclass(frozen=True)
class MarkKinds:
    """Tells the kinds of predictions. Fainter ones than `typed_from` are individual MCs, as the product drops them."""

    rules: KindRules = field(default_factory=KindRules)
    typed_from: float = 0.05  # as in configs/inference.json
    names: ClassVar[tuple[str, ...]] = (KIND,)

    def __post_init__(self) -> None:
        check_fields(self)

    def of_annotations(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """Nothing: what annotated objects are is not told."""
        return {}

    def of_predictions(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """Place of every prediction's kind in `KINDS`, (predictions,)."""
        if arrays.image is None:
            raise ValueError(f"{KIND}: got no image; want the grey values of the marks")
        values = np.full(arrays.score.size, float(KINDS.index(INDIVIDUAL)))
        typed = np.concatenate([[False], arrays.score >= self.typed_from])
        labels = np.where(typed[arrays.predicted], arrays.predicted, 0).astype(np.int32)
        if not labels.any():
            return {KIND: values}
        image = np.ascontiguousarray(arrays.image, np.float32)
        scores = np.concatenate([[0.0], arrays.score])
        joined, scores = self.rules.join(image, labels, scores, arrays.breast, arrays.spacing_mm)
        present = np.flatnonzero(np.bincount(joined.ravel())[1:]) + 1
        numbers = np.zeros(scores.size, np.int32)
        numbers[present] = np.arange(1, present.size + 1)
        ordered = numbers[joined]
        marks = measure_objects(ordered, np.concatenate([[0.0], scores[present]]), arrays.spacing_mm)
        kinds = self.rules.kinds(image, ordered, marks, arrays.breast, arrays.spacing_mm).marks
        place = np.array([KINDS.index(mark.kind) for mark in kinds], np.float64)
        pixels, (own, first) = np.flatnonzero(labels), np.unique(labels[labels > 0], return_index=True)
        values[own - 1] = place[ordered.ravel()[pixels[first]] - 1]  # of what it was joined to
        return {KIND: values}
