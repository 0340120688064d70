"""The worker: studies of an archive, one after the other, to results in the archive.

A study is done exactly once for its images and the basis of the results, whenever the worker is killed: what is done is
read from the archive (results.py), what is to do from the queue (queue.py), and a result that is stored twice is the
same object. An image that fails is told of in the study's report; a study fails where that is impossible, and is tried
again a few times.
"""

import logging
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from scripts.archive.archive import (
    Archive,
    ArchiveUnreachable,
    FileRefused,
    Instance,
    StoreRefused,
    Wanted,
    write_stand_in,
)
from scripts.archive.health import Health
from scripts.archive.queue import QueuedStudy, StudyQueue
from scripts.archive.report import ArchiveReport
from scripts.archive.results import Results
from scripts.common.checks import check_fields
from scripts.common.errors import message_of, one_line
from scripts.common.identity import Identity
from scripts.data.lists.folder import describe_failure
from scripts.outputs.dicom.mammogram import Mammogram, failed_mammogram
from scripts.outputs.manifest import digest_of

logger = logging.getLogger(__name__)
UID_IN_TEXT = re.compile(r"\b[012](?:\.[0-9]+){2,}")


class CanAnalyse(Protocol):
    """What the worker needs of `scripts.api.Segmenter`."""

    method: str

    def analyse(self, image: Any) -> dict[str, Any]:
        """Image file in; what the writers take."""


@dataclass(frozen=True)
class Pace:
    """How often, how long, how many times."""

    poll_s: float = 60.0  # between two searches of the archive
    settle_s: float = 60.0  # a study's images must be the same for so long: it may still be arriving
    attempts: int = 3  # at a study, and at reaching the archive in a run that ends
    retry_s: float = 60.0  # until the second attempt; twice as long until each further one
    crashes: int = 5  # kills of the worker at one study, after which it is taken for the cause

    def __post_init__(self) -> None:
        check_fields(self, attempts="[1, 100]", crashes="[1, 1000]", poll_s="(0, inf)")


@dataclass
class Outcome:
    """What became of a study's images."""

    mammograms: list[Mammogram] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)  # SOP instance UID of a result -> file
    images: list[dict[str, Any]] = field(default_factory=list)  # for the report
    refused: str = ""  # why the archive's answer for an image was refused


