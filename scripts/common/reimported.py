"""Objects of a class that was imported twice: MONAI Label drops the bundle's modules between the steps of a request, so
that its network, made at the start, is of another import than the classes of the step that meets it."""

from typing import Any, TypeGuard, TypeVar

Kind = TypeVar("Kind")


def is_a(thing: Any, cls: type[Kind]) -> TypeGuard[Kind]:
    """`isinstance`, also where the class of `thing` comes from an earlier import of the same module."""
    names = {(base.__module__, base.__qualname__) for base in type(thing).__mro__}
    return (cls.__module__, cls.__qualname__) in names
