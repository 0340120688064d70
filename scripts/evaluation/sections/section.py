"""What a section of the results is, and words that several of them write."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.statistics import interval

#: columns and rows of a CSV file
Table = tuple[Sequence[str], Sequence[Mapping[str, Any]]]


class Results(NamedTuple):
    """What a section adds to the results."""

    metrics: Mapping[str, Any]  # entries of metrics.json
    tables: Mapping[str, Table] = {}  # name of the CSV file -> its columns and rows
    figures: Mapping[str, Callable[[Path], object]] = {}  # name of the PNG file -> draws it


class Section:
    """A part of the results, with its own parameters."""

    @property
    def needs(self) -> Sequence[str]:
        """Names of the measured values that it reads."""
        return ()

    def results(self, scored: ScoredSet) -> Results:
        """What it makes of the scored images."""
        raise NotImplementedError


def tpr_at_rates(rates: np.ndarray, values: np.ndarray, sampled: np.ndarray) -> dict[str, Any]:
    """{rate: interval} of TPRs (rates,); `sampled` is (samples, rates)."""
    triples = zip(rates, values, sampled.T, strict=True)
    return {str(float(rate)): interval(value, sample).as_json() for rate, value, sample in triples}
