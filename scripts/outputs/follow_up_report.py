"""The report of a follow-up, as JSON, as CSV of the MCs and as the papers' table of a region."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.common.settings import describe
from scripts.common.tables import markdown_table, write_csv
from scripts.findings.follow_up.change import Intervals
from scripts.findings.follow_up.compare import Comparison, cluster_figures, in_region, part_figures
from scripts.findings.follow_up.exams import Exam
from scripts.findings.follow_up.matching import STATUSES
from scripts.findings.follow_up.regions import Region

SCHEMA, REGION_SCHEMA = "microcalcification-follow-up-1", "microcalcification-region-1"
COLUMNS: tuple[str, ...] = ("number", "status", "prior_id", "prior_row", "prior_col")
COLUMNS += ("current_id", "current_row", "current_col", "distance_mm")
COLUMNS += ("prior_area_mm2", "current_area_mm2", "area_change_mm2")
ROWS = (
    ("calcifications", "count"),
    ("mean area [mm²]", "mean_area_mm2"),
    ("area std [mm²]", "std_area_mm2"),
    ("per cm²", "count_per_cm2"),
)


def build_follow_up_report(
    prior: Exam,
    current: Exam,
    comparison: Comparison,
    regions: Sequence[tuple[str, Region, Region]],
    intervals: Intervals,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that is said about two exams, as JSON types; `regions` are (name, prior one, current one)."""
    parts = [
        part_figures(name, in_region(prior, first), in_region(current, second), comparison, intervals)
        for name, first, second in regions
    ]
    before, now = ((exam.findings, exam.breast_area_cm2) for exam in (prior, current))
    statuses = [entry.status for entry in comparison.traces]
    return {
        "schema": SCHEMA,
        "status": comparison.status,
        "reasons": list(comparison.reasons),
        "prior": _exam(prior),
        "current": _exam(current),
        "quality": None if comparison.quality is None else asdict(comparison.quality),
        "settings": describe(settings),
        "summary": {status: statuses.count(status) for status in STATUSES},
        "breast": part_figures("breast", before, now, comparison, intervals),
        "regions": parts,
        "clusters": cluster_figures(prior, current, comparison, intervals),
        "microcalcifications": [asdict(entry) for entry in comparison.traces],
    }


def build_region_report(exam: Exam, region: Region) -> dict[str, Any]:
    """Statistics of a user's region in one exam (slim FCN paper, figure 1), as JSON types."""
    alone = part_figures("region", None, in_region(exam, region), Comparison("", one_breast=False), Intervals())
    ids = [mc.id for mc in region.select(exam.findings)]
    return {"schema": REGION_SCHEMA, **_exam(exam), "kind": region.kind, "statistics": alone["current"], "members": ids}


def write_traces(path: Path, report: Mapping[str, Any], prior: Exam, current: Exam) -> Path:
    """The MCs as CSV, one line for each that either exam shows."""
    places = [{mc.id: mc for mc in exam.findings} for exam in (prior, current)]
    rows = []
    for entry in report["microcalcifications"]:
        row = dict(entry)
        for name, known in zip(("prior", "current"), places, strict=True):
            if (mc := known.get(entry[f"{name}_id"])) is not None:
                row |= {f"{name}_row": mc.row, f"{name}_col": mc.col}
        rows.append(row)
    return write_csv(path, COLUMNS, rows)


def statistics_table(figures: Mapping[str, Any]) -> str:
    """The slim FCN paper's figure 7 as Markdown: a part of the breast in both exams, and the change."""
    exams = [name for name in ("prior", "current") if figures.get(name) is not None]
    change = figures.get("change")
    rows = []
    for words, key in ROWS:
        cells = [words, *(figures[exam][key] for exam in exams)]
        rows.append(cells + ([_change(change[key])] if change else []))
    return markdown_table([figures["name"], *exams, *(["change (95 % interval)"] if change else [])], rows, digits=3)


def _change(change: Mapping[str, float | None]) -> str:
    if change["value"] is None:
        return ""
    interval = "" if change["low"] is None else f" ({change['low']:+.3g} to {change['high']:+.3g})"
    return f"{change['value']:+.3g}{interval}"


def _exam(exam: Exam) -> dict[str, Any]:
    facts = {"name": exam.name, "file": exam.file, "identity": dict(exam.identity)}
    size = {"rows": exam.image.shape[0], "cols": exam.image.shape[1], "spacing_mm": list(exam.spacing_mm)}
    return facts | size | {"breast_area_cm2": round(exam.breast_area_cm2, 3)}
