"""The report's tables: numbers of metrics.json as cells that Markdown and HTML share."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from scripts.common.tables import markdown_table
from scripts.evaluation.report.runs import METRICS, Run, at
from scripts.evaluation.sections.strata import UNKNOWN

NONE = "–"
#: How an operating threshold was chosen (metrics.json), in short; else on the images themselves.
CHOSEN = {"given": "beforehand", "the method's own output": "its own output"}
#: Rate of false positives per cm^2 of the summary.
FP_RATE = "0.4"
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
    """A table."""

    key: str  # short name, also the anchor in the page
    title: str  # what it shows
    header: Sequence[str]  # names of the columns, the first one that of the rows
    rows: Sequence[Sequence[Cell]]  # the first cell of a row is its name

    @property
    def markdown(self) -> str:
        """As a Markdown table."""
        return markdown_table(self.header, self.rows)


def value(entry: Mapping[str, Any] | None, digits: int = 3, low: str = "low", high: str = "high") -> Cell:
    """A number of metrics.json with its interval."""
    if entry is None or entry.get("value") is None:
        return Cell(NONE)
    ends = [entry.get(low), entry.get(high)]
    interval = "" if None in ends else " to ".join(f"{end:.{digits}f}" for end in ends)
    return Cell(f"{entry['value']:.{digits}f}", interval)


def plain(form: str) -> Callable[[Any], Cell]:
    """Shows what is no number with an interval, by a format string."""
    return lambda found: Cell(NONE if found is None else form.format(found))


def _weights(found: Mapping[str, str] | None) -> Cell:
    return Cell(f"{Path(found['file']).name}, {found['sha256'][:12]}" if found else "none")


def _large(part: Mapping[str, Any] | None) -> Cell:
    """TPR of the large MCs with their smallest diameter; evaluations of former versions have none."""
    tpr = value(at(part, f"tpr_at_fp_per_cm2/{FP_RATE}"))
    return Cell(NONE if part is None else f"{tpr} from {part['large_mc_mm']:g} mm")


class Column(NamedTuple):
    """A column of a table with one row per method."""

    title: str
    path: str  # where the values stand in metrics.json, such as "froc/pauc"
    show: Callable[[Any], Cell] = value  # what stands there (None: nothing) as a cell

    def cell(self, metrics: Mapping[str, Any]) -> Cell:
        """One method's cell."""
        return self.show(at(metrics, self.path))


METHODS = (
    Column("weights (SHA-256)", "provenance/weights", _weights),
    Column("part of the data", "provenance/settings/section", plain("{}")),
    Column("scored objects", "counts/scored_objects", plain("{:,}")),
    Column("images failed", "counts/images_failed", plain("{}")),
)
OPERATING = (
    Column("threshold", "operating_point/threshold", plain("{:.4g}")),
    Column("chosen", "operating_point/chosen_by", lambda how: Cell(CHOSEN.get(how, "on these images"))),
    Column("TP / FP", "operating_point", plain("{0[tp]} / {0[fp]}")),
    Column("TPR", "operating_point/tpr"),
    Column("FP per cm²", "operating_point/fp_per_cm2"),
    Column("FP per image", "operating_point/fp_per_image", partial(value, digits=1)),
)
SEGMENTATION = (
    Column("IoU per object", "iou/per_object"),
    Column("its standard deviation", "iou/per_object/std", plain("{:.3f}")),
    Column("foreground IoU per image", "iou/per_image/foreground_iou/images_with_mc"),
    Column("mean IoU per image", "iou/per_image/mean_iou/images_with_mc"),
    Column("specific agreement", "agreement/specific_agreement"),
)
_bounded = partial(value, low="binning_low", high="binning_high")
PIXELS = (
    Column("pixel ROC AUC", "pixels/roc_auc", partial(_bounded, digits=4)),
    Column("pixel average precision", "pixels/average_precision", _bounded),
    Column("ECE of pixels", "pixels/expected_calibration_error", plain("{:.3g}")),
    Column("ECE of objects", "calibration/expected_calibration_error_of_objects", plain("{:.3g}")),
)
KINDS = (
    Column("pAUC, all marks", "kinds/all_marks/pauc"),
    Column("pAUC, without excluded kinds", "kinds/without_excluded/pauc"),
    Column(f"TPR at {FP_RATE} FP/cm², all marks", f"kinds/all_marks/tpr_at_fp_per_cm2/{FP_RATE}"),
    Column("without excluded kinds", f"kinds/without_excluded/tpr_at_fp_per_cm2/{FP_RATE}"),
    Column("share of hit MCs lost by it", "kinds/mcs_excluded"),
)
SUMMARY = (
    Column("images", "counts/images", plain("{}")),
    Column("MCs", "counts/annotated", plain("{}")),
    Column("pAUC, 0..1 FP/cm^2", "froc/pauc"),
    Column(f"TPR at {FP_RATE} FP/cm^2", f"froc/tpr_at_fp_per_cm2/{FP_RATE}"),
    Column("of these, large MCs", "froc/tpr_large", _large),
    Column("IoU per object", "iou/per_object"),
    Column("FP/cm^2 at the threshold", "operating_point/fp_per_cm2"),
    Column("TPR there", "operating_point/tpr"),
)


def summarise(folders: Sequence[str | Path]) -> str:
    """Markdown table, one row per output folder of an evaluation; a folder without metrics.json is named as missing."""
    rows = []
    for file in (Path(folder) / METRICS for folder in folders):
        metrics = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        cells = [column.cell(metrics) for column in SUMMARY] if metrics else [f"missing: {file.name}"]
        rows.append([file.parent.name, *cells])
    return markdown_table(["evaluation", *(column.title for column in SUMMARY)], rows)


