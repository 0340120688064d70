"""Handler that scores each image as soon as it is done and keeps nothing of it but its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from scripts.common.checks import check
from scripts.common.tensors import plane, spacing_of
from scripts.evaluation.agreement import with_cells
from scripts.evaluation.cases import (
    CaseLevels,
    CaseScores,
    HitRule,
    ImageArrays,
    nearest_level,
    number_objects,
    score_arrays,
)
from scripts.evaluation.crops import CropWriter


class Measure(Protocol):
    """Further values of an image's objects, such as `Contrast` and `Neighbourhood`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values."""

    def of_annotations(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """{name: (annotations,)}."""

    def of_predictions(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """{name: (predictions,)}."""


class FROCHandler:
    """Collect `CaseScores` of every image that an evaluator completes.

    It runs inside the evaluator's iteration, after postprocessing, which must leave `label` (loaded with
    `LoadLabeld`), `instances`, `scores`, `image` and `breast`. Where objects change with the threshold it also leaves
    `objects_at` (from a threshold to instances and scores) and `thresholds` (descending): then the image is scored at
    each of these. An image that fails is noted in `failures`.

    Args:
        rule: hit rule; None is the paper's.
        cell_mm: side of the cells of Cohen's kappa; None leaves them out.
        measures: further values of the objects.
        image_keys: keys of the data list's items to group images by, such as "density".
        crops: writes a window of each image, for the report's pictures of cases; None leaves that out.
    """

    def __init__(
        self,
        rule: HitRule | None = None,
        cell_mm: float | None = None,
        measures: Sequence[Measure] = (),
        image_keys: Sequence[str] = (),
        crops: CropWriter | None = None,
    ) -> None:
        self.rule, self.cell_mm, self.measures = rule or HitRule(), cell_mm, tuple(measures)
        self.image_keys, self.crops = tuple(image_keys), crops
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
        """Score one image: the data list's item (image_id, patient), and what postprocessing left."""
        image, label, breast = (plane(item[key]) for key in ("image", "label", "breast"))
        spacing_mm = spacing_of(item["image"])
        arrays = number_objects(label, plane(item["instances"]), item["scores"], breast, spacing_mm, image)
        case_id = str(batch.get("image_id") or item["report"]["file"])
        case = score_arrays(arrays, self.rule, case_id, str(batch.get("patient") or case_id))
        values: dict[str, np.ndarray] = {}
        for measure in self.measures:
            values |= measure.of_annotations(arrays, case)
        names = {key: str(batch.get(key) or "") for key in self.image_keys}
        case = replace(case, object_values=values, image_values=names)
        if self.cell_mm is not None:
            case = with_cells(case, label, breast, self.cell_mm)
        return self._finished(case, arrays) if item.get("objects_at") is None else self._levels(case, arrays, item)

    def _finished(self, case: CaseScores, arrays: ImageArrays, crop: bool = True) -> CaseScores:
        """With the predictions' values; its crop is written."""
        values: dict[str, np.ndarray] = {}
        for measure in self.measures:
            values |= measure.of_predictions(arrays, case)
        if crop and self.crops is not None:
            self.crops.write(case, arrays)
        return replace(case, prediction_values=values)

    def _levels(self, case: CaseScores, arrays: ImageArrays, item: Mapping[str, Any]) -> CaseLevels:
        """The image scored at each threshold of its grid; only tables are kept."""
        thresholds = np.asarray(item["thresholds"], np.float64)
        descending = thresholds.size and (np.diff(thresholds) < 0).all()
        check("thresholds", thresholds.tolist(), descending, "one or more descending numbers")
        shown = -1 if self.crops is None else nearest_level(thresholds, self.crops.level)
        levels = []
        for place, threshold in enumerate(thresholds):
            instances, scores = item["objects_at"](float(threshold))
            same = (arrays.breast, arrays.spacing_mm, arrays.image, arrays.annotated)
            here = number_objects(arrays.label, instances, scores, *same)
            scored = score_arrays(here, self.rule)
            table = replace(case, predictions=scored.predictions, pairs=scored.pairs)
            levels.append(self._finished(table, here, place == shown))
        return CaseLevels(**vars(levels[-1]), thresholds=thresholds, levels=tuple(levels))

    def _start(self, engine: Engine) -> None:
        self.cases.clear()
        self.failures.clear()
        if self.crops is not None:
            self.crops.clear()

    def _note_failure(self, engine: Any) -> None:
        failure = getattr(engine.state, "failure", None)
        if failure is not None:
            self.failures.append(dict(failure))
