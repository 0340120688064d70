"""Operating points of a CAD report: which findings a workstation shows at once, and which when one turns it up.

The points of a method (`models/operating_points.json`: name -> threshold, ...) in order of falling threshold have the
numbers 0, 1, ... (PS3.16 TID 4023: 0 is the most specific). A finding belongs to the first point whose threshold its
score reaches. Those up to the recommended point are to be presented; the others may be. The optional table of
sensitivity and false marks is left out: our figures are of simulated calcifications.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.sr.coding import Code

from scripts.outputs.dicom.codes import DCM, OPTIONAL, REQUIRED
from scripts.outputs.dicom.items import MODIFIER, PROPERTY, code, number

RECOMMENDED = "balanced"
#: Units that the templates ask for, which are in no table of pydicom's: a number from 0 or 1 on, an arbitrary unit.
FROM_0, FROM_1 = Code("{0:n}", "UCUM", "range: 0:n"), Code("{1:n}", "UCUM", "range: 1:n")
ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")


@dataclass(frozen=True)
class Presentation:
    """How findings of a run are to be presented."""

    preset: str | None = None  # that the run used
    points: tuple[tuple[str, Mapping[str, float]], ...] = ()  # in order of falling threshold; none: not known

    @classmethod
    def of_report(cls, report: Mapping[str, Any] | None) -> "Presentation":
        """From a report's "operating_point": its "preset", and "presets" (name -> threshold, ...) where it has them."""
        point = (report or {}).get("operating_point") or {}
        presets = point.get("presets") or {}
        order = sorted(presets.items(), key=lambda entry: -entry[1]["threshold"])
        return cls(point.get("preset"), tuple(order))

    @property
    def recommended(self) -> int:
        """Number of the recommended point; the last where there is no such preset."""
        names = [name for name, _ in self.points]
        return names.index(RECOMMENDED) if RECOMMENDED in names else len(names) - 1

    def number(self, score: float) -> int:
        """Number of the first point at which a finding is presented."""
        reached = (n for n, (_, point) in enumerate(self.points) if score >= point["threshold"])
        return next(reached, len(self.points) - 1)

    def intent(self, score: float) -> Code:
        """Rendering intent of a finding; where points are not known, that of the preset that the run used."""
        if self.points:
            return REQUIRED if self.number(score) <= self.recommended else OPTIONAL
        return OPTIONAL if self.preset == "sensitive" else REQUIRED

    def rendering(self, score: float) -> Dataset:
        """The item Rendering Intent of a finding, with its operating point if it may be presented (TID 4006 row 3)."""
        intent = self.intent(score)
        known = self.points and intent == OPTIONAL
        bins = [number(PROPERTY, DCM.CADOperatingPoint, self.number(score), FROM_1)] if known else []
        return code(MODIFIER, DCM.RenderingIntent, intent, *bins)

    def items(self) -> list[Dataset]:
        """The items of TID 4023 below a detection; none where points are not known."""
        if not self.points:
            return []
        return [
            number(PROPERTY, DCM.MaximumCADOperatingPoint, len(self.points) - 1, ARBITRARY),
            number(PROPERTY, DCM.RecommendedCADOperatingPoint, self.recommended, FROM_0),
        ]
