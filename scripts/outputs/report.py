"""The report of one image: every mark with its kind, the clusters, numbers about all; as JSON and CSV."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from scripts.common.files import json_values, write_json
from scripts.common.objects import summarise
from scripts.common.outcomes import outcome
from scripts.common.settings import describe
from scripts.common.tables import write_csv
from scripts.common.tensors import spacing_of
from scripts.common.text import printable
from scripts.findings.analysis import Findings, kinds_counted
from scripts.findings.cluster_findings import CLUSTER_COLUMNS
from scripts.findings.features import MC_FEATURES

SCHEMA = "microcalcification-findings-4"
COLUMNS: tuple[str, ...] = (
    "id",
    "row",
    "col",
    "y_mm",
    "x_mm",
    "area_px",
    "area_mm2",
    "equivalent_diameter_mm",
    "score",
)
COLUMNS += ("kind", "counted", "cluster", *MC_FEATURES)
IDENTITY = ("patient_id", "study_uid", "series_uid", "sop_uid", "laterality", "view", "manufacturer")
READING = ("file_format", "photometric", "bits_stored", "transfer_syntax", "voi_applied", "spacing_source")


def build_report(
    found: Findings,
    image: MetaTensor,
    breast: np.ndarray,
    method: str,
    operating_point: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that is said about one image, as JSON types.

    A failed image has no report but a failure record (failures.py). Where an analysis failed, `failures` says so, and
    what it would have told is null. Coordinates are of the input image as displayed: row down, col
    right, px centres at integers; mm from the centre of the first pixel. The image is [1, rows, cols] with the reader's
    metadata, the breast bool (rows, cols); the operating point holds preset, threshold and the way of forming objects.
    """
    row_mm, col_mm = spacing_of(image)
    breast_cm2 = float(breast.sum() * row_mm * col_mm / 100)
    file, failed = str(image.meta.get("filename_or_obj", "")), found.failures
    return {
        "schema": SCHEMA,
        "file": printable(file),
        "name": printable(Path(file).name),
        "status": outcome(bool(found.counted), not found.failures),
        "failures": [{"analysis": name, "reason": reason} for name, reason in found.failures.items()],
        "method": method,
        "operating_point": describe(operating_point),
        "identity": {key: json_values(image.meta.get(key, "")) for key in IDENTITY},
        "reading": {key: json_values(image.meta.get(key, "")) for key in READING},
        "rows": int(image.shape[-2]),
        "cols": int(image.shape[-1]),
        "spacing_mm": [row_mm, col_mm],
        "breast_area_cm2": round(breast_cm2, 3),
        "nipple_mm": json_values(found.nipple_mm),
        "summary": summarise(found.counted, breast_cm2)
        | {"clusters": None if "clusters" in failed else len(found.clusters), "marks": len(found.marks)}
        | {"kinds": None if "kinds" in failed else kinds_counted(found.kinds)},
        "microcalcifications": _marks(found),
        "clusters": None if "clusters" in failed else [cluster.as_json() for cluster in found.clusters],
        "arteries": None if "kinds" in failed else json_values([asdict(artery) for artery in found.arteries]),
    }


def _marks(found: Findings) -> list[dict[str, Any]]:
    cluster_of = {member: finding.cluster.id for finding in found.clusters for member in finding.cluster.members}
    features: list[Any] = found.features or [None] * len(found.marks)
    rows = zip(found.marks, found.kinds, found.is_counted.tolist(), features, strict=True)
    return [
        asdict(mark)
        | {"kind": kind.kind, "kind_reason": kind.reason, "counted": counted}
        | {"cluster": cluster_of.get(mark.id), "features": own}
        for mark, kind, counted, own in rows
    ]


def failed_analyses(report: Mapping[str, Any]) -> list[str]:
    """Names of the analyses that failed on an image."""
    return [failure["analysis"] for failure in report.get("failures", ())]


def write_findings(path: Path, item: Mapping[str, Any]) -> Path:
    """The report as JSON."""
    return write_json(path, item["report"])


def write_table(path: Path, item: Mapping[str, Any]) -> Path:
    """The marks as CSV; where their kinds could not be told, the column is empty."""
    marks = item["report"]["microcalcifications"]
    untold = {"kind": None} if "kinds" in failed_analyses(item["report"]) else {}
    return write_csv(path, COLUMNS, [mark | untold | (mark["features"] or {}) for mark in marks])


def write_clusters(path: Path, item: Mapping[str, Any]) -> Path:
    """The clusters as CSV."""
    return write_csv(path, CLUSTER_COLUMNS, [cluster.as_row() for cluster in item["analysis"].clusters])
