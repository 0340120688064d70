"""The machine-readable report of a run over many images; what is finished in it is not done again."""

import contextlib
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from ignite.engine import Engine, Events
from tqdm import tqdm

from scripts.common.files import PARTIAL, sha256_of, write_json
from scripts.common.identity import Identity, read_key
from scripts.common.outcomes import DONE, FAILED, NOT_ATTEMPTED, WITH_RESULT, exit_status, together
from scripts.common.provenance import describe_weights, package_versions, peak_memory_mb
from scripts.common.settings import describe
from scripts.common.stage import try_lock
from scripts.common.tables import write_csv
from scripts.common.text import printable
from scripts.data.lists.folder import IMAGES_NAME, REPORT_NAME
from scripts.outputs.journal import Journal
from scripts.outputs.manifest import SCHEMA, digest_of, entry_differences, file_digests, read_report, seal

logger = logging.getLogger(__name__)
COLUMNS = ("image_id", "status", "count", "file", "stage", "reason")


class RunReport:
    """Handler that shows progress and keeps `run_report.json` up to date after every image.

    The report holds the settings that decided the results (method, threshold, the objects of the chain, as `describe`
    takes them), versions, the SHA-256 of the weight file in use, and per image the status (scripts/common/outcomes.py),
    seconds, where results lie, and the SHA-256 of the input and of each file (see manifest.py). Images that a run which
    was cut off did not come to are "not attempted". `images.csv`, written at the end, is the short of it, by id.

    One run at a time writes into a folder. An image of an earlier run there is kept instead of being done again, where
    its input, weights and settings are the same and its files are as they were written (`remaining`).

    A run by many workers (scripts/cluster.py) calls it without an engine: `known`, `start`, `add`, `end`, `finish`, and
    its workers `is_done` and `entry_of`.

    Args:
        output_dir: folder of the results.
        settings: what decided the results; `inputs` besides, which do not.
        inputs: where the images come from, for the record.
        weights: file of the weights in use.
        progress: show a bar.
        redo: do images again that an earlier run has finished.
        identity: how patients and files are named.
        key_file: secret that the report is signed with; "" for none.
    """

    def __init__(
        self,
        output_dir: str | Path,
        settings: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        progress: bool = True,
        redo: bool = False,
        identity: Identity | None = None,
        key_file: str = "",
    ) -> None:
        self.path = Path(output_dir).expanduser() / REPORT_NAME
        self.identity = identity or Identity()
        self.settings = describe(dict(settings or {}))
        self.inputs = {} if self.identity.hidden else describe(dict(inputs or {}))
        self.weights, self.versions = describe_weights(weights), package_versions()
        self.progress, self.redo, self.key = progress, redo, read_key("key_file", key_file) if key_file else b""
        self.images: list[dict[str, Any]] = []
        self.kept: list[dict[str, Any]] = []
        self.earlier: list[dict[str, Any]] = []  # of other inputs
        self.pending: dict[str, None] = {}  # names of the images that are still to be done
        self.started = self.last = time.perf_counter()
        self.state, self.unwritten, self.arithmetic = "", "", ""
        self.bar = tqdm(disable=True)
        self.journal = Journal(self.path.parent)
        self._lock: TextIO | None = None

    @property
    def basis(self) -> str:
        """Digest of what the results of an image depend on, besides the image."""
        weights = None if self.weights is None else self.weights["sha256"]
        return digest_of([self.settings, weights, self.versions.get("bundle"), describe(self.identity)])

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator, as its last handler."""
        engine.add_event_handler(Events.STARTED, lambda engine: self.start(engine.state.epoch_length))
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._completed)
        engine.add_event_handler(Events.COMPLETED, lambda engine: self.end())
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._raised)

    def _completed(self, engine: Any) -> None:
        self.arithmetic = str(getattr(getattr(engine, "inferer", None), "arithmetic", ""))
        self.add(self.entry_of(engine.state))

    def known(self, items: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """What an earlier run tells of these files, by image_id: entries to be kept if they hold (`is_done`)."""
        self._look()
        self.pending = dict.fromkeys(str(item["image_id"]) for item in items)
        earlier = {str(entry.get("image_id")): entry for entry in self.earlier}
        found: dict[str, dict[str, Any]] = {}
        for item in items:
            entry = earlier.get(item["image_id"])
            if entry is not None and self._other_input(entry, item):
                logger.warning("%s: its results replace those of another file", item["image_id"])
            elif entry is not None and not self.redo:
                found[item["image_id"]] = entry
        return found

    def remaining(self, items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The items of a data list that are still to be done; entries of the others are kept, and said so."""
        known = self.known(items)
        left: list[Mapping[str, Any]] = []
        for item in items:
            entry = known.get(item["image_id"])
            if entry is not None and self.is_done(entry, item):
                self.kept.append(entry | {"kept": True})
            else:
                left.append(item)
        self.pending = dict.fromkeys(str(item["image_id"]) for item in left)
        names = {item["image_id"] for item in items}
        self.earlier = [entry for entry in self.earlier if entry.get("image_id") not in names]
        if self.kept:
            told = (len(self.kept), len(items), self.path.parent)
            logger.warning("%d of %d images are finished in %s and kept (redo does them again)", *told)
        return left

    def start(self, total: int | None) -> None:
        """Take the folder for this run, of so many images."""
        self._take()
        self.images.clear()
        self.started = self.last = time.perf_counter()
        self.bar = tqdm(total=total, unit="image", desc="mammograms", disable=not self.progress)
        self._write("running")

    def add(self, entry: dict[str, Any], journaled: bool = False) -> None:
        """Note an image that was just done, or kept; in the journal, where writing the whole report takes too long."""
        (self.kept if entry.get("kept") else self.images).append(entry)
        self.pending.pop(str(entry["image_id"]), None)
        self.bar.update()
        if not journaled or not self.journal.append(entry):
            self._write("running")

    def end(self, error: BaseException | None = None) -> None:
        """Say how the run ended: finished, or with an error."""
        self.bar.close()
        if error is None:
            self._write("finished")
            return
        if self._lock is not None:  # else another run is at work in this folder
            self._write("interrupted" if isinstance(error, KeyboardInterrupt) else "broken off")
            self._close()

    def finish(self, unwritten_studies: int = 0) -> None:
        """Log the summary; end the process with an exit status (`outcomes.exit_status`) unless all is done."""
        if self.state != "finished":  # every image was finished before
            self._take()
            self._write("finished")
        self._close()
        failed = [entry for entry in self.images if entry["status"] not in WITH_RESULT]
        done = len(self.images) + len(self.kept) - len(failed)
        logger.info("%d of %d images done; report: %s", done, done + len(failed), self.path)
        for entry in failed:
            file, reason = entry["file"], entry["reason"]
            logger.error("%s: %s", entry["status"], reason if file in reason else f"{file}: {reason}")
        for entry in self.images:
            for failure in entry.get("failures", ()):
                logger.error("partly failed: %s: %s: %s", entry["file"], failure["analysis"], failure["reason"])
        if self.unwritten:
            logger.error("failed: %s: %s", self.path, self.unwritten)
        lost = bool(self.unwritten) or unwritten_studies > 0
        if status := exit_status(entry["status"] for entry in self.images) or int(lost):
            sys.exit(status)

    def _raised(self, engine: Engine, error: BaseException) -> None:
        self.end(error)
        raise error

    def _look(self) -> None:
        """See what an earlier run left in the folder."""
        report = read_report(self.path.parent) or {}
        told = [*report.get("images", []), *report.get("earlier_images", []), *self.journal.entries()]
        self.earlier = list({str(entry.get("image_id")): entry for entry in told}.values())
        if report and report.get("state") != "finished":
            logger.warning("%s: the run before this one was cut off", self.path.parent)

    def _take(self) -> None:
        """Take the folder for this run, and remove what a killed one left half written."""
        if self._lock is not None:
            return
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = try_lock(folder / ".run.lock")
        except OSError as error:
            got = f"{folder} ({error.strerror})"
            raise ValueError(f"output_dir: got {got}; want a folder that can be written into") from error
        if self._lock is None:
            want = "a folder of its own for each run, or a run that waits for the other one's end"
            raise ValueError(f"output_dir: got {folder}, which another run is writing into; want {want}")
        for leftover in folder.rglob(f"{PARTIAL}*"):
            with contextlib.suppress(OSError):
                leftover.unlink()

    def _close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def is_done(self, entry: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
        """Whether the results that an entry tells of are those that this run would give, and all there."""
        finished = entry.get("status") in DONE and entry.get("basis") == self.basis
        if not finished or not Path(item["image"]).is_file():
            return False
        same = (entry.get("sha256") or {}).get("input") == sha256_of(item["image"])
        return same and next(entry_differences(self.path.parent, entry), None) is None

    def _other_input(self, entry: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
        return entry.get("file") != self.identity.file(str(item["image"]), str(item["image_id"]))

    def entry_of(self, state: Any) -> dict[str, Any]:
        """The entry of the image that an evaluator has just done (its `state`): results on disk, or a failure."""
        now = time.perf_counter()
        batch, failure = state.batch, getattr(state, "failure", None)
        image_id = str(batch["image_id"][0] if isinstance(batch, Mapping) else batch[0].get("image_id", ""))
        if failure is None:
            try:
                entry = self._entry(state.output[0])
            except OSError as error:  # the input vanished, a result was removed
                failure = {"file": "", "stage": "recording", "reason": f"{type(error).__name__}: {error}"}
        if failure is not None:
            entry = self.failed_entry(image_id, failure, getattr(state, "failure_outputs", {}))
        seconds, self.last = round(now - self.last, 3), now
        return {"image_id": image_id, **entry, "seconds": seconds}

    def failed_entry(self, image_id: str, failure: Mapping[str, str], outputs: Mapping[str, str]) -> dict[str, Any]:
        """The entry of an image without a result, and of what was written of it all the same; its input may be gone."""
        folder = self.path.parent
        there = {name: file for name, file in outputs.items() if (folder / file).is_file()}
        entry = {"image_id": image_id, "status": FAILED, **self.identity.failure(failure, image_id)}
        digests = {name: sha256_of(folder / file) for name, file in there.items()}
        return entry | ({"outputs": there, "sha256": digests} if there else {})

    def _entry(self, item: Mapping[str, Any]) -> dict[str, Any]:
        report, outputs = item["report"], item.get("outputs", {})
        entry = {"status": report["status"], "file": printable(report["file"]), "count": report["summary"]["count"]}
        source = str(item["image"].meta["filename_or_obj"])
        digests = file_digests(self.path.parent, source, outputs)
        failures = {"failures": report["failures"]} if report.get("failures") else {}
        return entry | failures | {"outputs": outputs, "sha256": digests, "basis": self.basis}

    def _write(self, state: str) -> None:
        """A full disk or the like costs no image: it is told at the end."""
        self.state = state
        images = [*self.kept, *self.images]
        ended = state != "running"
        pending = [{"image_id": name, "status": NOT_ATTEMPTED} for name in self.pending] if ended else []
        statuses = [entry["status"] for entry in (*images, *pending)]
        content = {
            "schema": SCHEMA,
            "state": state,
            "outcome": together(statuses),
            "exit_status": exit_status(entry["status"] for entry in self.images),
            "images_done": sum(status in WITH_RESULT for status in statuses),
            "images_kept": len(self.kept),
            "images_failed": statuses.count(FAILED),
            "images_not_attempted": statuses.count(NOT_ATTEMPTED),
            "images_partly_failed": sum(status in WITH_RESULT and status not in DONE for status in statuses),
            "seconds": round(time.perf_counter() - self.started, 3),
            "peak_memory_mb": peak_memory_mb(),
        }
        lasting = {"inputs": self.inputs, "settings": self.settings, "settings_sha256": digest_of(self.settings)}
        lasting |= {"weights": self.weights, "arithmetic": self.arithmetic, "versions": self.versions}
        names = {entry["image_id"] for entry in images}
        lasting |= {"images": images, "not_attempted": [entry["image_id"] for entry in pending]}
        lasting |= {"earlier_images": [entry for entry in self.earlier if entry.get("image_id") not in names]}
        try:
            table = self.path.with_name(IMAGES_NAME)
            if self.path.name != REPORT_NAME:
                pass  # a part of a report
            elif ended:
                lines = sorted([*images, *pending], key=lambda entry: str(entry["image_id"]))
                lasting["tables"] = {IMAGES_NAME: sha256_of(write_csv(table, COLUMNS, lines))}
            else:
                table.unlink(missing_ok=True)
            write_json(self.path, seal(content | lasting, self.key))
            self.unwritten = ""
            self.journal.remove()
        except (OSError, ValueError) as error:
            self.unwritten = f"{type(error).__name__}: {error}"
