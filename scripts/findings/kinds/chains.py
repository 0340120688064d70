"""Chains: marks that follow one another along a curve, as those in the walls of a vessel do.

Every mark gets the direction in which most of its neighbours lie within a narrow strip; marks in each other's strips
are linked; a chain is what links connect, and its centreline is a smooth curve through it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields
from scripts.findings.kinds.geometry import angle_between

DIRECTIONS = 36  # of strips, over half a turn
STEP_MM = 0.5  # between the points of a centreline


@dataclass(frozen=True)
class ChainRule:
    """When marks form a chain. Lengths in mm."""

    reach_mm: float = 6.0  # half the length of a strip, and the longest link
    half_width_mm: float = 2.0  # of a strip: both walls of a vessel fit in it
    least_neighbours: int = 2  # of a mark within its strip
    least_excess: float = 1.5  # density of neighbours within the strip over that in the rest of the disc around a mark
    turn_rad: float = 0.8  # largest angle between the directions of linked marks
    smoothing_mm: float = 4.0  # Gaussian sigma along the chain of its centreline

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("reach_mm", "half_width_mm", "smoothing_mm"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a length above 0")


@dataclass(frozen=True, eq=False)
class Chain:
    """Marks along a curve."""

    members: np.ndarray  # places in the list of marks
    line_mm: np.ndarray  # (n, 2) its centreline, `STEP_MM` apart, (row, col)
    along_mm: np.ndarray  # (members,) place of each on the centreline
    across_mm: np.ndarray  # (members,) signed distance of each from it

    @property
    def length_mm(self) -> float:
        """Of the centreline."""
        return float(np.hypot(*np.diff(self.line_mm, axis=0).T).sum())


def find_chains(place_mm: np.ndarray, rule: ChainRule, least: int = 3) -> list[Chain]:
    """Chains of at least `least` of the marks at `place_mm`, (n, 2) row and column."""
    if len(place_mm) < least:
        return []
    pairs = cKDTree(place_mm).query_pairs(rule.reach_mm, output_type="ndarray")
    if not len(pairs):
        return []
    direction, has = strip_directions(place_mm, pairs, rule)
    first, second = pairs.T
    way = place_mm[second] - place_mm[first]
    distance = np.hypot(*way.T)
    linked = has[first] & has[second]
    linked &= angle_between(direction[first], direction[second]) <= rule.turn_rad
    for end in (first, second):
        across = np.abs(way[:, 0] * np.cos(direction[end]) - way[:, 1] * np.sin(direction[end]))
        linked &= across <= rule.half_width_mm
    n = len(place_mm)
    weight = np.maximum(distance[linked], 1e-6)
    graph = csr_array((weight, (first[linked], second[linked])), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    chains: list[Chain] = []
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        while len(members) >= least:
            chain = _chain(place_mm, members, graph, rule)
            if len(chain.members) < least:
                break
            chains.append(chain)
            members = np.setdiff1d(members, chain.members)  # a branch is a chain of its own
    return chains


def strip_directions(place_mm: np.ndarray, pairs: np.ndarray, rule: ChainRule) -> tuple[np.ndarray, np.ndarray]:
    """Direction of the fullest strip through each mark, rad, float (n,), and whether it stands out, bool (n,)."""
    n = len(place_mm)
    turns = np.arange(DIRECTIONS) * (np.pi / DIRECTIONS)
    way = place_mm[pairs[:, 1]] - place_mm[pairs[:, 0]]
    across = np.abs(np.outer(way[:, 0], np.cos(turns)) - np.outer(way[:, 1], np.sin(turns)))
    # nearer to the axis counts for more, so that the direction is that of the strip's middle
    value = np.clip(1 - (across / rule.half_width_mm) ** 2, 0, None)
    inside = (across <= rule.half_width_mm).astype(np.float64)
    weighted, count = np.zeros((n, DIRECTIONS)), np.zeros((n, DIRECTIONS))
    for end in pairs.T:
        spread = csr_array((np.ones(len(end)), (end, np.arange(len(end)))), shape=(n, len(end)))
        weighted += spread @ value
        count += spread @ inside
    best = np.argmax(weighted, 1)
    within = count[np.arange(n), best]
    total = np.bincount(pairs.ravel(), minlength=n)
    share = 4 * rule.reach_mm * rule.half_width_mm / (np.pi * rule.reach_mm**2)  # of the disc, that the strip covers
    has = (within >= rule.least_neighbours) & (within * (1 - share) >= rule.least_excess * share * (total - within))
    return turns[best], has


def _chain(place_mm: np.ndarray, members: np.ndarray, graph: csr_array, rule: ChainRule) -> Chain:
    """The chain along the shortest way between the two members that are farthest apart by their links, with all members
    near its centreline. (A way through a spanning tree would go there along one wall and come back along the other.)"""
    points = place_mm[members]
    links = graph[members][:, members]
    start = int(np.argmax(_finite(shortest_path(links, directed=False, indices=0))))
    reach, before = shortest_path(links, directed=False, indices=start, return_predecessors=True)
    way = [int(np.argmax(_finite(reach)))]
    while before[way[-1]] >= 0:
        way.append(int(before[way[-1]]))
    line = smooth_line(points[way], rule.smoothing_mm)
    for _ in range(2):  # both walls pull at the line, wherever the way went
        along, across = project(points, line)
        near = np.abs(across) <= rule.half_width_mm
        if near.sum() < 3:
            break
        line = centreline(along[near], points[near], rule.smoothing_mm)
    along, across = project(points, line)
    near = np.abs(across) <= rule.half_width_mm
    return Chain(members[near], line, along[near], across[near])


def _finite(distance: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(distance), distance, -1)


def smooth_line(points: np.ndarray, sigma_mm: float) -> np.ndarray:
    """A smooth curve through ordered points (n, 2), as `centreline`."""
    along = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    return centreline(along, points, sigma_mm)


def centreline(along: np.ndarray, points: np.ndarray, sigma_mm: float) -> np.ndarray:
    """Local straight-line fits of points (n, 2) over their place along a curve; every `STEP_MM`, (m, 2).

    Weighted least squares with a Gaussian of `sigma_mm` (Cleveland 1979, without its robustness).
    """
    places = np.arange(along.min(), along.max() + STEP_MM, STEP_MM)
    offset = along - places[:, None]
    weight = np.exp(-0.5 * (offset / sigma_mm) ** 2) + 1e-12
    total, first = weight.sum(1), (weight * offset).sum(1)
    second = (weight * offset**2).sum(1) + 1e-3 * total
    determinant = total * second - first**2
    fitted = [(second * (weight @ value) - first * ((weight * offset) @ value)) / determinant for value in points.T]
    return np.stack(fitted, 1)


def project(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place along a polyline (m, 2) and signed distance from it of points (n, 2); its ends go straight on."""
    if len(line) < 2:
        line = np.vstack([line[0], line[0] + (0.0, 1e-6)])
    step = np.diff(line, axis=0)
    length = np.maximum(np.hypot(*step.T), 1e-9)
    unit = step / length[:, None]
    away = points[:, None] - line[None, :-1]
    share = np.einsum("pmi,mi->pm", away, unit)
    low, high = np.zeros(len(length)), length.copy()
    low[0], high[-1] = -np.inf, np.inf
    clipped = np.clip(share, low, high)
    distance = np.linalg.norm(away - clipped[..., None] * unit, axis=2)
    nearest = np.argmin(distance, 1)
    rows = np.arange(len(points))
    side = np.sign(away[rows, nearest, 0] * unit[nearest, 1] - away[rows, nearest, 1] * unit[nearest, 0])
    start = np.append(0, np.cumsum(length))[nearest]
    return start + clipped[rows, nearest], side * distance[rows, nearest]
