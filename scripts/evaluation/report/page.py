"""The report as one HTML page: nothing in it is loaded from elsewhere, and it runs no scripts."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from scripts.evaluation.report.definitions import define
from scripts.evaluation.report.runs import Run
from scripts.evaluation.report.style import colour
from scripts.evaluation.report.tables import NONE, Cell, Table

CSS = Path(__file__).with_name("style.css")
NO_NOTE = "No statement about the data was given (data_note of the evaluation, or --note)."


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        path: PNG file.
        width: share of the page's width, [0, 1].
        alt: what it shows, for those who cannot see it.
        caption: HTML under it.
    """

    path: Path
    width: float
    alt: str
    caption: str


#: What a section is made of; a text is HTML.
Part = Table | Picture | str


@dataclass
class Section:
    """A part of the page: HTML paragraphs, then tables and pictures in order."""

    key: str
    title: str
    parts: list[Part] = field(default_factory=list)


def shell_command(words: Sequence[str]) -> str:
    """Words as one line that a shell takes apart again; double quotes where a word holds single ones."""
    quoted = [f'"{w}"' if "'" in w and not set(w) & set('"$`\\!') else shlex.quote(w) for w in words]
    return " ".join(quoted)


def build_page(
    runs: Sequence[Run],
    sections: Sequence[Section],
    *,
    title: str,
    lead: str,
    note: str,
    not_run: Sequence[str],
    made: Mapping[str, str],
) -> str:
    """The whole page.

    Args:
        runs: the methods, the reference first.
        sections: what lies between the head and the definitions.
        title: heading.
        lead: HTML, one paragraph under it.
        note: what a reader must know about the data, e.g. that MCs are simulated; "" says that nothing was given.
        not_run: why a method is missing, one line each.
        made: how and when the report was made, {name: text}.
    """
    colours = {run.name: colour(i) for i, run in enumerate(runs)}
    box = f'<div class="data{"" if note else " unknown"}" role="note"><p><strong>Data.</strong> '
    box += f"{escape(note or NO_NOTE)}</p></div>"
    body = [f"<h1>{escape(title)}</h1>", f'<p class="lead">{lead}</p>', box, _methods(runs, colours)]
    if not_run:
        body.append("<h3>Not run</h3><ul>" + "".join(f"<li>{escape(line)}</li>" for line in not_run) + "</ul>")
    for section in sections:
        body.append(f'<h2 id="{section.key}">{escape(section.title)}</h2>')
        body += [part if isinstance(part, str) else _part(part, colours) for part in section.parts]
    first = runs[0].metrics
    terms = define(first["froc"], first["provenance"]["bootstrap"])
    body += [
        '<h2 id="definitions">Definitions</h2>',
        "<p>In full: <code>docs/metrics.md</code> of the code.</p>",
        "<dl>",
    ]
    body += [f'<dt id="def-{key}">{escape(name)}</dt><dd>{escape(text)}</dd>' for key, (name, text) in terms.items()]
    body += ["</dl>", _provenance(runs, made)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{CSS.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _methods(runs: Sequence[Run], colours: Mapping[str, str]) -> str:
    rows = []
    for run in runs:
        weights, counts = run.metrics["provenance"]["weights"], run.metrics["counts"]
        known = f"{Path(weights['file']).name}, {weights['sha256'][:12]}" if weights else "none"
        part = str(run.metrics["provenance"]["settings"].get("section", NONE))
        numbers = [f"{counts['scored_objects']:,}", str(counts["images_failed"])]
        rows.append([Cell(text) for text in (run.name, known, part, *numbers)])
    header = ["method", "weights (SHA-256)", "part of the data", "scored objects", "images failed"]
    return _table(Table("methods", "Methods", header, rows), colours)


def _part(part: Table | Picture, colours: Mapping[str, str]) -> str:
    return _table(part, colours) if isinstance(part, Table) else _figure(part)


def _table(table: Table, colours: Mapping[str, str]) -> str:
    head = "".join(f'<th scope="col">{_named(name, colours)}</th>' for name in table.header)
    body = []
    for name, *cells in table.rows:
        texts = "".join(f"<td>{_cell(cell)}</td>" for cell in cells)
        body.append(f'<tr><th scope="row">{_named(name.text, colours)}</th>{texts}</tr>')
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="keep"><h3 id="table-{table.key}">{escape(table.title)}</h3>\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{chr(10).join(body)}\n</tbody>\n</table>{note}</div>"
    )


def _named(name: str, colours: Mapping[str, str]) -> str:
    if name not in colours:
        return escape(name)
    start = re.match(r"[^\s-]*-?", name)  # the swatch stays beside what comes before the first place to break
    first = start.group() if start else ""
    swatch = f'<span class="swatch" style="background:{colours[name]}"></span>'
    return f'<span class="whole">{swatch}{escape(first)}</span>{escape(name[len(first) :])}'


def _cell(cell: Cell) -> str:
    extras = (("extra interval", cell.interval), ("extra", cell.remark))
    return escape(cell.text) + "".join(f'<span class="{kind}">{escape(text)}</span>' for kind, text in extras if text)


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return (
        f'<figure id="figure-{picture.path.stem}"><img style="width:{100 * picture.width:.3g}%" '
        f'alt="{escape(picture.alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{picture.caption}</figcaption></figure>"
    )


def _provenance(runs: Sequence[Run], made: Mapping[str, str]) -> str:
    parts = ['<h2 id="provenance">Provenance</h2>']
    for run in runs:
        parts += [f"<h3>{escape(run.name)}</h3>", _list(_origin(run))]
    parts += ["<h3>This page</h3>", _list(made)]
    return "\n".join(parts)


def _origin(run: Run) -> dict[str, str]:
    found: dict[str, Any] = run.metrics["provenance"]
    weights, used, settings = found["weights"], found["bootstrap"], found["settings"]
    return {
        "command": shell_command(["python", "-m", "monai.bundle", *found["arguments"]]),
        "commit": found["commit"] or "not known",
        "date": found.get("date") or "not recorded",
        "weights": f"{weights['file']}, SHA-256 {weights['sha256']}" if weights else "none",
        "data": f"{settings.get('dataset_dir', 'not recorded')}, part {settings.get('section', NONE)}",
        "bootstrap": f"{used['samples']} samples of {used['unit']}s, seed {used['seed']}",
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        "folder": str(run.folder),
    }


def _list(entries: Mapping[str, str]) -> str:
    rows = []
    for name, text in entries.items():
        shown = f"<code>{escape(text)}</code>" if name in ("command", "folder", "commit") else escape(text)
        rows.append(f"<dt>{escape(name)}</dt><dd>{shown}</dd>")
    return "<dl>" + "".join(rows) + "</dl>"
