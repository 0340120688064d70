"""The slim FCN paper's objects: the connected components of a thresholded probability map (arXiv 2102.00811)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scripts.common.checks import check_fields
from scripts.common.objects import label_objects
from scripts.findings.forming import Scene, ScoredObjects


@dataclass(frozen=True)
class ComponentObjects:
    """Components of {probability >= threshold}; they change with the threshold: two may join, one may grow.

    So there is no list of objects that only needs to be cut at a score: an evaluation forms them anew at each of
    `thresholds`.
    """

    map: int = 0  # number of the network's map, from 0
    steps: int = 80  # number of thresholds of an evaluation, evenly spaced in logits
    lowest: float = 0.001  # the lowest of them, in (0, 0.5); the highest is 1 - lowest
    own_threshold: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        check_fields(self, steps="[2, inf)", lowest="(0, 0.5)")

    @property
    def thresholds(self) -> np.ndarray:
        """Thresholds of an evaluation, float64 (steps,), descending."""
        reach = np.log((1 - self.lowest) / self.lowest)
        return 1 / (1 + np.exp(-np.linspace(reach, -reach, self.steps)))

    def form(self, scene: Scene, score_threshold: float) -> ScoredObjects:
        """The components at a threshold; below `lowest` those at `lowest`. A score is the largest probability."""
        return components(scene.map(self.map), max(score_threshold, self.lowest), scene.within)


def components(probability: np.ndarray, threshold: float, within: np.ndarray | None = None) -> ScoredObjects:
    """The 8-connected components of {probability >= threshold}, both (rows, cols), restricted to a bool mask."""
    mask = probability >= threshold
    labels, count = label_objects(mask if within is None else mask & within)
    scores = np.zeros(count + 1, np.float32)
    pixels = np.flatnonzero(labels)
    np.maximum.at(scores, labels.ravel()[pixels], probability.ravel()[pixels].astype(np.float32))
    return ScoredObjects(labels, scores, probability)
