"""Which MC of the current exam is which of the prior one.

After registration what is left is a local displacement: MCs near each other lie off in about the same way, because the
registration is smooth and because they lie at a similar height in the breast. So, for prior points p (already mapped
into the current exam) and current points q:

1. Local displacement of p: the d with the highest vote (1 + sum of w exp(-|q - p' - d|^2 / 2 s^2)) exp(-|d|^2 / 2 S^2)
   over all pairs of a neighbour p' of p (not p itself) and a q near p', s = `spread_mm`, S = half of `shift_mm`;
   w = exp(-ln(area ratio)^2 / 2 ln(2)^2).
2. Cost of a pair: (distance of p + d and q / `gate_mm`)^2 + (ln(area ratio) / ln(`area_ratio`))^2. Pairs that cost 1 or
   more are not made. Of all one-to-one assignments the one with the least sum of (cost - 1) is taken (Hungarian).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from scripts.common.checks import check_fields
from scripts.common.deformation import Deformation
from scripts.findings.follow_up.exams import Exam

UNCHANGED, GROWN, SHRUNK, NEW, GONE, OUT_OF_VIEW = "unchanged", "grown", "shrunk", "new", "gone", "out of view"
MATCHED = (UNCHANGED, GROWN, SHRUNK)
STATUSES = (*MATCHED, NEW, GONE, OUT_OF_VIEW)
_MOST_NEIGHBOURS = 20  # that vote


@dataclass(frozen=True)
class MatchingRule:
    """Parameters of the model above, and of what counts as grown."""

    gate_mm: float = 1.5  # farthest an MC may lie from where it is expected
    area_ratio: float = 8.0  # such a ratio of the areas costs as much as the gate
    neighbourhood_mm: float = 10.0  # farthest neighbours that vote for the local displacement
    shift_mm: float = 3.0  # largest local displacement
    spread_mm: float = 0.35  # how alike neighbours are displaced
    #: Areas differ truly when they do by more than this share of the smaller one, ...
    area_share: float = 0.3
    edge_px: float = 0.5  # ... and by more than a strip of this width along the outline of a disc of that area

    def __post_init__(self) -> None:
        check_fields(self)
        lengths = ("gate_mm", "neighbourhood_mm", "shift_mm", "spread_mm")
        check_fields(self, area_ratio="(1, inf)", **dict.fromkeys(lengths, "(0, inf)"))

    def tolerance_mm2(self, area_mm2: float, pixel_mm: float) -> float:
        """Change of area up to which an MC counts as unchanged; the area is the smaller of the two."""
        outline_mm = 2 * math.sqrt(math.pi * area_mm2)
        return max(self.area_share * area_mm2, self.edge_px * pixel_mm * outline_mm)


@dataclass(frozen=True)
class Trace:
    """One MC in both exams, or in the one that shows it."""

    number: int  # 1-based, down the picture: the label in pictures
    status: str  # one of `STATUSES`
    prior_id: int | None
    current_id: int | None
    prior_area_mm2: float | None
    current_area_mm2: float | None
    area_change_mm2: float | None  # current - prior
    expected_row_mm: float | None  # of a prior MC: where the current exam should show it
    expected_col_mm: float | None
    distance_mm: float | None  # of a matched one from there


def match(
    prior_mm: np.ndarray, current_mm: np.ndarray, prior_areas: np.ndarray, current_areas: np.ndarray, rule: MatchingRule
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Pairs of indices, and where each prior MC is expected, (n, 2).

    Points are (n, 2) and (m, 2) in mm, those of the prior exam mapped into the current one; areas are in mm^2.
    """
    expected = prior_mm + local_displacements(prior_mm, current_mm, prior_areas, current_areas, rule)
    if not len(prior_mm) or not len(current_mm):
        return [], expected
    distance2 = ((expected[:, None] - current_mm[None]) ** 2).sum(axis=2)
    size = _log_ratio(prior_areas, current_areas) / math.log(rule.area_ratio)
    cost = np.minimum(distance2 / rule.gate_mm**2 + size**2, 1.0)
    rows, cols = linear_sum_assignment(cost)
    return [(int(i), int(j)) for i, j in zip(rows, cols, strict=True) if cost[i, j] < 1], expected


