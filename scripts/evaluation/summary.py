"""One Markdown table from the folders of several evaluations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.common.tables import markdown_table

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
    return [
        folder.name,
        counts["images"],
        counts["annotated"],
        _text(froc["pauc"]),
        _text(froc["tpr_at_fp_per_cm2"].get(FP_RATE)),
        _large(froc),
        _text(metrics["iou"]["per_object"]),
        _text(point["fp_per_cm2"]),
        _text(point["tpr"]),
    ]


def _large(froc: dict[str, Any]) -> str:
    """TPR of the large MCs with their smallest diameter; evaluations of former versions have none."""
    part = froc.get("tpr_large")
    if part is None:
        return "-"
    return f"{_text(part['tpr_at_fp_per_cm2'].get(FP_RATE))} from {part['large_mc_mm']:g} mm"


def _text(entry: dict[str, float] | None) -> str:
    if not entry or entry.get("value") is None:
        return "-"
    if entry.get("low") is None:
        return f"{entry['value']:.3f}"
    return f"{entry['value']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})"
