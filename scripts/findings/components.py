"""The slim FCN paper's objects: the connected components of a thresholded probability map (arXiv 2102.00811)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scripts.common.objects import label_objects
from scripts.findings.forming import Scene, ScoredObjects


@dataclass(frozen=True)
class ComponentObjects:
    """Components of {probability >= threshold}; they change with the threshold: two may join, one may grow.

    So there is no list of objects that only needs to be cut at a score: an evaluation forms them anew at each of
    `thresholds`.

    Attributes:
        map: number of the network's map, from 0.
        steps: number of thresholds of an evaluation, evenly spaced in logits.
        lowest: the lowest of them, in (0, 0.5); the highest is 1 - lowest.
    """

    map: int = 0
    steps: int = 80
    lowest: float = 0.001
    own_threshold: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"steps: got {self.steps}; want 2 or more")
        if not 0 < self.lowest < 0.5:
            raise ValueError(f"lowest: got {self.lowest}; want a value in (0, 0.5)")

    @property
    def thresholds(self) -> np.ndarray:
        """Thresholds of an evaluation, float64 (steps,), descending."""
        reach = np.log((1 - self.lowest) / self.lowest)
        return 1 / (1 + np.exp(-np.linspace(reach, -reach, self.steps)))

    def form(self, scene: Scene, score_threshold: float) -> ScoredObjects:
        """The components at a threshold; below `lowest` those at `lowest`. A score is the largest probability."""
        return components(scene.map(self.map), max(score_threshold, self.lowest), scene.within)


def components(probability: np.ndarray, threshold: float, within: np.ndarray | None = None) -> ScoredObjects:
    """The 8-connected components of {probability >= threshold}.

    Args:
        probability: float (rows, cols), [0, 1].
        threshold: in (0, 1].
        within: bool (rows, cols); objects are restricted to it.
    """
    mask = probability >= threshold
    if within is not None:
        mask &= within
    labels, count = label_objects(mask)
    scores = np.zeros(count + 1, np.float32)
    pixels = np.flatnonzero(labels)
    np.maximum.at(scores, labels.ravel()[pixels], probability.ravel()[pixels].astype(np.float32))
    return ScoredObjects(labels, scores, probability)
