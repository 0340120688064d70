"""The report's tables: numbers of metrics.json as cells that Markdown and HTML share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scripts.common.tables import markdown_table
from scripts.evaluation.report.runs import Run

NONE = "–"
#: How an operating threshold was chosen (metrics.json), in short; else on the images themselves.
CHOSEN = {"given": "beforehand", "the method's own output": "its own output"}
#: Rates of false positives that TPR is given at: keys of metrics.json.
CM2, IMAGE = "tpr_at_fp_per_cm2", "tpr_at_fp_per_image"
WHAT_RAN = ("weights (SHA-256)", "part of the data", "scored objects", "images failed")
OPERATING = ("threshold", "chosen", "TP / FP", "TPR", "FP per cm²", "FP per image")
SEGMENTATION = (
    *("IoU per object", "its standard deviation", "foreground IoU per image", "mean IoU per image"),
    "specific agreement",
)
PIXELS = ("pixel ROC AUC", "pixel average precision", "ECE of pixels", "ECE of objects")
Metrics = Mapping[str, Any]


class Cell(NamedTuple):
    """A number, its interval and its p value (or other remark), as text."""

    text: str
    interval: str = ""
    remark: str = ""

    def __str__(self) -> str:
        extra = "; ".join(part for extra in self[1:] for part in extra.splitlines())
        return f"{self.text} ({extra})" if extra else self.text


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

    @property
    def markdown(self) -> str:
        """As a Markdown table."""
        return markdown_table(self.header, self.rows)


def metric_tables(runs: Sequence[Run]) -> list[Table]:
    """One row per method: what ran, detection, operating point, segmentation, pixels and calibration, clusters."""
    first, froc = runs[0].metrics, runs[0].metrics["froc"]
    rates = [f"TPR at {float(rate):g} FP/cm²" for rate in froc[CM2]]
    per_image = [f"TPR at {float(rate):g} FP/image" for rate in froc[IMAGE]]
    limit, side = froc["fp_limit_per_cm2"], first["agreement"].get("cells", {}).get("side_mm")

    def by_method(
        key: str, title: str, header: Sequence[str], cells: Callable[[Metrics], Any], note: str = ""
    ) -> Table:
        return Table(key, title, ["method", *header], [[Cell(r.name), *cells(r.metrics)] for r in runs], note)

    tables = [
        by_method("methods", "Methods", WHAT_RAN, _what_ran),
        by_method("detection", "Detection of single MCs (FROC)", [f"pAUC, 0 to {limit:g} FP/cm²", *rates], _detection),
    ]
    large = next((run.metrics["froc"]["tpr_large"] for run in runs if "tpr_large" in run.metrics["froc"]), None)
    if large is not None:
        mcs = f"{large['annotated']} MCs of {large['large_mc_mm']:g} mm and more"
        title = f"TPR of the {mcs} at false positives per cm²"
        tables.append(by_method("large", title, rates, lambda m: _rates(m["froc"].get("tpr_large", {}), froc, CM2)))
    title = "TPR at false positives per image"
    tables.append(by_method("per_image", title, per_image, lambda m: _rates(m["froc"], froc, IMAGE)))
    note = "A threshold chosen on these images flatters its method; one chosen beforehand does not."
    tables.append(by_method("operating", "Counts and rates", OPERATING, _operating_point, note))
    title, note = "Segmentation at the operating threshold", "IoU per image over the images that hold MCs."
    kappa = f"kappa, cells of {side:g} mm" if side else "kappa"
    tables.append(by_method("segmentation", title, [*SEGMENTATION, kappa], _segmentation, note))
    if all("clusters" in run.metrics for run in runs) and first["clusters"]["annotated"]:
        rule = first["clusters"]
        header = [f"found at {float(rate):g} false clusters/image" for rate in rule[IMAGE]]
        note = (
            f"{rule['annotated']} clusters: at least {rule['least']} MCs, joined when at most "
            f"{rule['distance_mm']:g} mm apart; found when at least {rule['hits']} of its MCs are hit."
        )
        cells = [[Cell(run.name), *_rates(run.metrics["clusters"], rule, IMAGE)] for run in runs]
        tables.append(Table("clusters", "Clusters found", ["method", *header], cells, note))
    note = (
        "Ranges: bounds from the binning of scores, no confidence intervals. Pixel values judge the method's map, not "
        "its objects. An object's score is an operating threshold, no probability; its ECE says how far from one."
    )
    return [*tables, by_method("pixels", "Pixel and calibration values", PIXELS, _pixels, note)]


def value(entry: Metrics | None, digits: int = 3, low: str = "low", high: str = "high") -> Cell:
    """A number of metrics.json with its interval."""
    if entry is None or entry.get("value") is None:
        return Cell(NONE)
    ends = [entry.get(low), entry.get(high)]
    interval = "" if None in ends else " to ".join(f"{end:.{digits}f}" for end in ends)
    return Cell(f"{entry['value']:.{digits}f}", interval)


def _number(found: float | None, form: str) -> Cell:
    return Cell(NONE if found is None else f"{found:{form}}")


def _rates(section: Metrics, reference: Metrics, key: str) -> list[Cell]:
    """TPR at the rates of the reference."""
    return [value(section.get(key, {}).get(rate)) for rate in reference[key]]


def _detection(metrics: Metrics) -> list[Cell]:
    froc = metrics["froc"]
    return [value(froc["pauc"]), *_rates(froc, froc, CM2)]


def _what_ran(metrics: Metrics) -> list[Cell]:
    weights, counts = metrics["provenance"]["weights"], metrics["counts"]
    known = f"{Path(weights['file']).name}, {weights['sha256'][:12]}" if weights else "none"
    part = str(metrics["provenance"]["settings"].get("section", NONE))
    return [Cell(text) for text in (known, part, f"{counts['scored_objects']:,}", str(counts["images_failed"]))]


def _operating_point(metrics: Metrics) -> list[Cell]:
    point = metrics["operating_point"]
    how = [_number(point["threshold"], ".4g"), Cell(CHOSEN.get(point["chosen_by"], "on these images"))]
    rates = [value(point["tpr"]), value(point["fp_per_cm2"]), value(point["fp_per_image"], 1)]
    return [*how, Cell(f"{point['tp']} / {point['fp']}"), *rates]


def _segmentation(metrics: Metrics) -> list[Cell]:
    iou, agreement = metrics["iou"], metrics["agreement"]
    per_image = [value(iou["per_image"][name]["images_with_mc"]) for name in ("foreground_iou", "mean_iou")]
    spread = _number(iou["per_object"].get("std"), ".3f")
    return [
        value(iou["per_object"]),
        spread,
        *per_image,
        *(value(agreement[k]) for k in ("specific_agreement", "kappa")),
    ]


def _pixels(metrics: Metrics) -> list[Cell]:
    pixels, bounds = metrics.get("pixels") or {}, ("binning_low", "binning_high")
    errors = [pixels.get("expected_calibration_error"), metrics["calibration"]["expected_calibration_error_of_objects"]]
    values = [value(pixels.get("roc_auc"), 4, *bounds), value(pixels.get("average_precision"), 3, *bounds)]
    return values + [_number(error, ".3g") for error in errors]
