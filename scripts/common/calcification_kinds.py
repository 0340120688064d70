"""Names of the kinds of calcification, of the marks of a mammogram and of what simulation draws."""

from collections.abc import Mapping
from typing import Any

INDIVIDUAL, VASCULAR, METAL = "individual MC", "vascular", "metal"
COARSE, RIM, SKIN_LINE = "coarse", "rim", "skin-line"
KINDS = (INDIVIDUAL, VASCULAR, METAL, COARSE, RIM, SKIN_LINE)
#: Kinds that are no microcalcification (MC) of a count, a cluster or a mask.
EXCLUDED = (VASCULAR, METAL, SKIN_LINE)


def is_counted(mark: Mapping[str, Any]) -> bool:
    """Whether a mark of a report is a microcalcification of the count: as the report says, else by its kind."""
    return bool(mark.get("counted", mark.get("kind", INDIVIDUAL) not in EXCLUDED))
