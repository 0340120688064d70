"""The machine-readable report of a run over many images."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from tqdm import tqdm

from scripts.common.files import write_json
from scripts.common.provenance import describe_weights, package_versions, peak_memory_mb
from scripts.common.settings import describe
from scripts.data.lists.folder import REPORT_NAME

logger = logging.getLogger(__name__)


class RunReport:
    """Handler that shows progress and keeps `run_report.json` up to date after every image.

    The report holds the settings that decided the results (method, threshold, the objects of the chain, as `describe`
    takes them), versions, the SHA-256 of the weight file in use, and per image the status ("found", "nothing found" or
    "failed"), seconds, and where results lie. `total` images make the bar that `progress` shows.
    """

    def __init__(
        self,
        output_dir: str | Path,
        settings: dict[str, Any] | None = None,
        weights: str | Path | None = None,
        total: int | None = None,
        progress: bool = True,
    ) -> None:
        self.path = Path(output_dir).expanduser() / REPORT_NAME
        self.settings = describe(settings or {})
        self.weights, self.versions = describe_weights(weights), package_versions()
        self.total, self.progress = total, progress
        self.images: list[dict[str, Any]] = []
        self.started = self.last = time.perf_counter()
        self.bar = tqdm(disable=True)

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._record)
        engine.add_event_handler(Events.COMPLETED, self._complete)

    def finish(self) -> None:
        """Log the summary; end the process with exit status 1 when any image failed."""
        failed = [entry for entry in self.images if entry["status"] == "failed"]
        logger.info("%d of %d images done; report: %s", len(self.images) - len(failed), len(self.images), self.path)
        for entry in failed:
            file, reason = entry["file"], entry["reason"]
            logger.error("failed: %s", reason if file in reason else f"{file}: {reason}")
        if failed:
            sys.exit(1)

    def _start(self, engine: Engine) -> None:
        self.images.clear()
        self.started = self.last = time.perf_counter()
        self.bar = tqdm(total=self.total, unit="image", desc="mammograms", disable=not self.progress)
        self._write("running")

    def _record(self, engine: Any) -> None:
        now = time.perf_counter()
        failure = getattr(engine.state, "failure", None)
        if failure is not None:
            entry = {"status": "failed", **failure}
        else:
            item = engine.state.output[0]
            report = item["report"]
            entry = {"status": report["status"], "file": report["file"], "count": report["summary"]["count"]}
            entry["outputs"] = item.get("outputs", {})
        self.images.append(entry | {"seconds": round(now - self.last, 3)})
        self.last = now
        self.bar.update()
        self._write("running")

    def _complete(self, engine: Engine) -> None:
        self.bar.close()
        self._write("finished")

    def _write(self, state: str) -> None:
        failed = sum(entry["status"] == "failed" for entry in self.images)
        content = {
            "state": state,
            "exit_status": int(failed > 0),
            "images_done": len(self.images) - failed,
            "images_failed": failed,
            "seconds": round(time.perf_counter() - self.started, 3),
            "peak_memory_mb": peak_memory_mb(),
        }
        lasting = {"settings": self.settings, "weights": self.weights, "versions": self.versions}
        write_json(self.path, content | lasting | {"images": self.images})
