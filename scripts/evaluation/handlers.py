"""Handler that scores each image as soon as it is done and keeps nothing of it but its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from scripts.common.checks import check
from scripts.common.ranks import gathered, ranks
from scripts.common.tensors import plane, spacing_of
from scripts.evaluation.agreement import with_cells
from scripts.evaluation.cases import CaseLevels, CaseScores, HitRule, ImageArrays, number_objects, score_arrays
from scripts.evaluation.crops import CropWriter
from scripts.evaluation.measures import Measure


@dataclass(eq=False)
class FROCHandler:
    """Collect `CaseScores` of every image that an evaluator completes.

    It runs inside the evaluator's iteration, after postprocessing, which must leave `label` (loaded with
    `LoadLabeld`), `instances`, `scores`, `image` and `breast`, and `kinds` where they were told. Where objects change
    with the threshold it also leaves `objects_at` (from a threshold to instances, scores and kinds) and `thresholds`
    (descending): then the image is scored at each of these. An image that fails is noted in `failures`.
    """

    rule: HitRule = field(default_factory=HitRule)
    cell_mm: float | None = None  # side of the cells of Cohen's kappa; None leaves them out
    measures: Sequence[Measure] = ()  # further values of the objects
    image_keys: Sequence[str] = ()  # keys of the data list's items to group images by, such as "density"
    crops: CropWriter | None = None  # writes a window of each image, for the report's pictures of cases
    cases: list[CaseScores] = field(default_factory=list, init=False)
    failures: list[dict[str, str]] = field(default_factory=list, init=False)
    places: list[int] = field(default_factory=list, init=False)  # of the cases, among the images of this rank

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note_failure)

    def __call__(self, engine: Any) -> None:
        """Score the images just done."""
        for batch, item in zip(engine.state.batch, engine.state.output, strict=True):
            self.cases.append(self.score(batch, item))
            self.places.append(engine.state.iteration)

    def gather(self) -> None:
        """Take in what all ranks have scored, in the order of the data list."""
        if ranks() == 1:
            return
        shares = gathered(list(zip(self.places, self.cases, strict=True)))
        placed = [(place, number, case) for number, share in enumerate(shares) for place, case in share]
        self.cases[:] = [case for _, _, case in sorted(placed, key=lambda entry: entry[:2])]
        self.places[:] = range(len(self.cases))
        self.failures[:] = [failure for share in gathered(self.failures) for failure in share]

    def score(self, batch: Mapping[str, Any], item: Mapping[str, Any]) -> CaseScores:
        """Score one image: the data list's item (image_id, patient), and what postprocessing left."""
        image, label, breast = (plane(item[key]) for key in ("image", "label", "breast"))
        spacing_mm = spacing_of(item["image"])
        found = plane(item["instances"]), item["scores"]
        arrays = number_objects(label, *found, breast, spacing_mm, image, kinds=item.get("kinds"))
        case_id = str(batch.get("image_id") or item["report"]["file"])
        case = score_arrays(arrays, self.rule, case_id, str(batch.get("patient") or case_id))
        values = {k: v for measure in self.measures for k, v in measure.of_annotations(arrays, case).items()}
        names = {key: str(batch.get(key) or "") for key in self.image_keys}
        case = replace(case, object_values=values, image_values=names)
        if self.cell_mm is not None:
            case = with_cells(case, label, breast, self.cell_mm)
        return self._finished(case, arrays) if item.get("objects_at") is None else self._levels(case, arrays, item)

    def _finished(self, case: CaseScores, arrays: ImageArrays, crop: bool = True) -> CaseScores:
        """With the predictions' values; its crop is written."""
        values = {k: v for measure in self.measures for k, v in measure.of_predictions(arrays, case).items()}
        if crop and self.crops is not None:
            self.crops.write(case, arrays)
        return replace(case, prediction_values=values)

    def _levels(self, case: CaseScores, arrays: ImageArrays, item: Mapping[str, Any]) -> CaseLevels:
        """The image scored at each threshold of its grid; only tables are kept."""
        thresholds = np.asarray(item["thresholds"], np.float64)
        descending = thresholds.size and (np.diff(thresholds) < 0).all()
        check("thresholds", thresholds.tolist(), descending, "one or more descending numbers")
        shown = -1 if self.crops is None else self.crops.shown(thresholds)
        levels = []
        for place, threshold in enumerate(thresholds):
            same = (arrays.breast, arrays.spacing_mm, arrays.image, arrays.annotated)
            instances, scores, *told = item["objects_at"](float(threshold))
            here = number_objects(arrays.label, instances, scores, *same, *told)
            scored = score_arrays(here, self.rule)
            table = replace(case, predictions=scored.predictions, pairs=scored.pairs)
            levels.append(self._finished(table, here, place == shown))
        return CaseLevels(**vars(levels[-1]), thresholds=thresholds, levels=tuple(levels))

    def _start(self, engine: Engine) -> None:
        self.cases.clear()
        self.places.clear()
        self.failures.clear()
        if self.crops is not None:
            self.crops.clear()

    def _note_failure(self, engine: Any) -> None:
        failure = getattr(engine.state, "failure", None)
        if failure is not None:
            self.failures.append(dict(failure))
