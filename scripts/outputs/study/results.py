"""What a folder of results holds, image by image: a report, a failure, or nothing yet."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread

from scripts.common.identity import Identity
from scripts.common.outcomes import FAILED, NOT_ATTEMPTED, outcome
from scripts.common.text import printable
from scripts.data.lists.folder import SCHEMA_PREFIX
from scripts.data.reader.dicom_tags import IDENTITY
from scripts.data.reader.dicom_tags import identity as identity_of
from scripts.outputs.manifest import read_report

FINDINGS, FAILURE = "findings.json", "failure.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Image:
    """One image of a run."""

    image_id: str
    folder: Path  # of its results
    status: str  # one of `outcomes.OUTCOMES`
    report: Mapping[str, Any] | None = None  # what findings.json says; None where there is no result
    stage: str = ""  # of a failure
    reason: str = ""
    source: Path | None = None  # the mammogram, where it is
    identity: Mapping[str, str] = field(default_factory=dict)  # as results may tell it; {} where no tags can be read

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.report["name"]) if self.report else printable(self.image_id.rpartition("/")[2])


def read_images(
    output_dir: Path, sources: Mapping[str, str] | None = None, identity: Identity | None = None
) -> list[Image]:
    """All images that a folder holds results or failures of, and those of `sources` that it does not.

    `sources` are the mammograms by image id; without them a report says where its mammogram was, where it may.
    A failure always outweighs a report.
    """
    sources, identity = dict(sources or {}), identity or Identity()
    run = read_report(output_dir) or {}
    entries = {str(entry.get("image_id")): entry for entry in (*run.get("images", []), *run.get("earlier_images", []))}
    folders = {path.parent for name in (FINDINGS, FAILURE) for path in output_dir.rglob(name)}
    names = {folder.relative_to(output_dir).as_posix(): folder for folder in folders}
    failed = {name for name, entry in entries.items() if entry.get("status") in (FAILED, NOT_ATTEMPTED)}
    names |= {name: output_dir / name for name in sorted(failed | sources.keys()) if name not in names}
    images = (_image(name, names[name], entries.get(name, {}), sources.get(name), identity) for name in sorted(names))
    return [image for image in images if image is not None]


def _image(
    image_id: str, folder: Path, entry: Mapping[str, Any], source: str | None, identity: Identity
) -> Image | None:
    report: Mapping[str, Any] | None = _read(folder / FINDINGS, "findings-")
    failure: Mapping[str, Any] | None = _read(folder / FAILURE, "failure-")
    if report is None and failure is None and not entry and source is None:
        return None  # a file of another program, called as ours are
    if failure is None and entry.get("status") in (FAILED, NOT_ATTEMPTED):
        failure = entry
    if failure is None and report is None:
        unreadable = (folder / FINDINGS).is_file()
        stage, reason = ("reading results", f"{FINDINGS} cannot be read") if unreadable else ("", "")
        file = _existing(source)
        status = FAILED if unreadable else NOT_ATTEMPTED
        return Image(image_id, folder, status, None, stage, reason or "no result yet", file, _tags(file, identity))
    if failure is not None:
        file = _existing(source or failure.get("file"))
        told = failure.get("identity") or _tags(file, identity)
        stage, reason = (printable(failure.get(key, "")) for key in ("stage", "reason"))
        status = NOT_ATTEMPTED if failure.get("status") == NOT_ATTEMPTED else FAILED
        return Image(image_id, folder, status, None, stage, reason, file, told)
    assert report is not None
    failed_parts = report.get("failures") or []
    status = outcome(report["summary"]["count"] > 0, not failed_parts)
    told = "; ".join(f"{part['analysis']}: {part['reason']}" for part in failed_parts)
    return Image(
        image_id, folder, status, report, "", printable(told), _source_of(report, folder, source), report["identity"]
    )


def _source_of(report: Mapping[str, Any], folder: Path, source: str | None) -> Path | None:
    places = (source, report.get("file"), str(folder / str(report.get("name"))))
    return next(filter(None, map(_existing, places)), None)


def _existing(file: str | None) -> Path | None:
    return Path(file) if file and Path(file).is_file() else None


def _tags(file: Path | None, identity: Identity) -> dict[str, str]:
    """The identifying tags of a file without results, as they may be told; {} where there are none."""
    if file is None:
        return {}
    try:
        tags = identity_of(dcmread(file, stop_before_pixels=True, force=True))
    except Exception as error:  # whatever a damaged file makes pydicom raise
        logger.debug("%s: no tags: %s", file, error)
        return {}
    if not tags["sop_uid"]:
        return {}
    told = identity.report({"file": "", "name": "", "identity": tags}, "")["identity"]
    return {name: str(told[name]) for name in IDENTITY}


def _read(path: Path, kind: str) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(content, dict) and str(content.get("schema", "")).startswith(SCHEMA_PREFIX + kind)
    whole = ours and (kind != "findings-" or {"summary", "identity", "microcalcifications"} <= content.keys())
    return content if whole else None
