"""Where a sweep keeps its trials: an Optuna study that several processes share.

Optuna claims trials for processes, tells by heartbeats whose process died, and puts these into the queue again.
"""

import sqlite3
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from sqlalchemy import Connection, event

from scripts.common.stage import differences_text, locked

Direction = Literal["maximize", "minimize"]
SETTINGS = "settings"
SQLITE = "sqlite:///"

warnings.filterwarnings("ignore", category=ExperimentalWarning)  # of the heartbeat


class _Connection(sqlite3.Connection):
    """Waits for the disk at checkpoints only: safe with write-ahead logging; a power cut may cost the last trials."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.isolation_level = None  # `_begin` opens the transactions
        self.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: Connection) -> None:
    """Reserve the file before the first look at it: else two processes see a trial waiting, and both take it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def open_storage(url: str, heartbeat_s: int = 10, grace_s: int = 60, max_retries: int = 3) -> BaseStorage:
    """Open, or make, a storage that several processes can use at once.

    An SQLite file is set to write-ahead logging, which lets processes read while one writes; it must lie on a local
    disk. For processes on several machines give the URL of a database server.

    Args:
        url: Optuna storage URL: sqlite:///file.db, postgresql://..., mysql://....
        heartbeat_s: seconds between two signs of life of a running trial.
        grace_s: a trial without a sign of life for this long is failed and put into the queue again.
        max_retries: how often the same trial is put into the queue again.

    Raises:
        ValueError: `grace_s` is not longer than `heartbeat_s`.
    """
    if not 0 < heartbeat_s < grace_s:
        raise ValueError(f"heartbeat_s, grace_s: got {heartbeat_s}, {grace_s}; want 0 < heartbeat_s < grace_s")
    path = Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext() if path is None else locked(path.with_name(f"{path.name}.lock")):  # one process makes the tables
        if path is not None:
            connection = sqlite3.connect(path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
        storage = RDBStorage(
            url,
            engine_kwargs={} if path is None else {"connect_args": {"timeout": 120, "factory": _Connection}},
            heartbeat_interval=heartbeat_s,
            grace_period=grace_s,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=max_retries),
        )
    if path is not None:
        event.listen(storage.engine, "begin", _begin)
    return storage


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
    elif kept != settings:
        told = differences_text(kept, settings)
        raise ValueError(f"study {name!r}: is of another sweep: {told}; give another study_name or output_dir")
    return study
