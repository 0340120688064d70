"""From maps to objects: HDoGReg's overlap combining and the slim FCN's thresholded components.

HDoGReg (section III-C, corrected in docs/methods.md): a candidate object is kept in its entirety when the share of its
pixels that lie in the region mask {P >= p_thr} exceeds o_thr. The score of an object is the highest p_thr at which
it is still kept, so one pass gives every operating point.
"""

from __future__ import annotations

import numpy as np

from scripts.common.objects import fill_holes, label_objects


def overlap_scores(labels: np.ndarray, proximity: np.ndarray, overlap_fraction: float) -> np.ndarray:
    """Highest proximity threshold at which each object is still kept.

    An object of n pixels is kept at threshold v when more than `overlap_fraction` * n of its pixels have P >= v. With
    the pixels in descending order that is the value at 1-based place floor(overlap_fraction * n) + 1.

    Args:
        labels: int (rows, cols), 0 background, 1..n objects.
        proximity: float (rows, cols), [0, 1].
        overlap_fraction: o_thr, in [0, 1).

    Returns:
        float32 (n + 1,): score of object i at index i; index 0 (background) is 0.
    """
    if not 0 <= overlap_fraction < 1:
        raise ValueError(f"overlap_fraction: got {overlap_fraction}, want a value in [0, 1)")
    if labels.shape != proximity.shape:
        raise ValueError(f"labels {labels.shape} and proximity {proximity.shape} must have the same shape")
    pixels = np.flatnonzero(labels != 0)
    values, p = labels.ravel()[pixels], proximity.ravel()[pixels].astype(np.float32)
    scores = np.zeros(int(values.max()) + 1 if values.size else 1, np.float32)
    # One number per pixel that sorts by object, then by descending P: the bits of a float >= 0 ascend as it does.
    keys = np.sort((values.astype(np.uint64) << 32) | ~np.abs(p).view(np.uint32))
    p = (~keys.astype(np.uint32)).view(np.float32)
    area = np.bincount(values, minlength=scores.size)
    objects = np.flatnonzero(area)
    area = area[objects]
    first = np.cumsum(area) - area
    # a tiny slack keeps exact products such as 0.3 * 10 from falling to the wrong side in floating point
    place = np.floor(overlap_fraction * area + 1e-9).astype(np.int64)
    scores[objects] = p[first + place]
    return scores


def combine(
    candidates: np.ndarray,
    proximity: np.ndarray,
    *,
    proximity_threshold: float,
    overlap_fraction: float,
    within: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the candidate objects that the network's region mask supports, whole, with holes filled.

    Args:
        candidates: bool (rows, cols), the HDoG candidate mask.
        proximity: float (rows, cols), [0, 1], the network's proximity map.
        proximity_threshold: p_thr in [0, 1]; region mask = proximity >= p_thr.
        overlap_fraction: o_thr; more than this share of an object must lie in the region mask.
        within: bool (rows, cols), the eroded breast mask; both masks are restricted to it first.

    Returns:
        labels int32 (rows, cols), kept objects with their candidate numbers, and scores float32 (n + 1,) of all
        candidates, index = number.
    """
    if within is not None:
        candidates = candidates & within
    labels, count = label_objects(candidates)
    scores = np.zeros(count + 1, np.float32)
    found = overlap_scores(labels, proximity, overlap_fraction)
    scores[: found.size] = found
    labels, scores = keep_objects(labels, scores, threshold=proximity_threshold)
    return fill_holes(labels), scores


def keep_objects(labels: np.ndarray, scores: np.ndarray, *, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Erase the objects whose score is below a threshold.

    Args:
        labels: int32 (rows, cols), 0 background, else numbers.
        scores: float32 (n + 1,), index = number.
        threshold: in [0, 1].

    Returns:
        labels without them, and the scores as they were.
    """
    keep = scores >= threshold
    keep[0] = False
    return np.where(keep, np.arange(keep.size), 0).astype(labels.dtype)[labels], scores


def threshold_objects(
    probability: np.ndarray, *, probability_threshold: float, within: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Slim FCN: the connected components of {probability >= threshold}.

    Args:
        probability: float (rows, cols), [0, 1].
        probability_threshold: in [0, 1].
        within: bool (rows, cols); objects are restricted to it.

    Returns:
        labels int32 (rows, cols) and scores float32 (n + 1,): the largest probability within each object, that is
        the highest threshold at which anything of it is left.
    """
    mask = probability >= probability_threshold
    if within is not None:
        mask &= within
    labels, count = label_objects(mask)
    scores = np.zeros(count + 1, np.float32)
    pixels = np.flatnonzero(labels != 0)
    np.maximum.at(scores, labels.ravel()[pixels], probability.ravel()[pixels].astype(np.float32))
    return labels, scores
