"""Do two readers, or a reader and an algorithm, agree: index of specific agreement and Cohen's kappa.

Both start from matched objects. Kappa also needs units on which both agree that nothing is there; here these are the
cells of a grid over the breast. Definitions: docs/metrics.md.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scripts.common.checks import check
from scripts.common.labels import IGNORE
from scripts.common.objects import Spacing
from scripts.evaluation.cases import Annotations, CaseScores, Cells, HitRule, Predictions, annotated_objects, score_case
from scripts.evaluation.matching import GREEDY, Matched, match_case
from scripts.evaluation.statistics import interval, ratio_interval


def specific_agreement(tp: float, fp: float, fn: float) -> float:
    """2 TP / (2 TP + FP + FN), in [0, 1]: the same whichever reader comes first. NaN when nobody marked anything."""
    total = 2 * tp + fp + fn
    return 2 * tp / total if total else math.nan


def cohen_kappa(table: np.ndarray) -> np.ndarray:
    """Cohen's kappa of tables (..., 4): units that both marked, the first alone, the second alone, neither.

    (...,), at most 1; NaN without units, and where chance agreement is complete (both mark every unit, or none).
    """
    both, first, second, neither = np.moveaxis(np.asarray(table, np.float64), -1, 0)
    total = both + first + second + neither
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (both + neither) / total
        chance = ((both + first) * (both + second) + (second + neither) * (first + neither)) / total**2
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)


def make_cells(counted: np.ndarray, spacing_mm: Spacing, side_mm: float) -> Cells:
    """Lay square cells of `side_mm` (at least a pixel's) over an image from its first pixel on; `counted` is the breast
    without ignore regions, bool (rows, cols).
    """
    check("side_mm", side_mm, side_mm >= max(spacing_mm), f"at least the pixel spacing {spacing_mm}")
    sums, sizes = counted.astype(np.int64), []
    for axis, (length, step) in enumerate(zip(counted.shape, spacing_mm, strict=True)):
        cell = _cell(np.arange(length), step, side_mm)
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        sums = np.add.reduceat(sums, starts, axis=axis)
        sizes.append(np.bincount(cell))
    return Cells(side_mm, 2 * sums > np.multiply.outer(*sizes))


def cell_table(matched: Matched) -> np.ndarray:
    """Cells that both marked, the first alone, the second alone, neither; int (4,). The image has cells.

    A cell is marked by an object whose centroid lies in it. A prediction that is matched marks the cell of its
    partner, so that a border between cells does not part them. Objects in cells that do not count are left out.
    """
    case = matched.case
    if case.cells is None:
        raise ValueError(f"case {case.case_id}: got no cells; want them made by make_cells")
    inside = case.cells.inside
    first, second = np.zeros((2, *inside.shape), bool)
    annotated = _cells_of(case, case.annotations)
    first[annotated] = True
    second[tuple(axis[matched.hit] for axis in annotated)] = True
    second[tuple(axis[matched.false_positive] for axis in _cells_of(case, case.predictions))] = True
    neither_to_both = np.bincount(2 * first[inside] + second[inside], minlength=4)
    return neither_to_both[[3, 2, 1, 0]]


def agreement(
    cases: Sequence[CaseScores], threshold: float, weights: np.ndarray, matching: str = GREEDY
) -> dict[str, Any]:
    """`pooled_agreement` of scored images, matched at a threshold."""
    return pooled_agreement([match_case(case, threshold, matching) for case in cases], weights)


def pooled_agreement(images: Sequence[Matched], weights: np.ndarray) -> dict[str, Any]:
    """Agreement of the annotation ("first") with the predictions of matched images, pooled, with 95 % intervals:
    {"specific_agreement": Interval, "kappa": Interval or None without cells, "cells": {"both", "first", "second",
    "neither", "side_mm"} or None}. `weights` (samples, images) are from `bootstrap_weights`.
    """
    twice = np.array([2 * m.hit.sum() for m in images], np.float64)
    marked = np.array([m.hit.size + m.kept.sum() for m in images], np.float64)
    found: dict[str, Any] = {"specific_agreement": ratio_interval(twice, marked, weights), "kappa": None, "cells": None}
    sides = {m.case.cells.side_mm for m in images if m.case.cells is not None}
    if images and len(sides) == 1 and all(m.case.cells is not None for m in images):
        tables = np.stack([cell_table(m) for m in images])
        found["kappa"] = interval(float(cohen_kappa(tables.sum(0))), cohen_kappa(weights @ tables))
        names = ("both", "first", "second", "neither")
        found["cells"] = dict(zip(names, tables.sum(0).tolist(), strict=True)) | {"side_mm": sides.pop()}
    return found


def reader_case(
    first: np.ndarray,
    second: np.ndarray,
    breast: np.ndarray,
    spacing_mm: Spacing,
    rule: HitRule | None = None,
    cell_mm: float = 2.0,
    case_id: str = "",
    patient: str = "",
) -> CaseScores:
    """Two readers' labels of an image as a scored image: the second one's objects are predictions of score 1.

    What either reader ignores counts for neither: an object with more than half of its pixels in the other one's
    ignore region is left out. `first` and `second` are labels (rows, cols), 0 background, 1 MC, 2 ignore; `cell_mm` is
    the side of the cells of kappa, the rest as in `score_case`.
    """
    check("first, second", (first.shape, second.shape), first.shape == second.shape, "one shape")
    objects, ignored = annotated_objects(first), second == IGNORE
    count = int(objects.max(initial=0)) + 1
    area, lost = (np.bincount(numbers, minlength=count) for numbers in (objects.ravel(), objects[ignored]))
    gone = (2 * lost > area)[objects] & (objects > 0)
    label = np.where(gone | (ignored & (objects == 0)), IGNORE, first)
    instances = annotated_objects(second)
    scores = np.ones(int(instances.max(initial=0)) + 1)
    case = score_case(label, instances, scores, breast, spacing_mm, rule, case_id, patient)
    return with_cells(case, label, breast, cell_mm)


def with_cells(case: CaseScores, label: np.ndarray, breast: np.ndarray, cell_mm: float) -> CaseScores:
    """The same scored image with cells of `cell_mm`."""
    return replace(case, cells=make_cells(breast & (label != IGNORE), case.spacing_mm, cell_mm))


def _cell(place: np.ndarray, spacing_mm: float, side_mm: float) -> np.ndarray:
    """Cell of a pixel place (centres at integers, the first pixel begins at -0.5)."""
    return np.floor((place + 0.5) * spacing_mm / side_mm + 1e-9).astype(np.int64)


def _cells_of(case: CaseScores, objects: Annotations | Predictions) -> tuple[np.ndarray, np.ndarray]:
    assert case.cells is not None
    row, col = (
        np.minimum(_cell(place, step, case.cells.side_mm), count - 1)
        for place, step, count in zip((objects.row, objects.col), case.spacing_mm, case.cells.inside.shape, strict=True)
    )
    return row, col
