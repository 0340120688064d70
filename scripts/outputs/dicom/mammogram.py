"""The mammogram that DICOM results are about: what they repeat of its header, and what is said of it."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from scripts.common.calcification_kinds import is_counted
from scripts.common.checks import check
from scripts.common.identity import Identity
from scripts.common.outcomes import FAILED, NOT_ATTEMPTED, outcome
from scripts.common.provenance import bundle_version
from scripts.common.tensors import plane
from scripts.data.reader.dicom_file import IMAGE_CLASSES
from scripts.data.reader.dicom_tags import identity as identity_of
from scripts.data.reader.dicom_tags import text
from scripts.findings.follow_up.exams import Exam
from scripts.outputs.dicom.outline import outline
from scripts.outputs.dicom.tracking import derived_uid, image_key, with_tracking_uids
from scripts.outputs.manifest import digest_of

logger = logging.getLogger(__name__)

MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
MG_CLASSES = (MG_FOR_PRESENTATION, f"{MG_FOR_PRESENTATION}.1")  # and for processing
LATIN_1, UTF_8 = "ISO_IR 100", "ISO_IR 192"
#: Repeated of every mammogram: what its pixels show.
GEOMETRY = ("SOPClassUID", "Modality", "Rows", "Columns", "PixelSpacing", "PatientOrientation", "BodyPartThickness")
#: Repeated of the patient and the study only where identity is "full"; type 2, so else there and empty.
PERSONAL_TEXTS = ("PatientName", "PatientID", "StudyID", "AccessionNumber", "ReferringPhysicianName")
PERSONAL_OPTIONAL = ("IssuerOfPatientID", "StudyDescription")
PERSONAL_DATES = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}


@dataclass(frozen=True)
class Mammogram:
    """A mammogram's header and its report; None where the algorithm failed on it, or was not run.

    The header holds what results may tell (`Identity`) and nothing else of the source.
    """

    header: Dataset
    method: str
    report: Mapping[str, Any] | None
    attempted: bool = True  # whether the algorithm was run
    laterality: str = ""  # "L", "R"
    view: str = ""
    outlines: Mapping[int, np.ndarray] = field(default_factory=dict)  # id of a mark -> `outline`

    @property
    def succeeded(self) -> bool:
        """Whether there is a result, "nothing found" included."""
        return self.report is not None

    @property
    def failures(self) -> list[str]:
        """Names of the analyses that failed on an image that has a result."""
        return [failure["analysis"] for failure in (self.report or {}).get("failures", ())]

    @property
    def outcome(self) -> str:
        """One of `scripts.common.outcomes.OUTCOMES`, as these results tell it."""
        if self.report is None:
            return FAILED if self.attempted else NOT_ATTEMPTED
        return outcome(any(map(is_counted, self.report["microcalcifications"])), not self.failures)

    @cached_property
    def digest(self) -> str:
        """Of all that a result depends on: image (wherever its file lies), report, version of this bundle."""
        told = {name: value for name, value in (self.report or {}).items() if name not in ("file", "name")}
        return digest_of([self.header.SOPInstanceUID, self.method, told, self.attempted, bundle_version()])

    @property
    def parameters(self) -> list[str]:
        """The operating point, as texts for `Algorithm Parameters`."""
        point = {} if self.report is None else self.report.get("operating_point") or {}
        return [f"{name} {point[name]}" for name in ("preset", "score_threshold") if point.get(name) is not None]


def is_dicom_input(item: Mapping[str, Any]) -> bool:
    """Whether DICOM results can be written of what postprocessing left: the input is a DICOM file with its own UID."""
    meta = item["image"].meta
    return meta.get("file_format") == "dicom" and bool(meta.get("sop_uid"))


def mammogram_of(item: Mapping[str, Any], output: str) -> Mammogram:
    """The mammogram of an item as `FindingsWriter.write` gets it; `output` is the result's name, for the error.

    Names and UIDs are as the report tells them, which has gone through `Identity.report`.

    Raises:
        ValueError: the input is not DICOM.
    """
    meta = item["image"].meta
    got = f"{Path(str(meta.get('filename_or_obj', ''))).suffix or 'a file'} ({meta.get('file_format')})"
    check(
        output, got, is_dicom_input(item), "a DICOM input with a SOP instance UID; leave this output out of `outputs`"
    )
    file = str(meta["filename_or_obj"])
    report = with_tracking_uids(item["report"], file)
    told = report["identity"]
    full = told["sop_uid"] == meta["sop_uid"]
    labels = plane(item["instances"])
    outlines = {mc.id: outline(labels, mc) for mc in item["findings"]}
    return _mammogram(file, image_key(report, file), told, full, report["method"], report, outlines=outlines)


def mammogram_of_exam(exam: Exam) -> Mammogram | None:
    """The mammogram of an exam of a follow-up; None where it is no DICOM file, or its instances are not at hand."""
    try:
        source = dcmread(exam.mammogram, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
    except (InvalidDicomError, OSError):
        return None
    if exam.instances is None or not source.get("SOPInstanceUID"):
        return None
    report = with_tracking_uids(exam.report, exam.mammogram)
    told, outlines = report["identity"], {mc.id: outline(exam.instances, mc) for mc in exam.findings}
    full = told["sop_uid"] == str(source.SOPInstanceUID)
    key = image_key(report, exam.mammogram)
    return _mammogram(exam.mammogram, key, told, full, report["method"], report, outlines=outlines)


def failed_mammogram(
    file: str | Path, method: str, identity: Identity | None = None, image_id: str = "", attempted: bool = True
) -> Mammogram:
    """A DICOM file that the algorithm failed on (or did not try), for reports that must say so.

    Raises:
        pydicom.errors.InvalidDicomError, OSError, ValueError: no header can be read; there is no report then.
    """
    identity = identity or Identity()
    report: dict[str, Any] = {
        "file": str(file),
        "name": Path(file).name,
        "identity": identity_of(dcmread(file, stop_before_pixels=True, force=True)),
    }
    told = identity.report(report, image_id)
    check("file", str(file), report["identity"]["sop_uid"], "a DICOM file with a SOP instance UID")
    key = image_key(told, str(file))
    return _mammogram(str(file), key, told["identity"], not identity.hidden, method, None, attempted)


def failed_mammogram_or_none(file: str | Path, *about: Any) -> Mammogram | None:
    """`failed_mammogram`, or None of a file that is no mammogram or whose header cannot be read.

    The file may be damaged on purpose: nothing of it is unpacked.
    """
    try:
        if read_file_meta_info(file).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return None
        tags = ["SOPClassUID", "SOPInstanceUID", "Modality"]
        header = dcmread(file, stop_before_pixels=True, specific_tags=tags)
        sop, modality = header.get("SOPClassUID", ""), header.get("Modality", "")
        mammogram = sop in MG_CLASSES or (modality == "MG" and sop in IMAGE_CLASSES)
        return failed_mammogram(file, *about) if mammogram and header.get("SOPInstanceUID") else None
    except Exception as error:  # of pydicom, on whatever there is
        logger.debug("no header of %s: %s", file, error)
        return None


def _mammogram(
    file: str,
    key: str,
    told: Mapping[str, Any],
    full: bool,
    method: str,
    report: Mapping[str, Any] | None,
    attempted: bool = True,
    outlines: Mapping[int, np.ndarray] | None = None,
) -> Mammogram:
    source = dcmread(file, stop_before_pixels=True, force=True)
    header = Dataset()
    for keyword in GEOMETRY:
        if keyword in source and source[keyword].value not in (None, ""):
            setattr(header, keyword, source[keyword].value)
    if len(header.get("PatientOrientation") or ()) != 2:
        header.PatientOrientation = ""
    header.SOPClassUID = source.get("SOPClassUID") or MG_FOR_PRESENTATION
    header.Modality = source.get("Modality") or "MG"
    header.PatientSex = text(source, "PatientSex") if full and text(source, "PatientSex") in ("M", "F", "O") else ""
    for keyword in PERSONAL_TEXTS:
        setattr(header, keyword, text(source, keyword).split("\\")[0] if full else "")
    for keyword in PERSONAL_OPTIONAL:
        if full and text(source, keyword):
            setattr(header, keyword, text(source, keyword))
    for keyword, kind in PERSONAL_DATES.items():
        setattr(header, keyword, _valid(kind, text(source, keyword)) if full else "")
    header.PatientID = told.get("patient_id") or ""
    header.StudyInstanceUID = told.get("study_uid") or derived_uid(key, "study")
    header.SeriesInstanceUID = told.get("series_uid") or derived_uid(key, "series")
    header.SOPInstanceUID = told.get("sop_uid") or derived_uid(key, "image")
    if not full:
        header.PatientIdentityRemoved, header.DeidentificationMethod = "YES", "only what the results tell is repeated"
    side = told.get("laterality", "")
    if side in ("L", "R"):
        header.ImageLaterality = side
    texts = "".join(str(header.get(keyword, "")) for keyword in (*PERSONAL_TEXTS, *PERSONAL_OPTIONAL))
    header.SpecificCharacterSet = LATIN_1 if texts.isascii() and method.isascii() else UTF_8
    return Mammogram(header, method, report, attempted, side, str(told.get("view", "")), outlines or {})


def _valid(kind: type, value: str) -> str:
    """A date or time as it is, "" where it is none."""
    try:
        return value if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) and kind(value) is not None else ""
    except ValueError:
        return ""
