"""The words of every error about an argument."""

from typing import Any


def check(name: str, value: Any, is_valid: Any, want: str) -> None:
    """ValueError "<name>: got <value>; want <want>" unless `is_valid`."""
    if not is_valid:
        raise ValueError(f"{name}: got {value!r}; want {want}")
