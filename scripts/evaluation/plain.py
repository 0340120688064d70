"""Numbers as JSON types, and columns of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.evaluation.statistics import Interval


def plain(value: Any) -> Any:
    """As JSON types, containers included: what is not a finite number becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def named(found: Interval) -> dict[str, float | None]:
    """An interval under its fields' names."""
    return {name: plain(value) for name, value in found._asdict().items()}


def column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """One field of all rows, float64."""
    return np.array([row[name] for row in rows], np.float64)
