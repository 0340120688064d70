"""A folder of normal mammograms as a data list, split by patient."""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pydicom

from scripts.data.lists.folder import list_mammograms
from scripts.data.lists.items import make_item
from scripts.data.reader.dicom_file import is_dicom
from scripts.data.splits import SECTIONS, Datalist

logger = logging.getLogger(__name__)

FOLD = 5  # numbers divisible by it are testing, those that leave 1 are validation
MOST_VIEWS = 8  # more images than a study has are not taken for one patient's because of their names alone
NAMED_PATIENT = re.compile(r"\D*\d+|[^\s_./-]+")  # up to the first number, or without one to the first separator
ADVICE = "if that is wrong, give patient_pattern"


def background_datalist(path: str | Path, patient_pattern: str = "", with_validation: bool = True) -> Datalist:
    """List a folder of mammograms without findings (items as in docs/data.md).

    The last number in a patient's name decides the section (`FOLD`); patients without one go by their place in the
    sorted list. So numbered patients keep their section when the folder grows. All images of a patient stand in one
    section; which were taken for one patient's is logged.

    Args:
        path: folder (or a single file).
        patient_pattern: regular expression with one group, the patient, searched in each file's path below the folder,
            e.g. ``^([^/]+)/`` for a folder a patient (else ValueError). "" for: the PatientID of DICOM files; the path
            up to its first number (``P3_L_CC.png``, ``P3/RMLO.png``, ``0012_1.png``) or, where it has none, up to its
            first separator, where at most `MOST_VIEWS` files share it; else the whole name.
        with_validation: False leaves the validation section empty: its patients are trained on.
    """
    images = list_mammograms(path)
    patients = _by_pattern(images, patient_pattern) if patient_pattern else _by_tag_or_name(images)
    for patient, count in Counter(patients).items():
        if count > 1:
            names = [image["image_id"] for image, its in zip(images, patients, strict=True) if its == patient]
            logger.info("%s: %d images of patient %r stay together: %s", path, count, patient, ", ".join(names))
    different = len(set(patients))
    if different < len(images) and not patient_pattern:
        logger.warning("%s: %d images are taken for those of %d patients; %s", path, len(images), different, ADVICE)
    datalist: Datalist = {section: [] for section in SECTIONS}
    for image, patient in zip(images, patients, strict=True):
        numbers = re.findall(r"\d+", patient)
        number = int(numbers[-1]) if numbers else patients.index(patient)
        section = {0: "testing", 1: "validation" if with_validation else "training"}.get(number % FOLD, "training")
        item = make_item(image["image"], None, patient=patient, image_id=image["image_id"], annotation="full")
        datalist[section].append(item)
    return datalist


def _by_pattern(images: list[dict[str, str]], pattern: str) -> list[str]:
    compiled, patients = re.compile(pattern), []
    if compiled.groups != 1:
        raise ValueError(f"patient_pattern: got {pattern!r} with {compiled.groups} groups; want one, the patient")
    for image in images:
        below = Path(image["image"]).parts[-1 - image["image_id"].count("/") :]
        match = compiled.search("/".join(below))
        if match is None or not match[1]:
            got = f"{pattern!r}, without a patient in {image['image']}"
            raise ValueError(f"patient_pattern: got {got}; want one in each")
        patients.append(match[1])
    return patients


def _by_tag_or_name(images: list[dict[str, str]]) -> list[str]:
    tags = [_patient_id(image["image"]) for image in images]
    names = [image["image_id"] for image in images]
    stems = [match[0] if (match := NAMED_PATIENT.match(name)) else name for name in names]
    sharing = Counter(stem for tag, stem in zip(tags, stems, strict=True) if not tag)
    for stem, count in sharing.items():
        if count > MOST_VIEWS:
            logger.warning("%d files share %r: too many for one patient, each counts as one; %s", count, stem, ADVICE)
    places = zip(tags, names, stems, strict=True)
    return [tag or (name if sharing[stem] > MOST_VIEWS else stem) for tag, name, stem in places]


def _patient_id(file: str) -> str:
    """PatientID of a DICOM file; "" for other files and unreadable ones, which the reader names later."""
    try:
        with Path(file).open("rb") as stream:
            if not is_dicom(stream.read(132)):
                return ""
        header: Any = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=["PatientID"])
        return str(header.get("PatientID") or "").strip()
    except Exception:
        return ""
