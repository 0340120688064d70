"""Vascular calcifications: marks that a model of their neighbourhood takes for plaques in the walls of an artery.

The most suspicious clusters, linear and segmental ones, lie on lines, too. So a mark is vascular only where the model
is sure, only among others, and only on a course whose marks, and those around it, bear it out: a chain picked out of a
dense group is none. What is left undecided stays an individual MC.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing
from scripts.findings.kinds.courses import Course, CourseRule, courses, groups_of
from scripts.findings.kinds.geometry import Marks
from scripts.findings.kinds.neighbourhoods import NeighbourhoodSettings, neighbourhoods
from scripts.findings.kinds.vascular_model import ANY, LIMIT, read_model


@dataclass(frozen=True)
class Artery:
    """A calcified artery."""

    members: tuple[int, ...]  # ids of its marks
    length_mm: float  # of its calcified stretch
    side: str  # laterality of the breast, L or R; "" where it is not known
    polyline_px: tuple[tuple[float, float], ...]  # its course, (row, col)
    reason: str


@dataclass(frozen=True)
class VascularRule:
    """When marks are those of an artery."""

    model: str = ""  # JSON file of weights that `python -m scripts.evaluation fit-kinds` wrote; "" is the shipped one
    most_width_mm: float = 0.7  # of a mark: plaques lie in a thin wall
    log_odds: float = 0.5  # least log odds of a mark
    least_marks: int = 4  # of a group of such marks, ...
    least_extent_mm: float = 6.0  # ... and the diagonal of the rectangle around it
    #: Least sum of two means of a course: log odds of its marks, and of all marks, on it or off, within `around_mm` ...
    course_log_odds: float = 3.5
    around_log_odds: float = 0.0  # ... and least of the second alone
    around_mm: float = 5.0
    joining_log_odds: float = -0.5  # of marks that a course goes through, for them to belong to an artery, too
    neighbours: NeighbourhoodSettings = field(default_factory=NeighbourhoodSettings)
    course: CourseRule = field(default_factory=CourseRule)

    def __post_init__(self) -> None:
        check_fields(self, log_odds=ANY, course_log_odds=ANY, around_log_odds=ANY, joining_log_odds=ANY)
        for name in ("around_mm", "most_width_mm"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a length above 0")
        check("least_marks", self.least_marks, self.least_marks >= 3, "3 or more")

    def arteries(
        self, image: np.ndarray, marks: Marks, ids: np.ndarray, spacing_mm: Spacing, side: str = ""
    ) -> list[Artery]:
        """The arteries of an image, float32 (rows, cols) in [0, 1], among the marks of some ids, ascending; a mark
        belongs to one at most."""
        chosen = np.asarray(ids, int) - 1
        if len(chosen) < self.least_marks:
            return []
        odds = read_model(self.model).log_odds(neighbourhoods(image, marks, chosen, spacing_mm, self.neighbours))
        odds[marks.width_mm[chosen] > self.most_width_mm] = -LIMIT
        sure, every_mm = np.flatnonzero(odds >= self.log_odds), marks.place_mm[chosen]
        place_mm = every_mm[sure]
        borne_out: list[tuple[Course, np.ndarray]] = []
        for group in groups_of(place_mm, self.course.link_mm):
            if len(group) < self.least_marks or np.hypot(*np.ptp(place_mm[group], axis=0)) < self.least_extent_mm:
                continue
            for course in courses(place_mm[group], self.course):
                own = sure[group[course.members]]
                if self._bears_out(odds, own, every_mm):
                    borne_out.append((course, own))
        joining = (odds < self.log_odds) & (odds >= self.joining_log_odds)
        found: list[Artery] = []
        for course, own in borne_out:
            near = cKDTree(course.line_mm).query(every_mm)[0] <= self.course.near_mm
            members = np.sort(np.append(own, np.flatnonzero(joining & near)))
            joining &= ~near
            places = tuple(map(tuple, np.round(course.line_mm / spacing_mm, 1).tolist()))
            length = course.length_mm
            reason = f"artery of {length:.0f} mm: {len(members)} marks along it, bright lines between them"
            found.append(Artery(tuple((chosen[members] + 1).tolist()), round(length, 1), side, places, reason))
        return sorted(found, key=lambda artery: -artery.length_mm)

    def _bears_out(self, odds: np.ndarray, own: np.ndarray, place_mm: np.ndarray) -> bool:
        """Whether the log odds (n,) of a course's own marks, places in the list, and of those around say artery.

        A chain in a wide dense group has doubtful marks of its own, and many beside it that lie on no curve.
        """
        if not own.size:
            return False
        near = cKDTree(place_mm[own]).query(place_mm)[0] <= self.around_mm
        around = np.clip(odds[near], -LIMIT, LIMIT).mean()
        return bool(around >= self.around_log_odds and odds[own].mean() + around >= self.course_log_odds)
