"""`follow_up_sr.dcm` read back: what became of every MC, and of every cluster."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import MammographyCADSRStorage

from scripts.common.checks import check
from scripts.common.objects import Microcalcification
from scripts.outputs.dicom.codes import CHANGES, DCM, SCT
from scripts.outputs.dicom.reading import (
    ImageResult,
    add_mark,
    children,
    corners_of,
    first,
    library_spacing,
    pixels_of,
    result_of,
    tracking_name,
)

CHANGE_OF = {code.value: name for name, code in CHANGES.items()}


@dataclass
class FollowUpResult:
    """What a follow-up report says."""

    outcome: str  # one of `scripts.common.outcomes.OUTCOMES`
    compared: bool  # whether the temporal correlation succeeded
    current: ImageResult
    prior: ImageResult
    traces: list[dict[str, Any]] = field(
        default_factory=list
    )  # as in follow_up.json, and "change": a coded one, or None
    clusters: list[dict[str, Any]] = field(default_factory=list)  # prior_cluster, current_cluster, change, in words


def read_follow_up(path: str | Path) -> FollowUpResult:
    """A follow-up report of this bundle, else a ValueError."""
    report = dcmread(path)
    kind = report.get("SOPClassUID", "")
    check(str(path), str(kind), kind == MammographyCADSRStorage, "a Mammography CAD SR of a follow-up")
    library = first(report, DCM.ImageLibrary).ContentSequence
    check(str(path), f"{len(library)} images", len(library) == 2, "a follow-up: the current image and the prior one")
    images = [ImageResult(entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for entry in library]
    compared = bool(list(children(first(report, DCM.SummaryOfAnalyses), DCM.SuccessfulAnalyses)))
    told = FollowUpResult(result_of(report, images).outcome, compared, images[0], images[1])
    if not compared:
        return told
    spacings = [library_spacing(entry) for entry in library]
    summary = first(report, DCM.CADProcessingAndFindingsSummary)
    for impression in children(summary, DCM.IndividualImpressionRecommendation):
        features = list(children(impression, DCM.CompositeFeature))
        findings = list(children(features[0] if features else impression, DCM.SingleImageFinding))
        status = str(first(impression, DCM.ImpressionDescription).TextValue)
        coded = list(children(impression, DCM.DifferentialDiagnosisImpression))
        change = CHANGE_OF[coded[0].ConceptCodeSequence[0].CodeValue] if coded else None
        places = [_place(finding) for finding in findings]
        if findings[0].ConceptCodeSequence[0].CodeValue == SCT.CalcificationCluster.value:
            numbers: list[int | None] = [None, None]
            for finding, place in zip(findings, places, strict=True):
                numbers[place] = int(tracking_name(finding).removeprefix("cluster "))
            told.clusters.append({"prior_cluster": numbers[1], "current_cluster": numbers[0], "change": status})
            continue
        marks: list[Microcalcification | None] = [None, None]
        for finding, place in zip(findings, places, strict=True):
            number = int(tracking_name(finding).removeprefix("MC "))
            own = pixels_of(corners_of(first(finding, DCM.Outline)))
            add_mark(images[place], finding, number, own, spacings[place])
            marks[place] = images[place].findings[-1]
        told.traces.append(_trace(len(told.traces) + 1, status, marks) | {"change": change})
    for image in images:
        image.findings.sort(key=lambda mc: mc.id)
    return told


def _place(finding: Dataset) -> int:
    """0 for a finding of the current image, 1 for one of the prior."""
    return int(first(finding, DCM.Center).ContentSequence[0].ReferencedContentItemIdentifier[-1]) - 1


def _trace(number: int, status: str, marks: Sequence[Microcalcification | None]) -> dict[str, Any]:
    current, prior = marks
    areas = [None if mc is None else mc.area_mm2 for mc in (prior, current)]
    change = None if areas[0] is None or areas[1] is None else round(areas[1] - areas[0], 6)
    return {
        "number": number,
        "status": status,
        "prior_id": None if prior is None else prior.id,
        "current_id": None if current is None else current.id,
        "prior_area_mm2": areas[0],
        "current_area_mm2": areas[1],
        "area_change_mm2": change,
    }