class Worker:
    """Find studies, segment their images, store the results.

    Args:
        archive: where studies come from and results go.
        segmenter: a `Segmenter`; its network is loaded.
        queue: the studies to do.
        results: which results are made.
        wanted: which studies and images.
        pace: how often, how long, how many times.
        identity: how logs, health and report name studies; the results themselves go back to the patient's study.
        report, health: what is told of the run.
        folder: for images and results on their way; what a killed worker left there is removed.
        progress: show a bar.
    """

    def __init__(
        self,
        archive: Archive,
        segmenter: CanAnalyse,
        queue: StudyQueue,
        results: Results,
        folder: Path,
        wanted: Wanted | None = None,
        pace: Pace | None = None,
        identity: Identity | None = None,
        report: ArchiveReport | None = None,
        health: Health | None = None,
        progress: bool = False,
    ) -> None:
        self.archive, self.segmenter, self.queue, self.results = archive, segmenter, queue, results
        self.folder, self.wanted, self.pace = folder, wanted or Wanted(), pace or Pace()
        self.identity, self.health, self.progress = identity or Identity(), health or Health(), progress
        self.report = report or ArchiveReport(None)

    def run(self, for_ever: bool = False) -> None:
        """Do what there is, or what comes, for ever.

        Raises:
            ArchiveUnreachable: in a run that ends, the archive was not reached in as many attempts as there are.
        """
        unreached, searched = 0, False
        if recovered := self.queue.recover():
            logger.warning("a worker was killed at %d studies: they are taken up again", recovered)
        while True:
            try:
                if not searched or for_ever:
                    self.search()
                    searched = True
                self.work_off()
                unreached = 0
            except (ArchiveUnreachable, FileRefused) as error:
                unreached += 1
                self._tell("archive unreachable", reason=self._hide(message_of(error)))
                logger.warning("%s; asked again in %g s", self._hide(message_of(error)), self.pace.poll_s)
                if not for_ever and unreached >= self.pace.attempts:
                    raise
                time.sleep(self.pace.poll_s)
                continue
            due = self.queue.next_time()
            if not for_ever and due is None:
                return
            pause = self.pace.poll_s if due is None else max(0.0, due - time.time())
            time.sleep(min(pause, self.pace.poll_s))

    def search(self) -> None:
        """Put the archive's studies into the queue."""
        for found in self.archive.studies(self.wanted):
            self.queue.see(found.uid, found.instances, self.results.basis)

    def work_off(self) -> None:
        """Do all studies that are due."""
        with tqdm(desc="studies", unit="study", disable=not self.progress, leave=False) as bar:
            while (study := self.queue.next_due()) is not None:
                counts = self.queue.counts()
                bar.total = bar.n + counts["waiting"]
                bar.set_postfix(done=counts["done"], failed=counts["failed"])
                self._study(study)
                bar.update()
        self._tell("waiting")
        self.report.write("running", self.queue.counts())

    def _study(self, study: QueuedStudy) -> None:
        """Look at a study; do it where anything is to be done."""
        started = time.time()
        self.queue.begin(study)
        self._tell("working", current=self.name(study))
        try:
            held = self.archive.instances(study.uid)
            images = sorted(instance for instance in held if self.wanted.takes(instance))
            told = digest_of([image.sop for image in images])
            if (told, self.results.basis) == (study.done_images, study.done_basis):
                self.queue.done(study, told, self.results.basis, study.reason)
                return
            if told != study.images:
                self.queue.images_changed(study, told, time.time() + self.pace.settle_s)
                return
            if study.attempts >= self.pace.attempts:
                self._failed(study, study.reason)
                return
            if study.crashes >= self.pace.crashes:
                self._failed(study, f"the worker was killed {study.crashes} times while at it")
                return
            outcome = self._images(study, images, {instance.sop for instance in held})
        except ArchiveUnreachable as error:
            self.queue.put_back(study, time.time() + self.pace.poll_s, self._hide(message_of(error)))
            raise
        except Exception as error:
            logger.debug("a study failed", exc_info=not self.identity.hidden)
            self._try_again(study, self._hide(message_of(error)))
            return
        except BaseException:  # Ctrl-C, a polite end: the study's turn comes again
            self.queue.put_back(study)
            raise
        failed = [entry for entry in outcome.images if entry["status"] == "failed"]
        reason = f"{len(failed)} of {len(images)} images failed: {failed[0]['reason']}" if failed else ""
        self.queue.done(study, told, self.results.basis, reason)
        self.archive.finished(study.uid)
        self.report.add(self.name(study), "done", outcome.images, time.time() - started, reason)
        logger.info("%s: %d images done, %d failed", self.name(study), len(images) - len(failed), len(failed))

    def _images(self, study: QueuedStudy, images: Sequence[Instance], held: set[str]) -> Outcome:
        """Have all results of a study in the archive; what is there already is not made, or not stored, again."""
        if not images or self.results.all_uids(images) <= held:
            return Outcome(images=[{"image": _image_name(n), "status": "already stored"} for n, _ in _from_1(images)])
        outcome = Outcome()
        with self._temporary_folder() as folder:
            for number, image in _from_1(images):
                self._tell("working", current=self.name(study), image=number, images=len(images))
                self._image(image, number, folder / f"{number:04d}", outcome)
            if outcome.refused and study.attempts + 1 < self.pace.attempts:
                raise FileRefused(outcome.refused)
            outcome.files |= self.results.write_study(folder, outcome.mammograms)
            for uid, file in outcome.files.items():  # the study's report is the last
                if uid not in held:
                    self.archive.store(file, study.uid)
            held = {instance.sop for instance in self.archive.instances(study.uid)}
            if missing := outcome.files.keys() - held:
                raise StoreRefused(f"the archive: got {len(missing)} results that it does not list; want them stored")
        return outcome

    def _image(self, image: Instance, number: int, folder: Path, outcome: Outcome) -> None:
        """Fetch and segment one image; what fails about it is noted."""
        started, file, stage = time.time(), folder / "image.dcm", "fetching"
        folder.mkdir()
        entry: dict[str, Any] = {"image": _image_name(number)}
        try:
            self.archive.fetch(image, file)
            stage = "processing"
            item = self.segmenter.analyse(file)
            stage = "writing"
            files, mammogram = self.results.write_image(folder, image.sop, item)
            outcome.files |= files
            entry |= {"status": item["report"]["status"], "count": item["report"]["summary"]["count"]}
        except ArchiveUnreachable:
            raise
        except Exception as error:
            failure = describe_failure(file, stage, error)
            reason = self._hide(failure["reason"].replace(str(file), entry["image"]))
            if isinstance(error, FileRefused):
                outcome.refused = reason
                write_stand_in(file, image)
            mammogram = failed_mammogram(file, self.segmenter.method)
            entry |= {"status": "failed", "stage": stage, "reason": reason}
        file.unlink(missing_ok=True)  # one image on the disk at a time
        outcome.mammograms.append(mammogram)
        outcome.images.append(entry | {"seconds": round(time.time() - started, 3)})

    def _try_again(self, study: QueuedStudy, reason: str) -> None:
        if study.attempts + 1 >= self.pace.attempts:
            self._failed(study, reason)
            return
        pause = self.pace.retry_s * 2**study.attempts
        self.queue.failed_once(study, reason, time.time() + pause)
        logger.warning("%s: %s; tried again in %g s", self.name(study), reason, pause)

    def _failed(self, study: QueuedStudy, reason: str) -> None:
        self.queue.failed(study, self.results.basis, reason)
        self.archive.finished(study.uid)
        self.report.add(self.name(study), "failed", [], 0.0, reason)
        logger.error("failed: %s: %s", self.name(study), reason)

    def name(self, study: QueuedStudy) -> str:
        """What logs, health and report call a study."""
        return f"study {self.identity.uid(study.uid) or study.number}"

    def _hide(self, text: str) -> str:
        """A reason as `identity` lets it be told."""
        return one_line(UID_IN_TEXT.sub("(a UID)", text) if self.identity.hidden else text)

    def _tell(self, state: str, current: str = "", image: int = 0, images: int = 0, reason: str = "") -> None:
        told = {"current": current, "image": image, "images": images, "reason": reason}
        self.health.tell(state=state, **told, queue=self.queue.counts())

    @contextmanager
    def _temporary_folder(self) -> Iterator[Path]:
        """An empty folder that only its owner can enter; nothing is left of it, nor of a killed worker's."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        try:
            yield self.folder
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def _from_1(images: Sequence[Instance]) -> Iterator[tuple[int, Instance]]:
    return enumerate(images, start=1)


def _image_name(number: int) -> str:
    return f"image {number}"
