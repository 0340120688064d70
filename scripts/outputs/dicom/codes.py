"""The coded concepts of DICOM outputs. All come from pydicom's tables of PS3.16; none is typed by hand."""

from functools import cache

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from scripts.common.outcomes import (
    FAILED,
    FOUND,
    NOT_ATTEMPTED,
    NOTHING_FOUND,
    PARTLY_FOUND,
    PARTLY_NOTHING_FOUND,
    WITH_RESULT,
)

DCM, SCT, UCUM = codes.DCM, codes.SCT, codes.UCUM

#: Kinds of mark (scripts/common/calcification_kinds.py) as calcification types, CID 6010; metal is none.
CALCIFICATION_TYPES: dict[str, Code] = {
    "individual MC": SCT.MicrocalcificationsOfTheBreast,
    "vascular": SCT.VascularCalcificationRadiographicFinding,
    "coarse": SCT.CoarsePopcornLikeCalcification,
    "rim": SCT.LucentCenteredCalcification,
    "skin-line": SCT.CalcifiedSkinOfBreast,
}
#: Distributions of a cluster, CID 6012.
DISTRIBUTIONS: dict[str, Code] = {
    "grouped": SCT.GroupedCalcificationDistribution,
    "linear": SCT.LinearCalcificationDistribution,
    "segmental": SCT.SegmentalCalcificationDistribution,
    "regional": SCT.RegionalCalcificationDistribution,
    "diffuse": SCT.DiffuseCalcificationDistribution,
}
#: Change since an earlier mammogram, CID 6002.
CHANGES: dict[str, Code] = {
    "new": SCT.NewFinding,
    "larger": SCT.IncreaseInSize,
    "smaller": SCT.DecreaseInSize,
    "more": SCT.IncreaseInNumberOfCalcifications,
    "fewer": SCT.DecreaseInNumberOfCalcifications,
    "unchanged": SCT.NoSignificantChangesInTheFinding,
}
#: ViewPosition (PS3.3 C.8.11.7) as view, CID 4014.
VIEWS: dict[str, Code] = {
    "CC": SCT.CranioCaudal,
    "MLO": SCT.MedioLateralObliqueProjection,
    "ML": SCT.MedioLateralProjection,
    "LM": SCT.LateroMedial,
    "LMO": SCT.LateroMedialOblique,
    "FB": SCT.CaudoCranial,
    "SIO": SCT.SuperolateralToInferomedialOblique,
    "ISO": SCT.InferomedialToSuperolateralOblique,
    "XCCL": SCT.CranioCaudalExaggeratedLaterally,
    "XCCM": SCT.CranioCaudalExaggeratedMedially,
}
#: Breast by laterality, CID 6022; and side, CID 244.
BREASTS: dict[str, Code] = {"L": SCT.LeftBreast, "R": SCT.RightBreast}
SIDES: dict[str, Code] = {"L": SCT.Left, "R": SCT.Right}
#: Rendering intent, CID 6034.
REQUIRED: Code = DCM.PresentationRequiredRenderingDeviceIsExpectedToPresent
OPTIONAL: Code = DCM.PresentationOptionalRenderingDeviceMayPresent
#: Outcome of a report, CID 6047, by (algorithms that succeeded, whether there are findings).
OUTCOMES: dict[tuple[str, bool], Code] = {
    ("all", False): DCM.AllAlgorithmsSucceededWithoutFindings,
    ("all", True): DCM.AllAlgorithmsSucceededWithFindings,
    ("some", False): DCM.NotAllAlgorithmsSucceededWithoutFindings,
    ("some", True): DCM.NotAllAlgorithmsSucceededWithFindings,
    ("none", False): DCM.NoAlgorithmsSucceededWithoutFindings,
}
#: The same by the words of every output (scripts/common/outcomes.py).
CODE_OF: dict[str, Code] = {
    FOUND: OUTCOMES["all", True],
    NOTHING_FOUND: OUTCOMES["all", False],
    PARTLY_FOUND: OUTCOMES["some", True],
    PARTLY_NOTHING_FOUND: OUTCOMES["some", False],
    FAILED: OUTCOMES["none", False],
    NOT_ATTEMPTED: OUTCOMES["none", False],
}
#: Status of detections or analyses, CID 6042.
STATUS: dict[str, Code] = {
    "all": DCM.Succeeded,
    "some": DCM.PartiallySucceeded,
    "none": DCM.Failed,
    "not attempted": DCM.NotAttempted,
}


def detections_status_of(outcome: str) -> Code:
    """The status (CID 6042) that goes with an outcome."""
    if outcome not in WITH_RESULT:
        return STATUS["not attempted" if outcome == NOT_ATTEMPTED else "none"]
    return STATUS["all" if outcome in (FOUND, NOTHING_FOUND) else "some"]


@cache
def concept(code: Code) -> CodedConcept:
    """A code as highdicom's data set, made once: it takes long, and is never changed."""
    return CodedConcept(
        code.value, code.scheme_designator, code.meaning.replace("\u200b", "")
    )  # as some tables have it
