"""Data lists of your own: JSON in MONAI's decathlon form, or CSV.

JSON: ``{"training": [{"image": .., "label": ..}, ..], "validation": [..], "testing": [..]}`` ("test" also).
CSV: columns ``image,label`` and, optionally, ``split`` (training / validation / testing), ``patient``,
``laterality``, ``view``, ``annotation``, ``image_id``. Both forms take the same keys.

A label is a mask or a points file (`scripts.data.labels.annotations`), or empty for an image *known to hold no MC*. It
must therefore be given, if only as an empty one: an image of unknown content would pass for a negative.

Relative paths start at `dataset_dir` and must stay inside of it; files elsewhere are given by absolute paths.
"""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.data.reader.errors import MammogramReadError
from scripts.data.splits import ANNOTATIONS, PARTS, Datalist, Item, patient_split, split_datalist

logger = logging.getLogger(__name__)

PART_NAMES = {"train": "training", "val": "validation", "valid": "validation", "test": "testing"} | {
    part: part for part in PARTS
}
DEFAULTS = {"patient": "", "image_id": "", "laterality": "", "view": "", "annotation": ""}
KEYS = {"image", "label", "split", *DEFAULTS}
Records = dict[str, list[tuple[str, Mapping[str, Any]]]]  # part -> (where in the file, its keys and values)


def generic_datalist(
    datalist_file: str | Path,
    dataset_dir: str | Path = "",
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    seed: int = 0,
    folds: int = 0,
    fold: int = 0,
) -> Datalist:
    """Read a data list.

    Parts that the file gives are kept as they are. If it gives no validation part, one is split off the training
    patients, and if it gives no testing part either, that too. Without "patient" every image counts as a patient
    of its own, with a warning when a split has to be made.

    Args:
        datalist_file: .json or .csv file; a relative path starts at `dataset_dir`.
        dataset_dir: start of relative paths in the file; "" for the file's own folder.
        validation_fraction: of the patients, used only when a split has to be made.
        test_fraction: of the patients, likewise.
        seed: of that split.
        folds: 0, or the number of folds of a cross-validation over a list without parts (see `split_datalist`).
        fold: the fold that is tested.

    Returns:
        {"training": items, "validation": items, "testing": items}, items as in docs/data.md.

    Raises:
        MammogramReadError: names the file and row of what is missing, listed twice, malformed, or of a patient
            that stands in two parts.
    """
    file = Path(dataset_dir) / datalist_file
    folder = Path(dataset_dir) if str(dataset_dir) else file.parent
    if file.suffix.lower() not in (".json", ".csv"):
        raise MammogramReadError(file, f"a data list of type {file.suffix!r}", ".json or .csv")
    records = _json_records(file) if file.suffix.lower() == ".json" else _csv_records(file)
    datalist = {part: [_item(record, where, file, folder) for where, record in rows] for part, rows in records.items()}
    _check_repeats(datalist, records, file)
    unnamed = sum(not record.get("patient") for rows in records.values() for _, record in rows)
    if unnamed and not datalist.get("validation"):
        logger.warning("%s: %d images without 'patient': the split may part images of one patient", file, unnamed)
    return _complete(datalist, validation_fraction, test_fraction, seed, folds, fold, file)


def _complete(
    datalist: Datalist,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    folds: int,
    fold: int,
    file: Path,
) -> Datalist:
    """Add the parts that the file does not give, by a split of the training patients."""
    training, validation, testing = (datalist.get(part, []) for part in PARTS)
    if folds and (validation or testing):
        raise MammogramReadError(file, f"given parts together with folds = {folds}", "a list of training items only")
    if not validation and not testing:
        return split_datalist(training, validation_fraction, test_fraction, seed, folds, fold)
    if not validation and training:
        training, validation = patient_split(training, (1 - validation_fraction, validation_fraction), seed)
    return {"training": training, "validation": validation, "testing": testing}


