"""What holds at the operating threshold: counts, rates, IoU and agreement, one row per image and per object;
docs/metrics.md, "IoU", "Agreement".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.evaluation.agreement import pooled_agreement
from scripts.evaluation.froc import point_of
from scripts.evaluation.iou import iou_per_object
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
