"""Free-response operating characteristic (FROC): hits against false positives, at every distinct score.

True-positive rate (TPR) = annotated objects hit / annotated objects, false positives (FP) = predictions - hits, both
pooled over the images; FP are given per cm^2 of breast and per image. The curve is a step function: what holds at a
rate between two points is the point before it. Source: arXiv 2102.00754, section III-D, and docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.checks import check
from scripts.common.files import write_atomically
from scripts.evaluation.cases import CaseLevels, CaseScores
from scripts.evaluation.matching import GREEDY, Matched, match_case, match_events

#: 4 FP on an area summed to 9.999999999 cm^2 do not exceed a rate of 0.4.
ROUNDING = 1e-9
#: what false positives are counted per
CM2, IMAGE = "cm2", "image"
#: Points that a curve with an end is tried with first.
FIRST_POINTS = 4096
TABLE_NAME = "froc_table.npz"
Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Froc:
    """A curve, one entry per point: from the empty one at threshold infinity down to the lowest score of all."""

    threshold: Array  # predictions with score >= threshold take part
    tp: Array  # hits
    #: False positives: the largest number at this threshold or any higher one (objects that a method keeps whole never
    #: become fewer; objects formed anew, and clusters, may).
    fp: Array
    tpr: Array  # in [0, 1]; NaN without annotated objects
    fp_per_cm2: Array  # NaN when there is no breast area
    fp_per_image: Array  # NaN when there is no image

    def tpr_at(self, fp_rate: float | Array, per: str = CM2) -> Array:
        """Largest TPR whose FP per "cm2" of breast (or "image") does not exceed the given rates; no interpolation."""
        return self._read(np.maximum.accumulate(self.tpr), fp_rate, per)

    def threshold_at(self, fp_rate: float | Array, per: str = CM2) -> Array:
        """Lowest threshold whose FP rate does not exceed the given rates, where `tpr_at` reads its values; infinity
        when even the highest score has more, NaN when rates are undefined.
        """
        return self._read(self.threshold, fp_rate, per)

    def _read(self, values: Array, fp_rate: float | Array, per: str) -> Array:
        """Values at the last point within each rate; NaN for negative rates, and when the curve's are undefined."""
        fp, asked = self.fp_rate(per), np.asarray(fp_rate, np.float64)
        place = np.maximum(np.searchsorted(fp, asked * (1 + ROUNDING), side="right") - 1, 0)
        return np.where((asked >= 0) & ~np.isnan(fp).any(), values[place], np.nan)

    def pauc(self, fp_limit: float = 1.0, per: str = CM2) -> float:
        """Area under the step function for 0..fp_limit FP per cm^2 (or image), divided by fp_limit: in [0, 1].

        Beyond its last point the curve goes on at that point's TPR: there is nothing left to add.
        """
        check("fp_limit", fp_limit, fp_limit > 0, "a value above 0")
        fp = self.fp_rate(per)
        if np.isnan(fp).any():
            return float("nan")
        widths = np.diff(np.minimum(np.append(fp, np.inf), fp_limit))
        return float((widths * np.maximum.accumulate(self.tpr)).sum() / fp_limit)

    def fp_rate(self, per: str = CM2) -> Array:
        """FP per "cm2" of breast or per "image"."""
        check("per", per, per in (CM2, IMAGE), f"{CM2!r} or {IMAGE!r}")
        return self.fp_per_cm2 if per == CM2 else self.fp_per_image

    def nearest_to_ideal(self) -> int | None:
        """Index of the paper's operating point: the point nearest to (0 FP per cm^2, TPR 1), of equally near ones the
        one with the highest threshold, never the empty one; None without a prediction, or when a rate is undefined.
        """
        distance = np.hypot(self.fp_per_cm2[1:], 1 - self.tpr[1:])
        return None if not distance.size or np.isnan(distance).any() else int(np.argmin(distance)) + 1

    def best_within(self, fp_per_cm2: float) -> int | None:
        """Index of the largest TPR whose FP per cm^2 does not exceed the given rate, of equal TPRs the highest
        threshold; None when there is none."""
        within = np.flatnonzero(self.fp_per_cm2[1:] <= fp_per_cm2 * (1 + ROUNDING)) + 1
        return int(within[np.argmax(self.tpr[within])]) if within.size else None

    def corners(self) -> Array:
        """Indices of the points that the step function is made of: those before and after a rise, first and last."""
        rises = np.flatnonzero(np.diff(self.tp) != 0)
        return np.unique([0, *rises, *(rises + 1), self.tp.size - 1])


