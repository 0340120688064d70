"""Follow-ups of a study's images: found by what follow_up.json says it is about."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.common.checks import check
from scripts.common.tables import read_csv
from scripts.outputs.follow_up_report import SCHEMA
from scripts.outputs.study.results import Image


def read_follow_ups(folder: str | Path) -> list[dict[str, Any]]:
    """{"report": what a follow_up.json says, "places": its table} of each below a folder.

    ValueError: there is none. Files that are none of this version are passed over.
    """
    found = []
    for path in sorted(Path(folder).expanduser().rglob("follow_up.json")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(report, dict) and report.get("schema") == SCHEMA:
            table = path.with_suffix(".csv")
            places = list(_places(read_csv(table))) if table.is_file() else []
            found.append({"report": report, "places": places})
    check("follow_ups", str(folder), found, "a folder with results of follow-ups (follow_up.json)")
    return found


def follow_ups_of(images: Sequence[Image], known: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those of `known` whose current exam is one of the images, with its "image_id"."""
    return [
        {**entry, "image_id": image.image_id}
        for entry in known
        for image in images
        if image.report is not None and _is_about(entry["report"]["current"], image)
    ]


def _is_about(exam: Mapping[str, Any], image: Image) -> bool:
    report, uid = image.report or {}, str((exam.get("identity") or {}).get("sop_uid") or "")
    if uid or image.identity.get("sop_uid"):
        return uid == image.identity.get("sop_uid")
    return exam.get("file") == report.get("file")


def _places(rows: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """Number, status, and (row, col) in the prior and the current exam (None: not there) of each MC."""
    for row in rows:
        place: dict[str, Any] = {"number": int(row["number"]), "status": row["status"]}
        for exam in ("prior", "current"):
            there = row[f"{exam}_row"] and row[f"{exam}_col"]
            place[exam] = [float(row[f"{exam}_row"]), float(row[f"{exam}_col"])] if there else None
        yield place
