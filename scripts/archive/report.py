"""The machine-readable report of a worker's run: what it ran with, and what became of each study."""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.common.files import write_json
from scripts.common.provenance import package_versions, peak_memory_mb

logger = logging.getLogger(__name__)
SCHEMA = "microcalcification-archive-1"
KEPT = 1000  # studies that a report tells of one by one: the last ones, as a worker may run for ever


class ArchiveReport:
    """Report in a file, written anew whenever the queue is empty, and at the end; None: nowhere.

    `about` is what the results depend on: settings, weights, basis.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any] | None = None) -> None:
        self.path, self.about, self.started = path, dict(about or {}), time.time()
        self.studies: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.totals = {"studies_done": 0, "studies_failed": 0, "images_done": 0, "images_failed": 0}

    @property
    def failures(self) -> int:
        """How many studies and images failed in this run."""
        return self.totals["studies_failed"] + self.totals["images_failed"]

    def add(self, name: str, state: str, images: Sequence[Mapping[str, Any]], seconds: float, reason: str) -> None:
        """A study is done, or failed for good."""
        failed = sum(image["status"] == "failed" for image in images)
        self.totals[f"studies_{state}"] += 1
        self.totals["images_failed"] += failed
        self.totals["images_done"] += len(images) - failed
        entry = {"study": name, "state": state, "reason": reason, "seconds": round(seconds, 3), "images": list(images)}
        self.studies.append(entry)

    def write(self, state: str, queue: Mapping[str, int]) -> None:
        """Write the report; a full disk or the like stops no worker."""
        if self.path is None:
            return
        told = {"schema": SCHEMA, "state": state, "exit_status": int(self.failures > 0), **self.totals}
        told |= {"seconds": round(time.time() - self.started, 3), "peak_memory_mb": peak_memory_mb()}
        told |= {"queue": dict(queue), **self.about, "versions": package_versions(), "studies": list(self.studies)}
        try:
            write_json(self.path, told)
        except (OSError, ValueError) as error:
            logger.error("%s: %s", self.path, error)
