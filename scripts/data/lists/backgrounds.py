"""A folder of normal mammograms as a data list, split by patient."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pydicom

from scripts.data.lists.folder import list_mammograms
from scripts.data.lists.items import make_item
from scripts.data.reader.dicom_file import is_dicom
from scripts.data.splits import SECTIONS, Datalist

logger = logging.getLogger(__name__)

#: Numbers divisible by it are testing, those that leave 1 are validation.
FOLD = 5
#: More images than a study has views are not taken for views of one patient because of their numbers alone.
MOST_VIEWS = 8
VIEW = re.compile(
    r"(?:^|[\s_.-]+)(?:(?:L|R|LEFT|RIGHT)[\s_.-]*(?:X?CC[LM]?|MLO|ML|LM|LMO)?|X?CC[LM]?|MLO|ML|LM|LMO)(?=$|[\s_.-])(?P<after>.*)",
    re.IGNORECASE,
)
LAST_NUMBER = re.compile(r"^(.*\d.*?)[\s_./-]+\D*\d+\D*$")


def background_datalist(path: str | Path, patient_pattern: str = "", with_validation: bool = True) -> Datalist:
    """List a folder of mammograms without findings.

    The last number in a patient's name decides the section (`FOLD`); patients without one go by their place in the
    sorted list. So numbered patients keep their section when the folder grows. All images of a patient stand in one
    section; which were taken for one patient's is logged.

    Args:
        path: folder (or a single file).
        patient_pattern: regular expression with one group, the patient, searched in each file's path below the folder,
            e.g. ``^([^/]+)/`` for a folder a patient. "" for: the PatientID of DICOM files; the name up to a side or
            view (``P3_L_CC.png``, ``P3/RMLO.png``); the name up to the last of several numbers where at most
            `MOST_VIEWS` files share it (``P3_1.png``, ``P3_2.png``); else the whole name.
        with_validation: False leaves the validation section empty: its patients are trained on.

    Returns:
        {"training": [{"image", "label": "", "image_id", "patient", ...}, ...], "validation": ..., "testing": ...}.

    Raises:
        ValueError: `patient_pattern` has not one group or does not match a file.
    """
    images = list_mammograms(path)
    patients = _by_pattern(images, patient_pattern) if patient_pattern else _by_tags_and_names(images)
    members: defaultdict[str, list[str]] = defaultdict(list)
    for image, patient in zip(images, patients, strict=True):
        members[patient].append(image["image_id"])
    for patient, names in members.items():
        if len(names) > 1:
            logger.info("%s: %d images of patient %r stay together: %s", path, len(names), patient, ", ".join(names))
    grouped = sum(len(names) > 1 for names in members.values())
    if grouped and not patient_pattern:
        logger.warning(
            "%s: %d patients in %d images, by names and tags; if that is wrong, give patient_pattern",
            path,
            len(members),
            len(images),
        )
    datalist: Datalist = {section: [] for section in SECTIONS}
    first_place = {patient: place for place, patient in reversed(list(enumerate(patients)))}
    for image, patient in zip(images, patients, strict=True):
        numbers = re.findall(r"\d+", patient)
        number = int(numbers[-1]) if numbers else first_place[patient]
        section = {0: "testing", 1: "validation" if with_validation else "training"}.get(number % FOLD, "training")
        item = make_item(image["image"], None, patient=patient, image_id=image["image_id"], annotation="full")
        datalist[section].append(item)
    return datalist


def _by_pattern(images: list[dict[str, str]], pattern: str) -> list[str]:
    compiled = re.compile(pattern)
    if compiled.groups != 1:
        raise ValueError(f"patient_pattern: got {pattern!r} with {compiled.groups} groups; want one, the patient")
    matches = [compiled.search(_relative_name(image)) for image in images]
    for image, match in zip(images, matches, strict=True):
        if match is None or not match[1]:
            raise ValueError(
                f"patient_pattern: got {pattern!r}, without a patient in {image['image']}; want one in each"
            )
    return [match[1] for match in matches if match]


def _relative_name(image: dict[str, str]) -> str:
    """Path below the folder, with the file's suffix."""
    depth = image["image_id"].count("/") + 1
    return "/".join(Path(image["image"]).parts[-depth:])


def _by_tags_and_names(images: list[dict[str, str]]) -> list[str]:
    """PatientID, else the name without its side and view, else the name without a last number that few files share."""
    patients = [_patient_id(image["image"]) or _without_view(image["image_id"]) for image in images]
    stems = {
        patient: match[1]
        for image, patient in zip(images, patients, strict=True)
        if patient == image["image_id"] and (match := LAST_NUMBER.match(patient))
    }
    shared: defaultdict[str, list[str]] = defaultdict(list)
    for patient, stem in stems.items():
        shared[stem].append(patient)
    return [stem if 1 < len(shared[stem := stems.get(p, p)]) <= MOST_VIEWS else p for p in patients]


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


def _without_view(image_id: str) -> str:
    folder, _, name = image_id.rpartition("/")
    match = VIEW.search(name)
    if match is None:
        return image_id
    stem = name[: match.start()].strip(" _.-")
    return "/".join(filter(None, (folder, stem))) or image_id
