"""Outlines: an object's runs along pixel edges and holds just its pixels, so that area and centroid are exact."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scripts.common.objects import Microcalcification

#: From the corner before to the corner after an edge, (row, col), for the pixel's neighbour on that side; the pixel
#: lies to the right of its edges.
_EDGES = {(-1, 0): ((0, 0), (0, 1)), (0, 1): ((0, 1), (1, 1)), (1, 0): ((1, 1), (1, 0)), (0, -1): ((1, 0), (0, 0))}


def outline(labels: np.ndarray, mc: Microcalcification) -> np.ndarray:
    """Polygon of one finding: float (k, 2) corners (row, col), clockwise, pixel centres at integers.

    Labels are int (rows, cols), numbered by the ids of findings. Where parts of an object touch at a corner only, the
    polygon passes it twice. Holes are not cut out.
    """
    top, left, bottom, right = mc.bounding_box
    corners = trace(labels[top:bottom, left:right] == mc.id)
    return corners + (top - 0.5, left - 0.5)


def trace(mask: np.ndarray) -> np.ndarray:
    """Corners (k, 2) of the outer border of the one 8-connected object of a bool mask, in corners of pixels."""
    edges = _edges(mask)
    here = start = (0, int(mask[0].argmax()))
    step, corners = (0, 0), []
    while True:
        choices = edges[here]
        # where two pixels touch at a corner, a left turn leads to the other one: they are one object
        left = (-step[1], step[0])
        after = next((end for end in choices if (end[0] - here[0], end[1] - here[1]) == left), choices[0])
        choices.remove(after)
        turned = (after[0] - here[0], after[1] - here[1])
        if turned != step:
            corners.append(here)
        here, step = after, turned
        if here == start and not edges[here]:
            return np.array(corners, np.float64)


def hull_of(cluster: Mapping[str, Any], marks: Mapping[int, Mapping[str, Any]]) -> np.ndarray:
    """Corners (k, 2) of a cluster's hull in px (row, col); the members' bounding box where the report has none."""
    if len(hull := np.asarray(cluster.get("hull_px") or [], np.float64)) >= 3:
        return hull
    boxes = np.array([marks[member]["bounding_box"] for member in cluster["members"]], np.float64)
    (top, left), (bottom, right) = boxes[:, :2].min(axis=0) - 0.5, boxes[:, 2:].max(axis=0) - 0.5
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])


def score_of(cluster: Mapping[str, Any], marks: Mapping[int, Mapping[str, Any]]) -> float:
    """Score of a cluster: the highest of its members'."""
    return max(marks[member]["score"] for member in cluster["members"])


def _edges(mask: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Corner -> the corners that an edge leads to from there, clockwise around the pixels."""
    padded = np.pad(mask, 1)
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (down, aside), (before, after) in _EDGES.items():
        beyond = padded[1 + down : 1 + down + mask.shape[0], 1 + aside : 1 + aside + mask.shape[1]]
        for row, col in np.argwhere(mask & ~beyond).tolist():
            start = (row + before[0], col + before[1])
            found.setdefault(start, []).append((row + after[0], col + after[1]))
    return found
