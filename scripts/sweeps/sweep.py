"""A sweep: trials of an objective on a shared study, as many processes as one likes, at any time interrupted."""

import logging
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from scripts.common.files import json_values
from scripts.common.settings import describe
from scripts.sweeps.report import Row, SweepReport, row_of, write_rows
from scripts.sweeps.space import Space, check_space, grid_cells, same_values, sampler_of, suggest, values_of
from scripts.sweeps.storage import Direction, open_storage, open_study

logger = logging.getLogger(__name__)

LIVE = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
Note = Callable[[str], None]


class SkipTrialError(Exception):
    """These parameters make no sense together; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """Result of a trial.

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
    """What is tried. `describe` of it is kept with the study.

    Attributes:
        direction: "maximize" or "minimize".
    """

    direction: Direction

    def prepare(self) -> None:
        """Do what all trials need, once per process."""

    def first(self, keys: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """What a search tries before it draws (the published values, say)."""

    def __call__(self, parameters: Mapping[str, Any], note: Note) -> Outcome:
        """One trial; `note` shows a word of progress. Raises `SkipTrialError` for parameters that make no sense."""


class Sweep:
    """Run trials until the study is complete, then write the report.

    Every process that is started with the same storage and study name takes part. A trial whose process died is put
    into the queue again; a process that finds nothing more to do waits for the others, so that whoever ends last, or
    alone, has the whole table.

    A grid's cells are Optuna's queue: Optuna's own GridSampler hands a cell that is still running to a second process
    once no other is left, and counts a failed cell as done (docs/sweeps.md).

    Args:
        objective: what is tried.
        space: config key -> list of values, or {"low", "high", "step" or "log"}.
        output_dir: folder of the report.
        report: writes the tables and the plot.
        storage: Optuna storage URL; "" is an SQLite file in `output_dir`.
        study_name: of the study in the storage.
        trials: number of trials of a search (tree-structured Parzen estimator); 0 tries every combination.
        startup_trials: random trials at the start of a search.
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
        trials: int = 0,
        startup_trials: int = 10,
        seed: int = 0,
        heartbeat_s: int = 10,
        grace_s: int = 60,
        max_retries: int = 3,
        max_failures: int = 3,
        poll_s: float = 2.0,
        progress: bool = True,
    ) -> None:
        check_space(space)
        if trials < 0:
            raise ValueError(f"trials: got {trials}; want 1 or more for a search, 0 for a grid")
        self.objective, self.space, self.report = objective, dict(space), report
        self.output_dir = Path(output_dir).expanduser()
        self.url = storage or f"sqlite:///{self.output_dir / 'study.db'}"
        self.study_name, self.grid, self.seed, self.startup_trials = study_name, not trials, seed, startup_trials
        self.queue = grid_cells(space) if self.grid else [dict(parameters) for parameters in objective.first(space)]
        self.total = trials or len(self.queue)
        self.storage_options = (heartbeat_s, grace_s, max_retries)
        self.max_failures, self.poll_s, self.progress = max_failures, poll_s, progress
        self._bar: tqdm | None = None

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
                self._bar.n = self._number_over(study)
                self._bar.refresh()
                if work == "wait":
                    self._note("waiting for other processes")
                    time.sleep(self.poll_s)
                    continue
                failures = failures + 1 if self._one(study) == TrialState.FAIL else 0
                write_rows(self.output_dir / "results.csv", self._rows(study))
                if failures >= self.max_failures:
                    raise RuntimeError(f"{failures} trials failed one after the other; see {self.output_dir}")
            self._bar.n = self._number_over(study)
        rows = self._rows(study)
        self.report.write(self.output_dir, rows, self.objective.direction)
        missing = self._missing(study, (TrialState.COMPLETE,)) if self.grid else []
        logger.info("%d of %d trials done; results: %s", self.total - len(missing), self.total, self.output_dir)
        for parameters in missing:
            logger.error("no result: %s; the same command tries again", parameters)
        if missing:
            sys.exit(1)
        return rows

    def _open(self) -> Study:
        settings = {"space": self.space, "grid": self.grid, "seed": self.seed, "objective": describe(self.objective)}
        storage = open_storage(self.url, *self.storage_options)
        study = open_study(storage, self.study_name, self.objective.direction, describe(settings))
        for parameters in self._missing(study, LIVE):
            study.enqueue_trial(parameters)  # should two processes do so at once, `_check_new` settles it
        return study

    def _missing(self, study: Study, states: tuple[TrialState, ...]) -> list[dict[str, Any]]:
        """What is to be queued and has no trial of one of these states."""
        known = [values_of(trial) for trial in study.get_trials(deepcopy=False, states=states)]
        return [cell for cell in self.queue if not any(same_values(cell, other) for other in known)]

    def _work(self, study: Study) -> str:
        """What is to be done now: "trial", "wait" (for other processes) or "done"."""
        optuna.storages.fail_stale_trials(study)
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        running, waiting = states.count(TrialState.RUNNING), states.count(TrialState.WAITING)
        over = states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED)
        if waiting or (not self.grid and over + running < self.total):
            return "trial"
        return "wait" if running else "trial" if self._queue_lost(study) else "done"

    def _queue_lost(self, study: Study) -> bool:
        """Queue cells whose trial ended with its process, and was not put back yet: another process is about to."""
        ended = [values_of(t) for t in study.get_trials(deepcopy=False) if "reason" in t.user_attrs]
        cells = self._missing(study, LIVE) if self.grid else []
        lost = [cell for cell in cells if not any(same_values(cell, other) for other in ended)]
        for cell in lost:
            study.enqueue_trial(cell)  # of equal trials the first one counts
        return bool(lost)

    def _one(self, study: Study) -> TrialState:
        done: list[FrozenTrial] = []
        try:
            study.optimize(self._try, n_trials=1, catch=(Exception,), callbacks=[lambda _, trial: done.append(trial)])
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError) as error:
            # this process was taken for dead (asleep for longer than grace_s): its trial is in the queue again
            logger.warning("a trial's result was not taken: %s", error)
        return done[0].state if done else TrialState.FAIL

    def _try(self, trial: Trial) -> float:
        started = time.perf_counter()
        trial.study.sampler = sampler_of(self.seed, trial.number, self.startup_trials)
        parameters = suggest(trial, self.space)  # drawn where another process took the last cell of the queue
        self._check_new(trial, parameters)
        try:
            outcome = self.objective(parameters, self._note)
        except SkipTrialError as error:
            self._skip(trial, str(error))
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
        for other in trial.study.get_trials(deepcopy=False, states=LIVE):
            if other.number < trial.number and same_values(values_of(other), parameters):
                self._skip(trial, f"same as trial {other.number}")

    def _skip(self, trial: Trial, reason: str) -> NoReturn:
        trial.set_user_attr("reason", reason)
        raise optuna.TrialPruned(reason)

    def _rows(self, study: Study) -> list[Row]:
        return [row_of(trial, list(self.space)) for trial in study.get_trials(deepcopy=False)]

    def _note(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def _number_over(self, study: Study) -> int:
        """Finished trials of the whole study."""
        if self.grid:
            return self.total - len(self._missing(study, (TrialState.COMPLETE,)))
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        return min(len(study.get_trials(deepcopy=False, states=states)), self.total)
