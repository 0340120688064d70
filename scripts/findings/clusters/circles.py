"""Groups that a circle holds: of points in the plane, which lie together in a circle of a given size.

A *group* is any set of at least `least` points that one closed disc of the diameter holds; two groups with a common
point join. The discs to be looked at are few: a disc that holds two points or more can be moved, keeping all of them,
until one of them lies on its border. So for each point P all discs of the diameter with P on their border are swept:
another point Q at distance d lies in them while the disc's centre, seen from P, is within acos(d / diameter) of the
direction to Q, and a count over these intervals of the angle tells where a disc is full.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

TOLERANCE_MM = 1e-9  # bounds are inclusive, to rounding
_TURN = 2 * np.pi
_BASE = 32.0  # more than all angles of a point's sweep, two turns and a half


def number_groups(labels: np.ndarray, is_member: np.ndarray) -> np.ndarray:
    """Labels (n,) with -1 for no members, the others numbered from 0 in order of their first points; int64."""
    numbered = np.full(labels.shape, -1, np.int64)
    _, first, inverse = np.unique(labels[is_member], return_index=True, return_inverse=True)
    numbered[is_member] = np.argsort(np.argsort(first))[inverse]
    return numbered


def circle_groups(points_mm: np.ndarray, diameter_mm: float, least: int) -> np.ndarray:
    """Number of each point's group: int64 (n,) of points (n, 2), from 0 in order of first points, -1 for none."""
    count = len(points_mm)
    if count < least:
        return np.full(count, -1, np.int64)
    diameter = diameter_mm + 2 * TOLERANCE_MM
    pairs = cKDTree(points_mm).query_pairs(diameter, output_type="ndarray")
    distance = np.hypot(*(points_mm[pairs[:, 0]] - points_mm[pairs[:, 1]]).T)
    near = pairs[distance <= diameter / 2]
    centres = np.bincount(near.ravel(), minlength=count) + 1 >= least  # a circle around such a point is full
    near = near[centres[near].any(axis=1)]
    parts, is_member = _joined(near, count), centres.copy()
    is_member[near] = True
    # only circles that hold points of several parts can join any more: their points see several parts
    mixed = np.zeros(count, bool)
    mixed[pairs[parts[pairs[:, 0]] != parts[pairs[:, 1]]]] = True
    mixed &= np.bincount(pairs.ravel(), minlength=count) + 1 >= least
    both = np.concatenate([pairs, pairs[:, ::-1]])
    swept = _swept(points_mm, both[mixed[both[:, 0]]], diameter, least)
    is_member[swept] = True
    return number_groups(_joined(np.concatenate([near, swept]), count), is_member)


def _joined(edges: np.ndarray, count: int) -> np.ndarray:
    """Number of each of `count` points' part of the graph of the edges (m, 2)."""
    graph = csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _swept(points_mm: np.ndarray, pairs: np.ndarray, diameter: float, least: int) -> np.ndarray:
    """Those of the pairs (P, Q) for which a full circle with P on its border holds Q; all pairs of a P are given."""
    offset = points_mm[pairs[:, 1]] - points_mm[pairs[:, 0]]
    distance = np.hypot(offset[:, 0], offset[:, 1])
    same = distance <= TOLERANCE_MM  # such points lie on every circle's border, too
    together = 1 + np.bincount(pairs[same, 0], minlength=len(points_mm))
    moved, p, offset, distance = pairs[~same], pairs[~same, 0], offset[~same], distance[~same]
    half = np.arccos(np.minimum(distance / diameter, 1.0))
    # each interval twice, a turn apart: at a start of the second turn every interval that covers it is there
    start = _BASE * p + np.mod(np.arctan2(offset[:, 0], offset[:, 1]) - half, _TURN)
    end = start + 2 * half
    starts, ends = (np.sort(np.concatenate([edge, edge + _TURN])) for edge in (start, end))
    moments = np.sort(start + _TURN)
    held = np.searchsorted(starts, moments, "right") - np.searchsorted(ends, moments, "left")
    full = moments[held + together[(moments / _BASE).astype(np.int64)] >= least]
    joins = np.zeros(p.size, bool)
    for turn in (0.0, _TURN):
        joins |= np.searchsorted(full, end + turn, "right") > np.searchsorted(full, start + turn, "left")
    is_full = together >= least
    is_full[p[joins]] = True
    return np.concatenate([moved[joins], pairs[same][is_full[pairs[same, 0]]]])
