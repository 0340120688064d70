"""TPR and false positives by size, contrast, gap, neighbours and density; docs/metrics.md, "Strata".

Objects of one pixel are mostly point annotations whose size and contrast mean nothing: they are a stratum of their own.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.objects import Spacing
from scripts.evaluation.cases import DIAMETER, Annotations, Predictions, equivalent_diameter_mm
from scripts.evaluation.matching import Matched
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section
from scripts.evaluation.statistics import ratio_interval

SINGLE_PIXEL, UNKNOWN = "single pixel", "unknown"
STRATUM_FIELDS = (
    *("by", "stratum", "images", "annotated", "tp", "tpr", "tpr_low", "tpr_high"),
    *("fp", "fp_per_cm2", "fp_per_cm2_low", "fp_per_cm2_high"),
)


@dataclass(frozen=True)
class StrataSection(Section):
    """TPR at the operating threshold in bins of values of the objects, and by every value of the images.

    False positives are counted by those values that predictions have, too.
    """

    #: {"diameter_mm", or a measured value such as "contrast_to_noise", "gap_px", "neighbours": ascending edges of bins}
    edges: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        for edges in self.edges.values():
            bin_names(edges)

    @property
    def needs(self) -> Sequence[str]:
        """Names of the measured values that it reads."""
        return tuple(self.edges)

    def results(self, scored: ScoredSet) -> Results:
        """`strata`, strata.csv."""
        rows, images = [], scored.operating
        for name, edges in self.edges.items():
            values, false = [], []
            for matched in images:
                case, wrong = matched.case, matched.false_positive
                values.append(_values(case.annotations, case.object_values, name, case.spacing_mm))
                predicted = _values(case.predictions, case.prediction_values, name, case.spacing_mm)
                false.append((predicted[wrong], case.predictions.area_px[wrong]))
            known = name == DIAMETER or all(name in matched.case.prediction_values for matched in images)
            rows += sensitivity_by_object(images, values, edges, scored.weights, name, false if known else None)
        for name in scored.cases[0].image_values if scored.cases else ():
            names = [case.image_values[name] for case in scored.cases]
            rows += sensitivity_by_image(names, scored.rows, scored.weights, name)
        return Results({"strata": rows}, {"strata.csv": (STRATUM_FIELDS, rows)})


def bin_names(edges: Sequence[float]) -> list[str]:
    """Names of the bins (-inf, e0), [e0, e1), ..., [e_last, inf)."""
    check("edges", list(edges), len(edges) and (np.diff(edges) > 0).all(), "one or more ascending numbers")
    ends = [f"{edge:g}" for edge in edges]
    inner = [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
    return [f"below {ends[0]}", *inner, f"{ends[-1]} or more"]


def bins_of(values: np.ndarray, area_px: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Place of each object: 0 of one pixel, then those of `bin_names`, last values that are not known (NaN)."""
    values = np.asarray(values, np.float64)
    place = np.searchsorted(edges, values, side="right") + 1 + np.isnan(values)  # NaN comes after all edges
    return np.where(np.asarray(area_px) == 1, 0, place)


def sensitivity_by_object(
    images: Sequence[Matched],
    values: Sequence[np.ndarray],
    edges: Sequence[float],
    weights: np.ndarray,
    by: str,
    false_positives: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
) -> list[dict[str, Any]]:
    """TPR in bins of a value of the annotated objects, and false positives in bins of their own: rows under
    `STRATUM_FIELDS` of "single pixel", the bins in order, and "unknown" when there is any.

    `values` are per image float (annotations,) of the value called `by`, NaN is "unknown"; `false_positives` per image
    the value and the area in px of every one, None leaves `fp` out; `weights` (samples, images) are from
    `bootstrap_weights`. The breast has no part that belongs to a bin, so there is no rate of false positives.
    """
    names = [SINGLE_PIXEL, *bin_names(edges), UNKNOWN]
    annotated, hit, wrong = np.zeros((3, len(images), len(names)), np.int64)
    for i, (matched, value) in enumerate(zip(images, values, strict=True)):
        place = bins_of(value, matched.case.annotations.area_px, edges)
        annotated[i] = np.bincount(place, minlength=len(names))
        hit[i] = np.bincount(place[matched.hit], minlength=len(names))
    for i, found in enumerate(false_positives or ()):
        wrong[i] = np.bincount(bins_of(*found, edges), minlength=len(names))
    rows = []
    for name, total, some, false in zip(names, annotated.T, hit.T, wrong.T, strict=True):
        if name != UNKNOWN or total.any() or false.any():
            row = _row(by, name, int((total > 0).sum()), total, some, weights)
            rows.append(row if false_positives is None else row | {"fp": int(false.sum())})
    return rows


def sensitivity_by_image(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], weights: np.ndarray, by: str
) -> list[dict[str, Any]]:
    """TPR and FP per cm^2 in groups of images: rows under `STRATUM_FIELDS`, one per name in alphabetical order.

    `names` has the stratum, called `by`, of each image, "" is "unknown"; `rows` are the images' (`tables.case_row`).
    """
    named = np.array([name or UNKNOWN for name in names], dtype=str)
    keys = ("annotated", "tp", "fp", "breast_cm2")
    columns = np.array([[row[key] for row in rows] for key in keys], np.float64)
    found = []
    for name in np.unique(named):
        here = named == name
        annotated, tp, fp, area = columns * here
        row, rate = _row(by, str(name), int(here.sum()), annotated, tp, weights), ratio_interval(fp, area, weights)
        row |= {"fp": int(fp.sum()), "fp_per_cm2": rate.value}
        found.append(row | {"fp_per_cm2_low": rate.low, "fp_per_cm2_high": rate.high})
    return found


def _row(by: str, name: str, images: int, annotated: np.ndarray, tp: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    counts = (images, int(annotated.sum()), int(tp.sum()))
    return dict(zip(STRATUM_FIELDS, (by, name, *counts, *ratio_interval(tp, annotated, weights)[:3]), strict=False))


def _values(
    objects: Annotations | Predictions, measured: Mapping[str, np.ndarray], name: str, spacing_mm: Spacing
) -> np.ndarray:
    """Values of all objects; NaN where they were not measured."""
    if name == DIAMETER:
        return equivalent_diameter_mm(objects.area_px, spacing_mm)
    return measured.get(name, np.full(len(objects), np.nan))
