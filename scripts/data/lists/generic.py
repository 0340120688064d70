"""Data lists of your own: JSON in MONAI's decathlon form, or CSV.

JSON: ``{"training": [{"image": .., "label": ..}, ..], "validation": [..], "testing": [..]}`` ("test" also).
CSV: columns ``image,label`` and, optionally, ``split`` (training / validation / testing), ``patient``,
``laterality``, ``view``, ``annotation``, ``image_id``. Both forms take the same keys.

A label is a mask or a points file (`scripts.data.labels.annotations`), or empty for an image *known to hold no MC*. It
must therefore be given, if only as an empty one: an image of unknown content would pass for a negative.

Relative paths start at `dataset_dir` and must stay inside of it; files elsewhere are given by absolute paths.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.data.lists.items import check_each_once, make_item, shared_patients
from scripts.data.reader.errors import MammogramReadError, check_file
from scripts.data.splits import ANNOTATIONS, SECTIONS, Datalist, Item, patient_split, split_datalist
from scripts.data.text_files import Row, csv_rows, json_content

logger = logging.getLogger(__name__)

SHORT_NAMES = {"train": "training", "val": "validation", "valid": "validation", "test": "testing"}
SECTION_NAMES = SHORT_NAMES | {section: section for section in SECTIONS}
KEYS = {"image", "label", "split", "patient", "image_id", "laterality", "view", "annotation"}


def generic_datalist(
    datalist_file: str | Path,
    dataset_dir: str | Path = "",
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Datalist:
    """Read a data list (items as in docs/data.md).

    Sections that the file gives are kept as they are, empty ones too. If it gives no validation section, one is split
    off the training patients, and if it gives no testing section either, that too. Without "patient" every image
    counts as a patient of its own, with a warning when a split has to be made. MammogramReadError names the file and
    row of what is missing, listed twice, malformed, or of a patient that stands in two sections.

    A relative path of the .json or .csv file starts at `dataset_dir`; so do those in it, or without one at its folder.
    The fractions, of the patients, are used only when a split has to be made; 0 leaves a section empty.
    """
    file = Path(dataset_dir) / datalist_file
    folder = Path(dataset_dir) if str(dataset_dir) else file.parent
    check_file(file, file.suffix.lower() in (".json", ".csv"), f"a data list of type {file.suffix!r}", ".json or .csv")
    records = _json_records(file) if file.suffix.lower() == ".json" else _csv_records(file)
    placed = {name: [(where, _item(row, where, file, folder)) for where, row in rows] for name, rows in records.items()}
    given = {section: [item for _, item in rows] for section, rows in placed.items()}
    check_each_once(file, [row for rows in placed.values() for row in rows], ["image", "image_id"])
    for patient, sections in shared_patients(given).items():
        places = [f"{s} ({next(w for w, item in placed[s] if item['patient'] == patient)})" for s in sections]
        raise MammogramReadError(file, f"patient {patient} in {' and '.join(places)}", "each patient in one section")
    unnamed = sum(not record.get("patient") for rows in records.values() for _, record in rows)
    if unnamed and "validation" not in given:
        logger.warning("%s: %d images without 'patient': the split may part images of one patient", file, unnamed)
    training = given.get("training", [])
    if "validation" not in given and "testing" not in given:
        return split_datalist(training, validation_fraction, test_fraction, seed)
    if "validation" not in given:
        training, given["validation"] = patient_split(training, (1 - validation_fraction, validation_fraction), seed)
    return {"training": training, "validation": given["validation"], "testing": given.get("testing", [])}


def _json_records(file: Path) -> dict[str, list[Row]]:
    """Rows by section, as the file gives them."""
    content = json_content(file, "a JSON data list")
    records: dict[str, list[Row]] = {}
    for key in [key for key in content if key in SECTION_NAMES] if isinstance(content, dict) else []:
        rows = content[key]
        is_list = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        check_file(file, is_list, f"{key!r} with other content", '[{"image": .., "label": ..}, ..]')
        numbered = [(f"{key}[{number}]", row) for number, row in enumerate(rows)]
        records.setdefault(SECTION_NAMES[key], []).extend(numbered)
    check_file(file, any(records.values()), "no items", '{"training": [{"image": .., "label": ..}, ..], ..}')
    return records


def _csv_records(file: Path) -> dict[str, list[Row]]:
    """Rows by section; "training" where there is no column `split`."""
    records: dict[str, list[Row]] = {}
    _, rows = csv_rows(file, "a CSV data list: the columns image,label, one cell a column")
    for where, record in rows:
        split = record.get("split") or "training"
        known = split.lower() in SECTION_NAMES
        check_file(file, known, f"{where} with the split {split!r}", f"one of {sorted(SECTION_NAMES)}")
        records.setdefault(SECTION_NAMES[split.lower()], []).append((where, record))
    check_file(file, records, "no rows", "the columns image,label and a row for each image")
    return records


def _item(record: Mapping[str, Any], where: str, file: Path, folder: Path) -> Item:
    complete = isinstance(record.get("image"), str) and record["image"] and "label" in record
    want = "'image' and 'label' (an empty one for an image without MCs)"
    check_file(file, complete, f"{where} with the keys {sorted(record)}", want)
    image = _path(record["image"], f"{where}, image", file, folder)
    value = "" if record["label"] is None else record["label"]
    texts = value if isinstance(value, list) else [value] if value != "" else []
    are_paths = all(isinstance(text, str) and text for text in texts)
    check_file(file, are_paths, f"{where}, label = {value!r}", "a path, a list of paths, or empty")
    labels = [_path(text, f"{where}, label", file, folder) for text in texts]
    given = {key: str(record.get(key) or "") for key in KEYS}
    annotation = given["annotation"] or ("full" if labels else "none")
    fits = annotation in ANNOTATIONS and (annotation == "none") == (not labels)
    got = f"{where} with the annotation {annotation!r} and {len(labels)} labels"
    check_file(file, fits, got, "full or clusters_only with a label, none without")
    relative = Path(os.path.relpath(image, folder)) if not Path(record["image"]).is_absolute() else Path(image.name)
    stem = relative.with_name(relative.name.removesuffix(".gz")).with_suffix("")
    image_id = given["image_id"] or "_".join(stem.parts)
    return make_item(
        image,
        labels if isinstance(value, list) else labels[0] if labels else None,
        patient=given["patient"] or image_id,
        image_id=image_id,
        annotation=annotation,
        laterality=given["laterality"],
        view=given["view"],
        **{key: text for key, text in record.items() if isinstance(text, str) and key not in KEYS},
    )


def _path(text: str, where: str, file: Path, folder: Path) -> Path:
    path = Path(os.path.normpath(folder / text))
    inside = Path(text).is_absolute() or ".." not in Path(os.path.relpath(path, folder)).parts
    check_file(file, inside, f"{where} = {text!r}, outside of {folder}", "a path inside, or an absolute one")
    check_file(file, path.is_file(), f"{where} = {text!r}, but no file {path}", "an existing file")
    return path
