"""Writes the report: report.html, tables.md, comparisons.json and figures/*.png.

The page is one file: nothing in it is loaded from elsewhere, and it runs no scripts. What it says in words, and in
which order, is in `templates/`.
"""

import base64
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from matplotlib.figure import Figure

from scripts.common.files import write_json
from scripts.common.provenance import source_commit
from scripts.common.tables import write_text
from scripts.evaluation.compare import difference_tables
from scripts.evaluation.crops import read_crops
from scripts.evaluation.report import figures
from scripts.evaluation.report.pictures import Chosen, case_panel, choose_cases
from scripts.evaluation.report.runs import Run, at, load_runs
from scripts.evaluation.report.style import PAGE_WIDTH, colour, save, style
from scripts.evaluation.report.tables import failure_tables, metric_tables, strata_tables

FIGURES, TEMPLATES = "figures", Path(__file__).with_name("templates")
PAGE, TABLES, COMPARISONS = "report.html", "tables.md", "comparisons.json"


@dataclass(frozen=True)
class Picture:
    """A figure of the page."""

    path: Path  # PNG file
    width: float  # share of the page's width, [0, 1]

    @property
    def data(self) -> str:
        """The file as Base64."""
        return base64.b64encode(self.path.read_bytes()).decode("ascii")


def write_report(
    folders: Sequence[str | Path],
    output: str | Path,
    note: str = "",
    names: Sequence[str] = (),
    not_run: Sequence[str] = (),
    title: str = "",
    cases: int = 1,
) -> Path:
    """Write a report of evaluations of several methods on the same images; returns the path of report.html.

    `folders` are their output folders, the reference first; `names` is what to call the methods (none: as recorded),
    `not_run` why a method is missing, one line each. `note` is what a reader must know about the data, e.g. that MCs
    are simulated; "" takes what an evaluation recorded (`data_note`). `title` "" makes one. `cases` is the number of
    best, median and worst images shown, of each. ValueError where a folder is no evaluation, or they do not compare.
    """
    runs, output = load_runs(folders, names), Path(output)
    images = runs[0].metrics["counts"]["images"]
    recorded = (at(run.metrics, "provenance/settings/data_note") for run in runs)
    differences, comparisons = difference_tables(runs)
    in_order = [*metric_tables(runs), *differences, *strata_tables(runs), *failure_tables(runs)]
    values = {
        "title": title or f"Segmentation of microcalcifications in mammograms: {len(runs)} methods on {images} images",
        "note": note or next((str(text) for text in recorded if text), ""),
        "not_run": not_run,
        "runs": runs,
        "colours": {run.name: colour(place) for place, run in enumerate(runs)},
        "tables": {table.key: table for table in in_order},
        "figures": draw_figures(runs, output / FIGURES),
        "cases": draw_cases(runs, output / FIGURES, cases),
        "pixels": next((run.metrics["pixels"] for run in runs if run.metrics.get("pixels")), None),
        "limits": {"dots": figures.MOST_DOTS, "scores": figures.LEAST_COUNT},
        "made": {
            "command": shell_command(["python", *_program(), *sys.argv[1:]]),
            "commit": source_commit() or "not known",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }
    write_json(output / COMPARISONS, comparisons)
    write_text(output / TABLES, render(TABLES, values))
    return write_text(output / PAGE, render(PAGE, values))


def draw_figures(runs: Sequence[Run], folder: Path) -> dict[str, Picture]:
    """Write the figures of curves and distributions; none of what the evaluations do not hold."""
    with style():
        drawn = {key: draw(runs) for key, draw in figures.FIGURES.items()}
        return {key: _save(figure, folder / f"{key}.png") for key, figure in drawn.items() if figure is not None}


def draw_cases(runs: Sequence[Run], folder: Path, per_kind: int) -> list[tuple[Chosen, Picture]]:
    """Write the pictures of single images; those of a former report go."""
    for old in folder.glob("case_*.png"):
        old.unlink()
    known = {name: path for run in reversed(runs) for name, path in read_crops(run.folder).items()}
    with style():
        return [
            (chosen, _save(case_panel(runs, chosen.case_id), folder / f"case_{place}_{chosen.kind}.png"))
            for place, chosen in enumerate(choose_cases(runs[0], known, per_kind), start=1)
        ]


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill in a template; texts are escaped in HTML, and an unknown name is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shell"] = shell_command
    return environment.get_template(template).render(values).rstrip() + "\n"


def shell_command(words: Sequence[str]) -> str:
    """Words as one line that a shell takes apart again; double quotes where a word holds single ones."""
    quoted = ['"' + w + '"' if "'" in w and not set(w) & set('"$`\\!') else shlex.quote(w) for w in words]
    return " ".join(quoted)


def _save(figure: Figure, path: Path) -> Picture:
    return Picture(save(figure, path), min(1.0, figure.get_figwidth() / PAGE_WIDTH))


def _program() -> list[str]:
    """How Python was started, as words of a command: its module, or the file."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return ["-m", spec.name.removesuffix(".__main__")] if spec else [Path(sys.argv[0]).name]
