"""Measurement report (PS3.16 TID 1500) of one mammogram, as Comprehensive SR: what general viewers read.

One measurement group (TID 1501) for the image: outcome and count. One group with a region (TID 1410) for every mark,
whatever its kind: tracking UID, outline, area, diameter of the circle of this area, score, kind; and for every cluster:
hull, area and length of the hull, number of members, highest score, distribution. Members name their cluster in the
tracking identifier ("cluster 1, MC 3").
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.coding import Code
from scipy.spatial.distance import pdist

from scripts.common.calcification_kinds import INDIVIDUAL, METAL, is_counted
from scripts.common.provenance import bundle_version
from scripts.outputs.dicom.codes import (
    CALCIFICATION_TYPES,
    CODE_OF,
    DCM,
    DISTRIBUTIONS,
    SCT,
    SIDES,
    UCUM,
    concept,
    detections_status_of,
)
from scripts.outputs.dicom.document import MANUFACTURER, MODEL, any_patient_name, instance, write
from scripts.outputs.dicom.image_library import measured_image
from scripts.outputs.dicom.items import closed, to_scoord
from scripts.outputs.dicom.mammogram import Mammogram, mammogram_of
from scripts.outputs.dicom.outline import hull_of, score_of
from scripts.outputs.dicom.tracking import derived_uid


def write_measurement_report(path: Path, item: Mapping[str, Any], now: datetime | None = None) -> Path:
    """The report of an item as `FindingsWriter.write` gets it."""
    image = mammogram_of(item, "report_sr")
    return write(path, measurement_report(image), now)


@any_patient_name()
def measurement_report(image: Mammogram) -> Dataset:
    """The report; without any mark for a mammogram that the algorithm failed on."""
    report = image.report or {}
    marks = {mc["id"]: mc for mc in report.get("microcalcifications", [])}
    clusters = report.get("clusters") or []
    cluster_of = {member: cluster["id"] for cluster in clusters for member in cluster["members"]}
    groups = [_of_cluster(image, cluster, marks, report["spacing_mm"]) for cluster in clusters]
    groups += [_of_mark(image, mark, cluster_of.get(number)) for number, mark in marks.items()]
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", MANUFACTURER, bundle_version()),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
    )
    observer = ObserverContext(observer_type=concept(DCM.Device), observer_identifying_attributes=device)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=concept(SCT.Mammography),
        imaging_measurements=[_of_image(image, list(marks.values()))],
        title=concept(DCM.ImagingMeasurementReport),
    )
    arguments = instance("report_sr", [image])
    document = ComprehensiveSR([image.header], content[0], is_complete=True, is_final=False, **arguments)
    document.ContentSequence.insert(-1, measured_image(image))
    # highdicom copies and searches the whole tree several times over: with 200 marks that takes longer than all else
    measurements = document.ContentSequence[-1].ContentSequence
    for group in groups:
        measurements.extend(group)
    return document


def _of_image(image: Mammogram, marks: Sequence[Mapping[str, Any]]) -> MeasurementsAndQualitativeEvaluations:
    counted = sum(map(is_counted, marks))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking("image", derived_uid(image.header.SOPInstanceUID, image.method, "image")),
        source_images=[SourceImageForMeasurementGroup.from_source_image(image.header)],
        finding_type=concept(SCT.MicrocalcificationsOfTheBreast),
        finding_sites=_sites(image),
        algorithm_id=AlgorithmIdentification(
            image.method, bundle_version(), image.parameters or None, concept(DCM.ArtificialIntelligence), MANUFACTURER
        ),
        measurements=[_measurement(DCM.NumberOfCalcifications, counted, UCUM.NoUnits)] if image.succeeded else None,
        qualitative_evaluations=[
            _evaluation(DCM.CADProcessingAndFindingsSummary, CODE_OF[image.outcome]),
            _evaluation(DCM.SummaryOfDetections, detections_status_of(image.outcome)),
        ],
    )


def _of_mark(
    image: Mammogram, mark: Mapping[str, Any], cluster: int | None
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    kind = mark.get("kind", INDIVIDUAL)
    name = f"MC {mark['id']}" if cluster is None else f"cluster {cluster}, MC {mark['id']}"
    metal = kind == METAL
    untyped = metal or "kinds" in image.failures
    types = [] if untyped else [_evaluation(DCM.CalcificationType, CALCIFICATION_TYPES[kind])]
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(name, mark["tracking_uid"]),
        referenced_region=_region(image, image.outlines[mark["id"]]),
        finding_type=concept(SCT.ForeignBody if metal else SCT.IndividualCalcification),
        measurements=[
            _measurement(SCT.Area, mark["area_mm2"], UCUM.SquareMillimeter),
            _measurement(SCT.Diameter, mark["equivalent_diameter_mm"], UCUM.Millimeter),
            _measurement(DCM.CertaintyOfFinding, 100 * mark["score"], UCUM.Percent),
        ],
        qualitative_evaluations=types or None,
    )


def _of_cluster(
    image: Mammogram, cluster: Mapping[str, Any], marks: Mapping[int, Mapping[str, Any]], spacing_mm: Sequence[float]
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    hull = hull_of(cluster, marks)
    mm = hull * spacing_mm
    area = abs(float(mm[:, 0] @ np.roll(mm[:, 1], -1) - mm[:, 1] @ np.roll(mm[:, 0], -1)) / 2)
    known = cluster.get("distribution") in DISTRIBUTIONS
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(f"cluster {cluster['id']}", cluster["tracking_uid"]),
        referenced_region=_region(image, hull),
        finding_type=concept(SCT.CalcificationCluster),
        finding_sites=_sites(image),
        measurements=[
            _measurement(SCT.Area, area, UCUM.SquareMillimeter),
            _measurement(SCT.LongAxis, float(pdist(mm).max(initial=0.0)), UCUM.Millimeter),
            _measurement(DCM.NumberOfCalcifications, len(cluster["members"]), UCUM.NoUnits),
            _measurement(DCM.CertaintyOfFinding, 100 * score_of(cluster, marks), UCUM.Percent, SCT.Maximum),
        ],
        qualitative_evaluations=(
            [_evaluation(DCM.CalcificationDistribution, DISTRIBUTIONS[cluster["distribution"]])] if known else None
        ),
    )


def _tracking(identifier: str, uid: str) -> TrackingIdentifier:
    return TrackingIdentifier(uid=uid, identifier=identifier)


def _region(image: Mammogram, corners: np.ndarray) -> ImageRegion:
    return ImageRegion("POLYLINE", closed(to_scoord(corners)), SourceImageForRegion.from_source_image(image.header))


def _measurement(name: Code, value: float, unit: Code, derivation: Code | None = None) -> Measurement:
    return Measurement(concept(name), value, concept(unit), derivation=derivation and concept(derivation))


def _evaluation(name: Code, value: Code) -> QualitativeEvaluation:
    return QualitativeEvaluation(concept(name), concept(value))


def _sites(image: Mammogram) -> list[FindingSite]:
    side = SIDES.get(image.laterality)
    return [FindingSite(concept(SCT.Breast), laterality=side and concept(side))]
