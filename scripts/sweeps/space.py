"""What is searched: grids and ranges, and a sampler whose draws depend on the seed and the trial's number only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

Space = Mapping[str, Any]
RANGE_KEYS = {"low", "high", "step", "log"}


def check_space(space: Space) -> None:
    """Check a search space: config key -> list of values, or {"low", "high"} with "step" or "log".

    Raises:
        ValueError: names the key, what was found and what is wanted.
    """
    wanted = "a list of values or {'low': .., 'high': ..} with 'step' or 'log', low < high"
    if not space:
        raise ValueError("space: found nothing to search; wanted config keys with values or ranges")
    for key, values in space.items():
        if isinstance(values, Mapping):
            known = {"low", "high"} <= values.keys() <= RANGE_KEYS and not ("step" in values and values.get("log"))
            good = known and values["low"] < values["high"] and not (values.get("log") and values["low"] <= 0)
        else:
            good = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
            good = good and len({str(value) for value in values}) == len(values)
        if not good:
            raise ValueError(f"space: found {key} = {values!r}; wanted {wanted}")


def grid_cells(space: Space) -> list[dict[str, Any]]:
    """Every combination of the listed values, the last key changing fastest.

    Raises:
        ValueError: a key has a range instead of values.
    """
    ranges = [key for key, values in space.items() if isinstance(values, Mapping)]
    if ranges:
        raise ValueError(f"space: found ranges for {ranges}; wanted lists of values, as a grid needs them")
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Values of a trial for every key of the space."""
    found = {}
    for key, values in space.items():
        if not isinstance(values, Mapping):
            found[key] = trial.suggest_categorical(key, list(values))
        elif all(isinstance(values[end], int) for end in ("low", "high")) and isinstance(values.get("step", 1), int):
            log = bool(values.get("log", False))
            found[key] = trial.suggest_int(key, values["low"], values["high"], step=values.get("step", 1), log=log)
        else:
            step, log = values.get("step"), bool(values.get("log", False))
            found[key] = trial.suggest_float(key, values["low"], values["high"], step=step, log=log)
    return found


def same_values(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two trials have the same parameters (numbers to rounding)."""
    return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)


def values_of(trial: FrozenTrial) -> dict[str, Any]:
    """Parameters of a trial, also of one that waits in the queue or has drawn only some of its own yet."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _same(first: Any, second: Any) -> bool:
    numbers = all(isinstance(value, int | float) for value in (first, second))
    return math.isclose(first, second, rel_tol=1e-12) if numbers else bool(first == second)


class SeededTPESampler(BaseSampler):
    """Optuna's tree-structured Parzen estimator, seeded anew from (seed, number) for every trial.

    So processes that share a study never draw the same numbers, and a study that was interrupted between two trials
    goes on as if it had not been. Constraints that trials set are respected.

    Args:
        seed: of the study.
        startup_trials: first trials that are drawn at random.
    """

    def __init__(self, seed: int = 0, startup_trials: int = 10) -> None:
        self.seed, self.startup_trials = seed, startup_trials
        self._number, self._sampler = -1, self._new(-1)

    def _new(self, number: int) -> TPESampler:
        seed = (self.seed * 1_000_003 + number + 1) % 2**32
        return TPESampler(seed=seed, n_startup_trials=self.startup_trials)

    def _of(self, trial: FrozenTrial) -> TPESampler:
        if trial.number != self._number:
            self._number, self._sampler = trial.number, self._new(trial.number)
        return self._sampler

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As TPE does."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE does."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As TPE does."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As TPE does."""
        self._of(trial).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As TPE does."""
        self._of(trial).after_trial(study, trial, state, values)
