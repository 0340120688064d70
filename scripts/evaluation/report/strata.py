"""The report's tables by kinds of MCs and of images: one column a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.evaluation.report.runs import Run, at
from scripts.evaluation.report.tables import NONE, Cell, Table, value
from scripts.evaluation.strata import UNKNOWN

#: How strata are called in words; others by their key.
STRATA_NAMES = {
    "diameter_mm": "diameter of the labelled area, mm",
    "contrast_to_noise": "contrast to noise",
    "gap_px": "gap to the nearest other MC, px",
    "neighbours": "number of near MCs",
}
#: Values of a kind of MCs that methods fail on, beside its TPR: how each is called, its key in metrics.json.
COVERAGE = {"IoU": "iou_per_object", "covered": "share_covered"}
PIECES = {"in pieces": "share_in_pieces", "merged": "share_merged", "around": "false_around_per_object"}
Entry = Mapping[str, Any] | None


def strata_tables(runs: Sequence[Run]) -> list[Table]:
    """TPR and FP at the operating threshold by every stratum of the first method, one column a method."""
    tables = []
    for key in dict.fromkeys(row["by"] for row in runs[0].metrics["strata"]):
        by_run = [{row["stratum"]: row for row in run.metrics["strata"] if row["by"] == key} for run in runs]
        of_images = any("fp_per_cm2" in row for row in by_run[0].values())
        shown = {
            stratum: row
            for stratum, row in by_run[0].items()
            if row["annotated"] or row.get("fp") or (of_images and row["images"])
        }
        if not set(shown) - {UNKNOWN}:
            continue  # the data set does not say
        rows = [
            [Cell(n), Cell(f"{row['annotated']} / {row['images']}"), *(_stratum(found.get(n)) for found in by_run)]
            for n, row in shown.items()
        ]
        named = STRATA_NAMES.get(key, key)
        header = [named, "MCs / images", *(run.name for run in runs)]
        note = "Bootstrap intervals of few MCs or images are too narrow."
        tables.append(Table(f"strata-{key}", f"TPR at the operating threshold by {named}", header, rows, note))
    return tables


def failure_tables(runs: Sequence[Run]) -> list[Table]:
    """Kinds of MCs that methods fail on: TPR, IoU and coverage; and in pieces, merged, with false marks around.

    No tables when no evaluation collected them.
    """
    first = next((found for run in runs if (found := run.metrics.get("failure_classes"))), None)
    if first is None:
        return []
    kinds = {kind: entry["annotated"] for kind, entry in first["classes"].items() if entry["annotated"]}
    of_runs = {kind: [at(run.metrics, f"failure_classes/classes/{kind}") for run in runs] for kind in kinds}
    names, rule = [run.name for run in runs], first["rule"]
    failures = Table(
        "failures",
        "TPR at the operating threshold by kinds of MCs on which methods fail",
        ["kind", "MCs", *names],
        [[Cell(kind), Cell(str(count)), *map(_failure, of_runs[kind])] for kind, count in kinds.items()],
        f"Large: from {rule['large_mm']:g} mm. Close: less than {rule['gap_px']:g} px to the next MC. Dense: at least "
        f"{rule['neighbours']} others within {rule['radius_mm']:g} mm. Faint: contrast to noise below "
        f"{rule['contrast']:g}. Under the TPR: its interval, mean IoU per object, and the mean share of an MC's pixels "
        "that lie in any mark.",
    )
    pieces = Table(
        "pieces",
        "Pieces, merged MCs and false marks around, at the operating threshold",
        ["kind", *names],
        [[Cell(kind), *map(_pieces, of_runs[kind])] for kind in kinds],
        "Share of the MCs of a kind that several marks overlap (in pieces), and that share a mark with another MC "
        f"(merged); of large ones also false marks at most {rule['margin_mm']:g} mm away, per MC (around).",
    )
    return [failures, pieces]


def _stratum(row: Entry) -> Cell:
    if row is None or (row["tpr"] is None and not row.get("fp")):
        return Cell(NONE)
    cell = value({"value": row["tpr"], "low": row["tpr_low"], "high": row["tpr_high"]}, 2)
    if row.get("fp_per_cm2") is not None:
        return cell._replace(remark=f"{row['fp_per_cm2']:.2f} FP/cm²")
    return cell if row.get("fp") is None else cell._replace(remark=f"{row['fp']} FP")


def _failure(entry: Entry) -> Cell:
    return Cell(NONE) if entry is None else value(entry["tpr"], 2)._replace(remark="\n".join(_named(entry, COVERAGE)))


def _pieces(entry: Entry) -> Cell:
    first, *others = [NONE] if entry is None else _named(entry, PIECES)
    return Cell(first, remark="\n".join(others))


def _named(entry: Mapping[str, Any], shown: Mapping[str, str]) -> list[str]:
    return [f"{name} {value(entry[key], 2).text}" for name, key in shown.items() if key in entry]
