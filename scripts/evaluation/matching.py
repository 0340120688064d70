"""Which prediction counts for which annotated object: the paper's greedy rule and an optimal one.

Both use every prediction at most once, and both are stated for a *set* of predictions, so that a threshold is answered
by the set it keeps. Adding one prediction to the set never loses an annotated object that is hit, and gains at most
one; `match_events` uses that to answer all thresholds at the price of one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from scripts.common.checks import check
from scripts.evaluation.cases import CaseScores

GREEDY, OPTIMAL = "greedy", "optimal"


@dataclass(frozen=True, eq=False)
class Matched:
    """An image matched at a threshold."""

    case: CaseScores  # the table that holds at the threshold
    threshold: float  # predictions with score >= threshold take part; ignored ones never
    partner: np.ndarray  # int (annotations,), place of the prediction that each annotated object is hit by, or -1

    @cached_property
    def kept(self) -> np.ndarray:
        """bool (predictions,), which take part."""
        return self.case.predictions.kept(self.threshold)

    @cached_property
    def hit(self) -> np.ndarray:
        """bool (annotations,)."""
        return self.partner >= 0

    @cached_property
    def true_positive(self) -> np.ndarray:
        """bool (predictions,)."""
        return np.isin(np.arange(len(self.case.predictions)), self.partner)

    @cached_property
    def false_positive(self) -> np.ndarray:
        """bool (predictions,)."""
        return self.kept & ~self.true_positive


class MatchEvents(NamedTuple):
    """What every counted prediction changes, by descending score (equal scores in label order); (n,) each.

    After any prefix the objects hit so far are exactly those that matching the prefix anew hits. What is once a false
    positive stays one; for "greedy" those after any prefix are exactly those of matching it anew, for "optimal" they
    are as many.
    """

    prediction: np.ndarray  # its place
    annotation: np.ndarray  # the annotated object that is hit from that prediction on, or -1
    false_positive: np.ndarray  # the false positive from that one on (itself, or one that it pushed out); -1 at a hit


def match_case(case: CaseScores, threshold: float, matching: str = GREEDY) -> Matched:
    """Match an image at a threshold; `CaseLevels` with the objects formed at the nearest threshold of its grid."""
    table = case.at(threshold)
    return Matched(table, threshold, match(table, threshold, matching))


def match(case: CaseScores, threshold: float, matching: str = GREEDY) -> np.ndarray:
    """Match predictions with score >= threshold by the "greedy" or "optimal" rule; gives `Matched.partner`."""
    _check(matching)
    return (greedy_match if matching == GREEDY else optimal_match)(case, case.predictions.kept(threshold))


def greedy_match(case: CaseScores, kept: np.ndarray) -> np.ndarray:
    """The paper's rule: annotated objects in label order; each takes the first unused prediction, in label order,
    that hits it. `kept`: bool (predictions,), which take part; returns as `match`.
    """
    pairs, partner = case.pairs, np.full(len(case.annotations), -1)
    free = kept.copy()
    for a, p in zip(pairs.annotation[pairs.hit], pairs.prediction[pairs.hit], strict=True):
        if partner[a] < 0 and free[p]:
            partner[a], free[p] = p, False
    return partner


def optimal_match(case: CaseScores, kept: np.ndarray) -> np.ndarray:
    """As many hits as possible and, of these, the smallest sum of centroid distances; `kept` as in `greedy_match`."""
    pairs, partner = case.pairs, np.full(len(case.annotations), -1)
    use = pairs.hit & kept[pairs.prediction]
    if not use.any():
        return partner
    a, row = np.unique(pairs.annotation[use], return_inverse=True)
    p, col = np.unique(pairs.prediction[use], return_inverse=True)
    distance = pairs.distance_mm[use]
    none = min(a.size, p.size) + 1.0  # dearer than any number of hits together, each of which costs less than 1
    cost = np.full((a.size, p.size), none)
    cost[row, col] = distance / (distance.max() + 1.0)
    rows, cols = linear_sum_assignment(cost)
    real = cost[rows, cols] < none
    partner[a[rows[real]]] = p[cols[real]]
    return partner


def match_events(case: CaseScores, matching: str = GREEDY) -> MatchEvents:
    """Match at all thresholds at once, one prediction after the other."""
    _check(matching)
    predictions, pairs = case.predictions, case.pairs
    counted = np.flatnonzero(~predictions.ignored)
    order = counted[np.argsort(-predictions.score[counted], kind="stable")]
    hits: dict[int, list[int]] = {}
    for a, p in zip(pairs.annotation[pairs.hit].tolist(), pairs.prediction[pairs.hit].tolist(), strict=True):
        hits.setdefault(p, []).append(a)
    partner = [-1] * len(case.annotations)
    add = _add_greedily if matching == GREEDY else _augment
    gained, false_positive = np.full(order.size, -1), order.copy()
    for place in np.flatnonzero(np.isin(order, list(hits))):
        gained[place], false_positive[place] = add(int(order[place]), partner, hits.__getitem__)
    return MatchEvents(order, gained, false_positive)


def _add_greedily(prediction: int, partner: list[int], hits: Callable[[int], Sequence[int]]) -> tuple[int, int]:
    """Add one prediction to a greedy matching, in place; (annotated object gained or -1, prediction left over or -1).

    The new prediction is taken by the first object that it hits and that holds none or a later one; what that object
    gives back is offered likewise, and so on. (Objects before that one did not want it when they could have had it.)
    """
    while True:
        for a in hits(prediction):
            if partner[a] < 0 or partner[a] > prediction:
                break
        else:
            return -1, prediction
        partner[a], prediction = prediction, partner[a]
        if prediction < 0:
            return a, -1


def _augment(prediction: int, partner: list[int], hits: Callable[[int], Sequence[int]]) -> tuple[int, int]:
    """Add one prediction to a maximum matching by an augmenting path (breadth first), in place; as `_add_greedily`."""
    came_from: dict[int, int] = {}  # annotated object -> prediction that reached it
    queue = deque([prediction])
    while queue:
        p = queue.popleft()
        for a in hits(p):
            if a in came_from:
                continue
            came_from[a] = p
            if partner[a] >= 0:
                queue.append(partner[a])
                continue
            holder, gained = {partner[b]: b for b in came_from if partner[b] >= 0}, a
            while True:  # hand the predictions on along the path, from its end to its start
                partner[a] = p = came_from[a]
                if p == prediction:
                    return gained, -1
                a = holder[p]
    return -1, prediction


def _check(matching: str) -> None:
    check("matching", matching, matching in (GREEDY, OPTIMAL), f"{GREEDY!r} or {OPTIMAL!r}")
