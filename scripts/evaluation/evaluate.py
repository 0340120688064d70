"""From scored images to files: metrics.json, the tables (CSV), froc.png, froc_table.npz, operating_points.json."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.files import write_json
from scripts.common.provenance import describe_weights, package_versions, source_commit
from scripts.evaluation.agreement import agreement
from scripts.evaluation.cases import CaseScores
from scripts.evaluation.cluster_froc import ClusterRule
from scripts.evaluation.compare import TABLE_NAME, save_table
from scripts.evaluation.contrast import CONTRAST
from scripts.evaluation.failure_classes import FailureClasses, failure_section
from scripts.evaluation.figures import band_rates, draw_froc
from scripts.evaluation.froc import CM2, Froc, FrocTable, choose_presets, point_of
from scripts.evaluation.froc import IMAGE as PER_IMAGE
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.matching import GREEDY
from scripts.evaluation.part_tpr import PartTable, large_objects, large_section
from scripts.evaluation.pixel_curves import PixelCurvesHandler
from scripts.evaluation.plain import column, named, plain
from scripts.evaluation.sections import (
    PIXEL_FIELDS,
    RELIABILITY_FIELDS,
    cluster_section,
    iou_section,
    object_reliability,
    pixel_rows,
    pixel_section,
    reliability_rows,
    strata_section,
    tpr_at_rates,
)
from scripts.evaluation.statistics import IMAGE, PATIENT, Interval, bootstrap_weights, interval, ratio_interval
from scripts.evaluation.strata import DIAMETER, SIZE_FIELDS, STRATUM_FIELDS, bin_names, size_histogram
from scripts.evaluation.surroundings import GAP, NEIGHBOURS
from scripts.evaluation.tables import (
    CASE_FIELDS,
    FROC_FIELDS,
    OBJECT_FIELDS,
    case_row,
    froc_rows,
    object_rows,
    write_csv,
)
from scripts.findings.presets import publish_presets

logger = logging.getLogger(__name__)
TPR_PER_CM2, TPR_PER_IMAGE = "tpr_at_fp_per_cm2", "tpr_at_fp_per_image"
PER = {TPR_PER_CM2: CM2, TPR_PER_IMAGE: PER_IMAGE}


class Evaluation:
    """What an evaluation run writes at its end.

    Args:
        output_dir: folder of the results.
        handler: holds the scored images after the run.
        matching: "greedy" (the paper's) or "optimal".
        fp_rates: FP per cm^2 at which TPR is given.
        fp_rates_per_image: FP per image at which TPR is given.
        fp_limit: pAUC is over 0..fp_limit FP per cm^2.
        bootstrap_samples: number of samples.
        bootstrap_unit: "image" or "patient".
        seed: of the bootstrap.
        operating_threshold: score threshold of IoU, counts and tables; None chooses the FROC point nearest to
            (0 FP per cm^2, TPR 1) on these very images.
        settings: plain values worth keeping (method, data folder, section, thresholds).
        weights: weight file in use, or None.
        pixel_curves: holds the pixels' counts after the run; None, or no image with a map, leaves pixel curves out.
        clusters: what a cluster is; None leaves clusters out.
        cluster_fp_rates_per_image: false-positive clusters per image at which the share of clusters found is given.
        strata_edges: {"diameter_mm", "contrast_to_noise", "gap_px" or "neighbours": ascending edges of bins} to give
            TPR by.
        calibration_bins: bins of the reliability curve of object scores.
        failure_classes: kinds of objects that methods fail on, as given to the handler; None leaves them out.
        large_mc_mm: TPR is also given for annotated objects whose area's circle has at least this diameter, mm.
        publish_presets: file that `write_presets` also puts the method's points into; "" leaves that out.
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
        fp_rates_per_image: Sequence[float] = (1.0, 2.0, 5.0, 10.0),
        pixel_curves: PixelCurvesHandler | None = None,
        clusters: ClusterRule | None = None,
        cluster_fp_rates_per_image: Sequence[float] = (0.1, 0.5, 1.0, 2.0),
        strata_edges: Mapping[str, Sequence[float]] | None = None,
        calibration_bins: int = 15,
        failure_classes: FailureClasses | None = None,
        large_mc_mm: float = 0.2,
        publish_presets: str | Path = "",
    ) -> None:
        if bootstrap_unit not in (IMAGE, PATIENT):
            raise ValueError(f"bootstrap_unit: got {bootstrap_unit!r}, want {IMAGE!r} or {PATIENT!r}")
        known = {DIAMETER} | ({CONTRAST} if handler.contrast_gap_mm is not None else set())
        known |= {GAP, NEIGHBOURS} if handler.failure_classes is not None else set()
        if failure_classes not in (None, handler.failure_classes):
            raise ValueError(f"failure_classes: got {failure_classes}, want the handler's {handler.failure_classes}")
        self.strata_edges = {name: list(edges) for name, edges in (strata_edges or {}).items()}
        for name, edges in self.strata_edges.items():
            if name not in known:
                raise ValueError(f"strata_edges: got {name!r}, want one of {sorted(known)} (as the handler collects)")
            bin_names(edges)
        self.output_dir, self.handler, self.matching = Path(output_dir), handler, matching
        self.fp_rates, self.fp_limit = tuple(fp_rates), fp_limit
        self.bootstrap_samples, self.bootstrap_unit, self.seed = bootstrap_samples, bootstrap_unit, seed
        self.publish_presets, self.large_mc_mm = publish_presets, large_mc_mm
        self.failure_classes = failure_classes
        self.operating_threshold, self.settings = operating_threshold, dict(settings or {})
        self.weights = describe_weights(weights)
        self.fp_rates_per_image, self.pixel_curves, self.clusters = tuple(fp_rates_per_image), pixel_curves, clusters
        self.cluster_fp_rates, self.calibration_bins = tuple(cluster_fp_rates_per_image), calibration_bins

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
            "iou": iou_section(cases, threshold, rows, sampled),
            **self._further(cases, threshold, rows, sampled),
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
        save_table(self.output_dir / TABLE_NAME, table, cases)
        write_json(self.output_dir / "metrics.json", plain(metrics))
        logger.info("evaluated %d images; results: %s", len(cases), self.output_dir)
        return plain(metrics)

    def write_presets(self) -> dict[str, Any]:
        """Choose operating thresholds on these images, which should be a validation set, and write them.

        Returns:
            What operating_points.json holds: {"presets": {name: {"threshold", ...}}, "provenance"}.
        """
        presets = choose_presets(FrocTable(self.handler.cases, self.matching).curve())
        content = plain({"presets": presets, "provenance": self._provenance()})
        write_json(self.output_dir / "operating_points.json", content)
        if self.publish_presets:
            publish_presets(self.publish_presets, str(self.settings.get("method", "")), content)
        logger.info("operating points: %s", self.output_dir / "operating_points.json")
        return content

    def _further(
        self, cases: Sequence[CaseScores], threshold: float, rows: list[dict[str, Any]], sampled: np.ndarray
    ) -> dict[str, Any]:
        """Sections on clusters, pixels, strata, calibration and agreement, and their files."""
        sections: dict[str, Any] = {}
        found = agreement(cases, threshold, sampled, self.matching)
        sections["agreement"] = {k: named(v) if isinstance(v, Interval) else v for k, v in found.items()}
        if self.clusters is not None:
            sections["clusters"], curve = cluster_section(
                cases, self.clusters, self.matching, self.cluster_fp_rates, sampled
            )
            write_csv(self.output_dir / "cluster_froc.csv", FROC_FIELDS, froc_rows(curve))
        curves = {"objects": object_reliability(cases, self.matching, self.calibration_bins)}
        sections["calibration"] = {"expected_calibration_error_of_objects": curves["objects"].ece}
        if self.pixel_curves is not None and self.pixel_curves.images:
            sections["pixels"] = pixel_section(self.pixel_curves)
            curves["pixels"] = self.pixel_curves.calibration.reliability()
            write_csv(self.output_dir / "pixel_curve.csv", PIXEL_FIELDS, pixel_rows(self.pixel_curves))
        write_csv(self.output_dir / "reliability.csv", RELIABILITY_FIELDS, reliability_rows(curves))
        strata = strata_section(cases, threshold, self.matching, self.strata_edges, rows, sampled)
        sections["strata"] = strata
        write_csv(self.output_dir / "strata.csv", STRATUM_FIELDS, strata)
        if self.failure_classes is not None:
            found = failure_section(cases, threshold, self.matching, self.failure_classes, sampled)
            sections["failure_classes"] = found
        if DIAMETER in self.strata_edges:
            sizes = size_histogram(cases, threshold, self.matching, self.strata_edges[DIAMETER])
            write_csv(self.output_dir / "sizes.csv", SIZE_FIELDS, sizes)
        return sections

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
        grid, cases = band_rates(self.fp_limit), self.handler.cases
        rates = {TPR_PER_CM2: np.array(self.fp_rates, float), TPR_PER_IMAGE: np.array(self.fp_rates_per_image, float)}
        pauc, band = [], []
        at: dict[str, list[np.ndarray]] = {name: [] for name in rates}
        thresholds: dict[str, list[np.ndarray]] = {name: [] for name in rates}
        until = {CM2: max(self.fp_limit, *self.fp_rates), PER_IMAGE: max(self.fp_rates_per_image)}
        for weights in sampled:  # curves are large: one at a time
            sample = table.curve(weights, until)
            pauc.append(sample.pauc(self.fp_limit))
            band.append(sample.tpr_at(grid))
            for name, asked in rates.items():
                at[name].append(sample.tpr_at(asked, PER[name]))
                thresholds[name].append(sample.threshold_at(asked, PER[name]))
        shown = [interval(0.0, values) for values in np.stack(band).T]
        large = PartTable(table.hit_from, large_objects(cases, self.large_mc_mm))
        on_data = {name: curve.threshold_at(asked, PER[name]) for name, asked in rates.items()}
        in_samples = {name: np.stack(values) for name, values in thresholds.items()}
        metrics = {
            "matching": self.matching,
            "hit_distance_mm": self.handler.rule.distance_mm,
            "hit_iou": self.handler.rule.iou,
            "fp_limit_per_cm2": self.fp_limit,
            "pauc": named(interval(curve.pauc(self.fp_limit), np.array(pauc))),
            **{
                name: tpr_at_rates(asked, curve.tpr_at(asked, PER[name]), np.stack(at[name]))
                for name, asked in rates.items()
            },
            "tpr_large": large_section(large, self.large_mc_mm, rates, on_data, in_samples, sampled),
        }
        return metrics, np.array([s.low for s in shown]), np.array([s.high for s in shown])

    def _operating_point(
        self, curve: Froc, index: int | None, threshold: float, rows: list[dict[str, Any]], sampled: np.ndarray
    ) -> dict[str, Any]:
        hit, hit_single, annotated, single, fp, area = (
            column(rows, name)
            for name in ("tp", "tp_single_px", "annotated", "annotated_single_px", "fp", "breast_cm2")
        )
        chosen = "the FROC point nearest to (0 FP/cm2, TPR 1) on these images"
        return {
            "threshold": threshold,
            "chosen_by": chosen if self.operating_threshold is None else "given",
            "point": None if index is None else point_of(curve, index),
            "tp": int(hit.sum()),
            "fp": int(fp.sum()),
            "tpr": named(ratio_interval(hit, annotated, sampled)),
            "tpr_single_px": named(ratio_interval(hit_single, single, sampled)),
            "tpr_larger": named(ratio_interval(hit - hit_single, annotated - single, sampled)),
            "fp_per_cm2": named(ratio_interval(fp, area, sampled)),
            "fp_per_image": named(ratio_interval(fp, np.ones(len(rows)), sampled)),
        }

    def _counts(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        cases = self.handler.cases
        return {
            "images": len(cases),
            "images_failed": len(self.handler.failures),
            "images_without_mc": sum(not len(case.annotations) for case in cases),
            "patients": len({case.patient for case in cases}),
            "breast_cm2": float(column(rows, "breast_cm2").sum()),
            "annotated": int(column(rows, "annotated").sum()),
            "annotated_single_px": int(column(rows, "annotated_single_px").sum()),
            "scored_objects": sum(len(case.predictions) for case in cases),
            "ignored_objects": sum(int(case.predictions.ignored.sum()) for case in cases),
        }

    def _provenance(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "weights": self.weights,
            "bootstrap": {"samples": self.bootstrap_samples, "unit": self.bootstrap_unit, "seed": self.seed},
            "versions": package_versions(),
            "commit": source_commit(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "arguments": sys.argv[1:],
            "failures": self.handler.failures,
        }


def _caption(pauc: Mapping[str, float | None]) -> str:
    if pauc["value"] is None:
        return "pAUC undefined"
    return f"pAUC {pauc['value']:.3f} ({pauc['low']:.3f} to {pauc['high']:.3f})"
