"""Scores as probabilities: a rising curve from a method's score to the share of such marks that are MCs.

It is fitted on a validation set, stands with the presets as plain numbers, and never replaces a score: thresholds,
presets and rankings are of the score, and a probability holds for images with as many MCs as the validation set's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from scripts.common.checks import check


@dataclass(frozen=True)
class Calibration:
    """A piecewise linear curve through (score, probability); beyond its ends it is level."""

    scores: tuple[float, ...]  # ascending, [0, 1]
    probabilities: tuple[float, ...]  # not falling, [0, 1]

    def __post_init__(self) -> None:
        for name in ("scores", "probabilities"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
            values = np.array(getattr(self, name))
            inside = values.size > 0 and bool(((values >= 0) & (values <= 1)).all())
            check(name, values.tolist(), inside and bool((np.diff(values) >= 0).all()), "numbers in [0, 1] that rise")
        sizes = len(self.scores), len(self.probabilities)
        check("scores, probabilities", sizes, sizes[0] == sizes[1], "as many of one as of the other")

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores, float64."""
        return np.interp(scores, self.scores, self.probabilities)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"scores": list(self.scores), "probabilities": list(self.probabilities)}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Calibration":
        """From what `as_json` gave."""
        return cls(tuple(content["scores"]), tuple(content["probabilities"]))


def fit_calibration(scores: np.ndarray, positive: np.ndarray) -> Calibration:
    """Isotonic regression of whether marks are MCs, bool (n,), on their scores in [0, 1] (n,).

    The curve is level within each pooled block and linear between blocks, as scikit-learn's `IsotonicRegression`.
    ValueError without marks.
    """
    check(
        "scores", len(scores), len(scores) > 0 and len(scores) == len(positive), "a score for each of 1 or more marks"
    )
    values, place, count = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    share = np.bincount(place, np.asarray(positive, np.float64)) / count
    fitted = np.asarray(isotonic_regression(share, weights=count).x)
    first = np.flatnonzero(np.diff(fitted, prepend=-1) > 0)
    last = np.append(first[1:] - 1, fitted.size - 1)
    knots = np.unique(np.concatenate([first, last]))
    return Calibration(tuple(values[knots].tolist()), tuple(np.clip(fitted[knots], 0, 1).tolist()))
