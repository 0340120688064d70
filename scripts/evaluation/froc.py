"""Free-response operating characteristic (FROC): hits against false positives, at every distinct score.

True-positive rate (TPR) = annotated objects hit / annotated objects, false positives (FP) = predictions - hits, both
pooled over the images; FP are given per cm^2 of breast and per image. The curve is a step function: what holds at a
rate between two points is the point before it. Source: arXiv 2102.00754, section III-D, and docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.evaluation.cases import CaseScores
from scripts.evaluation.matching import GREEDY, gains

#: 4 FP on an area summed to 9.999999999 cm^2 do not exceed a rate of 0.4.
ROUNDING = 1e-9
#: what false positives are counted per
CM2, IMAGE = "cm2", "image"
#: Points that a curve with an end is tried with first.
FIRST_POINTS = 4096


@dataclass(frozen=True, eq=False)
class Froc:
    """A curve. Arrays have one entry per point, thresholds descending.

    The first point is the empty one: threshold infinity, no prediction. The last is the lowest score of all.

    Attributes:
        threshold: predictions with score >= threshold take part.
        tp, fp: hits and false positives.
        tpr: in [0, 1]; NaN without annotated objects.
        fp_per_cm2, fp_per_image: NaN when there is no breast area, or no image.
    """

    threshold: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    tpr: np.ndarray
    fp_per_cm2: np.ndarray
    fp_per_image: np.ndarray

    def tpr_at(self, fp_rate: float | np.ndarray, per: str = CM2) -> np.ndarray:
        """Largest TPR whose FP rate does not exceed the given rates; no interpolation.

        Args:
            fp_rate: FP rates.
            per: what they are per, "cm2" (of breast) or "image".
        """
        rates, place = np.asarray(fp_rate, np.float64), self._place(fp_rate, per)
        return np.full(rates.shape, np.nan) if place is None else np.where(rates >= 0, self.tpr[place], np.nan)

    def threshold_at(self, fp_rate: float | np.ndarray, per: str = CM2) -> np.ndarray:
        """Lowest threshold whose FP rate does not exceed the given rates: where `tpr_at` reads its values.

        Infinity when even the highest score has more; NaN when rates are undefined.
        """
        rates, place = np.asarray(fp_rate, np.float64), self._place(fp_rate, per)
        return np.full(rates.shape, np.nan) if place is None else np.where(rates >= 0, self.threshold[place], np.nan)

    def _place(self, fp_rate: float | np.ndarray, per: str) -> np.ndarray | None:
        """Index of the last point within each rate; None when rates are undefined."""
        fp = self.fp_rate(per)
        if np.isnan(fp).any():
            return None
        asked = np.asarray(fp_rate, np.float64) * (1 + ROUNDING)
        return np.maximum(np.searchsorted(fp, asked, side="right") - 1, 0)

    def pauc(self, fp_limit: float = 1.0, per: str = CM2) -> float:
        """Area under the step function for 0..fp_limit FP per cm^2 (or image), divided by fp_limit: in [0, 1].

        Beyond its last point the curve goes on at that point's TPR: there is nothing left to add.
        """
        if not fp_limit > 0:
            raise ValueError(f"fp_limit: got {fp_limit}, want a value above 0")
        fp = self.fp_rate(per)
        if np.isnan(fp).any():
            return float("nan")
        widths = np.diff(np.minimum(np.append(fp, np.inf), fp_limit))
        return float((widths * self.tpr).sum() / fp_limit)

    def fp_rate(self, per: str = CM2) -> np.ndarray:
        """FP per "cm2" of breast or per "image"."""
        if per not in (CM2, IMAGE):
            raise ValueError(f"per: got {per!r}, want {CM2!r} or {IMAGE!r}")
        return self.fp_per_cm2 if per == CM2 else self.fp_per_image

    def nearest_to_ideal(self) -> int | None:
        """Index of the paper's operating point: the point nearest to (0 FP per cm^2, TPR 1).

        Of equally near points the one with the highest threshold. The empty point is no operating point. None when
        there is no prediction, or a rate is undefined.
        """
        distance = np.hypot(self.fp_per_cm2[1:], 1 - self.tpr[1:])
        return None if not distance.size or np.isnan(distance).any() else int(np.argmin(distance)) + 1

    def lowest_within(self, fp_per_cm2: float) -> int | None:
        """Index of the lowest threshold whose FP per cm^2 does not exceed the given rate; None when there is none."""
        within = np.flatnonzero(self.fp_per_cm2[1:] <= fp_per_cm2 * (1 + ROUNDING))
        return int(within[-1]) + 1 if within.size else None

    def corners(self) -> np.ndarray:
        """Indices of the points that the step function is made of: those before and after a rise, first and last."""
        rises = np.flatnonzero(np.diff(self.tp) > 0)
        return np.unique(np.concatenate([[0], rises, rises + 1, [self.tp.size - 1]]))


class FrocTable:
    """All counted predictions of all images, sorted once; each bootstrap sample is two cumulative sums.

    Args:
        cases: the scored images.
        matching: "greedy" or "optimal".
    """

    def __init__(self, cases: Sequence[CaseScores], matching: str = GREEDY) -> None:
        self.annotated = np.array([len(case.annotations) for case in cases], np.int64)
        self.breast_cm2 = np.array([case.breast_cm2 for case in cases], np.float64)
        walks = [gains(case, matching) for case in cases]
        #: per image: highest threshold at which each annotated object is hit; -inf for never
        self.hit_from = []
        for case, (order, gained) in zip(cases, walks, strict=True):
            hit_from = np.full(len(case.annotations), -np.inf)
            hit_from[gained[gained >= 0]] = case.predictions.score[order[gained >= 0]]
            self.hit_from.append(hit_from)
        empty = [np.zeros(0)]
        score = np.concatenate([case.predictions.score[o] for case, (o, _) in zip(cases, walks, strict=True)] + empty)
        hit = np.concatenate([gained for _, gained in walks] + empty) >= 0
        self._sort(score, np.repeat(np.arange(len(cases)), np.array([o.size for o, _ in walks], np.int64)), hit)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> FrocTable:
        """A table from what `arrays` gave. It has no `hit_from`."""
        table = cls([])
        table.annotated, table.breast_cm2 = arrays["annotated"], arrays["breast_cm2"]
        table._sort(arrays["score"], arrays["case"], arrays["hit"])
        return table

    def arrays(self) -> dict[str, np.ndarray]:
        """All that the curve of any sample needs.

        Returns:
            {"score", "case", "hit"}: per counted prediction, scores descending; {"annotated", "breast_cm2"}: per image.
        """
        return {
            "score": self._score,
            "case": self._case,
            "hit": self._hit,
            "annotated": self.annotated,
            "breast_cm2": self.breast_cm2,
        }

    def _sort(self, score: np.ndarray, case: np.ndarray, hit: np.ndarray) -> None:
        order = np.argsort(-score, kind="stable")
        self._score, self._case, self._hit = score[order], case[order], hit[order]
        self._ends = np.flatnonzero(np.append(np.diff(self._score) != 0, [True] * bool(score.size)))
        self._threshold = np.append(np.inf, self._score[self._ends])

    def curve(self, weights: np.ndarray | None = None, until: Mapping[str, float] | None = None) -> Froc:
        """The FROC curve.

        Args:
            weights: int (cases,), how often each image is in the sample; None takes each once.
            until: {CM2 or IMAGE: rate} to end at a point beyond all these rates, where the many predictions of low
                score are not worth their time: up to the rates nothing changes. None gives the whole curve.
        """
        weights = np.ones(self.annotated.size, np.int64) if weights is None else np.asarray(weights)
        if weights.shape != self.annotated.shape:
            raise ValueError(f"weights: got shape {weights.shape}, want one per image {self.annotated.shape}")
        size = self._ends.size if until is None else min(self._ends.size, FIRST_POINTS)
        curve = self._points(weights, size)
        while until is not None and size < self._ends.size and not _beyond(curve, until):
            size = min(self._ends.size, 4 * size)
            curve = self._points(weights, size)
        return curve

    def _points(self, weights: np.ndarray, size: int) -> Froc:
        """The empty point and the first `size` others."""
        ends = self._ends[:size]
        rows = int(ends[-1]) + 1 if size else 0
        each, hit = weights[self._case[:rows]], self._hit[:rows]
        tp, fp = (np.append(0, np.cumsum(each * kind)[ends]) for kind in (hit, ~hit))
        return Froc(
            threshold=self._threshold[: size + 1],
            tp=tp,
            fp=fp,
            tpr=rate(tp, weights @ self.annotated),
            fp_per_cm2=rate(fp, weights @ self.breast_cm2),
            fp_per_image=rate(fp, weights.sum()),
        )


def _beyond(curve: Froc, until: Mapping[str, float]) -> bool:
    """Whether the last point has more false positives than each rate; never where a rate is undefined."""
    return all(curve.fp_rate(per)[-1] > rate * (1 + 2 * ROUNDING) for per, rate in until.items())


def froc(cases: Sequence[CaseScores], matching: str = GREEDY) -> Froc:
    """The FROC curve of a set of scored images (see `FrocTable` for bootstrapping)."""
    return FrocTable(cases, matching).curve()


def choose_presets(
    curve: Froc, sensitive_fp_per_cm2: float = 1.0, specific_fp_per_cm2: float = 0.1
) -> dict[str, dict[str, Any]]:
    """Operating thresholds for three uses, from the curve of a validation set.

    Args:
        curve: FROC of the validation set.
        sensitive_fp_per_cm2: "sensitive" is the lowest threshold with no more FP per cm^2.
        specific_fp_per_cm2: "specific" likewise.

    Returns:
        {"sensitive", "balanced", "specific"}: each {"threshold", "tpr", "fp_per_cm2", "fp_per_image",
        "within_limit"}. "balanced" is the paper's point nearest to (0, 1). When even the highest score has too
        many FP, it is given with "within_limit" false.

    Raises:
        ValueError: there is no prediction, no annotated object or no breast area to choose from.
    """
    balanced = curve.nearest_to_ideal()
    if balanced is None:
        raise ValueError("curve: got no predictions, annotated objects or breast area; want a labelled validation set")
    chosen = {
        "sensitive": curve.lowest_within(sensitive_fp_per_cm2),
        "balanced": balanced,
        "specific": curve.lowest_within(specific_fp_per_cm2),
    }
    return {name: point_of(curve, index or 1) | {"within_limit": index is not None} for name, index in chosen.items()}


def point_of(curve: Froc, index: int) -> dict[str, float]:
    """One point of a curve as plain numbers: threshold, tpr, fp_per_cm2, fp_per_image."""
    return {name: float(getattr(curve, name)[index]) for name in ("threshold", "tpr", "fp_per_cm2", "fp_per_image")}


def rate(count: np.ndarray, total: Any) -> np.ndarray:
    """count / total; NaN where the total is 0."""
    return count / total if total > 0 else np.full(count.shape, np.nan)
