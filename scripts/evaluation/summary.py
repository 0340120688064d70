"""One Markdown table from the folders of several evaluations.

python -m scripts.evaluation.summary runs/benchmark/* > runs/benchmark/summary.md
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FP_RATE = 0.4
LEAST_DIAMETER_MM = 0.2
HEADER = (
    "| evaluation | images | MCs | pAUC, 0..1 FP/cm^2 | TPR at 0.4 FP/cm^2 | of these, MCs of 0.2 mm and more | "
    "IoU per object | FP/cm^2 at the threshold | TPR there |"
)


def summarise(folders: Sequence[str | Path]) -> str:
    """Markdown table, one row per folder of an evaluation; a folder without metrics.json is named as missing.

    Args:
        folders: what `output_dir` was.
    """
    rows = [HEADER, "|" + "---|" * HEADER.count(" | ") + "---|"]
    for folder in map(Path, folders):
        file = folder / "metrics.json"
        if not file.is_file():
            rows.append(f"| {folder.name} | missing: {file.name} |")
            continue
        rows.append(_row(folder, json.loads(file.read_text(encoding="utf-8"))))
    return "\n".join(rows) + "\n"


def _row(folder: Path, metrics: dict[str, Any]) -> str:
    counts, froc, point = metrics["counts"], metrics["froc"], metrics["operating_point"]
    cells = [
        folder.name,
        str(counts["images"]),
        str(counts["annotated"]),
        _text(froc["pauc"]),
        _text(froc["tpr_at_fp_per_cm2"].get(str(FP_RATE))),
        _number(large_tpr(folder)),
        _text(metrics["iou"]["per_object"]),
        _text(point["fp_per_cm2"]),
        _text(point["tpr"]),
    ]
    return "| " + " | ".join(cells) + " |"


def large_tpr(folder: str | Path, fp_rate: float = FP_RATE, diameter_mm: float = LEAST_DIAMETER_MM) -> float:
    """TPR, at the lowest threshold with at most `fp_rate` FP per cm^2, of MCs of at least `diameter_mm`.

    The diameter is that of the disc of the labelled area. NaN without such MCs or such a threshold.

    Args:
        folder: of an evaluation (froc.csv and objects.csv).
        fp_rate: FP per cm^2 of breast, counted over all predictions.
        diameter_mm: smallest equivalent diameter.
    """
    with (Path(folder) / "froc.csv").open(encoding="utf-8", newline="") as file:
        points = [(float(row["fp_per_cm2"] or "nan"), row["threshold"]) for row in csv.DictReader(file)]
    thresholds = [float(threshold) for rate, threshold in points if threshold and rate <= fp_rate]
    with (Path(folder) / "objects.csv").open(encoding="utf-8", newline="") as file:
        large = [
            float(row["hit_from"] or "-inf")
            for row in csv.DictReader(file)
            if row["kind"] == "annotated" and math.sqrt(4 * float(row["area_mm2"]) / math.pi) >= diameter_mm
        ]
    if not thresholds or not large:
        return math.nan
    return sum(score >= min(thresholds) for score in large) / len(large)


def _text(entry: dict[str, float] | None) -> str:
    if not entry or entry.get("value") is None:
        return "-"
    if entry.get("low") is None:
        return _number(entry["value"])
    return f"{entry['value']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


if __name__ == "__main__":
    sys.stdout.write(summarise(sys.argv[1:]))