class EventTable:
    """What happens as the threshold falls, in all images, sorted once; each bootstrap sample is two cumulative sums.

    From a `score` on each event (n,) changes the hits of image `case` by `tp` and its false positives by `fp`, bool or
    int. TPR and FP are divided by `annotated` and `breast_cm2`, (cases,).
    """

    def __init__(self, score: Array, case: Array, tp: Array, fp: Array, annotated: Array, breast_cm2: Array) -> None:
        self.annotated, self.breast_cm2 = annotated, breast_cm2
        order = np.argsort(-score, kind="stable")
        self._score, self._case, self._tp, self._fp = score[order], case[order], tp[order], fp[order]
        self._ends = np.flatnonzero(np.append(np.diff(self._score) != 0, [True] * bool(score.size)))

    def curve(self, weights: Array | None = None, until: Mapping[str, float] | None = None) -> Froc:
        """The FROC curve of a sample with each image `weights` times, int (cases,); None takes each once.

        `until` {CM2 or IMAGE: rate} ends it at a point beyond all these rates, where the many predictions of low score
        are not worth their time: up to the rates nothing changes. None gives the whole curve.
        """
        weights = self._checked(weights)
        size = self._ends.size if until is None else FIRST_POINTS
        curve = self._points(weights, size)
        while until is not None and size < self._ends.size:
            if all(curve.fp_rate(per)[-1] > rate * (1 + 2 * ROUNDING) for per, rate in until.items()):
                break
            size *= 4
            curve = self._points(weights, size)
        return curve

    def tpr(self, thresholds: Array, weights: Array | None = None) -> Array:
        """TPR at thresholds (n,), inclusive; NaN gives NaN, and so does a sample without annotated objects."""
        weights, asked = self._checked(weights), np.asarray(thresholds, np.float64)
        hits = np.append(0, np.cumsum(weights[self._case] * self._tp))
        found = hits[np.searchsorted(-self._score, -asked, side="right")]
        return np.where(np.isnan(asked), np.nan, rate(found, weights @ self.annotated))

    def _checked(self, weights: Array | None) -> Array:
        weights = np.ones(self.annotated.size, np.int64) if weights is None else np.asarray(weights)
        shape = self.annotated.shape
        check("weights", weights.shape, weights.shape == shape, f"the shape {shape}, one per image")
        return weights

    def _points(self, weights: Array, size: int) -> Froc:
        """The empty point and the first `size` others, or all that there are."""
        ends = self._ends[:size]
        rows = int(ends[-1]) + 1 if ends.size else 0
        each = weights[self._case[:rows]]
        tp, fp = (np.append(0, np.cumsum(each * change[:rows])[ends]) for change in (self._tp, self._fp))
        fp = np.maximum.accumulate(fp)
        return Froc(
            threshold=np.append(np.inf, self._score[ends]),
            tp=tp,
            fp=fp,
            tpr=rate(tp, weights @ self.annotated),
            fp_per_cm2=rate(fp, weights @ self.breast_cm2),
            fp_per_image=rate(fp, weights.sum()),
        )


class FrocTable(EventTable):
    """All counted predictions of all images (of `CaseLevels` what changes from one threshold to the next)."""

    def __init__(self, cases: Sequence[CaseScores], matching: str = GREEDY) -> None:
        events = [_froc_events(case, matching) for case in cases]
        #: per image: highest threshold at which each annotated object is hit; -inf for never
        self.hit_from = [hit_from for *_, hit_from in events]
        annotated = np.array([len(case.annotations) for case in cases], np.int64)
        super().__init__(*joined([event[:3] for event in events]), annotated, breast_areas(cases))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> FrocTable:
        """A table from what `arrays` gave. It has no `hit_from`."""
        table, hit = cls([]), arrays.get("hit")
        tp, fp = (arrays["tp"], arrays["fp"]) if hit is None else (hit, ~hit)
        EventTable.__init__(table, arrays["score"], arrays["case"], tp, fp, arrays["annotated"], arrays["breast_cm2"])
        return table

    def arrays(self) -> dict[str, Array]:
        """All that the curve of any sample needs: {"score", "case", "hit"} per counted prediction, scores descending,
        and {"annotated", "breast_cm2"} per image. Where objects are formed anew at every threshold, "tp" and "fp"
        (changes) in place of "hit".
        """
        changes = {"hit": self._tp} if self._tp.dtype == bool else {"tp": self._tp, "fp": self._fp}
        places = {"score": self._score, "case": self._case, **changes}
        return places | {"annotated": self.annotated, "breast_cm2": self.breast_cm2}

    def of_part(self, cases: Sequence[CaseScores], chosen: Sequence[Array], matching: str = GREEDY) -> EventTable:
        """Hits of a part of the annotated objects, such as the large ones: per image `chosen`, bool (annotations,).

        It has no false positives. `cases` and `matching` are what this table was made of.
        """
        parts = [_part_events(*each, matching) for each in zip(cases, self.hit_from, chosen, strict=True)]
        annotated = np.array([part.sum() for part in chosen], np.int64)
        return EventTable(*joined(parts), annotated, self.breast_cm2)


