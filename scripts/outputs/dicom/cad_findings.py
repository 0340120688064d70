"""The findings of a mammography CAD report: clusters with their members, and calcifications outside of clusters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.sr.coding import Code

from scripts.common.calcification_kinds import INDIVIDUAL, is_counted
from scripts.common.provenance import bundle_version
from scripts.outputs.dicom.codes import CALCIFICATION_TYPES, DCM, DISTRIBUTIONS, SCT, UCUM
from scripts.outputs.dicom.items import (
    CONTAINS,
    INFERRED,
    OBSERVATION,
    PROPERTY,
    code,
    number,
    point,
    polygon,
    text,
    uid,
)
from scripts.outputs.dicom.mammogram import Mammogram
from scripts.outputs.dicom.operating_points import Presentation
from scripts.outputs.dicom.outline import hull_of, score_of


def findings(image: Mammogram, place: Dataset) -> Iterator[tuple[Code, Dataset]]:
    """Rendering intent and item of each cluster, then of each calcification outside of clusters."""
    if image.report is None:
        return
    presentation = Presentation.of_report(image.report)
    marks = {mark["id"]: mark for mark in image.report["microcalcifications"] if is_counted(mark)}
    alone = dict(marks)
    for cluster in image.report.get("clusters") or []:
        score = score_of(cluster, marks)
        members = [alone.pop(member) for member in cluster["members"] if member in alone]
        inside = [calcification(INFERRED, image, presentation, member, place) for member in members]
        yield presentation.intent(score), cluster_finding(CONTAINS, image, presentation, cluster, place, inside)
    for mark in alone.values():
        yield presentation.intent(mark["score"]), calcification(CONTAINS, image, presentation, mark, place)


def cluster_finding(
    relationship: str,
    image: Mammogram,
    presentation: Presentation,
    cluster: Mapping[str, Any],
    place: Dataset,
    inside: Sequence[Dataset] = (),
) -> Dataset:
    """TID 4006 and 4010; `inside` are the items of its members."""
    marks = {mark["id"]: mark for mark in (image.report or {})["microcalcifications"]}
    distribution, score = cluster.get("distribution"), score_of(cluster, marks)
    return code(
        relationship,
        DCM.SingleImageFinding,
        SCT.CalcificationCluster,
        *_identified(image, presentation, score, f"cluster {cluster['id']}", cluster["tracking_uid"]),
        *_place(cluster, hull_of(cluster, marks), place),
        *([code(PROPERTY, DCM.CalcificationDistribution, DISTRIBUTIONS[distribution])] if distribution else []),
        number(PROPERTY, DCM.NumberOfCalcifications, len(inside) or len(cluster["members"]), UCUM.NoUnits),
        *inside,
    )


def calcification(
    relationship: str, image: Mammogram, presentation: Presentation, mark: Mapping[str, Any], place: Dataset
) -> Dataset:
    """TID 4006 and 4009."""
    return code(
        relationship,
        DCM.SingleImageFinding,
        SCT.IndividualCalcification,
        *_identified(image, presentation, mark["score"], f"MC {mark['id']}", mark["tracking_uid"]),
        *_place(mark, image.outlines.get(mark["id"]), place),
        *([] if "kinds" in image.failures else [code(PROPERTY, DCM.CalcificationType, _type(mark))]),
    )


def _type(mark: Mapping[str, Any]) -> Code:
    return CALCIFICATION_TYPES[mark.get("kind", INDIVIDUAL)]


def _identified(
    image: Mammogram, presentation: Presentation, score: float, name: str, tracking_uid: str
) -> Iterator[Dataset]:
    """Rows 2 to 6 of TID 4006: rendering intent, tracking (TID 4108), algorithm, certainty."""
    yield presentation.rendering(score)
    yield text(OBSERVATION, DCM.TrackingIdentifier, name)
    yield uid(OBSERVATION, DCM.TrackingUniqueIdentifier, tracking_uid)
    yield from algorithm(image)
    yield number(PROPERTY, DCM.CertaintyOfFinding, 100 * score, UCUM.Percent)


def algorithm(image: Mammogram, analysis: str = "", relationship: str = PROPERTY) -> Iterator[Dataset]:
    """TID 4019; `analysis` names a part of the method."""
    yield text(relationship, DCM.AlgorithmName, f"{image.method}, {analysis}" if analysis else image.method)
    yield text(relationship, DCM.AlgorithmVersion, bundle_version())


def _place(thing: Mapping[str, Any], corners: Any, place: Dataset) -> Iterator[Dataset]:
    """TID 4021: centre and outline."""
    yield point(PROPERTY, DCM.Center, thing["row"], thing["col"], place)
    if corners is not None:
        yield polygon(PROPERTY, DCM.Outline, corners, place)
