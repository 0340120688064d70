"""Every field of every parameter object that a config names is checked when the object is made."""

import dataclasses
import importlib
import json
import typing
from collections.abc import Mapping

import numpy as np
import pytest

from scripts.common.checks import check_fields, check_number

ROOTLESS = ("scripts.data.reader.",)  # checked by tests of the reader
#: Fields that may be negative: a log of a contrast, and places beside the breast's own axes.
MAY_BE_NEGATIVE = {"strength", "gain_mean", "centre_row_range", "centre_col_range"}
MAY_BE_NEGATIVE |= {"log_odds", "course_log_odds", "around_log_odds", "joining_log_odds"}
MAY_BE_NEGATIVE |= {"linear_bend_range", "turn_range_deg", "shift_range_mm"}  # to either side


@pytest.mark.parametrize(
    ("value", "interval", "whole"),
    [(0, "[0, inf)", True), (0.5, "(0, 1]", False), (1, "(0, 1]", False), (-3, "(-inf, inf)", True)]
    + [(np.int64(2), "[1, 2]", True), (np.float32(0.25), "[0, 1)", False)],
)
def test_numbers_inside_pass(value, interval, whole):
    check_number("a", value, interval, whole)


@pytest.mark.parametrize(
    ("value", "interval", "whole", "words"),
    [
        (-1, "[0, inf)", False, "a: got -1; want 0 or more"),
        (0, "(0, 1]", False, r"a: got 0; want a value in \(0, 1\]"),
        (1, "[0, 1)", False, r"a: got 1; want a value in \[0, 1\)"),
        (0, "(0, inf)", False, "want a value above 0"),
        (float("nan"), "(-inf, inf)", False, "a: got nan; want a finite number"),
        (float("inf"), "[0, inf)", False, "a: got inf"),
        ("0.5", "[0, 1]", False, "a: got '0.5'"),
        (None, "[0, 1]", False, "a: got None"),
        (True, "[0, 1]", False, "a: got True"),
        (1.5, "[1, inf)", True, "a: got 1.5; want a whole number, 1 or more"),
        ([1], "[0, 1]", False, r"a: got \[1\]"),
    ],
)
def test_others_are_named(value, interval, whole, words):
    with pytest.raises(ValueError, match=words):
        check_number("a", value, interval, whole)


def test_fields_are_checked_by_their_annotations():
    @dataclasses.dataclass(frozen=True)
    class Thing:
        number: float = 1.0
        pair: tuple[int, int] = (1, 2)
        many: tuple[float, ...] = (0.1,)
        table: Mapping[str, float] = dataclasses.field(default_factory=dict)
        name: str = "a"
        on: bool = True
        perhaps: float | None = None
        anything: typing.Any = None

        def __post_init__(self):
            check_fields(self, number="[0, 2]")

    Thing(2, [3, 4], (), {"a": 1}, "", False, 2.0, object())
    for name, wrong in {"number": 3, "pair": (1,), "many": (0.1, "b"), "table": {"a": -1}, "name": 3, "on": 2}.items():
        with pytest.raises(ValueError, match=rf"^{name}: got "):
            Thing(**{name: wrong})
    with pytest.raises(ValueError, match=r"^perhaps: got 'x'"):
        Thing(perhaps="x")
    with pytest.raises(ValueError, match=r"^pair: got \(1,\); want a list of 2 numbers"):
        Thing(pair=(1,))


def targets(node):
    if isinstance(node, dict):
        yield from [node["_target_"]] if isinstance(node.get("_target_"), str) else []
        node = list(node.values())
    for part in node if isinstance(node, list) else ():
        yield from targets(part)


def instances(thing):
    """A parameter object and those that it holds."""
    yield thing
    for value in vars(thing).values():
        for part in value.values() if isinstance(value, Mapping) else [value]:
            if dataclasses.is_dataclass(part):
                yield from instances(part)


def parameter_objects(root):
    """One object of every frozen dataclass that a config names or that such a one holds, by its class."""
    found = {}
    for file in (root / "configs").glob("*.json"):
        for target in targets(json.loads(file.read_text())):
            module, _, name = target.rpartition(".")
            if not module.startswith("scripts.") or target.startswith(ROOTLESS):
                continue
            cls = getattr(importlib.import_module(module), name)
            if dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen:
                missing = [
                    field.name
                    for field in dataclasses.fields(cls)
                    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
                ]
                for thing in instances(cls(**dict.fromkeys(missing, "a"))):
                    found[type(thing)] = thing
    return found


def wrong_values(kind, value):
    """Values of the wrong type, NaN, and negative ones, in the shape of a numeric field; none for other fields."""
    if kind in (int, float):
        return ["abc", float("nan"), -1 if kind is int else -1.0, None, True] + ([1.5] if kind is int else [])
    if typing.get_origin(kind) is tuple and value and set(typing.get_args(kind)) <= {int, float, Ellipsis}:
        return ["abc", *((wrong, *value[1:]) for wrong in ("abc", float("nan"), -1))]
    if typing.get_origin(kind) is Mapping and typing.get_args(kind)[1] is float:
        return ["abc", *({"a": wrong} for wrong in ("abc", float("nan"), -1))]
    return []


def test_every_numeric_field_of_every_parameter_object_is_checked(root):
    accepted, fields = [], 0
    for cls, thing in parameter_objects(root).items():
        for name, kind in typing.get_type_hints(cls).items():
            if name not in vars(thing):
                continue
            wrong = wrong_values(kind, getattr(thing, name))
            fields += bool(wrong)
            for value in wrong:
                if name in MAY_BE_NEGATIVE and "-1" in str(value):
                    continue
                try:
                    dataclasses.replace(thing, **{name: value})
                except ValueError as error:
                    assert name in str(error).split(":")[0], (cls, name, value, error)
                else:
                    accepted.append(f"{cls.__name__}.{name} = {value!r}")
    assert not accepted
    assert fields > 150
