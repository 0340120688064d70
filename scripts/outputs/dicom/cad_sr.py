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

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from highdicom.base import SOPClass
from highdicom.sr.utils import collect_evidence
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, MammographyCADSRStorage

from scripts.common.checks import check
from scripts.outputs.dicom.cad_findings import algorithm, findings
from scripts.outputs.dicom.codes import (
    DCM,
    OUTCOMES,
    SCT,
    STATUS,
    is_counted,
)
from scripts.outputs.dicom.document import instance, write
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
        _detections(images, unreadable),
        code(CONTAINS, DCM.SummaryOfAnalyses, STATUS["not attempted"]),
        template="4000",
    )
    return _document(images, content, unreadable)


def outcome(images: Sequence[Mammogram], unreadable: int = 0) -> Code:
    """Which of the five outcomes (CID 6047) holds for these images together."""
    found = any(is_counted(mark) for image in images if image.report for mark in image.report["microcalcifications"])
    return OUTCOMES[_share(images, unreadable), found]


def _share(images: Sequence[Mammogram], unreadable: int) -> str:
    succeeded = [*(image.succeeded for image in images), *[False] * unreadable]
    return "all" if all(succeeded) else "some" if any(succeeded) else "none"


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


def _detections(images: Sequence[Mammogram], unreadable: int) -> Dataset:
    """TID 4015: what was looked for, on which images, with which result."""
    name = DCM.SummaryOfDetections
    if not unreadable and not any(image.attempted for image in images):
        return code(CONTAINS, name, STATUS["not attempted"])
    parts = ((True, DCM.SuccessfulDetections), (False, DCM.FailedDetections))
    found = []
    for succeeded, title in parts:
        places = [place for place, image in enumerate(images, start=1) if image.succeeded == succeeded]
        if places or (unreadable and not succeeded):
            first = images[places[0] - 1] if places else images[0]
            found.append(container(INFERRED, title, *_performed(first, places)))
    return code(CONTAINS, name, STATUS[_share(images, unreadable)], *found)


def _performed(image: Mammogram, places: Sequence[int]) -> Iterator[Dataset]:
    """TID 4017, of both kinds of finding."""
    for kind in (SCT.IndividualCalcification, SCT.CalcificationCluster):
        where = (reference(PROPERTY, *LIBRARY, place) for place in places)
        parameters = (text(PROPERTY, DCM.AlgorithmParameters, value) for value in image.parameters)
        points = Presentation.of_report(image.report).items()
        yield code(CONTAINS, DCM.DetectionPerformed, kind, *algorithm(image), *parameters, *where, *points)


def _document(images: Sequence[Mammogram], content: Dataset, unreadable: int) -> Dataset:
    """The data set around the content: header, general modules, evidence."""
    header = images[0].header
    document = SOPClass(
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
        **instance("cad_sr", images),
    )
    document.copy_patient_and_study_information(header)
    document.CompletionFlag = "COMPLETE" if _share(images, unreadable) == "all" else "PARTIAL"
    document.PreliminaryFlag, document.VerificationFlag = "PRELIMINARY", "UNVERIFIED"
    document.PerformedProcedureCodeSequence = []
    document.ReferencedPerformedProcedureStepSequence = []
    library = content.ContentSequence[LIBRARY[1] - 1]
    evidence, _ = collect_evidence([image.header for image in images], library, header.StudyInstanceUID)
    document.CurrentRequestedProcedureEvidenceSequence = evidence
    for entry in library.ContentSequence:
        del entry.ConceptNameCodeSequence  # highdicom asked for a name all along; the template has none
    for element in content:
        document.add(element)
    return document
