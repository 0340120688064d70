"""What is written of an image that has no result: the record, and the outputs that must say so.

A mask, a segmentation or a table of it would look like "nothing found": there is none.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.common.errors import one_line
from scripts.common.files import write_json
from scripts.common.identity import Identity
from scripts.common.outcomes import FAILED, NOT_ATTEMPTED
from scripts.outputs.canvas import Canvas, write_drawing
from scripts.outputs.dicom.writers import FAILED_DICOM_WRITERS
from scripts.outputs.pictures import WARNING_COLOUR

logger = logging.getLogger(__name__)

SCHEMA, FAILURE_FILE = "microcalcification-failure-2", "failure.json"
ABOUT = {
    FAILED: "There is no result: the image may hold findings.",
    NOT_ATTEMPTED: "The file was refused, and nothing was looked for: it may hold findings.",
}


def failure_record(failure: Mapping[str, str], image_id: str, method: str, identity: Identity) -> dict[str, Any]:
    """What failure.json says (docs/failure_schema.json): status, stage and reason, as `identity` allows."""
    told = {"schema": SCHEMA, "status": failure.get("status", FAILED), "image_id": image_id, "method": method}
    return told | {key: value for key, value in identity.failure(failure, image_id).items() if key != "status"}


def write_failure(
    folder: Path,
    failure: Mapping[str, str],
    image_id: str,
    outputs: Mapping[str, str],
    method: str = "",
    identity: Identity | None = None,
) -> dict[str, str]:
    """Write the record and those of `outputs` (name -> file) that a failed image has; gives output -> file.

    An output that cannot be written is told in the log; the record alone says enough.
    """
    identity = identity or Identity()
    record = failure_record(failure, image_id, method, identity)
    written: dict[str, str] = {}

    def attempt(name: str, file: str, write: Callable[..., Path | None], *about: Any) -> None:
        try:
            if write(folder / file, *about) is not None:
                written[name] = file
        except Exception as error:  # whatever a damaged file brings about
            logger.warning("no %s of %s could be written: %s", file, image_id, error)

    attempt("failure", FAILURE_FILE, write_json, record)
    if "picture" in outputs:
        attempt("picture", outputs["picture"], write_failed_picture, record)
    for name, write in FAILED_DICOM_WRITERS.items():
        if name in outputs:
            about = failure["file"], method, identity, image_id, record["status"] == FAILED
            attempt(name, outputs[name], write, *about)
    return written


def write_failed_picture(path: Path, record: Mapping[str, Any]) -> Path:
    """A picture that says FAILED or NOT ATTEMPTED, and why."""
    canvas = Canvas(13, 9, dpi=75)
    status = str(record["status"])
    reason = one_line(f"{record['stage']}: {record['reason']}", 1000)
    left, y = 0.06 * canvas.box.right, 0.26 * canvas.box.bottom
    for size, colour, words in (
        (48, WARNING_COLOUR, status.upper()),
        (16, "white", record["image_id"]),
        (13, "white", ABOUT[status]),
        (11, "#c8c8c8", reason),
    ):
        told = canvas.wrapped(words, size, canvas.box.right - 2 * left)
        y = canvas.words(told, left, y, colour, size).bottom + canvas.px(16)
    return write_drawing(path, canvas.finished())
