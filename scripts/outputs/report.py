"""The report of one image: every MC, numbers about all, and what is needed to read them later; as JSON and CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from scripts.common.files import json_values, write_json
from scripts.common.objects import Microcalcification, summarise
from scripts.common.settings import describe
from scripts.common.tables import write_csv
from scripts.common.tensors import spacing_of
from scripts.common.text import printable

COLUMNS = ("id", "row", "col", "y_mm", "x_mm", "area_px", "area_mm2", "equivalent_diameter_mm", "score")
IDENTITY = ("patient_id", "study_uid", "series_uid", "sop_uid", "laterality", "view", "manufacturer")
READING = ("file_format", "photometric", "bits_stored", "transfer_syntax", "voi_applied", "spacing_source")


def build_report(
    findings: Sequence[Microcalcification],
    image: MetaTensor,
    breast: np.ndarray,
    method: str,
    operating_point: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that is said about one image, as JSON types.

    A failed image has no report; see `run_report.json`. Coordinates are of the input image as displayed: row down, col
    right, px centres at integers; mm from the centre of the first pixel. The image is [1, rows, cols] with the reader's
    metadata, the breast bool (rows, cols); the operating point holds preset, threshold and the way of forming objects.
    """
    row_mm, col_mm = spacing_of(image)
    breast_cm2 = float(breast.sum() * row_mm * col_mm / 100)
    file = str(image.meta.get("filename_or_obj", ""))
    return {
        "schema": "microcalcification-findings-2",
        "file": printable(file),
        "name": printable(Path(file).name),
        "status": "found" if findings else "nothing found",
        "method": method,
        "operating_point": describe(operating_point),
        "identity": {key: json_values(image.meta.get(key, "")) for key in IDENTITY},
        "reading": {key: json_values(image.meta.get(key, "")) for key in READING},
        "rows": int(image.shape[-2]),
        "cols": int(image.shape[-1]),
        "spacing_mm": [row_mm, col_mm],
        "breast_area_cm2": round(breast_cm2, 3),
        "summary": summarise(findings, breast_cm2),
        "microcalcifications": [asdict(mc) for mc in findings],
    }


def write_findings(path: Path, item: Mapping[str, Any]) -> Path:
    """The report as JSON."""
    return write_json(path, item["report"])


def write_table(path: Path, item: Mapping[str, Any]) -> Path:
    """The MCs as CSV."""
    return write_csv(path, COLUMNS, item["report"]["microcalcifications"])
