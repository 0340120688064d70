"""Writes the report: report.html, tables.md, comparisons.json and figures/*.png."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from scripts.common.files import write_atomically, write_json
from scripts.common.provenance import source_commit
from scripts.evaluation.crops import read_crops
from scripts.evaluation.report import curves
from scripts.evaluation.report.captions import caption
from scripts.evaluation.report.differences import difference_tables
from scripts.evaluation.report.kinds import failure_table, manner_table, strata_tables
from scripts.evaluation.report.page import NO_NOTE, Part, Picture, Section, build_page, shell_command
from scripts.evaluation.report.panels import case_panel, choose_cases
from scripts.evaluation.report.runs import Run, load_runs
from scripts.evaluation.report.style import PAGE_WIDTH, save, style
from scripts.evaluation.report.tables import Table, metric_tables

FIGURES = "figures"
PAGE, TABLES, COMPARISONS = "report.html", "tables.md", "comparisons.json"


class ReportWriter:
    """Makes the parts of a report; figures are written on the way.

    Args:
        runs: the methods, the reference first.
        output: folder of the report.
        cases_per_kind: best, median and worst images shown, of each.
        progress: show progress bars.
    """

    def __init__(self, runs: Sequence[Run], output: str | Path, cases_per_kind: int = 1, progress: bool = True) -> None:
        self.runs, self.output, self.per_kind, self.progress = runs, Path(output), cases_per_kind, progress
        counts, used = runs[0].metrics["counts"], runs[0].metrics["provenance"]["bootstrap"]
        self.text: dict[str, Any] = {
            "sample": f"{counts['images']} images, {counts['annotated']} MCs",
            "intervals": f"{used['samples']} bootstrap samples of {used['unit']}s, seed {used['seed']}",
            "reference": runs[0].name,
        }
        self.pictures: list[Path] = []
        self.comparisons: list[dict[str, Any]] = []

    def sections(self) -> list[Section]:
        """All sections that hold something."""
        tables = {table.key: table for table in metric_tables(self.runs)}
        differences, self.comparisons = difference_tables(self.runs, self.progress)
        with style():
            found = [
                Section("detection", "Detection", [*self._froc(), *_of(tables, *("detection", "large", "per_image"))]),
                Section("differences", "Paired differences", list(differences)),
                Section("threshold", "At the operating threshold", _of(tables, "operating")),
                Section("segmentation", "Segmentation", [*self._iou(), *_of(tables, "segmentation")]),
                Section("sizes", "By kinds of MCs and images", self._strata()),
                Section("clusters", "Clusters", [*self._clusters(), *_of(tables, "clusters")]),
                Section("pixels", "Pixels and calibration", [*self._pixels(), *_of(tables, "pixels")]),
                Section("cases", "Cases", self._cases()),
            ]
        return [section for section in found if section.parts]

    def lead(self) -> str:
        """The paragraph under the title."""
        return caption("lead", **self.text, **self.runs[0].metrics["counts"])

    def _picture(self, key: str, figure: Figure | None, shows: str, name: str = "", **values: Any) -> list[Part]:
        """Write a figure; no part for None."""
        if figure is None:
            return []
        path = save(figure, self.output / FIGURES / f"{name or key}.png")
        self.pictures.append(path)
        width = min(1.0, figure.get_figwidth() / PAGE_WIDTH)
        alt = f"{shows} of {', '.join(run.name for run in self.runs)}"
        return [Picture(path, width, alt, caption(key, **self.text, **values))]

    def _froc(self) -> list[Part]:
        return self._picture("froc", curves.froc_figure(self.runs, self.progress), "FROC curves")

    def _iou(self) -> list[Part]:
        return self._picture("iou", curves.iou_figure(self.runs), "Box plots of IoU", dots=curves.MOST_DOTS)

    def _strata(self) -> list[Part]:
        found = self._picture("sizes", curves.size_figure(self.runs), "Histograms of diameters, found and missed,")
        found += self._picture("strata", curves.strata_figure(self.runs), "TPR by diameter and by contrast")
        return [*found, *strata_tables(self.runs), *failure_table(self.runs), *manner_table(self.runs)]

    def _clusters(self) -> list[Part]:
        count = self.runs[0].metrics.get("clusters", {}).get("annotated", 0)
        figure = curves.cluster_figure(self.runs) if count else None
        return self._picture("clusters", figure, "Share of clusters found", clusters=count)

    def _pixels(self) -> list[Part]:
        pixels: Mapping[str, Any] = next((r.metrics["pixels"] for r in self.runs if r.metrics.get("pixels")), {})
        positive = pixels.get("positive_px", 0)
        numbers = {"positive": f"{positive:,}", "pixels": f"{positive + pixels.get('negative_px', 0):,}"}
        found = self._picture("pixels", curves.pixel_figure(self.runs), "Pixel ROC and precision-recall", **numbers)
        figure = curves.reliability_figure(self.runs)
        return found + self._picture("reliability", figure, "Reliability diagrams", least=curves.LEAST_COUNT)

    def _cases(self) -> list[Part]:
        known = {name: path for run in reversed(self.runs) for name, path in read_crops(run.folder).items()}
        chosen = choose_cases(self.runs[0], known, self.per_kind)
        if not chosen:
            return ["<p>No pictures: the evaluations kept no windows of images (<code>crop_mm</code>).</p>"]
        parts: list[Part] = [caption("cases", **self.text)]
        for place, entry in enumerate(chosen, start=1):
            figure, named = (
                case_panel(self.runs, entry.case_id),
                f"{entry.kind} image, {entry.case_id}: reference and marks",
            )
            values = {"kind": entry.kind.capitalize(), "case_id": entry.case_id, "value": entry.value}
            parts += self._picture("case", figure, named, f"case_{place}_{entry.kind}", **values)
        return parts


def write_report(
    folders: Sequence[str | Path],
    output: str | Path,
    note: str = "",
    names: Sequence[str] = (),
    not_run: Sequence[str] = (),
    title: str = "",
    cases_per_kind: int = 1,
    progress: bool = True,
) -> Path:
    """Write a report.

    Args:
        folders: output folders of evaluations of several methods on the same images, the reference first.
        output: folder of the report.
        note: what a reader must know about the data; "" takes what an evaluation recorded (`data_note`).
        names: what to call the methods; none takes the recorded ones.
        not_run: why a method is missing, one line each.
        title: heading; "" makes one.
        cases_per_kind: best, median and worst images shown, of each.
        progress: show progress bars.

    Returns:
        Path of report.html.

    Raises:
        ValueError: a folder is no evaluation, or they cannot be compared.
    """
    runs, output = load_runs(folders, names), Path(output)
    images = runs[0].metrics["counts"]["images"]
    recorded = (run.metrics["provenance"]["settings"].get("data_note") for run in runs)
    note = note or next((str(text) for text in recorded if text), "")
    title = title or f"Segmentation of microcalcifications in mammograms: {len(runs)} methods on {images} images"
    writer = ReportWriter(runs, output, cases_per_kind, progress)
    sections = writer.sections()
    made = {
        "command": shell_command(["python", *_program(), *sys.argv[1:]]),
        "commit": source_commit() or "not known",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    page = build_page(runs, sections, title=title, lead=writer.lead(), note=note, not_run=not_run, made=made)
    lines = [f"# {title}", f"**Data.** {note or NO_NOTE}", *(f"Not run: {line}" for line in not_run)]
    lines.append(f"{writer.text['sample']}; in brackets 95 % intervals, {writer.text['intervals']}.")
    lines += [part.markdown() for section in sections for part in section.parts if isinstance(part, Table)]
    write_atomically(output / TABLES, lambda path: path.write_text("\n\n".join(lines) + "\n", encoding="utf-8"))
    write_json(output / COMPARISONS, writer.comparisons)
    for old in (output / FIGURES).glob("case_*.png"):  # of a former report
        if old not in writer.pictures:
            old.unlink()
    return write_atomically(output / PAGE, lambda path: path.write_text(page, encoding="utf-8"))


def _program() -> list[str]:
    """How Python was started, as words of a command: its module, or the file."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return ["-m", spec.name.removesuffix(".__main__")] if spec else [Path(sys.argv[0]).name]


def _of(tables: Mapping[str, Table], *keys: str) -> list[Part]:
    return [tables[key] for key in keys if key in tables]
