"""From scored images to results and operating points; `Evaluation` is what a config's run calls at its end."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.files import json_values, write_json
from scripts.common.provenance import describe_weights, package_versions, source_commit
from scripts.common.ranks import is_first
from scripts.common.settings import describe
from scripts.common.tables import write_csv
from scripts.evaluation.cases import DIAMETER
from scripts.evaluation.froc import ROUNDING, TABLE_NAME, Froc, point_of, save_table
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.matching import GREEDY
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.probabilities import calibrate
from scripts.evaluation.sections.section import Section, Table
from scripts.evaluation.statistics import Bootstrap
from scripts.findings.presets import publish_presets

logger = logging.getLogger(__name__)


@dataclass
class Metrics:
    """All results of an evaluation."""

    values: dict[str, Any]  # what metrics.json holds, by section
    scored: ScoredSet  # the images
    tables: dict[str, Table] = field(default_factory=dict)  # name of the CSV file -> its columns and rows
    figures: dict[str, Callable[[Path], object]] = field(default_factory=dict)  # name of the PNG file -> draws it

    def save(self, folder: str | Path) -> dict[str, Any]:
        """Write metrics.json, the tables, the figures and froc_table.npz; what metrics.json holds."""
        folder, content = Path(folder), json_values(self.values)
        for name, (columns, rows) in self.tables.items():
            write_csv(folder / name, columns, rows)
        for name, draw in self.figures.items():
            draw(folder / name)
        save_table(folder / TABLE_NAME, self.scored.table, self.scored.cases)
        write_json(folder / "metrics.json", content)
        return content


def evaluate(scored: ScoredSet, sections: Sequence[Section], failed: int = 0) -> Metrics:
    """Results of scored images, section by section; `failed` is the number of images that could not be scored."""
    metrics = Metrics({"counts": counts(scored, failed)}, scored)
    for section in sections:
        result = section.results(scored)
        metrics.values |= result.metrics
        metrics.tables |= result.tables
        metrics.figures |= result.figures
    return metrics


def counts(scored: ScoredSet, failed: int) -> dict[str, Any]:
    """How much there was to evaluate."""
    operating = [matched.case for matched in scored.operating]
    return {
        "images": len(scored.cases),
        "images_failed": failed,
        "images_without_mc": sum(not len(case.annotations) for case in scored.cases),
        "patients": len({case.patient for case in scored.cases}),
        "breast_cm2": float(scored.column("breast_cm2").sum()),
        "annotated": int(scored.column("annotated").sum()),
        "annotated_single_px": int(scored.column("annotated_single_px").sum()),
        "scored_objects": sum(len(case.predictions) for case in operating),
        "ignored_objects": sum(int(case.predictions.ignored.sum()) for case in operating),
    }


@dataclass(frozen=True)
class PresetLimits:
    """Most false positives of two presets, FP per cm^2, inclusive."""

    sensitive_fp_per_cm2: float = 1.0
    specific_fp_per_cm2: float = 0.1  # at most that of "sensitive"

    def __post_init__(self) -> None:
        check_fields(self)
        specific, most = self.specific_fp_per_cm2, self.sensitive_fp_per_cm2
        check("specific_fp_per_cm2", specific, 0 <= specific <= most, f"0 to {most}")


def choose_presets(curve: Froc, limits: PresetLimits | None = None) -> dict[str, dict[str, Any]]:
    """Operating thresholds for three uses, from the curve of a validation set.

    "balanced" is the paper's point nearest to (0, 1); "sensitive" and "specific" have the largest TPR within their
    limits, of equal TPRs the highest threshold. Then the order is made sure of: "specific" is at least as high as
    "balanced", and "sensitive" at most. Each is {"threshold", "tpr", "fp_per_cm2", "fp_per_image", "within_limit"};
    "within_limit" is false where the point has more FP than its limit: when even the highest score has (that point is
    given), or when the order asks for a lower threshold.
    """
    limits, balanced = limits or PresetLimits(), curve.nearest_to_ideal()
    if balanced is None:
        raise ValueError("curve: got no predictions, annotated objects or breast area; want a labelled validation set")
    sensitive, specific = limits.sensitive_fp_per_cm2, limits.specific_fp_per_cm2
    # indices ascend as thresholds fall
    chosen = {
        "sensitive": (max(curve.best_within(sensitive) or 1, balanced), sensitive),
        "balanced": (balanced, np.inf),
        "specific": (min(curve.best_within(specific) or 1, balanced), specific),
    }
    return {
        name: point_of(curve, index) | {"within_limit": bool(curve.fp_per_cm2[index] <= limit * (1 + ROUNDING))}
        for name, (index, limit) in chosen.items()
    }


@dataclass(eq=False)
class Evaluation:
    """What an evaluation run writes at its end."""

    output_dir: str | Path
    handler: FROCHandler  # holds the scored images after the run
    sections: Sequence[Section]  # parts of the results
    matching: str = GREEDY  # this and the next two: see `ScoredSet`
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    operating_threshold: float | None = None
    #: How the method forms objects; where its `own_threshold` is the operating one, its own output is evaluated.
    objects: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # values worth keeping (method, data folder, note)
    scoring: Mapping[str, Any] = field(default_factory=dict)  # what makes the scores: presets are checked against it
    weights: str | Path | None = None  # weight file in use
    preset_limits: PresetLimits | None = None  # most false positives of presets; None is the default
    publish_presets: str | Path = ""  # file that `write_presets` also puts the method's points into

    def __post_init__(self) -> None:
        measured = {DIAMETER, *(name for measure in self.handler.measures for name in measure.names)}
        for section in self.sections:
            if missing := sorted(set(section.needs) - measured):
                raise ValueError(f"{type(section).__name__}: got no measure of {missing}; want one in the handler's")
        self._weights = describe_weights(self.weights)  # as they are when the run begins

    def evaluate(self) -> Metrics:
        """Results of the images that the handler holds."""
        own = getattr(self.objects, "own_threshold", None)
        own_output = own is not None and own == self.operating_threshold
        method = str(self.settings.get("method", "FROC"))
        how = (self.matching, self.bootstrap, self.operating_threshold, own_output, method)
        scored = ScoredSet(self.handler.cases, *how)
        metrics = evaluate(scored, self.sections, len(self.handler.failures))
        metrics.values["provenance"] = self._provenance()
        return metrics

    def write(self) -> dict[str, Any]:
        """Compute everything, write every file, and return what metrics.json holds; of several ranks the first does."""
        self._gather()
        if not is_first():
            return {}
        content = self.evaluate().save(self.output_dir)
        logger.info("evaluated %d images; results: %s", len(self.handler.cases), self.output_dir)
        return content

    def write_presets(self) -> dict[str, Any]:
        """Choose operating thresholds on these images, which should be a validation set; what the written
        operating_points.json holds: {"presets": {name: {"threshold", ...}}, "calibration", "provenance"}; see
        `calibrate`, "calibration" is left out where it gives none, or objects change with the threshold.
        """
        self._gather()
        if not is_first():
            return {}
        scored = ScoredSet(self.handler.cases, self.matching)
        presets = choose_presets(scored.curve, self.preset_limits)
        found = None if scored.levels is not None else calibrate(scored.all_objects)
        calibration = {} if found is None else {"calibration": found}
        content = json_values({"presets": presets, **calibration, "provenance": self._provenance()})
        path = write_json(Path(self.output_dir) / "operating_points.json", content)
        if self.publish_presets:
            publish_presets(self.publish_presets, str(self.settings.get("method", "")), content)
        logger.info("operating points: %s", path)
        return content

    def _gather(self) -> None:
        """Have all that was collected on other ranks."""
        held = (getattr(section, "pixels", None) for section in self.sections)
        pixels = {id(handler): handler for handler in held if handler is not None}  # several sections read one
        for handler in (self.handler, *pixels.values()):
            handler.gather()

    def _provenance(self) -> dict[str, Any]:
        return {
            "settings": describe(self.settings),
            "scoring": describe(self.scoring),
            "weights": self._weights,
            "bootstrap": describe(vars(self.bootstrap)),
            "versions": package_versions(),
            "commit": source_commit(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "arguments": sys.argv[1:],
            "failures": self.handler.failures,
        }
