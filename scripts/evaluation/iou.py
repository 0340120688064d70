"""Intersection over union (IoU) of scored images, at any threshold, with every empty case defined: docs/metrics.md."""

from typing import NamedTuple

import numpy as np

from scripts.evaluation.cases import CaseScores


class ImageIoU(NamedTuple):
    """IoU of an image's pixels outside of ignore regions, each in [0, 1]."""

    foreground: float  # of the MC pixels
    background: float  # of all others
    mean: float  # (foreground + background) / 2, the paper's "mean IoU per image"


def best_iou(case: CaseScores, threshold: float) -> np.ndarray:
    """Best IoU (annotations,) of annotated objects with any prediction of score >= threshold; 0 where nothing overlaps.
    A prediction may be the best of several objects: this measures shapes, not detection.
    """
    best, pairs = np.zeros(len(case.annotations)), case.pairs
    kept = case.predictions.score[pairs.prediction] >= threshold
    np.maximum.at(best, pairs.annotation[kept], pairs.iou[kept])
    return best


def iou_per_object(case: CaseScores, threshold: float) -> np.ndarray:
    """Best IoU of the annotated objects larger than 1 px (the paper's footnote 2: not defined for single pixels)."""
    return best_iou(case, threshold)[case.annotations.area_px > 1]


def iou_per_image(case: CaseScores, threshold: float) -> ImageIoU:
    """IoU of foreground and background: 1 where truth and prediction are both empty (they agree), 0 if only one is."""
    kept, predictions = case.predictions.kept(threshold), case.predictions
    truth = int(case.annotations.area_px.sum())
    shared = int(predictions.truth_px[kept].sum())
    found = int(predictions.counted_px[kept].sum())
    union = truth + found - shared
    neither, outside = case.counted_px - union, case.counted_px - shared
    foreground = shared / union if union > 0 else 1.0
    background = neither / outside if outside > 0 else 1.0
    return ImageIoU(foreground, background, (foreground + background) / 2)
