"""HDoGReg's overlap combining: whole HDoG candidates that a map supports.

A candidate is kept in its entirety when the share of its pixels that lie in the region mask {P >= p_thr} exceeds
o_thr. Its score is the highest p_thr at which it is still kept, so one pass gives every operating point. Source: arXiv
2102.00754, section III-C, corrected in docs/methods.md.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from scripts.candidates.hdog import HDoGParameters, hdog
from scripts.common.checks import check, check_fields
from scripts.common.objects import fill_holes, label_objects
from scripts.findings.forming import Scene, ScoredObjects, keep_objects


@dataclass(frozen=True)
class CandidateObjects:
    """HDoG candidates, kept whole where more than a share of their pixels has a high value in a map; holes filled."""

    map: int = 0  # number of the network's map that scores them, from 0 (the proximity map: the paper)
    hdog: HDoGParameters = field(default_factory=HDoGParameters)
    overlap_fraction: float = 0.3  # o_thr, in [0, 1)
    own_threshold: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        check_fields(self, overlap_fraction="[0, 1)")

    def candidates(self, image: np.ndarray, within: np.ndarray | None, spacing_mm: float) -> np.ndarray:
        """The candidate mask, bool (rows, cols), of a [0, 1] image of this row spacing."""
        return hdog(image, self.hdog.at(spacing_mm), within).mask

    def form(self, scene: Scene, score_threshold: float) -> ScoredObjects:
        """See `Objects`."""
        probability = scene.map(self.map)
        candidates = self.candidates(scene.image, scene.within, scene.spacing_mm[0])
        options = {"score_threshold": score_threshold, "overlap_fraction": self.overlap_fraction}
        return ScoredObjects(*combine(candidates, probability, **options), probability)


def overlap_scores(labels: np.ndarray, proximity: np.ndarray, overlap_fraction: float) -> np.ndarray:
    """Highest proximity threshold at which each object is still kept.

    An object of n pixels is kept at threshold v when more than `overlap_fraction` * n of its pixels have P >= v. With
    the pixels in descending order that is the value at 1-based place floor(overlap_fraction * n) + 1.

    Labels are int (rows, cols), 0 background, 1..n objects, the proximity float (rows, cols) in [0, 1]; of the scores,
    float32 (n + 1,), that of object i is at index i, and index 0 (background) is 0.
    """
    check("overlap_fraction", overlap_fraction, 0 <= overlap_fraction < 1, "a value in [0, 1)")
    check("proximity's shape", proximity.shape, labels.shape == proximity.shape, f"that of the labels, {labels.shape}")
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
    candidates: np.ndarray, proximity: np.ndarray, *, score_threshold: float, overlap_fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the candidate objects that the network's region mask supports, whole, with holes filled.

    Candidates are a bool mask (rows, cols), restricted to the eroded breast; the region mask is {proximity >=
    score_threshold}. Gives labels int32 (rows, cols), kept objects with their candidate numbers, and the
    `overlap_scores` of all candidates.
    """
    labels, _ = label_objects(candidates)
    scores = overlap_scores(labels, proximity, overlap_fraction)
    return fill_holes(keep_objects(labels, scores, score_threshold)), scores
