"""study.html: one self-contained page. Nothing in it is loaded from elsewhere, and only its own script may run.

What the page does is in `page/` (template, style, scripts). Data goes in as JSON, in which no text can end the element
that holds it; what the page says in words is escaped by the template; the policy in the page's head allows the one
style and the one script by their hashes, and pictures in the page, and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from scripts.outputs.study.shown import Shown

PARTS = Path(__file__).with_name("page")
SCRIPTS = ("marks.js", "pane.js", "panel.js", "main.js")


def render_page(
    study: Mapping[str, Any], images: Sequence[Shown], priors: Sequence[Mapping[str, Any]], now: datetime, tile_px: int
) -> str:
    """The page of a study.

    Args:
        study: what study.json says.
        images: as they hang.
        priors: {"image_id", "shown": the prior exam, "places": see `read_follow_ups`} of each follow-up with a picture.
        now: when the page is written.
        tile_px: side of tiles.
    """
    traces = {entry["image_id"]: entry["places"] for entry in priors}
    views = [_view(f"v{n}", shown, tile_px, traces.get(shown.placed.image.image_id)) for n, shown in enumerate(images)]
    views += [
        _view(f"p{n}", entry["shown"], tile_px, entry["places"])
        | {"prior": True, "image_id": entry["image_id"]}
        | {"label": f"prior exam {entry['shown'].placed.label} ({entry['shown'].placed.image.name})"}
        for n, entry in enumerate(priors)
    ]
    pictures = [shown.picture for shown in (*images, *(entry["shown"] for entry in priors))]
    tiles = {
        f"{view['id']}-{number}-{place.replace(',', '-')}": text
        for view, picture in zip(views, pictures, strict=True)
        for number, level in enumerate((picture or {"levels": []})["levels"])
        for place, text in level["tiles"].items()
    }
    reports = {shown.placed.image.image_id: shown.placed.image.report for shown in images}
    style, script = _part("study.css"), '(() => {\n"use strict";\n' + "".join(map(_part, SCRIPTS)) + "})();"
    environment = Environment(
        loader=FileSystemLoader(PARTS),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = {
        "study": study,
        "title": f"Study {study['patient_id'] or study['study']}",
        "made": now.isoformat(" ", "minutes"),
        "policy": policy(style, script),
        "style": Markup(style),
        "script": Markup(script),
        "data": Markup(embedded({"study": study, "reports": reports, "views": views})),
        "tiles": tiles,
    }
    return environment.get_template("study.html").render(values) + "\n"


def embedded(content: Any) -> str:
    """JSON that can stand in a script element of data: nothing in it ends the element or begins a comment."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def policy(style: str, script: str) -> str:
    """Content security policy: this style, this script, pictures of the page itself, and nothing else."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    allowed = "style-src 'sha256-{}'; script-src 'sha256-{}'".format(*hashes)
    return f"default-src 'none'; img-src data:; {allowed}; base-uri 'none'; form-action 'none'"


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _counts(summary: Mapping[str, Any]) -> str:
    counts = ((summary["count"], "MC"), (summary.get("clusters"), "cluster"))
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts if count is not None)


def _view(name: str, shown: Shown, tile_px: int, trace: Any = None) -> dict[str, Any]:
    placed, image, levels = shown.placed, shown.placed.image, (shown.picture or {"levels": []})["levels"]
    report = image.report or {}
    rows, cols = (levels[0]["rows"], levels[0]["cols"]) if levels else (report.get("rows", 1), report.get("cols", 1))
    failed = image.report is None
    summary = report.get("summary") or {}
    told = image.status.upper() if failed else _counts(summary) + (", PARTLY FAILED" if image.reason else "")
    state = image.status.upper() if failed else "PARTLY FAILED"
    reason = f"{state}: {image.stage + ': ' if image.stage else ''}{image.reason}" if image.reason else ""
    return {
        "id": name,
        "image_id": image.image_id,
        "label": placed.label,
        "laterality": placed.laterality,
        "mirrored": shown.mirrored,
        "rows": rows,
        "cols": cols,
        "spacing": list(shown.spacing_mm),
        "box": list(shown.box or (0, 0, rows, cols)),
        "tile": tile_px,
        "levels": [{"rows": level["rows"], "cols": level["cols"], "tiles": list(level["tiles"])} for level in levels],
        "outlines": {mark: corners.tolist() for mark, corners in shown.outlines.items()},
        "told": told,
        "failed": failed or bool(image.reason),
        "message": reason or (f"no picture: {shown.note}" if not levels else ""),
        "prior": False,
        "trace": trace,
    }
