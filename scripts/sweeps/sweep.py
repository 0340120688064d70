"""A sweep: trials of an objective on a shared study, as many processes as one likes, at any time interrupted."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from scripts.common.files import json_values
from scripts.sweeps.report import Row, SweepReport, row_of, write_rows
from scripts.sweeps.space import (
    SeededTPESampler,
    Space,
    check_space,
    grid_cells,
    same_values,
    suggest,
    values_of,
)
from scripts.sweeps.storage import WORKER, Direction, open_storage, open_study, requeue_dead_trials, worker_name

logger = logging.getLogger(__name__)

GRID, TPE = "grid", "tpe"
Note = Callable[[str], None]


class SkipTrial(Exception):
    """These parameters make no sense together; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What a trial found.

    Attributes:
        value: what is maximised or minimised.
        values: further figures for the tables, plain numbers or None.
        constraints: name -> violation; all <= 0 is feasible.
        overlay: config keys besides the parameters that belong to this result (a chosen threshold, say).
    """

    value: float
    values: Mapping[str, float | int | None] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    overlay: Mapping[str, Any] = field(default_factory=dict)


class Objective(Protocol):
    """What is tried.

    Attributes:
        direction: "maximize" or "minimize".
        settings: plain values that results depend on.
    """

    direction: Direction
    settings: Mapping[str, Any]

    def prepare(self) -> None:
        """Do what all trials need, once per process."""

    def __call__(self, parameters: Mapping[str, Any], note: Note) -> Outcome:
        """One trial; `note` shows a word of progress. Raises `SkipTrial` for parameters that make no sense."""


class Sweep:
    """Run trials until the study is complete, then write the report.

    Every process that is started with the same storage and study name takes part. A trial whose process died is put
    into the queue again; a process that finds nothing more to do waits for the others, so that whoever ends last, or
    alone, has the whole table.

    Args:
        objective: what is tried.
        space: config key -> list of values, or {"low", "high", "step" or "log"}.
        output_dir: folder of the report.
        report: writes the tables and the plot.
        storage: Optuna storage URL; "" is an SQLite file in `output_dir`.
        study_name: of the study in the storage.
        method: "grid" tries every combination, "tpe" searches.
        trials: number of trials of a search; not used by a grid.
        startup_trials: random trials at the start of a search.
        first: parameters that are tried first (the published values, say).
        seed: of the search.
        heartbeat_s, grace_s, max_retries: see `open_storage`.
        max_failures: so many failed trials of this process, one after the other, end it.
        poll_s: seconds between two looks at the other processes' trials.
        progress: show a progress bar.
    """

    def __init__(
        self,
        objective: Objective,
        space: Space,
        output_dir: str | Path,
        report: SweepReport,
        storage: str = "",
        study_name: str = "sweep",
        method: str = GRID,
        trials: int = 0,
        startup_trials: int = 10,
        first: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
        heartbeat_s: int = 30,
        grace_s: int = 120,
        max_retries: int = 3,
        max_failures: int = 3,
        poll_s: float = 2.0,
        progress: bool = True,
    ) -> None:
        check_space(space)
        if method not in (GRID, TPE):
            raise ValueError(f"method: got {method!r}, want {GRID!r} or {TPE!r}")
        if method == TPE and trials < 1:
            raise ValueError(f"trials: got {trials}, want 1 or more for a search")
        self.objective, self.space, self.report = objective, dict(space), report
        self.output_dir = Path(output_dir).expanduser()
        self.url = storage or f"sqlite:///{self.output_dir / 'study.db'}"
        self.study_name, self.method, self.seed, self.startup_trials = study_name, method, seed, startup_trials
        self.queue = grid_cells(space) if method == GRID else [dict(parameters) for parameters in first]
        self.total = len(self.queue) if method == GRID else trials
        self.heartbeat_s, self.grace_s, self.max_retries = heartbeat_s, grace_s, max_retries
        self.max_failures, self.poll_s, self.progress = max_failures, poll_s, progress
        self.study: Study | None = None
        self._bar: tqdm | None = None
        self._noted = ""

    def run(self) -> list[Row]:
        """Take part until every trial is done, and write the report.

        Returns:
            One row per trial.

        Raises:
            RuntimeError: too many trials failed one after the other.
            SystemExit: with status 1, when cells of a grid are left without a result.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = self._open()
        self.objective.prepare()
        failures = 0
        with tqdm(total=self.total, unit="trial", desc=self.study_name, disable=not self.progress) as self._bar:
            while (work := self._work(study)) != "done":
                self._show(study)
                if work == "wait":
                    self._bar.set_postfix_str("waiting for other processes")
                    time.sleep(self.poll_s)
                    continue
                state = self._one(study)
                failures = failures + 1 if state == TrialState.FAIL else 0
                write_rows(self.output_dir / "results.csv", self._rows(study))
                if failures >= self.max_failures:
                    raise RuntimeError(f"{failures} trials failed one after the other; see {self.output_dir}")
            self._show(study)
        rows = self._rows(study)
        self.report.write(self.output_dir, rows, self.objective.direction)
        missing = self._missing(study)
        logger.info("%d of %d trials done; results: %s", self.total - len(missing), self.total, self.output_dir)
        for parameters in missing:
            logger.error("no result: %s; the same command tries again", parameters)
        if missing:
            sys.exit(1)
        return rows

    def _open(self) -> Study:
        storage = open_storage(self.url, self.heartbeat_s, self.grace_s, self.max_retries)
        settings = {"space": self.space, "method": self.method, "seed": self.seed, **self.objective.settings}
        study = open_study(storage, self.study_name, self.objective.direction, json_values(settings))
        study.sampler = SeededTPESampler(self.seed, self.startup_trials)
        requeue_dead_trials(study, self.max_retries, own=True)
        taken = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        known = [values_of(trial) for trial in study.get_trials(deepcopy=False, states=taken)]
        for parameters in self.queue:
            if not any(same_values(parameters, other) for other in known):
                study.enqueue_trial(parameters)  # should two processes do so at once, `_check_new` settles it
        self.study = study
        return study

    def _work(self, study: Study) -> str:
        """What is to be done now: "trial", "wait" (for other processes) or "done"."""
        requeue_dead_trials(study, self.max_retries)
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        running, waiting = states.count(TrialState.RUNNING), states.count(TrialState.WAITING)
        over = states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED)
        if waiting or (self.method == TPE and over + running < self.total):
            return "trial"
        return "wait" if running else "done"

    def _one(self, study: Study) -> TrialState:
        done: list[FrozenTrial] = []
        try:
            study.optimize(self._try, n_trials=1, catch=(Exception,), callbacks=[lambda _, trial: done.append(trial)])
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError) as error:
            # this process was taken for dead (asleep for longer than grace_s): its trial is in the queue again
            logger.warning("a trial's result was not taken: %s", error)
        return done[0].state if done else TrialState.FAIL

    def _try(self, trial: Trial) -> float:
        trial.set_user_attr(WORKER, worker_name())
        started = time.perf_counter()
        parameters = suggest(trial, self.space)
        self._check_new(trial, parameters)
        try:
            outcome = self.objective(parameters, self._note)
        except SkipTrial as error:
            trial.set_user_attr("reason", str(error))
            raise optuna.TrialPruned(str(error)) from error
        except Exception as error:
            trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
            logger.error("trial %d %s failed: %s", trial.number, parameters, error)
            raise
        for name, violation in outcome.constraints.items():
            trial.set_constraint(name, float(violation))
        trial.set_user_attr("values", json_values(outcome.values))
        trial.set_user_attr("overlay", json_values(outcome.overlay))
        trial.set_user_attr("seconds", round(time.perf_counter() - started, 3))
        return outcome.value

    def _check_new(self, trial: Trial, parameters: Mapping[str, Any]) -> None:
        """Of equal trials the one with the lowest number counts; others are pruned."""
        states = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        for other in trial.study.get_trials(deepcopy=False, states=states):
            if other.number < trial.number and same_values(values_of(other), parameters):
                trial.set_user_attr("reason", f"same as trial {other.number}")
                raise optuna.TrialPruned(f"same as trial {other.number}")

    def _missing(self, study: Study) -> list[dict[str, Any]]:
        if self.method == TPE:
            return []
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        found = [values_of(trial) for trial in complete]
        return [cell for cell in self.queue if not any(same_values(cell, other) for other in found)]

    def _rows(self, study: Study) -> list[Row]:
        return [row_of(trial, list(self.space)) for trial in study.get_trials(deepcopy=False)]

    def _note(self, text: str) -> None:
        if self._bar is not None and text != self._noted:
            self._noted = text
            self._bar.set_postfix_str(text)

    def _show(self, study: Study) -> None:
        """Bring the bar to the whole study's number of finished trials."""
        if self._bar is not None:
            over = self.total - len(self._missing(study)) if self.method == GRID else 0
            if self.method == TPE:
                states = (TrialState.COMPLETE, TrialState.PRUNED)
                over = min(len(study.get_trials(deepcopy=False, states=states)), self.total)
            self._bar.n = over
            self._bar.refresh()
