"""From scored images to results: `evaluate`, and `Evaluation`, which a config's run calls at its end."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.common.files import json_values, write_json
from scripts.common.provenance import describe_weights, package_versions, source_commit
from scripts.common.settings import describe
from scripts.common.tables import write_csv
from scripts.evaluation.cases import DIAMETER
from scripts.evaluation.froc import TABLE_NAME, save_table
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.matching import GREEDY
from scripts.evaluation.presets import PresetLimits, choose_presets
from scripts.evaluation.scored_set import ScoredSet
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


class Evaluation:
    """What an evaluation run writes at its end.

    Args:
        output_dir: folder of the results.
        handler: holds the scored images after the run.
        sections: parts of the results.
        matching, bootstrap, operating_threshold: see `ScoredSet`.
        objects: how the method forms objects; where its `own_threshold` is the operating threshold, the method's own
            output is evaluated.
        settings: values worth keeping (method, data folder, section, note).
        scoring: what makes the scores: `describe`d, it is what presets are checked against.
        weights: weight file in use, or None.
        preset_limits: most false positives of presets; None is the default.
        publish_presets: file that `write_presets` also puts the method's points into; "" leaves that out.
    """

    def __init__(
        self,
        output_dir: str | Path,
        handler: FROCHandler,
        sections: Sequence[Section],
        matching: str = GREEDY,
        bootstrap: Bootstrap | None = None,
        operating_threshold: float | None = None,
        objects: Any = None,
        settings: Mapping[str, Any] | None = None,
        scoring: Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        preset_limits: PresetLimits | None = None,
        publish_presets: str | Path = "",
    ) -> None:
        measured = {DIAMETER, *(name for measure in handler.measures for name in measure.names)}
        for section in sections:
            if missing := sorted(set(section.needs) - measured):
                raise ValueError(f"{type(section).__name__}: got no measure of {missing}; want one in the handler's")
        self.output_dir, self.handler, self.sections = Path(output_dir), handler, tuple(sections)
        self.matching, self.bootstrap = matching, bootstrap or Bootstrap()
        self.operating_threshold, own = operating_threshold, getattr(objects, "own_threshold", None)
        self.own_output = own is not None and own == operating_threshold
        self.settings, self.scoring = dict(settings or {}), dict(scoring or {})
        self.weights, self.preset_limits = describe_weights(weights), preset_limits
        self.publish_presets = publish_presets

    def evaluate(self) -> Metrics:
        """Results of the images that the handler holds."""
        scored = ScoredSet(
            *(self.handler.cases, self.matching, self.bootstrap, self.operating_threshold, self.own_output),
            method=str(self.settings.get("method", "FROC")),
        )
        metrics = evaluate(scored, self.sections, len(self.handler.failures))
        metrics.values["provenance"] = self._provenance()
        return metrics

    def write(self) -> dict[str, Any]:
        """Compute everything, write every file, and return what metrics.json holds."""
        content = self.evaluate().save(self.output_dir)
        logger.info("evaluated %d images; results: %s", len(self.handler.cases), self.output_dir)
        return content

    def write_presets(self) -> dict[str, Any]:
        """Choose operating thresholds on these images, which should be a validation set; what the written
        operating_points.json holds: {"presets": {name: {"threshold", ...}}, "provenance"}.
        """
        presets = choose_presets(ScoredSet(self.handler.cases, self.matching).curve, self.preset_limits)
        content = json_values({"presets": presets, "provenance": self._provenance()})
        write_json(self.output_dir / "operating_points.json", content)
        if self.publish_presets:
            publish_presets(self.publish_presets, str(self.settings.get("method", "")), content)
        logger.info("operating points: %s", self.output_dir / "operating_points.json")
        return content

    def _provenance(self) -> dict[str, Any]:
        return {
            "settings": describe(self.settings) | describe(self.scoring),
            "weights": self.weights,
            "bootstrap": describe(vars(self.bootstrap)),
            "versions": package_versions(),
            "commit": source_commit(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "arguments": sys.argv[1:],
            "failures": self.handler.failures,
        }
