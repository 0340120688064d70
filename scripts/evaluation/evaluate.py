"""From scored images to files: metrics.json, froc.csv, cases.csv, objects.csv, froc.png, operating_points.json."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.evaluation.cases import CaseScores
from scripts.evaluation.figures import band_rates, draw_froc
from scripts.evaluation.froc import Froc, FrocTable, choose_presets, point_of
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.iou import iou_per_object
from scripts.evaluation.matching import GREEDY
from scripts.evaluation.statistics import IMAGE, PATIENT, Interval, bootstrap_weights, interval, ratio_interval
from scripts.evaluation.tables import (
    CASE_FIELDS,
    FROC_FIELDS,
    OBJECT_FIELDS,
    case_row,
    froc_rows,
    object_rows,
    write_csv,
)
from scripts.files import write_json
from scripts.findings.run import describe_weights, package_versions

logger = logging.getLogger(__name__)


class Evaluation:
    """What an evaluation run writes at its end.

    Args:
        output_dir: folder of the results.
        handler: holds the scored images after the run.
        matching: "greedy" (the paper's) or "optimal".
        fp_rates: FP per cm^2 at which TPR is given.
        fp_limit: pAUC is over 0..fp_limit FP per cm^2.
        bootstrap_samples: number of samples.
        bootstrap_unit: "image" or "patient".
        seed: of the bootstrap.
        operating_threshold: score threshold of IoU, counts and tables; None chooses the FROC point nearest to
            (0 FP per cm^2, TPR 1) on these very images.
        settings: plain values worth keeping (method, data folder, section, thresholds).
        weights: weight file in use, or None.
    """

    def __init__(
        self,
        output_dir: str | Path,
        handler: FROCHandler,
        matching: str = GREEDY,
        fp_rates: Sequence[float] = (0.1, 0.2, 0.4, 1.0),
        fp_limit: float = 1.0,
        bootstrap_samples: int = 1000,
        bootstrap_unit: str = IMAGE,
        seed: int = 0,
        operating_threshold: float | None = None,
        settings: Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
    ) -> None:
        if bootstrap_unit not in (IMAGE, PATIENT):
            raise ValueError(f"bootstrap_unit: got {bootstrap_unit!r}, want {IMAGE!r} or {PATIENT!r}")
        self.output_dir, self.handler, self.matching = Path(output_dir), handler, matching
        self.fp_rates, self.fp_limit = tuple(fp_rates), fp_limit
        self.bootstrap_samples, self.bootstrap_unit, self.seed = bootstrap_samples, bootstrap_unit, seed
        self.operating_threshold, self.settings = operating_threshold, dict(settings or {})
        self.weights = describe_weights(weights)

    def write(self) -> dict[str, Any]:
        """Compute everything, write every file, and return what metrics.json holds."""
        cases = self.handler.cases
        table = FrocTable(cases, self.matching)
        curve, sampled = table.curve(), self._resampled(cases)
        index = self._operating_index(curve)
        threshold = math.inf if index is None else float(curve.threshold[index])
        if self.operating_threshold is not None:
            threshold = self.operating_threshold
        rows = [case_row(case, threshold, self.matching) for case in cases]
        found, low, high = self._froc_metrics(table, curve, sampled)
        metrics = {
            "counts": self._counts(rows),
            "froc": found,
            "operating_point": self._operating_point(curve, index, threshold, rows, sampled),
            "iou": _iou_metrics(cases, threshold, rows, sampled),
            "provenance": self._provenance(),
        }
        write_csv(self.output_dir / "froc.csv", FROC_FIELDS, froc_rows(curve))
        write_csv(self.output_dir / "cases.csv", CASE_FIELDS, rows)
        objects = [
            row
            for case, hit_from in zip(cases, table.hit_from, strict=True)
            for row in object_rows(case, threshold, self.matching, hit_from)
        ]
        write_csv(self.output_dir / "objects.csv", OBJECT_FIELDS, objects)
        draw_froc(
            self.output_dir / "froc.png",
            curve,
            low,
            high,
            fp_limit=self.fp_limit,
            operating_index=index,
            title=f"{self.settings.get('method', 'FROC')}: {len(cases)} images, {int(table.annotated.sum())} MCs",
            note=_caption(found["pauc"]),
        )
        write_json(self.output_dir / "metrics.json", _plain(metrics))
        logger.info("evaluated %d images; results: %s", len(cases), self.output_dir)
        return _plain(metrics)

    def write_presets(self) -> dict[str, Any]:
        """Choose operating thresholds on these images, which should be a validation set, and write them.

        Returns:
            What operating_points.json holds: {"presets": {name: {"threshold", ...}}, "provenance"}.
        """
        presets = choose_presets(FrocTable(self.handler.cases, self.matching).curve())
        content = _plain({"presets": presets, "provenance": self._provenance()})
        write_json(self.output_dir / "operating_points.json", content)
        logger.info("operating points: %s", self.output_dir / "operating_points.json")
        return content

    def _resampled(self, cases: Sequence[CaseScores]) -> np.ndarray:
        units = [f"{i}" if self.bootstrap_unit == IMAGE else case.patient for i, case in enumerate(cases)]
        return bootstrap_weights(units, self.bootstrap_samples, self.seed)

    def _operating_index(self, curve: Froc) -> int | None:
        if self.operating_threshold is None:
            return curve.nearest_to_ideal()
        return int(np.searchsorted(-curve.threshold, -self.operating_threshold, side="right")) - 1

    def _froc_metrics(
        self, table: FrocTable, curve: Froc, sampled: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        grid, rates = band_rates(self.fp_limit), np.asarray(self.fp_rates, np.float64)
        pauc, at, band = [], [], []
        for weights in sampled:  # curves are large: one at a time
            sample = table.curve(weights)
            pauc.append(sample.pauc(self.fp_limit))
            at.append(sample.tpr_at(rates))
            band.append(sample.tpr_at(grid))
        shown = [interval(0.0, column) for column in np.stack(band).T]
        metrics = {
            "matching": self.matching,
            "hit_distance_mm": self.handler.rule.distance_mm,
            "hit_iou": self.handler.rule.iou,
            "fp_limit_per_cm2": self.fp_limit,
            "pauc": _named(interval(curve.pauc(self.fp_limit), np.array(pauc))),
            "tpr_at_fp_per_cm2": {
                str(float(rate)): _named(interval(value, column))
                for rate, value, column in zip(rates, curve.tpr_at(rates), np.stack(at).T, strict=True)
            },
        }
        return metrics, np.array([s.low for s in shown]), np.array([s.high for s in shown])

    def _operating_point(
        self, curve: Froc, index: int | None, threshold: float, rows: list[dict[str, Any]], sampled: np.ndarray
    ) -> dict[str, Any]:
        hit, hit_single, annotated, single, fp, area = (
            _column(rows, name)
            for name in ("tp", "tp_single_px", "annotated", "annotated_single_px", "fp", "breast_cm2")
        )
        chosen = "the FROC point nearest to (0 FP/cm2, TPR 1) on these images"
        return {
            "threshold": threshold,
            "chosen_by": chosen if self.operating_threshold is None else "given",
            "point": None if index is None else point_of(curve, index),
            "tp": int(hit.sum()),
            "fp": int(fp.sum()),
            "tpr": _named(ratio_interval(hit, annotated, sampled)),
            "tpr_single_px": _named(ratio_interval(hit_single, single, sampled)),
            "tpr_larger": _named(ratio_interval(hit - hit_single, annotated - single, sampled)),
            "fp_per_cm2": _named(ratio_interval(fp, area, sampled)),
            "fp_per_image": _named(ratio_interval(fp, np.ones(len(rows)), sampled)),
        }

    def _counts(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        cases = self.handler.cases
        return {
            "images": len(cases),
            "images_failed": len(self.handler.failures),
            "images_without_mc": sum(not len(case.annotations) for case in cases),
            "patients": len({case.patient for case in cases}),
            "breast_cm2": float(_column(rows, "breast_cm2").sum()),
            "annotated": int(_column(rows, "annotated").sum()),
            "annotated_single_px": int(_column(rows, "annotated_single_px").sum()),
            "scored_objects": sum(len(case.predictions) for case in cases),
            "ignored_objects": sum(int(case.predictions.ignored.sum()) for case in cases),
        }

    def _provenance(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "weights": self.weights,
            "bootstrap": {"samples": self.bootstrap_samples, "unit": self.bootstrap_unit, "seed": self.seed},
            "versions": package_versions(),
            "arguments": sys.argv[1:],
            "failures": self.handler.failures,
        }


def _iou_metrics(
    cases: Sequence[CaseScores], threshold: float, rows: list[dict[str, Any]], sampled: np.ndarray
) -> dict[str, Any]:
    with_mc = _column(rows, "annotated") > 0
    per_image: dict[str, Any] = {}
    for name in ("foreground_iou", "background_iou", "mean_iou"):
        values = _column(rows, name)
        per_image[name] = {
            kind: _named(ratio_interval(values * chosen, chosen.astype(float), sampled)) | _spread(values[chosen])
            for kind, chosen in (("images_with_mc", with_mc), ("all_images", np.ones_like(with_mc)))
        }
    values = np.concatenate([iou_per_object(case, threshold) for case in cases] + [np.zeros(0)])
    per_object = ratio_interval(_column(rows, "iou_sum"), _column(rows, "iou_objects"), sampled)
    return {"per_object": _named(per_object) | _spread(values), "per_image": per_image}


def _spread(values: np.ndarray) -> dict[str, float | int | None]:
    """The paper's "+-": standard deviation over objects or images (population), and how many they are."""
    return {"std": float(values.std()) if values.size else None, "n": int(values.size)}


def _caption(pauc: Mapping[str, float | None]) -> str:
    if pauc["value"] is None:
        return "pAUC undefined"
    return f"pAUC {pauc['value']:.3f} ({pauc['low']:.3f} to {pauc['high']:.3f})"


def _column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], np.float64)


def _named(found: Interval) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in found._asdict().items()}


def _plain(value: Any) -> Any:
    """As JSON types: what is not a finite number becomes None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
