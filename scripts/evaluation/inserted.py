"""Which simulated MCs of a frozen benchmark (version 2) were found: by d', size, contrast, kind, group and density.

    python -m scripts.evaluation inserted <output folder of an evaluation> --dataset-dir data/benchmark_2

Joins an evaluation's objects.csv with the benchmark's records. All MCs are simulated.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scripts.common.checks import check
from scripts.common.files import json_values, write_json
from scripts.common.labels import MC
from scripts.common.tables import write_csv
from scripts.evaluation.cases import annotated_objects
from scripts.evaluation.report.runs import Run
from scripts.evaluation.sections.strata import bin_names
from scripts.evaluation.statistics import Bootstrap, ratio_interval

logger = logging.getLogger(__name__)

EDGES = {
    "d_prime": (5.0, 7.0, 10.0, 15.0, 25.0),
    "diameter_mm": (0.2, 0.3, 0.4, 0.5, 0.8, 1.2),
    "contrast": (0.05, 0.1, 0.2, 0.4),
}
NAMED = ("kind", "group", "density", "family")
FIELDS = (
    *("case_id", "number", "group", "kind", "d_prime", "diameter_mm", "contrast", "density", "family", "row", "col"),
    *("label", "outcome", "hit_from", "best_iou", "boundary_mm", "hausdorff95_mm", "area_error_percent", "partner"),
)
STRATA = ("by", "stratum", "images", "annotated", "tp", "tpr", "tpr_low", "tpr_high", "iou", "iou_low", "iou_high")
TOUCHING_PX = 3.0  # two MCs of the group "touching" are a pair if their outlines are at most this far apart


def evaluate_inserted(
    folder: Path, dataset_dir: Path, datalist_file: str = "datalist.json", samples: int = 1000, seed: int = 0
) -> Path:
    """Write inserted_mcs.csv, inserted_strata.csv, inserted.json (touching pairs parted) into an evaluation's folder.

    ValueError where the evaluation is of other images, or the benchmark holds no numbered objects (version 1).
    """
    run = Run(Path(folder))
    items = _items(Path(dataset_dir) / datalist_file)
    rows: list[dict[str, Any]] = []
    names = [row["case_id"] for row in run.cases]
    for name in names:
        check("dataset_dir", name, name in items, "the data that were evaluated")
        found = [row for row in run.annotated if row["case_id"] == name]
        rows += case_rows(Path(dataset_dir), items[name], found)
    weights = Bootstrap(samples=samples, seed=seed).weights(names)
    strata = inserted_strata(rows, names, weights)
    pairs = [parted for name in names for parted in [touching_pairs([row for row in rows if row["case_id"] == name])]]
    total, parted = (np.array([len(p) if which else sum(p) for p in pairs], np.float64) for which in (True, False))
    write_csv(run.folder / "inserted_mcs.csv", FIELDS, rows)
    write_csv(run.folder / "inserted_strata.csv", STRATA, strata)
    facts = {"images": len(names), "mcs": len(rows), "labelled": sum(row["label"] == MC for row in rows)}
    result = {**facts, "touching_pairs": int(total.sum()), "parted": ratio_interval(parted, total, weights).as_json()}
    return write_json(run.folder / "inserted.json", json_values(result))


def case_rows(root: Path, item: Mapping[str, Any], found: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Rows under `FIELDS` of an image's MCs; `found` are its annotated objects' rows of objects.csv, in label order."""
    stem = str(item["patient"])
    objects_file = root / "objects" / f"{stem}.png"
    check(
        "dataset_dir", str(root), objects_file.is_file(), f"a benchmark of version 2 ({objects_file.name} in objects)"
    )
    label = cv2.imread(str(root / str(item["label"])), cv2.IMREAD_UNCHANGED)
    objects = cv2.imread(str(objects_file), cv2.IMREAD_UNCHANGED)
    records = json.loads((root / "records" / f"{stem}.json").read_text(encoding="utf-8"))["mcs"]
    check(str(item["label"]), label.shape, label.shape == objects.shape, f"the shape of its objects, {objects.shape}")
    places = np.flatnonzero((label == MC) & (objects > 0))
    component = dict(
        zip(objects.ravel()[places].tolist(), annotated_objects(label).ravel()[places].tolist(), strict=True)
    )
    check("objects.csv", len(found), len(found) == max(component.values(), default=0), "a row per annotated object")
    spacing = _spacing(found)
    rows = []
    for record in records:
        row: dict[str, Any] = {**record, "case_id": item["image_id"]}
        row |= {name: item.get(name, "") for name in ("density", "family")}
        own = component.get(record["number"])
        if own is None:
            row |= {"label": 2, "outcome": "ignored"}
        else:
            columns = ("outcome", "hit_from", "best_iou", "boundary_mm", "hausdorff95_mm", "area_error_percent")
            row |= {name: _number(found[own - 1].get(name, "")) for name in (*columns, "partner")}
        if spacing:
            row["diameter_mm"] = 2 * float(np.sqrt(record["area_px"] / np.pi)) * spacing
        rows.append(row)
    return rows


def inserted_strata(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], weights: np.ndarray
) -> list[dict[str, Any]]:
    """TPR and mean IoU of labelled MCs in bins and by name: rows under `STRATA`."""
    labelled = [row for row in rows if row["label"] == MC]
    groups: list[tuple[str, str, list[Mapping[str, Any]]]] = [("all", "all", labelled)]
    for name, edges in EDGES.items():
        place = np.searchsorted(edges, [float(row[name]) for row in labelled], side="right")
        for number, words in enumerate(bin_names(edges)):
            groups.append((name, words, [row for row, p in zip(labelled, place, strict=True) if p == number]))
    for name in NAMED:
        for value in sorted({str(row[name]) for row in labelled}):
            groups.append((name, value, [row for row in labelled if str(row[name]) == value]))
    found = []
    for name, words, chosen in groups:
        if not chosen:
            continue
        annotated, tp, iou = np.zeros((3, len(names)))
        for row in chosen:
            image = names.index(row["case_id"])
            annotated[image] += 1
            tp[image] += row["outcome"] == "hit"
            iou[image] += float(row["best_iou"])
        counts = (int((annotated > 0).sum()), int(annotated.sum()), int(tp.sum()))
        values = (*counts, *ratio_interval(tp, annotated, weights)[:3], *ratio_interval(iou, annotated, weights)[:3])
        found.append(dict(zip(STRATA, (name, words, *values), strict=True)))
    return found


def touching_pairs(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Of one image's pairs of labelled MCs that touch each other: whether both were hit, which takes two marks."""
    some = [row for row in rows if row["group"] == "touching" and row["label"] == MC]
    pairs = []
    for place, one in enumerate(some):
        for other in some[:place]:
            distance = np.hypot(one["row"] - other["row"], one["col"] - other["col"])
            if distance - (one["diameter_px"] + other["diameter_px"]) / 2 <= TOUCHING_PX:
                pairs.append(one["outcome"] == other["outcome"] == "hit")
    return pairs


def _items(file: Path) -> dict[str, Mapping[str, Any]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    return {item["image_id"]: item for part in content.values() if isinstance(part, list) for item in part}


def _spacing(found: Sequence[Mapping[str, str]]) -> float:
    """Pixel size in mm, from an object's areas; 0 without objects."""
    return float(np.sqrt(float(found[0]["area_mm2"]) / float(found[0]["area_px"]))) if found else 0.0


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text or None
