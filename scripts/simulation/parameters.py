"""Base of the simulation's parameter objects: lists of a config become tuples, names say what a value must be."""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, ClassVar

import numpy as np

from scripts.common.checks import check, check_fields

Range = tuple[float, float]
Rng = np.random.Generator


class Parameters:
    """Base of frozen dataclasses, checked by the endings of the fields' names (ValueError).

    `..._range` (with or without a unit behind it) is (low, high) with low <= high; `..._share` a number in [0, 1];
    `..._shares` have the sum 1. No number is negative, but where `intervals` says so.
    """

    intervals: ClassVar[Mapping[str, str]] = {}  # field -> interval of its numbers, see `check_fields`

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value = frozen(getattr(self, item.name))
            if (kind := item.metadata.get("kind")) and isinstance(value, Mapping):
                value = {key: _made(item.name, kind, part) for key, part in value.items()}
            object.__setattr__(self, item.name, value)
        check_fields(self, **self.intervals)
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            wanted = _wanted(item.name, value)
            check(item.name, value, not wanted, wanted)


def frozen(value: Any) -> Any:
    """The value with its lists as tuples."""
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    return {key: frozen(part) for key, part in value.items()} if isinstance(value, Mapping) else value


def named(kind: type, default: Mapping[str, Any]) -> Any:
    """A field of `Parameters`: {name: object of `kind`, or a dictionary of its values as a config gives it}."""
    return field(default_factory=lambda: dict(default), metadata={"kind": kind})


def uniform(rng: Rng, limits: Range) -> float:
    """A number evenly from a range."""
    return float(rng.uniform(*limits))


def between(rng: Rng, limits: Range) -> float:
    """A number evenly from a range; a range of one value draws nothing."""
    return float(limits[0]) if limits[0] == limits[1] else uniform(rng, limits)


def log_between(rng: Rng, limits: Range) -> float:
    """A number whose logarithm is evenly from a range's."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def whole(rng: Rng, limits: tuple[int, int]) -> int:
    """A whole number from a range, its ends too."""
    return int(rng.integers(*limits, endpoint=True))


def _wanted(name: str, value: Any) -> str:
    """What a field should be, where it is not."""
    words = name.split("_")
    if "range" in words and not (len(value) == 2 and value[0] <= value[1]):
        return "two numbers, the smaller one first"
    if words[-1] == "share" and not 0 <= value <= 1:
        return "a share in [0, 1]"
    if words[-1] == "shares" and abs(sum(value) - 1) > 1e-6:
        return "shares of 0 or more with the sum 1"
    return ""


def _made(name: str, kind: type, part: Any) -> Any:
    check(name, part, isinstance(part, kind | Mapping), f"objects of {kind.__name__}")
    return part if isinstance(part, kind) else kind(**part)
