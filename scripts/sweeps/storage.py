"""Where a sweep keeps its trials: a shared Optuna storage, and what happens to trials whose process died."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

logger = logging.getLogger(__name__)

Direction = Literal["maximize", "minimize"]
SETTINGS, WORKER = "settings", "worker"
SQLITE = "sqlite:///"


class _Connection(sqlite3.Connection):
    """Waits for the disk at checkpoints only: safe with write-ahead logging; a power cut may cost the last trials."""

    synchronous = "NORMAL"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute(f"PRAGMA synchronous={self.synchronous}")


class _CarelessConnection(_Connection):
    synchronous = "OFF"


def open_storage(url: str, heartbeat_s: int = 30, grace_s: int = 120, max_retries: int = 3) -> BaseStorage:
    """Open, or make, a storage that several processes can use at once.

    An SQLite file is set to write-ahead logging, which lets processes read while one writes; it must lie on a local
    disk. For processes on several machines give the URL of a database server.

    Args:
        url: Optuna storage URL: sqlite:///file.db, postgresql://..., mysql://..., redis://....
        heartbeat_s: seconds between two signs of life of a running trial (not with redis).
        grace_s: a trial without a sign of life for this long is failed and put into the queue again.
        max_retries: how often the same trial is put into the queue again.

    Raises:
        ValueError: `grace_s` is not longer than `heartbeat_s`.
    """
    if not 0 < heartbeat_s < grace_s:
        raise ValueError(f"heartbeat_s, grace_s: got {heartbeat_s}, {grace_s}; want 0 < heartbeat_s < grace_s")
    if url.startswith("redis"):
        return optuna.storages.get_storage(url)
    options: dict[str, Any] = {}
    if url.startswith(SQLITE):
        _make_sqlite(Path(url.removeprefix(SQLITE)))
        options = {"connect_args": {"timeout": 120, "factory": _Connection}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(
            url,
            engine_kwargs=options,
            heartbeat_interval=heartbeat_s,
            grace_period=grace_s,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=max_retries),
        )


def open_study(storage: BaseStorage, name: str, direction: Direction, settings: Mapping[str, Any]) -> Study:
    """Load a study, or create it.

    Args:
        storage: from `open_storage`.
        name: of the study.
        direction: "maximize" or "minimize".
        settings: plain values that make the study what it is; kept with it.

    Raises:
        ValueError: the study that is there was made with other settings.
    """
    study = optuna.create_study(study_name=name, storage=storage, direction=direction, load_if_exists=True)
    kept = study.user_attrs.get(SETTINGS)
    if kept is None:
        study.set_user_attr(SETTINGS, dict(settings))
        return study
    differing = sorted(key for key in kept.keys() | settings.keys() if kept.get(key) != settings.get(key))
    if differing:
        named = "; ".join(f"{key} {kept.get(key)!r} there, {settings.get(key)!r} here" for key in differing[:5])
        raise ValueError(f"study {name!r}: is of another sweep: {named}; give another study_name or output_dir")
    return study


def worker_name() -> str:
    """This process, by a name that tells other processes of the same machine whether it is still alive."""
    return f"{_machine()}|{os.getpid()}"


def requeue_dead_trials(study: Study, max_retries: int = 3, own: bool = False) -> int:
    """Fail the running trials whose process is dead, and put them into the queue again.

    A process of this machine is looked up at once; for all others the heartbeat decides.

    Args:
        study: the study.
        max_retries: how often the same trial is put into the queue again.
        own: count this very process's trials as dead, too (before it has begun one).

    Returns:
        Number of trials failed.
    """
    dead = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        retry = RetryHeartbeatStaleTrialCallback(max_retry=max_retries)
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            if not _is_dead(trial, own):
                continue
            try:
                study.tell(trial.number, state=TrialState.FAIL)
            except (UpdateFinishedTrialError, ValueError):  # another process was quicker
                continue
            retry(study, trial)
            dead += 1
            logger.warning("trial %d died with its process; it is in the queue again", trial.number)
        optuna.storages.fail_stale_trials(study)
    return dead


def _is_dead(trial: FrozenTrial, own: bool) -> bool:
    machine, _, process = str(trial.user_attrs.get(WORKER, "")).rpartition("|")
    if machine != _machine():
        return False
    if int(process) == os.getpid():
        return own
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """Host, boot and, in containers, process namespace: equal names mean comparable process ids."""
    parts = [socket.gethostname()]
    try:
        parts += [
            Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            str(Path("/proc/self/ns/pid").readlink()),
        ]
    except OSError:  # not Linux
        parts.append(os.name)
    return " ".join(parts)


def _make_sqlite(path: Path) -> None:
    """Make the file complete, tables and all, before anyone sees it: two processes may come at once."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
        made = Path(folder) / path.name
        storage = RDBStorage(f"{SQLITE}{made}", engine_kwargs={"connect_args": {"factory": _CarelessConnection}})
        storage.remove_session()
        storage.engine.dispose()
        connection = sqlite3.connect(made)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        with made.open("rb+") as file:
            os.fsync(file.fileno())
        try:
            os.link(made, path)
        except FileExistsError:
            logger.debug("%s was made by another process", path)
