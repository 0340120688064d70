"""One Markdown table from the folders of several evaluations.

python -m scripts.evaluation.summary runs/benchmark/* > runs/benchmark/summary.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FP_RATE = 0.4
HEADER = (
    "| evaluation | images | MCs | pAUC, 0..1 FP/cm^2 | TPR at 0.4 FP/cm^2 | of these, large MCs | "
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
        _large(froc),
        _text(metrics["iou"]["per_object"]),
        _text(point["fp_per_cm2"]),
        _text(point["tpr"]),
    ]
    return "| " + " | ".join(cells) + " |"


def _large(froc: dict[str, Any]) -> str:
    """TPR of the large MCs with their smallest diameter; evaluations of former versions have none."""
    part = froc.get("tpr_large")
    if part is None:
        return "-"
    return f"{_text(part['tpr_at_fp_per_cm2'].get(str(FP_RATE)))} from {part['large_mc_mm']:g} mm"


def _text(entry: dict[str, float] | None) -> str:
    if not entry or entry.get("value") is None:
        return "-"
    if entry.get("low") is None:
        return f"{entry['value']:.3f}"
    return f"{entry['value']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})"


def main() -> None:
    """Print the table of the folders named on the command line."""
    parser = argparse.ArgumentParser(description="One Markdown table from the folders of several evaluations.")
    parser.add_argument("folders", nargs="+", help="output_dir of an evaluation")
    sys.stdout.write(summarise(parser.parse_args().folders))


if __name__ == "__main__":
    main()
