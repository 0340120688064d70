"""Courses of arteries: smooth curves through marks that lie near to each other."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields

STEP_MM = 0.5  # between the points of a course


@dataclass(frozen=True)
class CourseRule:
    """Which marks lie on one course. Lengths in mm."""

    link_mm: float = 10.0  # marks this near to each other are linked
    near_mm: float = 2.3  # farther from the course lies a branch, with a course of its own
    smoothing_mm: float = 4.0  # Gaussian sigma along the course

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("link_mm", "near_mm", "smoothing_mm"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a length above 0")


@dataclass(frozen=True, eq=False)
class Course:
    """Marks along a curve."""

    members: np.ndarray  # places in the list of marks
    line_mm: np.ndarray  # (n, 2) about `STEP_MM` apart, (row, col)

    @property
    def length_mm(self) -> float:
        """Of the curve."""
        return float(np.hypot(*np.diff(self.line_mm, axis=0).T).sum())


def groups_of(place_mm: np.ndarray, link_mm: float) -> list[np.ndarray]:
    """Places in the list of those marks (n, 2) that links join, one array per group."""
    if not len(place_mm):
        return []
    group = connected_components(_links(place_mm, link_mm), directed=False)[1]
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def courses(place_mm: np.ndarray, rule: CourseRule) -> list[Course]:
    """The courses of a group of linked marks (n, 2), the longest first; every mark is a member of one.

    Marks off the first course are branches if three or more of them are linked, and go to the nearest course otherwise.
    """
    rest, found = np.arange(len(place_mm)), list[Course]()
    queue = [rest]
    while queue:
        members = queue.pop(0)
        if len(members) < 3 and found:
            continue
        line = _line(place_mm[members], rule)
        near = np.abs(project(place_mm[members], line)[1]) <= rule.near_mm
        if not near.any():
            continue
        found.append(Course(members[near], line))
        rest = members[~near]
        queue += [rest[part] for part in groups_of(place_mm[rest], rule.link_mm)]
    distance = np.stack([cKDTree(course.line_mm).query(place_mm)[0] for course in found], 1)
    own = distance.argmin(1)
    for number, course in enumerate(found):
        own[course.members] = number
    return [Course(np.flatnonzero(own == number), course.line_mm) for number, course in enumerate(found)]


def _links(place_mm: np.ndarray, link_mm: float) -> csr_array:
    """Pairs of marks within reach, weighted by their squared distance: a way of small steps is the shorter one."""
    first, second = cKDTree(place_mm).query_pairs(link_mm, output_type="ndarray").T
    weight = np.maximum(((place_mm[first] - place_mm[second]) ** 2).sum(1), 1e-6)
    return csr_array((weight, (first, second)), shape=(len(place_mm),) * 2)


def _line(points: np.ndarray, rule: CourseRule) -> np.ndarray:
    """The curve along the way of small steps between the two points that are farthest apart by such ways."""
    links = _links(points, rule.link_mm)
    start = int(np.argmax(shortest_path(links, directed=False, indices=0)))
    reach, before = shortest_path(links, directed=False, indices=start, return_predecessors=True)
    way = [int(np.argmax(reach))]
    while before[way[-1]] >= 0:
        way.append(int(before[way[-1]]))
    line = smooth_line(points[way], rule.smoothing_mm)
    for _ in range(2):  # both walls pull at the line, wherever the way went
        along, across = project(points, line)
        near = np.abs(across) <= rule.near_mm
        if near.sum() < 3:
            break
        line = centreline(along[near], points[near], rule.smoothing_mm)
    return line


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
