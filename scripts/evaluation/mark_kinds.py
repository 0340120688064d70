"""What kind of calcification every prediction is, as the product's analysis told it (`AnalyseEveryObjectd`)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scripts.common.calcification_kinds import INDIVIDUAL, KINDS
from scripts.evaluation.cases import CaseScores, ImageArrays

KIND = "kind"  # name of the value: place in `KINDS`


@dataclass(frozen=True)
class MarkKinds:
    """The kinds of predictions; individual MCs where no kinds were told."""

    names: ClassVar[tuple[str, ...]] = (KIND,)

    def of_annotations(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """Nothing: what annotated objects are is not told."""
        return {}

    def of_predictions(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """Place of every prediction's kind in `KINDS`, (predictions,)."""
        untold = np.full(arrays.score.size, KINDS.index(INDIVIDUAL))
        return {KIND: (untold if arrays.kinds is None else arrays.kinds).astype(np.float64)}
