"""Handler that scores each image as soon as it is done and keeps nothing of it but its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from scripts.evaluation.cases import CaseScores, HitRule, score_case
from scripts.tensors import plane, spacing_of


class FROCHandler:
    """Collect `CaseScores` of every image that an evaluator completes.

    It runs inside the evaluator's iteration, after postprocessing, which must leave `label` (loaded with
    `LoadLabeld`), `instances`, `scores`, `findings` and `breast`. An image that fails is noted in `failures`.

    Args:
        distance_mm: largest centroid distance of a hit, mm.
        iou: smallest intersection over union of a hit.
    """

    def __init__(self, distance_mm: float = 0.35, iou: float = 0.3) -> None:
        self.rule = HitRule(distance_mm, iou)
        self.cases: list[CaseScores] = []
        self.failures: list[dict[str, str]] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note_failure)

    def __call__(self, engine: Any) -> None:
        """Score the images just done."""
        for batch, item in zip(engine.state.batch, engine.state.output, strict=True):
            self.cases.append(self.score(batch, item))

    def score(self, batch: Mapping[str, Any], item: Mapping[str, Any]) -> CaseScores:
        """Score one image.

        Args:
            batch: the data list's item (image_id, patient).
            item: what postprocessing left.
        """
        case_id = str(batch.get("image_id") or item["report"]["file"])
        instances = plane(item["instances"])
        return score_case(
            label=plane(item["label"]),
            instances=instances,
            scores=np.asarray(item["scores"], np.float64),
            breast=plane(item["breast"]),
            spacing_mm=spacing_of(item["image"]),
            rule=self.rule,
            case_id=case_id,
            patient=str(batch.get("patient") or case_id),
        )

    def _start(self, engine: Engine) -> None:
        self.cases.clear()
        self.failures.clear()

    def _note_failure(self, engine: Any) -> None:
        failure = getattr(engine.state, "failure", None)
        if failure is not None:
            self.failures.append(dict(failure))
