"""Vascular calcifications: chains of marks with a vessel's two walls, or a very long single line, in the picture.

The most suspicious clusters, linear and segmental ones, are chains too. So a chain alone never decides: it must be
borne out by the picture (`strip.line_evidence`), else its marks stay individual MCs.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing
from scripts.findings.kinds.chains import STEP_MM, Chain, ChainRule, centreline, find_chains, project
from scripts.findings.kinds.geometry import Marks
from scripts.findings.kinds.strip import LineEvidence, LineSettings, line_evidence


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
    """When a chain is an artery."""

    chain: ChainRule = field(default_factory=ChainRule)
    lines: LineSettings = field(default_factory=LineSettings)
    least_marks: int = 5
    least_length_mm: float = 14.0
    #: Least excess of the share of its length with two walls over the like beside it, at 10 mm; it falls with the root
    #: of the length, as the sampling error of the shares does.
    wall_excess: float = 0.24
    wall_share: float = 0.4  # least share itself
    continued_excess: float = 0.15  # the like of a chain that goes on from an artery's end, or branches off it
    continued_mm: float = 8.0  # farthest from it
    #: A chain this long needs no second wall: ducts are shorter.
    long_mm: float = 38.0
    long_marks: int = 15
    line_excess: float = 0.1  # least excess of its share with one line
    near_mm: float = 2.3  # marks this near to an artery's centreline belong to it
    grow_mm: float = 8.0  # steps by which it is followed beyond its ends
    grow_excess: float = 0.1  # least excess of the share with two walls on such a step, ...
    end_mm: float = 10.0  # ... and on this length at either end, which is cut back by halves of it otherwise

    def __post_init__(self) -> None:
        check_fields(self)
        check("wall_share", self.wall_share, 0 <= self.wall_share <= 1, "a share in [0, 1]")
        check("least_marks", self.least_marks, self.least_marks >= 3, "3 or more")
        check("near_mm", self.near_mm, self.near_mm > 0, "a length above 0")

    def arteries(
        self, image: np.ndarray, marks: Marks, ids: np.ndarray, spacing_mm: Spacing, side: str = ""
    ) -> list[Artery]:
        """The arteries of an image, float32 (rows, cols) in [0, 1], among the marks of some ids, ascending; a mark
        belongs to one at most."""
        ids = np.asarray(ids, int)
        place_mm = marks.place_mm[ids - 1]
        taken = np.zeros(len(ids), bool)
        found: list[Artery] = []
        for chain, reason in self._accepted(image, place_mm, spacing_mm):
            line = self._trimmed(image, chain.line_mm, spacing_mm)
            line = self._trimmed(image, self._followed(image, place_mm, line, ~taken, spacing_mm), spacing_mm)
            along, across = project(place_mm, line)
            length = _length(line)
            margin = self.near_mm  # a mark's own half beyond the last centroid
            own = ~taken & (np.abs(across) <= self.near_mm) & (along >= -margin) & (along <= length + margin)
            if own.sum() < 3:
                continue  # the rest of one that is there already
            taken |= own
            places = tuple(map(tuple, np.round(line / spacing_mm, 1).tolist()))
            members = tuple(ids[own].tolist())
            found.append(Artery(members, round(length, 1), side, places, f"artery of {length:.0f} mm: {reason}"))
        return found

    def _accepted(self, image: np.ndarray, place_mm: np.ndarray, spacing_mm: Spacing) -> list[tuple[Chain, str]]:
        """Chains that are arteries and why, longest first; then those that continue one."""
        chains = find_chains(place_mm, self.chain, self.least_marks)
        chains = [chain for chain in chains if chain.length_mm >= self.least_length_mm]
        chains.sort(key=lambda chain: -chain.length_mm)
        evidence = [line_evidence(image, chain.line_mm, spacing_mm, self.lines) for chain in chains]
        accepted: list[tuple[Chain, str, LineEvidence]] = []
        waiting: list[tuple[Chain, str, LineEvidence]] = []
        for chain, shown in zip(chains, evidence, strict=True):
            reason = self.reason(len(chain.members), chain.length_mm, shown)
            (accepted if reason else waiting).append((chain, reason, shown))
        for chain, _, shown in waiting:
            continues = any(_continues(chain, other, self.continued_mm) for other, *_ in accepted)
            if continues and self._walls(chain.length_mm, shown, self.continued_excess):
                accepted.append((chain, f"continues another, {_told(shown)}", shown))
        return [(chain, reason) for chain, reason, _ in accepted]

    def reason(self, marks: int, length_mm: float, shown: LineEvidence) -> str:
        """Why a chain of so many marks is an artery, in words; "" if it is none, or undecided."""
        if marks < self.least_marks or length_mm < self.least_length_mm:
            return ""
        if self._walls(length_mm, shown, self.wall_excess):
            return _told(shown)
        is_long = length_mm >= self.long_mm and marks >= self.long_marks
        if is_long and shown.line >= shown.line_beside + self.line_excess:
            return f"a line along {shown.line:.0%} (beside: {shown.line_beside:.0%}), longer than a duct's"
        return ""

    def _walls(self, length_mm: float, shown: LineEvidence, excess: float) -> bool:
        least = excess * math.sqrt(10 / length_mm)
        return shown.walls >= self.wall_share and shown.walls >= shown.walls_beside + least

    def _trimmed(self, image: np.ndarray, line: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
        """The centreline without ends where the picture holds no walls: a cluster beside an artery, say."""
        size = round(self.end_mm / STEP_MM)
        for _ in range(2):  # each end
            while len(line) > 2 * size:
                shown = line_evidence(image, line[-size - 1 :], spacing_mm, self.lines)
                if shown.walls >= shown.walls_beside + self.grow_excess:
                    break
                line = line[: -(size // 2)]
            line = line[::-1]
        return line

    def _followed(
        self, image: np.ndarray, place_mm: np.ndarray, line: np.ndarray, free: np.ndarray, spacing_mm: Spacing
    ) -> np.ndarray:
        """The centreline, followed beyond its ends as long as marks lie ahead and the picture holds lines there."""
        for _ in range(8):
            before = len(line)
            for _ in range(2):  # each end
                line = self._longer(image, place_mm[free], line, spacing_mm)[::-1]
            if len(line) == before:
                break
        return line

    def _longer(self, image: np.ndarray, points: np.ndarray, line: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
        """The line with its last end moved to marks ahead of it, if there are any."""
        if len(line) < 2:
            return line
        along, across = project(points, line)
        length = _length(line)
        beyond = along - length
        ahead = (beyond > 0.5) & (beyond <= self.grow_mm) & (np.abs(across) <= self.near_mm)
        if not ahead.any():
            return line
        tail = max(2, round(2 * self.chain.smoothing_mm))
        near = ahead | ((beyond <= 0) & (beyond > -tail) & (np.abs(across) <= self.near_mm))
        if near.sum() < 3:
            return line
        course = centreline(along[near], points[near], self.chain.smoothing_mm)
        new = course[project(course, line)[0] > length]
        if len(new) < 2:
            return line
        shown = line_evidence(image, new, spacing_mm, self.lines)
        return np.vstack([line, new]) if shown.walls >= shown.walls_beside + self.grow_excess else line


def _told(shown: LineEvidence) -> str:
    return f"two walls along {shown.walls:.0%} of it (beside: {shown.walls_beside:.0%})"


def _length(line: np.ndarray) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _continues(chain: Chain, other: Chain, reach_mm: float) -> bool:
    """Whether one of a chain's ends, followed straight on, comes near to another chain."""
    line = chain.line_mm
    for end, inner in ((line[0], line[min(8, len(line) - 1)]), (line[-1], line[max(-9, -len(line))])):
        ahead = (end - inner) / max(float(np.hypot(*(end - inner))), 1e-9)
        way = other.line_mm - end
        distance = np.hypot(*way.T)
        if np.any((distance <= reach_mm) & (way @ ahead >= 0.7 * distance)):
            return True
    return False
