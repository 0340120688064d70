"""Running over many images: an evaluator that survives a bad one, and the machine-readable run report."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents, SupervisedEvaluator
from monai.utils import CommonKeys as Keys
from tqdm import tqdm

from scripts.data.folder import FAILURE, REPORT_NAME, describe_failure
from scripts.files import sha256_of, write_json
from scripts.findings.look_ahead import AHEAD, LookAhead
from scripts.memory import give_back_freed_memory

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)
PACKAGES = ("monai", "torch", "numpy", "pydicom", "scikit-image", "opencv-python-headless")


class TolerantEvaluator(SupervisedEvaluator):
    """MONAI's supervised evaluator, one image per batch, that records a failing image and goes on.

    After each iteration `state.failure` is None or a record {"file", "stage", "reason"}.

    Args:
        *args: as of `SupervisedEvaluator`.
        overlap_images: read the next image and run the network on it while this one's results are made and written.
            It needs room for a second image; the results, their order and what is reported stay the same.
        **kwargs: as of `SupervisedEvaluator`.
    """

    def __init__(self, *args: Any, overlap_images: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if overlap_images:
            self.data_loader: Any = LookAhead(self.data_loader, self._forward)

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        engine.state.failure, engine.state.output = None, []
        if FAILURE in batchdata:
            engine.state.failure = {key: value[0] for key, value in batchdata[FAILURE].items()}
            return engine.state.output
        try:
            if len(batchdata["image"]) != 1:
                raise ValueError(
                    f"batch_size: got {len(batchdata['image'])}; want 1, as one bad image would take others along"
                )
            outcome = batchdata.pop(AHEAD) if AHEAD in batchdata else self._forward(batchdata)
            if isinstance(outcome, Exception):
                raise outcome
            engine.state.output = outcome
            engine.fire_event(IterationEvents.FORWARD_COMPLETED)
            engine.fire_event(IterationEvents.MODEL_COMPLETED)
        except Exception as error:
            file = batchdata["image"].meta.get("filename_or_obj", "")
            engine.state.failure = describe_failure(file[0] if isinstance(file, list) else file, "processing", error)
            logger.debug("processing failed", exc_info=True)
            engine.state.output = []
        return engine.state.output

    def _forward(self, batchdata: Any) -> dict[str, Any]:
        """The network's part of an iteration: {"image", "label", "pred"}."""
        give_back_freed_memory()
        batch = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        inputs, targets, args, kwargs = batch if len(batch) == 4 else (*batch, (), {})
        with self.mode(self.network), torch.autocast("cuda", enabled=self.amp, **self.amp_kwargs):
            pred = self.inferer(inputs, self.network, *args, **kwargs)
        return {Keys.IMAGE: inputs, Keys.LABEL: targets, Keys.PRED: pred}


class RunReport:
    """Handler that shows progress and keeps `run_report.json` up to date after every image.

    The report holds the settings, versions, the weights' SHA-256, and per image the status ("found", "nothing found"
    or "failed"), seconds, and where results lie. `finish()` logs the summary and ends the process with exit status 1
    when an image failed.

    Args:
        output_dir: folder of the report.
        settings: plain values worth keeping (thresholds, method, paths of inputs).
        weights: weight file in use, or None.
        total: number of images, for the progress bar.
        progress: show a progress bar.
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
        self.settings = settings or {}
        self.weights, self.versions = describe_weights(weights), package_versions()
        self.total = total
        self.progress = progress
        self.images: list[dict[str, Any]] = []
        self.started = self.last = time.perf_counter()
        self.bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._record)
        engine.add_event_handler(Events.COMPLETED, self._complete)

    def finish(self) -> None:
        """Log the summary; exit status 1 when any image failed.

        Raises:
            SystemExit: with status 1, when an image failed.
        """
        failed = [entry for entry in self.images if entry["status"] == "failed"]
        logger.info("%d of %d images done; report: %s", len(self.images) - len(failed), len(self.images), self.path)
        for entry in failed:
            logger.error("failed: %s", entry["reason"] if entry["file"] in entry["reason"] else _join(entry))
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
            entry: dict[str, Any] = {"status": "failed", **failure}
        else:
            item = engine.state.output[0]
            report = item["report"]
            entry = {"status": report["status"], "file": report["file"], "count": report["summary"]["count"]}
            entry["outputs"] = item.get("outputs", {})
        entry["seconds"] = round(now - self.last, 3)
        self.last = now
        self.images.append(entry)
        if self.bar is not None:
            self.bar.update()
        self._write("running")

    def _complete(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.close()
        self._write("finished")

    def _write(self, state: str) -> None:
        failed = sum(entry["status"] == "failed" for entry in self.images)
        write_json(
            self.path,
            {
                "state": state,
                "exit_status": int(failed > 0),
                "images_done": len(self.images) - failed,
                "images_failed": failed,
                "seconds": round(time.perf_counter() - self.started, 3),
                "peak_memory_mb": peak_memory_mb(),
                "settings": self.settings,
                "weights": self.weights,
                "versions": self.versions,
                "images": self.images,
            },
        )


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed under this name"
    return versions


def source_commit() -> str | None:
    """Commit of the code, with "+ changes" if files that git knows were changed; None outside of a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=True
            ).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + (" + changes" if changes.strip() else "")


def peak_memory_mb() -> int | None:
    """Peak resident memory of this process in MB (10^6 bytes); None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux; getrusage would count what the parent had before this process began
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        if peaks:
            return round(int(peaks[0]) * 1024 / 1e6)
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)


def describe_weights(path: str | Path | None) -> dict[str, str] | None:
    """Name and SHA-256 of a weight file; None when there is none."""
    if path is None or not Path(path).is_file():
        return None
    return {"file": str(path), "sha256": sha256_of(path)}


def _join(entry: dict[str, Any]) -> str:
    return f"{entry['file']}: {entry['reason']}"
