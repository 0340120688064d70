"""Counts and rates at the operating threshold, and one row per image and per object."""

from dataclasses import dataclass

import numpy as np

from scripts.evaluation.froc import point_of
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase
from scripts.evaluation.statistics import ratio_interval
from scripts.evaluation.tables import CASE_FIELDS, OBJECT_FIELDS, object_rows


@dataclass(frozen=True)
class OperatingPointSection(SectionBase):
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
