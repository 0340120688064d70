"""Handler that scores each image as soon as it is done and keeps nothing of it but its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from scripts.common.tensors import plane, spacing_of
from scripts.evaluation.agreement import make_cells
from scripts.evaluation.cases import IGNORE, CaseScores, HitRule, score_case
from scripts.evaluation.contrast import CONTRAST, contrast_of_marks, contrast_to_noise
from scripts.evaluation.crops import CropWriter
from scripts.evaluation.failure_classes import FailureClasses


class FROCHandler:
    """Collect `CaseScores` of every image that an evaluator completes.

    It runs inside the evaluator's iteration, after postprocessing, which must leave `label` (loaded with
    `LoadLabeld`), `instances`, `scores`, `findings` and `breast`. An image that fails is noted in `failures`.

    Args:
        distance_mm: largest centroid distance of a hit, mm.
        iou: smallest intersection over union of a hit.
        cell_mm: side of the cells of Cohen's kappa; None leaves them out.
        contrast_gap_mm, contrast_width_mm: of the ring of `contrast_to_noise`; a gap of None leaves the ratio out.
        contrast_marks: the ratio is also taken of so many predictions of the highest scores per image.
        image_keys: keys of the data list's items to group images by, such as "density".
        failure_classes: collects what the section of that name needs; None leaves it out.
        crops: writes a window of each image, for the report's pictures of cases; None leaves that out.
    """

    def __init__(
        self,
        distance_mm: float = 0.35,
        iou: float = 0.3,
        cell_mm: float | None = None,
        contrast_gap_mm: float | None = None,
        contrast_width_mm: float = 1.0,
        contrast_marks: int = 0,
        image_keys: Sequence[str] = (),
        failure_classes: FailureClasses | None = None,
        crops: CropWriter | None = None,
    ) -> None:
        self.rule = HitRule(distance_mm, iou)
        self.cell_mm, self.image_keys, self.crops = cell_mm, tuple(image_keys), crops
        self.contrast_gap_mm, self.contrast_width_mm = contrast_gap_mm, contrast_width_mm
        self.contrast_marks = contrast_marks
        self.failure_classes = failure_classes
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
        label, breast, instances = plane(item["label"]), plane(item["breast"]), plane(item["instances"])
        case = score_case(
            label=label,
            instances=instances,
            scores=np.asarray(item["scores"], np.float64),
            breast=breast,
            spacing_mm=spacing_of(item["image"]),
            rule=self.rule,
            case_id=case_id,
            patient=str(batch.get("patient") or case_id),
        )
        if self.crops is not None:
            self.crops.write(case, plane(item["image"]), label, instances)
        values = {key: str(batch.get(key) or "") for key in self.image_keys}
        extras = self._extras(case, plane(item["image"]), label, breast, instances)
        return replace(case, image_values=values, **extras)

    def _extras(
        self, case: CaseScores, image: np.ndarray, label: np.ndarray, breast: np.ndarray, instances: np.ndarray
    ) -> dict[str, Any]:
        extras: dict[str, Any] = {"object_values": {}, "prediction_values": {}}
        if self.cell_mm is not None:
            extras["cells"] = make_cells(breast & (label != IGNORE), case.spacing_mm, self.cell_mm)
        if self.contrast_gap_mm is not None:
            ring = {"gap_mm": self.contrast_gap_mm, "width_mm": self.contrast_width_mm}
            extras["object_values"][CONTRAST] = contrast_to_noise(image, label, case.spacing_mm, **ring)
            extras["prediction_values"][CONTRAST] = contrast_of_marks(
                image, label, instances, case.predictions.score, case.spacing_mm, self.contrast_marks, **ring
            )
        if self.failure_classes is not None:
            extras["object_values"] |= self.failure_classes.object_values(case, label)
            extras["prediction_values"] |= self.failure_classes.prediction_values(case, label, instances)
        return extras

    def _start(self, engine: Engine) -> None:
        self.cases.clear()
        self.failures.clear()
        if self.crops is not None:
            self.crops.clear()

    def _note_failure(self, engine: Any) -> None:
        failure = getattr(engine.state, "failure", None)
        if failure is not None:
            self.failures.append(dict(failure))
