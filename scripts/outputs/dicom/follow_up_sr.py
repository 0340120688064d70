"""Follow-up as a Mammography CAD report (PS3.17 E.3.3: temporal differencing) in the study of the current exam.

Image Library: the current image, then the prior one
CAD Processing and Findings Summary
  Individual Impression/Recommendation, one per MC that either exam shows, then one per cluster; of each
    Differential Diagnosis/Impression: the change, CID 6002 ("gone" and "out of view" have no code there)
    Impression Description: the status as follow_up.json says it
    Composite Feature (TID 4004), "related temporally", of the findings in both exams; or the one finding
Summary of Detections; Summary of Analyses: temporal correlation (CID 6043), succeeded or failed

The properties of an impression (TID 4002) are CONTAINED in it: the object allows a container no other relationship
(PS3.3 A.35.5.3.1.2, as dcmtk has it), though the template says HAS PROPERTIES.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset

from scripts.common.outcomes import DONE, outcome
from scripts.findings.follow_up.compare import COMPARED
from scripts.findings.follow_up.exams import Exam
from scripts.findings.follow_up.matching import GROWN, NEW, SHRUNK, UNCHANGED
from scripts.outputs.dicom.cad_findings import algorithm, calcification, cluster_finding, findings
from scripts.outputs.dicom.cad_sr import ENGLISH, LIBRARY, detections, document
from scripts.outputs.dicom.codes import CHANGES, CODE_OF, DCM, SCT, STATUS
from scripts.outputs.dicom.document import write
from scripts.outputs.dicom.image_library import cad_entry
from scripts.outputs.dicom.items import (
    CONTAINS,
    INFERRED,
    MODIFIER,
    OBSERVATION,
    PROPERTY,
    SELECTED,
    code,
    container,
    reference,
    text,
    uid,
)
from scripts.outputs.dicom.mammogram import Mammogram, mammogram_of_exam
from scripts.outputs.dicom.operating_points import Presentation
from scripts.outputs.dicom.tracking import derived_uid

CURRENT, PRIOR = 1, 2  # places in the library
CODED = {NEW: "new", GROWN: "larger", SHRUNK: "smaller", UNCHANGED: "unchanged"}  # status -> key of `CHANGES`


def write_follow_up(
    path: Path, prior: Exam, current: Exam, report: Mapping[str, Any], now: datetime | None = None
) -> Path | None:
    """The report of a comparison (`build_follow_up_report`); None where an exam is no DICOM file."""
    images = mammogram_of_exam(current), mammogram_of_exam(prior)
    if images[0] is None or images[1] is None:
        return None
    return write(path, follow_up_sr(images[0], images[1], report), now)


def follow_up_sr(current: Mammogram, prior: Mammogram, report: Mapping[str, Any]) -> Dataset:
    """The report about two mammograms; `report` is that of follow_up.json."""
    images, compared = (current, prior), report["status"] == COMPARED
    impressions = list(_changes(images, report) if compared else _found(current))
    complete = compared and all(image.outcome in DONE for image in images)
    result = CODE_OF[outcome(bool(impressions), complete)]
    title = DCM.SuccessfulAnalyses if compared else DCM.FailedAnalyses
    where = (reference(PROPERTY, *LIBRARY, place) for place in (CURRENT, PRIOR))
    analysis = code(CONTAINS, DCM.AnalysisPerformed, SCT.TemporalCorrelation, *algorithm(current, "follow-up"), *where)
    content = container(
        None,
        DCM.MammographyCADReport,
        code(MODIFIER, DCM.LanguageOfContentItemAndDescendants, ENGLISH),
        container(CONTAINS, DCM.ImageLibrary, *map(cad_entry, images)),
        code(CONTAINS, DCM.CADProcessingAndFindingsSummary, result, *impressions),
        detections(images),
        code(
            CONTAINS, DCM.SummaryOfAnalyses, STATUS["all" if compared else "none"], container(INFERRED, title, analysis)
        ),
        template="4000",
    )
    dataset = document(images, content, "follow_up_sr")
    dataset.CompletionFlag = "COMPLETE" if complete else "PARTIAL"
    return dataset


def _found(current: Mammogram) -> Iterator[Dataset]:
    """The findings of the current exam alone."""
    for intent, finding in findings(current, reference(SELECTED, *LIBRARY, CURRENT)):
        yield container(
            INFERRED, DCM.IndividualImpressionRecommendation, code(MODIFIER, DCM.RenderingIntent, intent), finding
        )


def _changes(images: Sequence[Mammogram], report: Mapping[str, Any]) -> Iterator[Dataset]:
    """An impression of each MC, in the order of their numbers, and of each cluster."""
    sides = [_Side(image, place) for image, place in zip(images, (CURRENT, PRIOR), strict=True)]
    for entry in report["microcalcifications"]:
        there = [side for side, number in zip(sides, (entry["current_id"], entry["prior_id"]), strict=True) if number]
        numbers = [number for number in (entry["current_id"], entry["prior_id"]) if number]
        make = [side.mark(number) for side, number in zip(there, numbers, strict=True)]
        yield _impression(images, SCT.IndividualCalcification, f"trace {entry['number']}", entry["status"], make)
    for entry in report["clusters"]:
        numbers = [entry["current_cluster"], entry["prior_cluster"]]
        make = [side.cluster(number) for side, number in zip(sides, numbers, strict=True) if number is not None]
        name = f"clusters {'-'.join(str(number or 0) for number in numbers)}"
        yield _impression(images, SCT.CalcificationCluster, name, change_of_cluster(entry), make)


def change_of_cluster(entry: Mapping[str, Any]) -> str:
    """The change of a cluster's number of MCs in words: more or fewer only where its 95 % interval says so."""
    if entry["prior_cluster"] is None or entry["current_cluster"] is None:
        return "new" if entry["prior_cluster"] is None else "gone"
    count = entry["change"]["count"]
    return "more" if count["low"] > 0 else "fewer" if count["high"] < 0 else "unchanged"


