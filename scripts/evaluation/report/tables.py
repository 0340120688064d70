"""The report's tables: numbers of metrics.json as cells that Markdown and HTML share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scripts.evaluation.report.runs import Run

NONE = "–"


class Cell(NamedTuple):
    """A number, its interval and its p value (or other remark), as text."""

    text: str
    interval: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: short name, also the anchor in the page.
        title: what it shows.
        header: names of the columns, the first one that of the rows.
        rows: cells; the first of a row is its name.
        note: what a reader must know to read it.
    """

    key: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def markdown(self) -> str:
        """As a Markdown section."""
        lines = [_row(self.header), _row(["---"] * len(self.header))]
        lines += [_row([_inline(cell) for cell in row]) for row in self.rows]
        return f"## {self.title}\n\n" + "\n".join(lines) + (f"\n\n{self.note}" if self.note else "") + "\n"


def metric_tables(runs: Sequence[Run]) -> list[Table]:
    """One row per method: detection, operating point, segmentation, pixels and calibration, clusters."""
    first = runs[0].metrics
    tables = [_detection(runs)]
    tables.append(_at_rates(runs, "per_image", "TPR at false positives per image", "FP/image", "tpr_at_fp_per_image"))
    large = next((run.metrics["froc"]["tpr_large"] for run in runs if "tpr_large" in run.metrics["froc"]), None)
    if large is not None:
        title = (
            f"TPR of the {large['annotated']} MCs of {large['large_mc_mm']:g} mm and more at false positives per cm²"
        )
        tables.append(_at_rates(runs, "large", title, "FP/cm²", "tpr_large", "tpr_at_fp_per_cm2"))
    tables += [_operating(runs), _segmentation(runs), _pixels(runs)]
    if all("clusters" in run.metrics for run in runs) and first["clusters"]["annotated"]:
        tables.append(_clusters(runs))
    return tables


def value(entry: Mapping[str, Any] | None, digits: int = 3, low: str = "low", high: str = "high") -> Cell:
    """A number of metrics.json with its interval."""
    if entry is None or entry.get("value") is None:
        return Cell(NONE)
    ends = [entry.get(low), entry.get(high)]
    interval = "" if None in ends else " to ".join(f"{end:.{digits}f}" for end in ends)
    return Cell(f"{entry['value']:.{digits}f}", interval)


def _detection(runs: Sequence[Run]) -> Table:
    rates = runs[0].metrics["froc"]["tpr_at_fp_per_cm2"]
    limit = runs[0].metrics["froc"]["fp_limit_per_cm2"]
    rows = []
    for run in runs:
        froc = run.metrics["froc"]
        rows.append([Cell(run.name), value(froc["pauc"]), *(value(froc["tpr_at_fp_per_cm2"][rate]) for rate in rates)])
    header = ["method", f"pAUC, 0 to {limit:g} FP/cm²", *(f"TPR at {float(rate):g} FP/cm²" for rate in rates)]
    return Table("detection", "Detection of single MCs (FROC)", header, rows)


def _at_rates(runs: Sequence[Run], key: str, title: str, unit: str, *path: str) -> Table:
    def entries(run: Run) -> dict[str, Any]:
        found = run.metrics["froc"]
        for name in path:
            found = found.get(name, {})
        return found

    rates = next(list(found) for found in map(entries, runs) if found)
    rows = [[Cell(run.name), *(value(entries(run).get(rate)) for rate in rates)] for run in runs]
    return Table(key, title, ["method", *(f"TPR at {float(rate):g} {unit}" for rate in rates)], rows)


def _operating(runs: Sequence[Run]) -> Table:
    rows = []
    for run in runs:
        point = run.metrics["operating_point"]
        threshold = NONE if point["threshold"] is None else f"{point['threshold']:.4g}"
        chosen = "beforehand" if point["chosen_by"] == "given" else "on these images"
        rates = [value(point["tpr"]), value(point["fp_per_cm2"]), value(point["fp_per_image"], 1)]
        rows.append([Cell(run.name), Cell(threshold), Cell(chosen), Cell(f"{point['tp']} / {point['fp']}"), *rates])
    header = ["method", "threshold", "chosen", "TP / FP", "TPR", "FP per cm²", "FP per image"]
    note = "A threshold chosen on these images flatters its method; one chosen beforehand does not."
    return Table("operating", "Counts and rates", header, rows, note)


def _segmentation(runs: Sequence[Run]) -> Table:
    rows = []
    for run in runs:
        iou = run.metrics["iou"]
        per_image = [iou["per_image"][name]["images_with_mc"] for name in ("foreground_iou", "mean_iou")]
        spread = iou["per_object"].get("std")
        agreement = run.metrics["agreement"]
        cells = [value(iou["per_object"]), Cell(NONE if spread is None else f"{spread:.3f}"), *map(value, per_image)]
        rows.append([Cell(run.name), *cells, value(agreement["specific_agreement"]), value(agreement["kappa"])])
    header = ["method", "IoU per object", "its standard deviation", "foreground IoU per image", "mean IoU per image"]
    note = "IoU per image over the images that hold MCs."
    side = runs[0].metrics["agreement"].get("cells", {}).get("side_mm")
    header += ["specific agreement", f"kappa, cells of {side:g} mm" if side else "kappa"]
    return Table("segmentation", "Segmentation at the operating threshold", header, rows, note)


def _pixels(runs: Sequence[Run]) -> Table:
    rows, binning = [], {"low": "binning_low", "high": "binning_high"}
    for run in runs:
        pixels = run.metrics.get("pixels") or {}
        cells = [
            value(pixels.get(name), 4 if name == "roc_auc" else 3, **binning)
            for name in ("roc_auc", "average_precision")
        ]
        errors = [pixels.get("expected_calibration_error")]
        errors.append(run.metrics["calibration"]["expected_calibration_error_of_objects"])
        rows.append([Cell(run.name), *cells, *(Cell(NONE if e is None else f"{e:.3g}") for e in errors)])
    note = (
        "Ranges: bounds from the binning of scores, no confidence intervals. Pixel values judge the method's map, not "
        "its objects. An object's score is an operating threshold, no probability; its ECE says how far from one."
    )
    header = ["method", "pixel ROC AUC", "pixel average precision", "ECE of pixels", "ECE of objects"]
    return Table("pixels", "Pixel and calibration values", header, rows, note)


def _clusters(runs: Sequence[Run]) -> Table:
    rule = runs[0].metrics["clusters"]
    rates = list(rule["tpr_at_fp_per_image"])
    rows = [
        [Cell(run.name), *(value(run.metrics["clusters"]["tpr_at_fp_per_image"].get(r)) for r in rates)] for run in runs
    ]
    note = (
        f"{rule['annotated']} clusters: at least {rule['least']} MCs, joined when at most {rule['distance_mm']:g} mm "
        f"apart; found when at least {rule['hits']} of its MCs are hit."
    )
    header = ["method", *(f"found at {float(rate):g} false clusters/image" for rate in rates)]
    return Table("clusters", "Clusters found", header, rows, note)


def _inline(cell: Cell) -> str:
    extra = "; ".join(part for extra in cell[1:] for part in extra.splitlines())
    return f"{cell.text} ({extra})" if extra else cell.text


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
