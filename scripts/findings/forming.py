"""Forming objects: from a network's output, or from the image itself, to scored objects.

A way is a frozen dataclass of its parameters with one method, `form`. The config key `objects` holds one:

    peaks.PeakObjects            around the peaks of a map (default)
    combining.CandidateObjects   HDoG candidates that a map supports (HDoGReg's paper)
    components.ComponentObjects  components of a thresholded map (the slim FCN's paper)
    baselines.*                  HDoG alone, morphology, discs around classified candidates
"""

from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch

from scripts.common.checks import check
from scripts.common.tensors import Spacing


class Scene(NamedTuple):
    """What objects are formed from."""

    image: np.ndarray  # float32 (rows, cols), [0, 1]
    logits: np.ndarray  # float32 (maps, rows, cols), the network's output; not used by methods without a network
    within: np.ndarray | None  # bool (rows, cols); objects are restricted to it; None: everywhere
    spacing_mm: Spacing

    def map(self, number: int) -> np.ndarray:
        """One of the network's maps as probabilities, float32 (rows, cols)."""
        maps = len(self.logits)
        check("map", number, 0 <= number < maps, f"one of the network's {maps} maps, from 0")
        return sigmoid(self.logits[number])


class ScoredObjects(NamedTuple):
    """Objects and how sure a method is of them."""

    labels: np.ndarray  # int32 (rows, cols), 0 background, else numbers; numbers may have gaps
    #: float32 (n + 1,), the score of object i at index i, [0, 1]: the highest threshold that keeps it
    scores: np.ndarray
    map: np.ndarray  # float32 (rows, cols), [0, 1], what the scores come from


class Objects(Protocol):
    """A way of forming objects."""

    #: The score threshold of a method whose own output is a mask (0: all of its objects); None for methods that only
    #: order objects.
    own_threshold: ClassVar[float | None]

    def form(self, scene: Scene, score_threshold: float) -> ScoredObjects:
        """The objects with a score of at least `score_threshold`; 0 gives every one there is."""


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits, float32, computed as PyTorch does."""
    return torch.sigmoid(torch.from_numpy(np.ascontiguousarray(logits, np.float32))).numpy()


def keep_objects(labels: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Labels without the objects whose score is below a threshold; labels and scores as in `ScoredObjects`."""
    keep = scores >= threshold
    keep[0] = False
    if keep[1:].all():
        return labels
    return np.where(keep, np.arange(keep.size), 0).astype(labels.dtype)[labels]
