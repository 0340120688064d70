"""Sensitivity by stratum: by a value of the annotated object (diameter, contrast to noise), or of the image (density).

Objects of one pixel are mostly point annotations whose size and contrast mean nothing: they are a stratum of their own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.common.objects import Spacing
from scripts.evaluation.matching import Matched
from scripts.evaluation.statistics import ratio_interval

SINGLE_PIXEL, UNKNOWN = "single pixel", "unknown"
DIAMETER = "diameter_mm"
STRATUM_FIELDS = (
    *("by", "stratum", "images", "annotated", "tp", "tpr", "tpr_low", "tpr_high"),
    *("fp", "fp_per_cm2", "fp_per_cm2_low", "fp_per_cm2_high"),
)
SIZE_FIELDS = ("diameter_mm", "low", "high", "annotated", "predicted", "true_positive", "false_positive")


def equivalent_diameter_mm(area_px: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Diameter in mm of the circle of the same area."""
    return 2 * np.sqrt(np.asarray(area_px) * (spacing_mm[0] * spacing_mm[1] / math.pi))


def bin_names(edges: Sequence[float]) -> list[str]:
    """Names of the bins (-inf, e0), [e0, e1), ..., [e_last, inf).

    Raises:
        ValueError: no edges, or they do not ascend.
    """
    if not len(edges) or (np.diff(edges) <= 0).any():
        raise ValueError(f"edges: got {list(edges)}, want one or more ascending numbers")
    ends = [f"{edge:g}" for edge in edges]
    inner = [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
    return [f"below {ends[0]}", *inner, f"{ends[-1]} or more"]


def sensitivity_by_object(
    images: Sequence[Matched],
    values: Sequence[np.ndarray],
    edges: Sequence[float],
    weights: np.ndarray,
    by: str,
    false_positives: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
) -> list[dict[str, Any]]:
    """TPR in bins of a value of the annotated objects, and false positives in bins of their own.

    Args:
        images: matched at a threshold.
        values: per image float (annotations,); NaN is "unknown".
        edges: bins are [edge, next edge); a value below all edges and one from the last edge on have bins too.
        weights: (samples, images) from `bootstrap_weights`.
        by: name of the value.
        false_positives: per image the value and the area in px of every false positive; None leaves `fp` out.

    Returns:
        Rows under `STRATUM_FIELDS`: "single pixel", the bins in order, and "unknown" when there is any. The breast has
        no part that belongs to a bin, so there is no rate of false positives.
    """
    names = [SINGLE_PIXEL, *bin_names(edges), UNKNOWN]
    annotated, hit, wrong = (np.zeros((len(images), len(names)), np.int64) for _ in range(3))

    def places(value: np.ndarray, area_px: np.ndarray) -> np.ndarray:
        value = np.asarray(value, np.float64)
        place = np.where(np.isnan(value), len(names) - 1, np.searchsorted(edges, value, side="right") + 1)
        return np.where(np.asarray(area_px) == 1, 0, place)

    for i, (matched, value) in enumerate(zip(images, values, strict=True)):
        place = places(value, matched.case.annotations.area_px)
        annotated[i] = np.bincount(place, minlength=len(names))
        hit[i] = np.bincount(place[matched.hit], minlength=len(names))
    for i, found in enumerate(false_positives or ()):
        wrong[i] = np.bincount(places(*found), minlength=len(names))
    rows = []
    for name, total, some, false in zip(names, annotated.T, hit.T, wrong.T, strict=True):
        if name != UNKNOWN or total.any() or false.any():
            row = _row(by, name, int((total > 0).sum()), total, some, weights)
            rows.append(row if false_positives is None else row | {"fp": int(false.sum())})
    return rows


def sensitivity_by_image(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], weights: np.ndarray, by: str
) -> list[dict[str, Any]]:
    """TPR and FP per cm^2 in groups of images.

    Args:
        names: the stratum of each image; "" is "unknown".
        rows: per image, with "annotated", "tp", "fp" and "breast_cm2" (`tables.case_row`).
        weights: (samples, images) from `bootstrap_weights`.
        by: name of what the images are grouped by.

    Returns:
        Rows under `STRATUM_FIELDS`, one per name in alphabetical order.
    """
    named = np.array([name or UNKNOWN for name in names], dtype=str)
    columns = {key: np.array([row[key] for row in rows], np.float64) for key in ("annotated", "tp", "fp", "breast_cm2")}
    found = []
    for name in np.unique(named):
        here = named == name
        annotated, tp, fp, area = (values * here for values in columns.values())
        row = _row(by, str(name), int(here.sum()), annotated, tp, weights)
        rate = ratio_interval(fp, area, weights)
        row |= {"fp": int(fp.sum()), "fp_per_cm2": rate.value}
        found.append(row | {"fp_per_cm2_low": rate.low, "fp_per_cm2_high": rate.high})
    return found


def size_histogram(images: Sequence[Matched], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Annotated and predicted objects by equivalent diameter: the data of a figure.

    Args:
        images: matched at a threshold.
        edges: of the bins, mm.

    Returns:
        Rows under `SIZE_FIELDS`: objects of one pixel first, whatever their size in mm, then the bins.
    """
    names = [SINGLE_PIXEL, *bin_names(edges)]
    counts = np.zeros((4, len(names)), np.int64)
    for matched in images:
        case = matched.case
        predicted = _size_bins(case.predictions.area_px, case.spacing_mm, edges)
        counts[0] += np.bincount(_size_bins(case.annotations.area_px, case.spacing_mm, edges), minlength=len(names))
        chosen = (matched.kept, matched.true_positive, matched.false_positive)
        for row, which in zip(counts[1:], chosen, strict=True):
            row += np.bincount(predicted[which], minlength=len(names))
    low, high = [math.nan, 0.0, *edges], [math.nan, *edges, math.nan]
    return [
        dict(zip(SIZE_FIELDS, (name, *row), strict=True))
        for name, *row in zip(names, low, high, *counts.tolist(), strict=True)
    ]


def _size_bins(area_px: np.ndarray, spacing_mm: Spacing, edges: Sequence[float]) -> np.ndarray:
    place = np.searchsorted(edges, equivalent_diameter_mm(area_px, spacing_mm), side="right") + 1
    return np.where(np.asarray(area_px) == 1, 0, place)


def _row(by: str, name: str, images: int, annotated: np.ndarray, tp: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    tpr = ratio_interval(tp, annotated, weights)
    return {
        "by": by,
        "stratum": name,
        "images": images,
        "annotated": int(annotated.sum()),
        "tp": int(tp.sum()),
        "tpr": tpr.value,
        "tpr_low": tpr.low,
        "tpr_high": tpr.high,
    }