class _Side:
    """Makes the items of one exam's findings."""

    def __init__(self, image: Mammogram, place: int) -> None:
        told = image.report or {}
        self.image, self.place = image, reference(SELECTED, *LIBRARY, place)
        self.marks = {mark["id"]: mark for mark in told["microcalcifications"]}
        self.clusters = {cluster["id"]: cluster for cluster in told.get("clusters") or []}
        self.presentation = Presentation.of_report(told)

    def mark(self, number: int) -> Any:
        """From a relationship to the item of an MC."""
        mark = self.marks[number]
        return lambda relationship: calcification(relationship, self.image, self.presentation, mark, self.place)

    def cluster(self, number: int) -> Any:
        """From a relationship to the item of a cluster."""
        own = self.clusters[number]
        return lambda relationship: cluster_finding(relationship, self.image, self.presentation, own, self.place)


def _impression(images: Sequence[Mammogram], kind: Any, name: str, status: str, make: Sequence[Any]) -> Dataset:
    """TID 4003, 4002 and, of two findings, 4004."""
    intent = code(MODIFIER, DCM.RenderingIntent, DCM.PresentationRequiredRenderingDeviceIsExpectedToPresent)
    change = CHANGES.get(CODED.get(status, status))
    items = [] if change is None else [code(CONTAINS, DCM.DifferentialDiagnosisImpression, change)]
    items += [text(CONTAINS, DCM.ImpressionDescription, status), *algorithm(images[0], "follow-up", CONTAINS)]
    if len(make) == 1:
        return container(INFERRED, DCM.IndividualImpressionRecommendation, intent, *items, make[0](CONTAINS))
    key = derived_uid(*(image.header.SOPInstanceUID for image in images), images[0].method, name)
    feature = code(
        CONTAINS,
        DCM.CompositeFeature,
        kind,
        intent,
        text(OBSERVATION, DCM.TrackingIdentifier, name),
        uid(OBSERVATION, DCM.TrackingUniqueIdentifier, key),
        code(PROPERTY, DCM.CompositeType, DCM.TargetContentItemsAreRelatedTemporally),
        code(PROPERTY, DCM.ScopeOfFeature, DCM.FeatureDetectedOnMultipleImages),
        *algorithm(images[0], "follow-up"),
        *(one(INFERRED) for one in make),
    )
    return container(INFERRED, DCM.IndividualImpressionRecommendation, intent, *items, feature)
