"""One Markdown table from the folders of several evaluations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.common.tables import markdown_table
from scripts.evaluation.report.tables import NONE, value

FP_RATE = "0.4"
HEADER = (
    *("evaluation", "images", "MCs", "pAUC, 0..1 FP/cm^2", f"TPR at {FP_RATE} FP/cm^2", "of these, large MCs"),
    *("IoU per object", "FP/cm^2 at the threshold", "TPR there"),
)


def summarise(folders: Sequence[str | Path]) -> str:
    """Markdown table, one row per folder of an evaluation; a folder without metrics.json is named as missing.

    Args:
        folders: what `output_dir` was.
    """
    return markdown_table(HEADER, [_row(Path(folder)) for folder in folders])


def _row(folder: Path) -> list[Any]:
    file = folder / "metrics.json"
    if not file.is_file():
        return [folder.name, f"missing: {file.name}"]
    metrics = json.loads(file.read_text(encoding="utf-8"))
    counts, froc, point = metrics["counts"], metrics["froc"], metrics["operating_point"]
    detection = [value(froc["pauc"]), value(froc["tpr_at_fp_per_cm2"].get(FP_RATE)), _large(froc)]
    operating = [value(metrics["iou"]["per_object"]), value(point["fp_per_cm2"]), value(point["tpr"])]
    return [folder.name, counts["images"], counts["annotated"], *detection, *operating]


def _large(froc: dict[str, Any]) -> str:
    """TPR of the large MCs with their smallest diameter; evaluations of former versions have none."""
    part = froc.get("tpr_large")
    return NONE if part is None else f"{value(part['tpr_at_fp_per_cm2'].get(FP_RATE))} from {part['large_mc_mm']:g} mm"