def local_displacements(
    prior_mm: np.ndarray, current_mm: np.ndarray, prior_areas: np.ndarray, current_areas: np.ndarray, rule: MatchingRule
) -> np.ndarray:
    """The first step of the model: displacement of each prior point, (n, 2) mm."""
    found = np.zeros((len(prior_mm), 2))
    if len(prior_mm) < 2 or not len(current_mm):
        return found
    trees = cKDTree(prior_mm), cKDTree(current_mm)
    weight = np.exp(-0.5 * (_log_ratio(prior_areas, current_areas) / math.log(2)) ** 2)
    near = trees[0].query_ball_tree(trees[1], rule.shift_mm)
    count = min(_MOST_NEIGHBOURS + 1, len(prior_mm))
    distances, neighbours = trees[0].query(prior_mm, count, distance_upper_bound=rule.neighbourhood_mm)
    for i, (far, others) in enumerate(zip(distances, neighbours, strict=True)):
        voters = [int(k) for k in others[np.isfinite(far)] if k != i]
        pairs = np.array([(k, j) for k in voters for j in near[k]], int).reshape(-1, 2)
        if not len(pairs):
            continue
        offers, votes = current_mm[pairs[:, 1]] - prior_mm[pairs[:, 0]], weight[pairs[:, 0], pairs[:, 1]]
        choices = np.concatenate([offers, [[0.0, 0.0]]])
        away = ((choices[:, None] - offers[None]) ** 2).sum(axis=2)
        support = votes * np.exp(-0.5 * away / rule.spread_mm**2)
        total = (1 + support.sum(axis=1)) * np.exp(-2 * (choices**2).sum(axis=1) / rule.shift_mm**2)
        best = int(total.argmax())
        mean = support[best] @ offers / max(float(support[best].sum()), 1e-12)
        share = float(support[best].sum()) / (1 + float(support[best].sum()))
        found[i] = share * mean + (1 - share) * choices[best]
    return found


def trace(prior: Exam, current: Exam, to_current: Deformation, rule: MatchingRule) -> list[Trace]:
    """What became of every MC, prior ones first in reading order of where they are expected, then new ones."""
    mapped, points = to_current(prior.points_mm()), current.points_mm()
    areas = prior.areas_mm2(), current.areas_mm2()
    pairs, expected = match(mapped, points, *areas, rule)
    partner, found = dict(pairs), {j for _, j in pairs}
    back = to_current.inverse(points)
    pixel_mm = max(*prior.spacing_mm, *current.spacing_mm)
    traces: list[Trace] = []
    for i in np.lexsort(expected.T[::-1]).tolist() if len(expected) else []:
        status = GONE if _in_view(mapped[i], current) else OUT_OF_VIEW
        j = partner.get(i)
        first, second = float(areas[0][i]), None if j is None else float(areas[1][j])
        change = None if second is None else second - first
        if second is not None and change is not None:
            same = abs(change) <= rule.tolerance_mm2(min(first, second), pixel_mm)
            status = UNCHANGED if same else GROWN if change > 0 else SHRUNK
        distance = None if j is None else round(float(np.hypot(*(expected[i] - points[j]))), 3)
        ids = prior.findings[i].id, None if j is None else current.findings[j].id
        at = (round(float(expected[i, 0]), 3), round(float(expected[i, 1]), 3))
        change = None if change is None else round(change, 6)
        traces.append(Trace(len(traces) + 1, status, *ids, first, second, change, *at, distance))
    for j, mc in enumerate(current.findings):
        if j not in found:
            status = NEW if _in_view(back[j], prior) else OUT_OF_VIEW
            traces.append(Trace(len(traces) + 1, status, None, mc.id, None, mc.area_mm2, None, None, None, None))
    return traces


def _log_ratio(prior_areas: np.ndarray, current_areas: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(current_areas, 1e-9))[None, :] - np.log(np.maximum(prior_areas, 1e-9))[:, None]


def _in_view(point_mm: np.ndarray, exam: Exam) -> bool:
    return bool((point_mm >= 0).all() and (point_mm <= exam.size_mm).all())