def _json_records(file: Path) -> Records:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MammogramReadError(file, f"an unreadable file ({error})", "a JSON data list") from error
    parts = [key for key in content if key in PART_NAMES] if isinstance(content, dict) else []
    records: Records = {}
    for key in parts:
        rows = content[key]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise MammogramReadError(file, f"{key!r} with other content", '[{"image": .., "label": ..}, ..]')
        numbered = [(f"{key}[{number}]", row) for number, row in enumerate(rows)]
        records.setdefault(PART_NAMES[key], []).extend(numbered)
    if not any(records.values()):
        raise MammogramReadError(file, "no items", '{"training": [{"image": .., "label": ..}, ..], ..}')
    return records


def _csv_records(file: Path) -> Records:
    records: Records = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            for row in reader:
                where = f"line {reader.line_num}"
                if None in row:
                    raise MammogramReadError(file, f"{where} with more cells than columns", "one cell a column")
                record = {key: (value or "").strip() for key, value in row.items() if value is not None}
                part = PART_NAMES.get((record.get("split") or "training").lower())
                if part is None:
                    found = f"{where} with the split {record['split']!r}"
                    raise MammogramReadError(file, found, f"one of {sorted(PART_NAMES)}")
                records.setdefault(part, []).append((where, record))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MammogramReadError(file, f"an unreadable file ({error})", "a CSV data list") from error
    if not records:
        raise MammogramReadError(file, "no rows", "the columns image,label and a row for each image")
    return records


def _item(record: Mapping[str, Any], where: str, file: Path, folder: Path) -> Item:
    if not isinstance(record.get("image"), str) or not record["image"] or "label" not in record:
        found = f"{where} with the keys {sorted(record)}"
        raise MammogramReadError(file, found, "'image' and 'label' (an empty one for an image without MCs)")
    image = _path(record["image"], f"{where}, image", file, folder)
    value = "" if record["label"] is None else record["label"]
    texts = value if isinstance(value, list) else [value] if value != "" else []
    if not all(isinstance(text, str) and text for text in texts):
        raise MammogramReadError(file, f"{where}, label = {value!r}", "a path, a list of paths, or empty")
    labels = [_path(text, f"{where}, label", file, folder) for text in texts]
    given = {key: str(record.get(key) or default) for key, default in DEFAULTS.items()}
    further = {key: text for key, text in record.items() if isinstance(text, str) and key not in KEYS}
    annotation = given["annotation"] or ("full" if labels else "none")
    if annotation not in ANNOTATIONS or (annotation == "none") != (not labels):
        found = f"{where} with the annotation {annotation!r} and {len(labels)} labels"
        raise MammogramReadError(file, found, "full or clusters_only with a label, none without")
    relative = Path(os.path.relpath(image, folder)) if not Path(record["image"]).is_absolute() else Path(image.name)
    stem = relative.with_name(relative.name.removesuffix(".gz")).with_suffix("")
    image_id = given["image_id"] or "_".join(stem.parts)
    return {
        **further,
        "image": str(image),
        "label": [str(label) for label in labels] if isinstance(value, list) else str(labels[0]) if labels else "",
        "patient": given["patient"] or image_id,
        "image_id": image_id,
        "laterality": given["laterality"][:1].upper(),
        "view": given["view"].upper(),
        "annotation": annotation,
    }


def _path(text: str, where: str, file: Path, folder: Path) -> Path:
    path = Path(os.path.normpath(folder / text))
    if not Path(text).is_absolute() and ".." in Path(os.path.relpath(path, folder)).parts:
        raise MammogramReadError(file, f"{where} = {text!r}, outside of {folder}", "a path inside, or an absolute one")
    if not path.is_file():
        raise MammogramReadError(file, f"{where} = {text!r}, but no file {path}", "an existing file")
    return path


def _check_repeats(datalist: Datalist, records: Records, file: Path) -> None:
    """No image and no image_id twice; no patient in two parts."""
    seen: dict[tuple[str, str], str] = {}
    part_of: dict[str, tuple[str, str]] = {}
    for part, items in datalist.items():
        for item, (where, _) in zip(items, records[part], strict=True):
            for key in ("image", "image_id"):
                first = seen.setdefault((key, item[key]), where)
                if first != where:
                    raise MammogramReadError(file, f"{key} {item[key]} in {first} and again in {where}", "it once")
            home, first = part_of.setdefault(item["patient"], (part, where))
            if home != part:
                found = f"patient {item['patient']} in {home} ({first}) and {part} ({where})"
                raise MammogramReadError(file, found, "each patient in one part only")
