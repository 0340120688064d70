"""The scored images of a run, with what sections of the results share: matches, curve, operating point, samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from scripts.evaluation.cases import CaseLevels, CaseScores, nearest_level
from scripts.evaluation.froc import Froc, FrocTable
from scripts.evaluation.matching import GREEDY, Matched, match_case
from scripts.evaluation.statistics import Bootstrap
from scripts.evaluation.tables import case_row


@dataclass(eq=False)
class ScoredSet:
    """Scored images, each matched once at any threshold that a section asks for."""

    cases: Sequence[CaseScores]
    matching: str = GREEDY  # "greedy" (the paper's) or "optimal"
    bootstrap: Bootstrap = field(default_factory=Bootstrap)  # how intervals are made
    #: Score threshold of IoU, counts and tables; None chooses the FROC point nearest to (0 FP per cm^2, TPR 1) on these
    #: very images. Where objects are formed anew at every threshold of a grid, the nearest one of the grid is taken.
    operating_threshold: float | None = None
    own_output: bool = False  # whether that threshold is the method's own: it keeps all that the method finds
    method: str = "FROC"  # its name, for titles
    _matched: dict[float, list[Matched]] = field(default_factory=dict, init=False)

    @cached_property
    def table(self) -> FrocTable:
        """What happens as the threshold falls."""
        return FrocTable(self.cases, self.matching)

    @cached_property
    def curve(self) -> Froc:
        """The FROC curve."""
        return self.table.curve()

    @cached_property
    def weights(self) -> np.ndarray:
        """int (samples, images), how often each image is in each bootstrap sample."""
        return self.bootstrap.weights([case.patient for case in self.cases])

    @property
    def levels(self) -> np.ndarray | None:
        """The grid of thresholds, where objects are formed anew at each; else None."""
        return next((case.thresholds for case in self.cases if isinstance(case, CaseLevels)), None)

    @cached_property
    def operating_index(self) -> int | None:
        """Point of the curve that holds at the operating threshold; None without one."""
        if self.operating_threshold is None:
            return self.curve.nearest_to_ideal()
        return int(np.searchsorted(-self.curve.threshold, -self.threshold, side="right")) - 1

    @cached_property
    def threshold(self) -> float:
        """The operating threshold; infinity where none can be chosen."""
        if self.operating_threshold is None:
            return math.inf if self.operating_index is None else float(self.curve.threshold[self.operating_index])
        if self.levels is None:
            return self.operating_threshold
        return float(self.levels[nearest_level(self.levels, self.operating_threshold)])

    @property
    def chosen_by(self) -> str:
        """How the operating threshold came about, in words."""
        if self.operating_threshold is None:
            return "the FROC point nearest to (0 FP/cm2, TPR 1) on these images"
        return "the method's own output" if self.own_output else "given"

    def at(self, threshold: float) -> list[Matched]:
        """The images matched at a threshold."""
        if threshold not in self._matched:
            self._matched[threshold] = [match_case(case, threshold, self.matching) for case in self.cases]
        return self._matched[threshold]

    @cached_property
    def operating(self) -> list[Matched]:
        """The images matched at the operating threshold."""
        return self.at(self.threshold)

    @cached_property
    def all_objects(self) -> list[Matched]:
        """The images matched with every prediction; at the operating threshold where objects change with it."""
        return self.at(-math.inf) if self.levels is None else self.operating

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row per image at the operating threshold: `tables.CASE_FIELDS`."""
        return [case_row(matched) for matched in self.operating]

    def column(self, name: str) -> np.ndarray:
        """One field of all rows, float64 (images,)."""
        return np.array([row[name] for row in self.rows], np.float64)
