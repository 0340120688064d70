"""The report's tables by kinds of MCs and of images: one column a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.evaluation.report.runs import Run
from scripts.evaluation.report.tables import NONE, Cell, Table, value
from scripts.evaluation.sections.strata import UNKNOWN

#: How strata are called in words; others by their key.
STRATA_NAMES = {
    "diameter_mm": "diameter of the labelled area, mm",
    "contrast_to_noise": "contrast to noise",
    "gap_px": "gap to the nearest other MC, px",
    "neighbours": "number of near MCs",
}


def strata_tables(runs: Sequence[Run]) -> list[Table]:
    """TPR and FP at the operating threshold by every stratum of the first method, one column a method."""
    tables = []
    for key in dict.fromkeys(row["by"] for row in runs[0].metrics["strata"]):
        by_run = [{r["stratum"]: r for r in run.metrics["strata"] if r["by"] == key} for run in runs]
        of_images = any("fp_per_cm2" in row for row in by_run[0].values())
        known = by_run[0].items()
        shown = [n for n, row in known if row["annotated"] or row.get("fp") or (of_images and row["images"])]
        if shown in ([], [UNKNOWN]):
            continue  # the data set does not say
        rows = []
        for name in shown:
            counts = Cell(f"{by_run[0][name]['annotated']} / {by_run[0][name]['images']}")
            rows.append([Cell(name), counts, *(_stratum(found.get(name)) for found in by_run)])
        named = STRATA_NAMES.get(key, key)
        header = [named, "MCs / images", *(run.name for run in runs)]
        note = "Bootstrap intervals of few MCs or images are too narrow."
        tables.append(Table(f"strata-{key}", f"TPR at the operating threshold by {named}", header, rows, note))
    return tables


def failure_tables(runs: Sequence[Run]) -> list[Table]:
    """Kinds of MCs that methods fail on: TPR, IoU and coverage; and in pieces, merged, with false marks around.

    No tables when no evaluation collected them.
    """
    found = [run.metrics.get("failure_classes", {}) for run in runs]
    first = next((section for section in found if section), None)
    if first is None:
        return []
    kinds = {kind: entry["annotated"] for kind, entry in first["classes"].items() if entry["annotated"]}
    classes, names, rule = [section.get("classes", {}) for section in found], [run.name for run in runs], first["rule"]
    failures = Table(
        "failures",
        "TPR at the operating threshold by kinds of MCs on which methods fail",
        ["kind", "MCs", *names],
        [[Cell(kind), Cell(str(count)), *(_failure(of.get(kind)) for of in classes)] for kind, count in kinds.items()],
        f"Large: from {rule['large_mm']:g} mm. Close: less than {rule['gap_px']:g} px to the next MC. Dense: at least "
        f"{rule['neighbours']} others within {rule['radius_mm']:g} mm. Faint: contrast to noise below "
        f"{rule['contrast']:g}. Under the TPR: its interval, mean IoU per object, and the mean share of an MC's pixels "
        "that lie in any mark.",
    )
    pieces = Table(
        "pieces",
        "Pieces, merged MCs and false marks around, at the operating threshold",
        ["kind", *names],
        [[Cell(kind), *(_pieces(of.get(kind)) for of in classes)] for kind in kinds],
        "Share of the MCs of a kind that several marks overlap (in pieces), and that share a mark with another MC "
        f"(merged); of large ones also false marks at most {rule['margin_mm']:g} mm away, per MC (around).",
    )
    return [failures, pieces]


def _pieces(entry: Mapping[str, Any] | None) -> Cell:
    if entry is None:
        return Cell(NONE)
    shown = (("in pieces", "share_in_pieces"), ("merged", "share_merged"), ("around", "false_around_per_object"))
    parts = [f"{name} {value(entry[key], 2).text}" for name, key in shown if key in entry]
    return Cell(parts[0], remark="\n".join(parts[1:]))


def _stratum(row: Mapping[str, Any] | None) -> Cell:
    if row is None or (row["tpr"] is None and not row.get("fp")):
        return Cell(NONE)
    tpr = {"value": row["tpr"], "low": row["tpr_low"], "high": row["tpr_high"]}
    cell = Cell(NONE) if row["tpr"] is None else value(tpr, 2)
    if row.get("fp_per_cm2") is not None:
        return cell._replace(remark=f"{row['fp_per_cm2']:.2f} FP/cm²")
    return cell if row.get("fp") is None else cell._replace(remark=f"{row['fp']} FP")


def _failure(entry: Mapping[str, Any] | None) -> Cell:
    if entry is None:
        return Cell(NONE)
    shown = (("IoU", "iou_per_object"), ("covered", "share_covered"))
    remark = "\n".join(f"{name} {value(entry[key], 2).text}" for name, key in shown)
    return value(entry["tpr"], 2)._replace(remark=remark)
