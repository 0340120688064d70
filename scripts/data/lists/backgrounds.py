"""A folder of normal mammograms as a data list, split by patient."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
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
#: More images than a study has views are not taken for one patient's because of their names alone.
MOST_VIEWS = 8
ADVICE = "if that is wrong, give patient_pattern"
SIDES, VIEWS = "LEFT|RIGHT|L|R", "X?CC[LM]?|MLO|LMO|ML|LM"
VIEW = re.compile(rf"(?:^|[\s_.-])(?:(?:{SIDES})[\s_.-]*(?:{VIEWS})?|{VIEWS})(?=$|[\s_.-])", re.IGNORECASE)
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
            view (``P3_L_CC.png``, ``P3/RMLO.png``) or up to the last of several numbers (``P3_1.png``, ``P3_2.png``),
            where at most `MOST_VIEWS` files share it; else the whole name.
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
    if len(members) < len(images) and not patient_pattern:
        logger.warning("%s: %d images are taken for those of %d patients; %s", path, len(images), len(members), ADVICE)
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
    """PatientID, else the name up to its side and view, else the name up to a last number that few files share."""
    tags = [_patient_id(image["image"]) for image in images]
    names = [image["image_id"] for image in images]
    stems = [_without_view(name) or _without_last_number(name) for name in names]
    sharing = Counter(stem for tag, stem in zip(tags, stems, strict=True) if not tag)
    crowds = {stem: count for stem, count in sharing.items() if count > MOST_VIEWS}
    for stem, count in crowds.items():
        logger.warning("%d files share %r: too many for one patient, each counts as one; %s", count, stem, ADVICE)
    patients = []
    for tag, name, stem in zip(tags, names, stems, strict=True):
        alone = stem in crowds or (sharing[stem] == 1 and not _without_view(name))
        patients.append(tag or (name if alone else stem))
    return patients


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
    """What stands before side and view, with the folders, or the folders alone; "" for a name without them."""
    folder, _, name = image_id.rpartition("/")
    match = VIEW.search(name)
    return "/".join(filter(None, (folder, name[: match.start()].strip(" _.-")))) if match else ""


def _without_last_number(image_id: str) -> str:
    match = LAST_NUMBER.match(image_id)
    return match[1] if match else image_id
