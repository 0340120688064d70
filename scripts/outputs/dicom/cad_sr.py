"""Mammography CAD report (PS3.16 TID 4000, PS3.3 A.35.5): what mammography workstations read.

    Mammography CAD Report
      Language; Image Library (TID 4020): the images, which findings refer to by their place there
      CAD Processing and Findings Summary: one of five outcomes (CID 6047)
        Individual Impression/Recommendation (TID 4003), one per finding
          Calcification Cluster (TID 4006, 4010) with its members, or Individual Calcification (TID 4006, 4009)
      Summary of Detections (TID 4015, 4017): what was looked for on which images, and where that failed
      Summary of Analyses: not attempted. Grouping the calcifications of one image is part of their detection.

One report is about one image or about all of a study. Vessels, metal and skin are left out: they are in the measurement
report. No class of highdicom makes this object; its parts for header and content items do.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from highdicom.base import SOPClass
from highdicom.sr.utils import collect_evidence
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, MammographyCADSRStorage

from scripts.common.checks import check
from scripts.common.outcomes import DONE, FAILED, NOT_ATTEMPTED, together
from scripts.outputs.dicom.cad_findings import algorithm, findings
from scripts.outputs.dicom.codes import CODE_OF, DCM, SCT, STATUS, detections_status_of
from scripts.outputs.dicom.document import any_patient_name, instance, write
from scripts.outputs.dicom.image_library import cad_entry
from scripts.outputs.dicom.items import (
    CONTAINS,
    INFERRED,
    MODIFIER,
    PROPERTY,
    SELECTED,
    code,
    container,
    reference,
    text,
)
from scripts.outputs.dicom.mammogram import Mammogram, mammogram_of
from scripts.outputs.dicom.operating_points import Presentation

LIBRARY = (1, 2)  # place of the image library in the tree; that of an image is (1, 2, number)
#: Language, CID 5000: not in pydicom's tables; as highdicom has it.
ENGLISH = Code("en-US", "RFC5646", "English (United States)")


def write_cad_report(path: Path, item: Mapping[str, Any], now: datetime | None = None) -> Path:
    """The CAD report of one image, of an item as `FindingsWriter.write` gets it."""
    return write(path, cad_report([mammogram_of(item, "cad_sr")]), now)


def cad_report(images: Sequence[Mammogram], unreadable: int = 0) -> Dataset:
    """The CAD report of images of one study, failed ones included (`failed_mammogram`).

    `unreadable` are files of the study that failed and cannot be referred to, as their headers cannot be read.

    Raises:
        ValueError: there are no images, or they are of several studies.
    """
    studies = {image.header.StudyInstanceUID for image in images}
    check("images", f"images of {len(studies)} studies", len(studies) == 1, "one or more images of one study")
    content = container(
        None,
        DCM.MammographyCADReport,
        code(MODIFIER, DCM.LanguageOfContentItemAndDescendants, ENGLISH),
        container(CONTAINS, DCM.ImageLibrary, *map(cad_entry, images)),
        _summary(images, unreadable),
        detections(images, unreadable),
        code(CONTAINS, DCM.SummaryOfAnalyses, STATUS["not attempted"]),
        template="4000",
    )
    report = document(images, content)
    if unreadable:
        report.CompletionFlag = "PARTIAL"
    return report


def outcome(images: Sequence[Mammogram], unreadable: int = 0) -> Code:
    """Which of the five outcomes (CID 6047) holds for these images together."""
    return CODE_OF[together([*(image.outcome for image in images), *[FAILED] * unreadable])]


def detections_status(images: Sequence[Mammogram], unreadable: int = 0) -> Code:
    """Whether the detections on those images that were tried succeeded (CID 6042)."""
    tried = [image.outcome for image in images if image.attempted] + [FAILED] * unreadable
    return detections_status_of(together(tried) if tried else NOT_ATTEMPTED)


def _summary(images: Sequence[Mammogram], unreadable: int) -> Dataset:
    """TID 4001."""
    impressions = [
        container(
            INFERRED, DCM.IndividualImpressionRecommendation, code(MODIFIER, DCM.RenderingIntent, intent), finding
        )
        for place, image in enumerate(images, start=1)
        for intent, finding in findings(image, reference(SELECTED, *LIBRARY, place))
    ]
    return code(CONTAINS, DCM.CADProcessingAndFindingsSummary, outcome(images, unreadable), *impressions)


def detections(images: Sequence[Mammogram], unreadable: int = 0) -> Dataset:
    """TID 4015: what was looked for, on which images, with which result; an analysis that failed has its own name."""
    name = DCM.SummaryOfDetections
    status = detections_status(images, unreadable)
    if status == STATUS["not attempted"]:
        return code(CONTAINS, name, status)
    tried = [(place, image) for place, image in enumerate(images, start=1) if image.attempted]
    done, failed = [], []
    for kind, analysis in ((SCT.IndividualCalcification, ""), (SCT.CalcificationCluster, "clusters")):
        succeeded = [place for place, image in tried if image.succeeded and analysis not in image.failures]
        if succeeded:
            done.append(_performed(images[succeeded[0] - 1], kind, succeeded))
        without = [place for place, image in tried if not image.succeeded]
        if without or unreadable:
            failed.append(_performed(images[without[0] - 1] if without else images[0], kind, without))
    for analysis in dict.fromkeys(name for image in images for name in image.failures):
        places = [place for place, image in tried if analysis in image.failures]
        kind = SCT.CalcificationCluster if analysis == "clusters" else SCT.IndividualCalcification
        failed.append(_performed(images[places[0] - 1], kind, places, analysis))
    parts = ((DCM.SuccessfulDetections, done), (DCM.FailedDetections, failed))
    return code(CONTAINS, name, status, *(container(INFERRED, title, *items) for title, items in parts if items))


def _performed(image: Mammogram, kind: Code, places: Sequence[int], analysis: str = "") -> Dataset:
    """TID 4017: a kind of finding, and the images it was looked for on."""
    where = (reference(PROPERTY, *LIBRARY, place) for place in places)
    parameters = (text(PROPERTY, DCM.AlgorithmParameters, value) for value in image.parameters)
    points = Presentation.of_report(image.report).items()
    about = algorithm(image, analysis)
    return code(CONTAINS, DCM.DetectionPerformed, kind, *about, *parameters, *where, *points)


@any_patient_name()
def document(images: Sequence[Mammogram], content: Dataset, output: str = "cad_sr") -> Dataset:
    """The data set around the content, of the study of the first image: header, general modules, evidence."""
    header = images[0].header
    report = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        sop_class_uid=MammographyCADSRStorage,
        modality="SR",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=header.SpecificCharacterSet,
        patient_id=header.PatientID,
        patient_name=header.PatientName,
        patient_birth_date=header.PatientBirthDate or None,
        patient_sex=header.PatientSex,
        accession_number=header.AccessionNumber,
        study_id=header.StudyID,
        study_date=header.StudyDate or None,
        study_time=header.StudyTime or None,
        referring_physician_name=header.ReferringPhysicianName,
        **instance(output, images),
    )
    report.copy_patient_and_study_information(header)
    report.CompletionFlag = "COMPLETE" if all(image.outcome in DONE for image in images) else "PARTIAL"
    report.PreliminaryFlag, report.VerificationFlag = "PRELIMINARY", "UNVERIFIED"
    report.PerformedProcedureCodeSequence = []
    report.ReferencedPerformedProcedureStepSequence = []
    library = content.ContentSequence[LIBRARY[1] - 1]
    headers = [image.header for image in images]
    evidence, of_other_studies = collect_evidence(headers, library, header.StudyInstanceUID)
    report.CurrentRequestedProcedureEvidenceSequence = evidence
    if of_other_studies:
        report.PertinentOtherEvidenceSequence = of_other_studies
    for entry in library.ContentSequence:
        del entry.ConceptNameCodeSequence  # highdicom asked for a name all along; the template has none
    for element in content:
        report.add(element)
    return report