def save_table(path: str | Path, table: FrocTable, cases: Sequence[CaseScores]) -> Path:
    """Write what comparing with another method needs: NumPy arrays, no pickle."""
    names = {name: np.array([getattr(case, name) for case in cases], dtype=str) for name in ("case_id", "patient")}
    arrays: dict[str, Any] = names | table.arrays()
    return write_atomically(path, lambda temporary: np.savez_compressed(temporary, **arrays))


def level_changes(case: CaseLevels, matching: str, count: Callable[[Matched], Any]) -> tuple[Array, Array]:
    """Where an image whose objects are formed anew at every threshold changes: thresholds (n,), descending, and by how
    much, int (n, k). `count` gives counts (k,) of the image matched at a threshold, 0 when nothing is there.
    """
    counts = np.array([count(match_case(case, float(t), matching)) for t in case.thresholds], np.int64)
    changes = np.diff(counts, axis=0, prepend=0)
    some = changes.any(axis=1)
    return case.thresholds[some], changes[some]


def joined(events: Sequence[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array, Array]:
    """(score, tp, fp) of each image, one after the other, as (score, case, tp, fp)."""
    case = np.repeat(np.arange(len(events)), np.array([score.size for score, _, _ in events], np.int64))
    nothing = np.zeros((3, 0), bool)
    score, tp, fp = (np.concatenate(column) for column in zip(*events, nothing, strict=True))
    return score.astype(np.float64), case, tp, fp


def breast_areas(cases: Sequence[CaseScores]) -> Array:
    """Breast area of every image in cm^2, (cases,)."""
    return np.array([case.breast_cm2 for case in cases], np.float64)


def _froc_events(case: CaseScores, matching: str) -> tuple[Array, Array, Array, Array]:
    """Score, change of hits, change of false positives, and `hit_from`."""
    hit_from = np.full(len(case.annotations), -np.inf)
    if isinstance(case, CaseLevels):

        def count(matched: Matched) -> tuple[int, int]:
            hit_from[matched.hit] = np.maximum(hit_from[matched.hit], matched.threshold)
            return int(matched.hit.sum()), int(matched.false_positive.sum())

        score, change = level_changes(case, matching, count)
        return score, change[:, 0], change[:, 1], hit_from
    prediction, annotation, _ = match_events(case, matching)
    score, hit = case.predictions.score[prediction], annotation >= 0
    hit_from[annotation[hit]] = score[hit]
    return score, hit, ~hit, hit_from


def _part_events(case: CaseScores, hit_from: Array, chosen: Array, matching: str) -> tuple[Array, Array, Array]:
    """Score, change of hits within a part of an image's annotated objects, and no change of false positives."""
    if isinstance(case, CaseLevels):
        score, change = level_changes(case, matching, lambda matched: [int((matched.hit & chosen).sum()), 0])
        return score, change[:, 0], change[:, 1]
    score = hit_from[chosen & (hit_from > -np.inf)]
    return score, np.ones(score.size, bool), np.zeros(score.size, bool)


def point_of(curve: Froc, index: int) -> dict[str, float]:
    """One point of a curve as plain numbers: threshold, tpr, fp_per_cm2, fp_per_image."""
    return {name: float(getattr(curve, name)[index]) for name in ("threshold", "tpr", "fp_per_cm2", "fp_per_image")}


def rate(count: Array, total: Any) -> Array:
    """count / total; NaN where the total is 0."""
    return count / total if total > 0 else np.full(count.shape, np.nan)
