"""All rules in one: the kind of every mark and why, and the arteries.

The first rule that holds decides: metal, vascular, skin-line, rim, coarse; what none explains is an individual MC.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scripts.common.calcification_kinds import COARSE, EXCLUDED, INDIVIDUAL, KINDS, METAL, RIM, SKIN_LINE, VASCULAR
from scripts.common.checks import check, check_fields
from scripts.common.objects import Microcalcification, measure_objects, renumbered
from scripts.common.tensors import Spacing
from scripts.findings.kinds.geometry import Marks, measure_marks
from scripts.findings.kinds.large import CoarseRule, RimRule
from scripts.findings.kinds.metal import MetalPiece, MetalRule
from scripts.findings.kinds.skin import SkinLineRule
from scripts.findings.kinds.vascular import Artery, VascularRule


class MarkKind(NamedTuple):
    """What a mark is."""

    kind: str  # one of `scripts.common.calcification_kinds.KINDS`
    reason: str


class TypedMarks(NamedTuple):
    """What the marks of an image are."""

    marks: list[MarkKind]  # that of finding i at index i - 1
    arteries: list[Artery]


class ToldMarks(NamedTuple):
    """The marks of an image, metal joined, and what they are."""

    labels: np.ndarray  # int32 (rows, cols), 0 background, numbered 1..n
    scores: np.ndarray  # (n + 1,) by number
    marks: list[MarkKind]  # (n,)
    arteries: list[Artery]


@dataclass(frozen=True)
class KindRules:
    """One rule per kind; None leaves a kind out."""

    vascular: VascularRule | None = field(default_factory=VascularRule)
    metal: MetalRule | None = field(default_factory=MetalRule)
    skin_line: SkinLineRule | None = field(default_factory=SkinLineRule)
    rim: RimRule | None = field(default_factory=RimRule)
    coarse: CoarseRule | None = field(default_factory=CoarseRule)
    exclude_kinds: tuple[str, ...] = EXCLUDED  # kinds that are left out of count, clusters and mask

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "exclude_kinds", tuple(self.exclude_kinds))
        for kind in self.exclude_kinds:
            check("exclude_kinds", kind, kind in KINDS, f"some of {', '.join(KINDS)}")

    def tell(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
        breast: np.ndarray,
        spacing_mm: Spacing,
        side: str = "",
    ) -> ToldMarks:
        """`join`, numbers without gaps, and `kinds` in one, which looks for metal once."""
        pieces = self._metal(image, breast, spacing_mm)
        labels, scores = renumbered(*self._joined(labels, scores, pieces, spacing_mm))
        findings = measure_objects(labels, scores, spacing_mm)
        return ToldMarks(labels, scores, *self._kinds(image, labels, findings, pieces, breast, spacing_mm, side))

    def join(
        self, image: np.ndarray, labels: np.ndarray, scores: np.ndarray, breast: np.ndarray, spacing_mm: Spacing
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels, int (rows, cols), and scores (n + 1,) by number, with each piece of metal as one object.

        Comes before objects are measured. Also metal that a network left out becomes an object, as long as metal is
        excluded: no rule adds to what is counted.
        """
        return self._joined(labels, scores, self._metal(image, breast, spacing_mm), spacing_mm)

    def kinds(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        findings: Sequence[Microcalcification],
        breast: np.ndarray,
        spacing_mm: Spacing,
        side: str = "",
    ) -> TypedMarks:
        """The kind of every finding.

        Image float32 (rows, cols) in [0, 1]; labels int (rows, cols), numbered by the ids 1..n of the findings; breast
        bool (rows, cols); `side` is the laterality that arteries are reported with.
        """
        pieces = self._metal(image, breast, spacing_mm)
        return self._kinds(image, labels, findings, pieces, breast, spacing_mm, side)

    def _metal(self, image: np.ndarray, breast: np.ndarray, spacing_mm: Spacing) -> list[MetalPiece]:
        image = np.ascontiguousarray(image, np.float32)
        return [] if self.metal is None else self.metal.pieces(image, breast, spacing_mm)

    def _joined(
        self, labels: np.ndarray, scores: np.ndarray, pieces: Sequence[MetalPiece], spacing_mm: Spacing
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.metal is None:
            return labels, scores
        if METAL not in self.exclude_kinds:
            pieces = [piece for piece in pieces if labels[piece.window][piece.mask].any()]
        return self.metal.join(labels, scores, pieces, spacing_mm)

    def _kinds(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        findings: Sequence[Microcalcification],
        pieces: Sequence[MetalPiece],
        breast: np.ndarray,
        spacing_mm: Spacing,
        side: str,
    ) -> TypedMarks:
        image = np.ascontiguousarray(image, np.float32)
        marks = measure_marks(labels, findings, spacing_mm)
        kinds = [MarkKind(INDIVIDUAL, "no rule holds")] * len(marks)
        metal = {} if self.metal is None else self.metal.marks(labels, pieces)
        arteries: list[Artery] = []
        if self.vascular is not None:
            others = np.setdiff1d(np.arange(1, len(marks) + 1), list(metal))
            arteries = self.vascular.arteries(image, marks, others, spacing_mm, side)
        skin = [""] * len(marks) if self.skin_line is None else self.skin_line.reasons(breast, marks, spacing_mm)
        diameters, lengths = marks.diameter_mm.tolist(), marks.length_mm.tolist()
        vascular = {number: artery.reason for artery in arteries for number in artery.members}
        for number in range(1, len(marks) + 1):
            for kind, reason in (
                (METAL, metal.get(number)),
                (VASCULAR, vascular.get(number)),
                (SKIN_LINE, skin[number - 1]),
            ):
                if reason:
                    kinds[number - 1] = MarkKind(kind, reason)
                    break
            else:
                diameter, length = diameters[number - 1], lengths[number - 1]
                kinds[number - 1] = self._by_size(image, labels, number, marks, diameter, length, spacing_mm)
        return TypedMarks(kinds, arteries)

    def counted(self, marks: Sequence[MarkKind]) -> np.ndarray:
        """Which findings are counted, bool (n,): those of no excluded kind."""
        return np.array([mark.kind not in self.exclude_kinds for mark in marks], bool)

    def _by_size(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        number: int,
        marks: Marks,
        diameter: float,
        length: float,
        spacing_mm: Spacing,
    ) -> MarkKind:
        reach = max(length, diameter)
        if self.rim is not None and reach >= self.rim.least_diameter_mm:
            reason = self.rim.reason(image, labels, number, marks, spacing_mm)
            if reason:
                return MarkKind(RIM, reason)
        if self.coarse is not None and (reason := self.coarse.reason(diameter)):
            return MarkKind(COARSE, reason)
        return MarkKind(INDIVIDUAL, "no rule holds")


def without_kinds(labels: np.ndarray, marks: Sequence[MarkKind], exclude: Collection[str] = EXCLUDED) -> np.ndarray:
    """Labels, int (rows, cols), without the marks of some kinds: the mask of what is counted. Numbers stay."""
    keep = np.array([False, *(mark.kind not in exclude for mark in marks)])
    return np.where(keep[labels], labels, 0)
