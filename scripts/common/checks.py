"""The words of every error about an argument."""

import functools
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

NOT_NEGATIVE = "[0, inf)"


def check(name: str, value: Any, is_valid: Any, want: str) -> None:
    """ValueError "<name>: got <value>; want <want>" unless `is_valid`."""
    if not is_valid:
        raise ValueError(f"{name}: got {value!r}; want {want}")


def check_number(name: str, value: Any, interval: str = NOT_NEGATIVE, whole: bool = False) -> None:
    """Check that a value is a finite number (no bool, no text), a whole one if asked for, within an interval.

    The interval is written as in mathematics, "[0, 1)": a square bracket includes its end, a round one does not.

    Example:
        >>> check_number("share", 30, "(0, 1]")
        Traceback (most recent call last):
        ValueError: share: got 30; want a value in (0, 1]
    """
    low, high, low_in, high_in, words = _interval(interval)
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    is_valid = is_number and math.isfinite(value) and low <= value <= high
    is_end = (value == low and not low_in) or (value == high and not high_in)
    check(name, value, is_valid and not is_end, f"a whole number, {words}" if whole else words)


def check_fields(thing: Any, **intervals: str) -> None:
    """Check every field of a dataclass against its annotation, and its numbers against intervals (`check_number`).

    Numbers of fields without an interval must be 0 or more, also those in tuples, sequences and mappings. What the
    annotation does not settle (a protocol, Any) is left to the class.
    """
    for name, kind in _kinds(type(thing)).items():  # type: ignore[arg-type]
        _check_kind(name, getattr(thing, name), kind, intervals.get(name, NOT_NEGATIVE))


def _check_kind(name: str, value: Any, kind: Any, interval: str) -> None:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in parts:
            return
        rest = [part for part in parts if part is not type(None)]
        if len(rest) == 1:
            _check_kind(name, value, rest[0], interval)
        elif all(isinstance(part, type) for part in rest):
            check(name, value, isinstance(value, tuple(rest)), f"a {' or '.join(part.__name__ for part in rest)}")
    elif kind in (int, float):
        check_number(name, value, interval, whole=kind is int)
    elif kind is bool:
        check(name, value, isinstance(value, bool), "true or false")
    elif kind is str:
        check(name, value, isinstance(value, str), "a text")
    elif origin is tuple or origin is Sequence:
        kinds = [part for part in parts if part is not Ellipsis]
        is_list = isinstance(value, list | tuple)
        fixed = origin is tuple and Ellipsis not in parts
        check(name, value, is_list and (not fixed or len(value) == len(kinds)), _words_of(kinds, fixed))
        for place, part in enumerate(value):
            _check_kind(name, part, kinds[place] if fixed else kinds[0], interval)
    elif origin is Mapping:
        check(name, value, isinstance(value, Mapping), "a table of names and values")
        for part in value.values():
            _check_kind(name, part, parts[1], interval)
    elif isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
        check(name, value, isinstance(value, kind), f"an object of {kind.__name__}")


def _words_of(kinds: Sequence[Any], fixed: bool) -> str:
    things = "numbers" if kinds[0] in (int, float) else "values"
    return f"a list of {len(kinds)} {things}" if fixed else f"a list of {things}"


@functools.lru_cache
def _interval(text: str) -> tuple[float, float, bool, bool, str]:
    low, high = (float(end) for end in text[1:-1].split(","))
    low_in, high_in = text[0] == "[", text[-1] == "]"
    if math.isinf(high):
        words = "a finite number" if math.isinf(low) else f"{low:g} or more" if low_in else f"a value above {low:g}"
    else:
        words = f"a value in {text}"
    return low, high, low_in, high_in, words


@functools.lru_cache
def _kinds(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}
