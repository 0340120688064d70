"""The studies to do, in a file that survives a restart or a kill (SQLite).

A study is "waiting" (to be looked at, or done, when it is due), "working", "done" or "failed". What was done is told
by a digest of its images and the basis of the results: either of them new, and it is done again. The file holds study
UIDs, whatever `identity` says, as the archive is asked by them: only its owner can read it.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

TABLE = """
CREATE TABLE IF NOT EXISTS study (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT UNIQUE NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    instances INTEGER,                    -- as the archive told last; NULL: not known
    images TEXT NOT NULL DEFAULT '',      -- digest of the images, as seen last
    changed REAL NOT NULL DEFAULT 0,      -- when `images` changed
    due REAL NOT NULL DEFAULT 0,          -- not before
    attempts INTEGER NOT NULL DEFAULT 0,  -- that ended in an error, at these images
    crashes INTEGER NOT NULL DEFAULT 0,   -- times that the worker was killed at it
    done_images TEXT NOT NULL DEFAULT '', -- what is done
    done_basis TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',      -- why it failed, or waits
    updated REAL NOT NULL DEFAULT 0
)
"""
STATES = ("waiting", "working", "done", "failed")


@dataclass(frozen=True)
class QueuedStudy:
    """A row of the queue."""

    number: int
    uid: str
    state: str
    images: str
    changed: float
    due: float
    attempts: int
    crashes: int
    done_images: str
    done_basis: str
    reason: str


class StudyQueue:
    """The queue in a file; every change is on the disk when a method returns. One worker at a time uses it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.row_factory = sqlite3.Row
        self._base.execute("PRAGMA synchronous = FULL")
        self._base.execute(TABLE)

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def recover(self) -> int:
        """Put back what a killed worker was at; gives how many studies that were."""
        return self._change("state = 'waiting', due = 0, crashes = crashes + 1", "state = 'working'")

    def see(self, uid: str, instances: int | None, basis: str) -> None:
        """A study is there: it waits if it is new, has more instances than before, or was done on another basis.

        It is looked at again then; whether anything is to be done, its images tell.
        """
        self._base.execute("INSERT OR IGNORE INTO study (uid) VALUES (?)", (uid,))
        ended = "uid = ? AND state IN ('done', 'failed')"
        self._change(
            "state = 'waiting', due = 0, attempts = 0, crashes = 0", f"{ended} AND done_basis <> ?", uid, basis
        )
        other = "(instances IS NOT ? OR instances IS NULL)"
        self._change("state = 'waiting', due = 0", f"{ended} AND {other}", uid, instances)
        self._change("instances = ?", "uid = ?", instances, uid)

    def reopen_failed(self) -> int:
        """Let failed studies be tried again; gives how many there are."""
        return self._change("state = 'waiting', due = 0, attempts = 0, crashes = 0", "state = 'failed'")

    def next_due(self, now: float | None = None) -> QueuedStudy | None:
        """The study that has waited longest of those that are due."""
        return self._first("state = 'waiting' AND due <= ? ORDER BY due, number", time.time() if now is None else now)

    def next_time(self) -> float | None:
        """When the next study is due; None where none waits."""
        study = self._first("state = 'waiting' ORDER BY due, number")
        return None if study is None else study.due

    def begin(self, study: QueuedStudy) -> None:
        """The study is being worked at."""
        self._change("state = 'working'", "uid = ?", study.uid)

    def images_changed(self, study: QueuedStudy, images: str, due: float) -> None:
        """The study has other images than when it was looked at last: it waits until they are all there."""
        self._change(
            "state = 'waiting', images = ?, changed = ?, due = ?, attempts = 0, crashes = 0",
            "uid = ?", images, time.time(), due, study.uid,
        )  # fmt: skip

    def done(self, study: QueuedStudy, images: str, basis: str, reason: str = "") -> None:
        """The study is done; `reason` tells of images that failed."""
        self._change(
            "state = 'done', done_images = ?, done_basis = ?, reason = ?, attempts = 0, crashes = 0",
            "uid = ?", images, basis, reason, study.uid,
        )  # fmt: skip

    def put_back(self, study: QueuedStudy, due: float = 0.0, reason: str = "") -> None:
        """The study waits again, through no fault of its own."""
        self._change("state = 'waiting', due = ?, reason = ?", "uid = ?", due, reason, study.uid)

    def failed_once(self, study: QueuedStudy, reason: str, due: float) -> None:
        """An attempt failed; the next one is due later."""
        self._change(
            "state = 'waiting', attempts = attempts + 1, reason = ?, due = ?", "uid = ?", reason, due, study.uid
        )

    def failed(self, study: QueuedStudy, basis: str, reason: str) -> None:
        """The study failed for good: until other images arrive or results are made on another basis."""
        change = "state = 'failed', done_images = '', done_basis = ?, reason = ?, attempts = attempts + 1"
        self._change(change, "uid = ?", basis, reason, study.uid)

    def counts(self) -> dict[str, int]:
        """How many studies are in which state."""
        rows = self._base.execute("SELECT state, COUNT(*) FROM study GROUP BY state")
        return dict.fromkeys(STATES, 0) | {row[0]: row[1] for row in rows}

    def all(self) -> Iterator[QueuedStudy]:
        """All studies, in the order they were seen."""
        with closing(self._base.cursor()) as cursor:
            yield from map(_study, cursor.execute("SELECT * FROM study ORDER BY number"))

    def _first(self, where: str, *values: object) -> QueuedStudy | None:
        row = self._base.execute(f"SELECT * FROM study WHERE {where} LIMIT 1", values).fetchone()
        return None if row is None else _study(row)

    def _change(self, change: str, where: str, *values: object) -> int:
        words = f"UPDATE study SET {change}, updated = {time.time():.3f} WHERE {where}"
        return self._base.execute(words, values).rowcount


def _study(row: sqlite3.Row) -> QueuedStudy:
    return QueuedStudy(**{name: row[name] for name in QueuedStudy.__dataclass_fields__})