def metric_tables(runs: Sequence[Run]) -> list[Table]:
    """One row per method: what ran, detection, operating point, segmentation, pixels and calibration, clusters."""
    first, tables = runs[0].metrics, []

    def add(key: str, title: str, columns: Sequence[Column]) -> None:
        rows = [[Cell(run.name), *(column.cell(run.metrics) for column in columns)] for run in runs]
        tables.append(Table(key, title, ["method", *(column.title for column in columns)], rows))

    def rates(title: str, section: str, per: str, of: str = "") -> list[Column]:
        """Values of a section (or of a part of it) at the first method's rates of false positives."""
        path = f"{section}/{per}"
        return [Column(title.format(float(rate)), f"{section}{of}/{per}/{rate}") for rate in at(first, path)]

    per_cm2, per_image = "tpr_at_fp_per_cm2", "tpr_at_fp_per_image"
    add("methods", "Methods", METHODS)
    pauc = Column(f"pAUC, 0 to {first['froc']['fp_limit_per_cm2']:g} FP/cm²", "froc/pauc")
    add("detection", "Detection of single MCs (FROC)", [pauc, *rates("TPR at {:g} FP/cm²", "froc", per_cm2)])
    large = next((part for run in runs if (part := at(run.metrics, "froc/tpr_large")) is not None), None)
    if large is not None:
        mcs = f"{large['annotated']} MCs of {large['large_mc_mm']:g} mm and more"
        columns = rates("TPR at {:g} FP/cm²", "froc", per_cm2, "/tpr_large")
        add("large", f"TPR of the {mcs} at false positives per cm²", columns)
    add("per_image", "TPR at false positives per image", rates("TPR at {:g} FP/image", "froc", per_image))
    add("operating", "Counts and rates", OPERATING)
    side = at(first, "agreement/cells/side_mm")
    kappa = Column(f"kappa, cells of {side:g} mm" if side else "kappa", "agreement/kappa")
    add("segmentation", "Segmentation at the operating threshold", [*SEGMENTATION, kappa])
    if all("clusters" in run.metrics for run in runs) and first["clusters"]["annotated"]:
        add("clusters", "Clusters found", rates("found at {:g} false clusters/image", "clusters", per_image))
    if all("kinds" in run.metrics for run in runs):
        add("kinds", "Detection with and without the excluded kinds of calcification", KINDS)
        tables.append(_by_kind(runs))
    add("pixels", "Pixel and calibration values", PIXELS)
    return tables


def _by_kind(runs: Sequence[Run]) -> Table:
    """False marks of each kind of calcification at the operating threshold, one column a method."""
    first = runs[0].metrics["kinds"]
    rows = []
    for kind in first["by_kind"]:
        found = [run.metrics["kinds"]["by_kind"][kind] for run in runs]
        cells = [value(own["fp_per_cm2"])._replace(remark=f"{own['true_positives']} TP") for own in found]
        rows.append([Cell(kind + (" (excluded)" if kind in first["exclude_kinds"] else "")), *cells])
    title = "False marks per cm² at the operating threshold by their kind"
    return Table("by_kind", title, ["kind of the mark", *(run.name for run in runs)], rows)


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
        tables.append(Table(f"strata-{key}", f"TPR at the operating threshold by {named}", header, rows))
    return tables


def failure_tables(runs: Sequence[Run]) -> list[Table]:
    """Kinds of MCs that methods fail on (none if not collected): TPR, IoU, coverage; pieces, merged, false marks."""
    first = next((found for run in runs if (found := run.metrics.get("failure_classes"))), None)
    if first is None:
        return []
    kinds = {kind: entry["annotated"] for kind, entry in first["classes"].items() if entry["annotated"]}
    of_runs = {kind: [at(run.metrics, f"failure_classes/classes/{kind}") for run in runs] for kind in kinds}
    names = [run.name for run in runs]
    rows = [[Cell(kind), Cell(str(count)), *map(_failure, of_runs[kind])] for kind, count in kinds.items()]
    pieces = [[Cell(kind), *map(_pieces, of_runs[kind])] for kind in kinds]
    title = "TPR at the operating threshold by kinds of MCs on which methods fail"
    other = "Pieces, merged MCs and false marks around, at the operating threshold"
    failures = Table("failures", title, ["kind", "MCs", *names], rows)
    return [failures, Table("pieces", other, ["kind", *names], pieces)]


def _stratum(row: Mapping[str, Any] | None) -> Cell:
    if row is None or (row["tpr"] is None and not row.get("fp")):
        return Cell(NONE)
    cell = value({"value": row["tpr"], "low": row["tpr_low"], "high": row["tpr_high"]}, 2)
    if row.get("fp_per_cm2") is not None:
        return cell._replace(remark=f"{row['fp_per_cm2']:.2f} FP/cm²")
    return cell if row.get("fp") is None else cell._replace(remark=f"{row['fp']} FP")


def _failure(entry: Mapping[str, Any] | None) -> Cell:
    return Cell(NONE) if entry is None else value(entry["tpr"], 2)._replace(remark="\n".join(_named(entry, COVERAGE)))


def _pieces(entry: Mapping[str, Any] | None) -> Cell:
    first, *others = [NONE] if entry is None else _named(entry, PIECES)
    return Cell(first, remark="\n".join(others))


def _named(entry: Mapping[str, Any], shown: Mapping[str, str]) -> list[str]:
    return [f"{name} {value(entry[key], 2).text}" for name, key in shown.items() if key in entry]
