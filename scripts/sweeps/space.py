"""What is searched: grids and ranges, and a sampler whose draws depend on the seed and the trial's number only.

A key of a space is a config key, e.g. "target::radius_px".
"""

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial

Space = Mapping[str, Any]
RANGE_KEYS = {"low", "high", "step", "log"}


def check_space(space: Space) -> None:
    """Check a search space: config key -> list of values, or {"low", "high"} with "step" or "log".

    Raises:
        ValueError: names the key, what it is and what is wanted.
    """
    wanted = "a list of values or {'low': .., 'high': ..} with 'step' or 'log', low < high"
    if not space:
        raise ValueError("space: got nothing to search; want config keys with values or ranges")
    for key, values in space.items():
        if isinstance(values, Mapping):
            known = {"low", "high"} <= values.keys() <= RANGE_KEYS and not ("step" in values and values.get("log"))
            good = known and values["low"] < values["high"] and not (values.get("log") and values["low"] <= 0)
        else:
            good = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
            good = good and len({str(value) for value in values}) == len(values)
        if not good:
            raise ValueError(f"space: got {key} = {values!r}; want {wanted}")


def grid_cells(space: Space) -> list[dict[str, Any]]:
    """Every combination of the listed values, the last key changing fastest.

    Raises:
        ValueError: a key has a range instead of values.
    """
    ranges = [key for key, values in space.items() if isinstance(values, Mapping)]
    if ranges:
        raise ValueError(f"space: got ranges for {ranges}; want lists of values in a grid (a search needs trials > 0)")
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Values of a trial for every key of the space."""
    drawn = {}
    for key, values in space.items():
        if not isinstance(values, Mapping):
            drawn[key] = trial.suggest_categorical(key, list(values))
        elif all(isinstance(values[end], int) for end in ("low", "high")) and isinstance(values.get("step", 1), int):
            log = bool(values.get("log", False))
            drawn[key] = trial.suggest_int(key, values["low"], values["high"], step=values.get("step", 1), log=log)
        else:
            step, log = values.get("step"), bool(values.get("log", False))
            drawn[key] = trial.suggest_float(key, values["low"], values["high"], step=step, log=log)
    return drawn


def same_values(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two trials have the same parameters (numbers to rounding)."""
    return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)


def values_of(trial: FrozenTrial) -> dict[str, Any]:
    """Parameters of a trial, also of one that waits in the queue or has drawn only some of its own yet."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def labels_of(keys: Collection[str]) -> dict[str, str]:
    """Config key -> what people read: its last part ("radius_px"), or all of it where two keys end alike."""
    ends = Counter(key.rpartition("::")[2] for key in keys)
    return {key: end if ends[end := key.rpartition("::")[2]] == 1 else key.replace("::", ".") for key in keys}


def sampler_of(seed: int, number: int, startup_trials: int) -> TPESampler:
    """Optuna's tree-structured Parzen estimator for one trial, seeded from the study's seed and the trial's number.

    So processes that share a study never draw the same numbers, and a study that was interrupted between two trials
    goes on as if it had not been; one TPESampler per process begins its draws anew in each.
    """
    return TPESampler(seed=(seed * 1_000_003 + number + 1) % 2**32, n_startup_trials=startup_trials)


def _same(first: Any, second: Any) -> bool:
    numbers = all(isinstance(value, int | float) for value in (first, second))
    return math.isclose(first, second, rel_tol=1e-12) if numbers else bool(first == second)
