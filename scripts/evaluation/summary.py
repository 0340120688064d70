"""One Markdown table from the folders of several evaluations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.common.tables import markdown_table
from scripts.evaluation.report.runs import METRICS
from scripts.evaluation.report.tables import NONE, Cell, Column, plain, value

FP_RATE = "0.4"


def summarise(folders: Sequence[str | Path]) -> str:
    """Markdown table, one row per output folder of an evaluation; a folder without metrics.json is named as missing."""
    return markdown_table(["evaluation", *(column.title for column in COLUMNS)], [_row(Path(f)) for f in folders])


def _row(folder: Path) -> list[Any]:
    file = folder / METRICS
    if not file.is_file():
        return [folder.name, f"missing: {file.name}"]
    metrics = json.loads(file.read_text(encoding="utf-8"))
    return [folder.name, *(column.cell(metrics) for column in COLUMNS)]


def _large(part: dict[str, Any] | None) -> Cell:
    """TPR of the large MCs with their smallest diameter; evaluations of former versions have none."""
    if part is None:
        return Cell(NONE)
    return Cell(f"{value(part['tpr_at_fp_per_cm2'].get(FP_RATE))} from {part['large_mc_mm']:g} mm")


COLUMNS = (
    Column("images", "counts/images", plain("{}")),
    Column("MCs", "counts/annotated", plain("{}")),
    Column("pAUC, 0..1 FP/cm^2", "froc/pauc"),
    Column(f"TPR at {FP_RATE} FP/cm^2", f"froc/tpr_at_fp_per_cm2/{FP_RATE}"),
    Column("of these, large MCs", "froc/tpr_large", _large),
    Column("IoU per object", "iou/per_object"),
    Column("FP/cm^2 at the threshold", "operating_point/fp_per_cm2"),
    Column("TPR there", "operating_point/tpr"),
)
