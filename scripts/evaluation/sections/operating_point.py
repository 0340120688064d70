"""What holds at the operating threshold: counts, rates, IoU and agreement, one row per image and per object;
docs/metrics.md, "IoU", "Agreement".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.common.checks import check_fields
from scripts.evaluation.agreement import pooled_agreement
from scripts.evaluation.cases import equivalent_diameter_mm
from scripts.evaluation.froc import point_of
from scripts.evaluation.iou import best_iou, iou_per_object
from scripts.evaluation.object_fit import object_fit
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section
from scripts.evaluation.statistics import Interval, ratio_interval
from scripts.evaluation.tables import CASE_FIELDS, OBJECT_FIELDS, object_rows


@dataclass(frozen=True)
class OperatingPointSection(Section):
    """TPR and false positives at the operating threshold."""

    def results(self, scored: ScoredSet) -> Results:
        """`operating_point`, cases.csv, objects.csv."""
        names = ("tp", "tp_single_px", "annotated", "annotated_single_px", "fp", "breast_cm2")
        hit, hit_single, annotated, single, fp, area = map(scored.column, names)
        ratios = {
            "tpr": (hit, annotated),
            "tpr_single_px": (hit_single, single),
            "tpr_larger": (hit - hit_single, annotated - single),
            "fp_per_cm2": (fp, area),
            "fp_per_image": (fp, np.ones(fp.size)),
        }
        index = scored.operating_index
        metrics = {
            "threshold": scored.threshold,
            "chosen_by": scored.chosen_by,
            "point": None if index is None else point_of(scored.curve, index),
            "tp": int(hit.sum()),
            "fp": int(fp.sum()),
            **{name: ratio_interval(*counts, scored.weights).as_json() for name, counts in ratios.items()},
        }
        images = zip(scored.operating, scored.table.hit_from, strict=True)
        objects = [row for matched, hit_from in images for row in object_rows(matched, hit_from)]
        tables = {"cases.csv": (CASE_FIELDS, scored.rows), "objects.csv": (OBJECT_FIELDS, objects)}
        return Results({"operating_point": metrics}, tables)


@dataclass(frozen=True)
class IouSection(Section):
    """Intersection over union."""

    def results(self, scored: ScoredSet) -> Results:
        """`iou`."""
        with_mc = scored.column("annotated") > 0
        per_image: dict[str, Any] = {}
        for name in ("foreground_iou", "background_iou", "mean_iou"):
            values = scored.column(name)
            per_image[name] = {
                which: ratio_interval(values * chosen, chosen.astype(float), scored.weights).as_json()
                | _spread(values[chosen])
                for which, chosen in (("images_with_mc", with_mc), ("all_images", np.ones_like(with_mc)))
            }
        values = np.concatenate([iou_per_object(m.case, m.threshold) for m in scored.operating] + [np.zeros(0)])
        mean = ratio_interval(scored.column("iou_sum"), scored.column("iou_objects"), scored.weights)
        return Results({"iou": {"per_object": mean.as_json() | _spread(values), "per_image": per_image}})


@dataclass(frozen=True)
class ObjectFitSection(Section):
    """Outline and area of annotated objects larger than 1 px that the operating threshold finds, and IoU of large ones.

    Each against the prediction of the best IoU; what nothing overlaps counts in `found` and in `iou_large` (as 0) only.
    """

    large_mm: float = 0.8  # equivalent diameter from which on objects are large

    def __post_init__(self) -> None:
        check_fields(self)

    def results(self, scored: ScoredSet) -> Results:
        """`object_fit`."""
        fits = [object_fit(m.case, m.threshold) for m in scored.operating]
        larger = [m.case.annotations.area_px > 1 for m in scored.operating]
        large = [
            which & (equivalent_diameter_mm(m.case.annotations.area_px, m.case.spacing_mm) >= self.large_mm)
            for m, which in zip(scored.operating, larger, strict=True)
        ]

        def mean(values: list[np.ndarray], chosen: list[np.ndarray]) -> dict[str, Any]:
            kept = [v[which & np.isfinite(v)] for v, which in zip(values, chosen, strict=True)]
            sums = np.array([part.sum() for part in kept]), np.array([part.size for part in kept], np.float64)
            return ratio_interval(*sums, scored.weights).as_json() | _spread(np.concatenate([*kept, np.zeros(0)]))

        area = [fit.area_error_percent for fit in fits]
        metrics = {
            "boundary_mm": mean([fit.boundary_mm for fit in fits], larger),
            "hausdorff95_mm": mean([fit.hausdorff95_mm for fit in fits], larger),
            "area_error_percent": mean(area, larger),
            "absolute_area_error_percent": mean([np.abs(error) for error in area], larger),
            "found": mean([np.isfinite(error).astype(float) for error in area], larger),
            "large_mm": self.large_mm,
            "iou_large": mean([best_iou(m.case, m.threshold) for m in scored.operating], large),
            "boundary_large_mm": mean([fit.boundary_mm for fit in fits], large),
        }
        return Results({"object_fit": metrics})


def _spread(values: np.ndarray) -> dict[str, float | int | None]:
    """The paper's "+-": standard deviation over objects or images (population), and how many they are."""
    return {"std": float(values.std()) if values.size else None, "n": int(values.size)}


@dataclass(frozen=True)
class AgreementSection(Section):
    """Index of specific agreement and Cohen's kappa."""

    def results(self, scored: ScoredSet) -> Results:
        """`agreement`."""
        found = pooled_agreement(scored.operating, scored.weights)
        return Results({"agreement": {k: v.as_json() if isinstance(v, Interval) else v for k, v in found.items()}})
