"""How likely a mark is a vascular one: two logistic regressions, their weights as plain numbers in a JSON file.

The first weighs a mark's own neighbourhood (`neighbourhoods.FEATURES`), the second besides what the first said of the
marks on its curve, on both sides. `scripts/evaluation/fit_kinds.py` fits them.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.checks import check, check_fields
from scripts.findings.kinds.neighbourhoods import FEATURES, Neighbourhoods

WEIGHTS = Path(__file__).with_name("vascular_weights.json")
#: Of a mark; log odds are those of the first regression, -4 to 4.
CONTEXT = (
    "log odds",
    "better side",  # mean log odds of the marks on the curve to the side where it is higher; ...
    "worse side",  # ... and to the other one; nearer ones count more, and none is 0
    "sum of the better side",  # log of 1 + the sum of probabilities
    "sum of the worse side",
    "others",  # log of 1 + the sum of what is left to 1 of the neighbours' probabilities
    "farther side",  # length of the curve up to the last probable mark, cm
    "nearer side",
)
FADE_MM = 5.0  # Gaussian sigma of the weight of a mark on the curve
MOST_TURN = 0.75  # sine of the largest angle between the directions of marks on one curve
LIMIT = 4.0  # of the first log odds
ANY = "(-inf, inf)"
MOST_PRODUCT = 6.0  # of two standardised features


@dataclass(frozen=True)
class Regression:
    """Logistic regression on standardised values and their products by pairs (of the first `FEATURES` of them)."""

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    weights: tuple[float, ...]  # of the values, then of the products
    intercept: float

    def __post_init__(self) -> None:
        check_fields(self, mean=ANY, weights=ANY, intercept=ANY)
        check("sd", self.sd, all(value > 0 for value in self.sd), "numbers above 0")

    def log_odds(self, values: np.ndarray) -> np.ndarray:
        """Log odds of values (n, k), (n,)."""
        return expanded((values - np.array(self.mean)) / np.array(self.sd)) @ np.array(self.weights) + self.intercept


@dataclass(frozen=True)
class VascularModel:
    """Both regressions."""

    first: Regression
    second: Regression

    def log_odds(self, around: Neighbourhoods) -> np.ndarray:
        """Log odds of each mark to be vascular, (n,)."""
        first = self.first.log_odds(around.features)
        return self.second.log_odds(np.hstack([around.features, context(first, around)]))


@lru_cache(maxsize=4)
def read_model(path: str = "") -> VascularModel:
    """The model of a JSON file that `fit_kinds` wrote; "" is the one that is shipped."""
    stored = json.loads(Path(path or WEIGHTS).read_text(encoding="utf-8"))
    for name, wanted in (("features", FEATURES), ("context", CONTEXT)):
        check(name, stored.get(name), stored.get(name) == list(wanted), f"{', '.join(wanted)} (fit it again)")
    return VascularModel(_regression(stored["first"]), _regression(stored["second"]))


def _regression(stored: dict[str, Any]) -> Regression:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    return Regression(**values)


def expanded(standard: np.ndarray) -> np.ndarray:
    """Standardised values (n, k), and the products of the first `FEATURES` of them by pairs: (n, k + ...)."""
    first, second = np.triu_indices(len(FEATURES))
    products = standard[:, first] * standard[:, second]
    return np.hstack([standard, np.clip(products, -MOST_PRODUCT, MOST_PRODUCT)])


def context(log_odds: np.ndarray, around: Neighbourhoods) -> np.ndarray:
    """`CONTEXT` of each mark, (n, len(CONTEXT)), of the first log odds (n,)."""
    n, odds = len(log_odds), np.clip(log_odds, -LIMIT, LIMIT)
    probability = 1 / (1 + np.exp(-odds))
    a, b = around.pairs.T
    same = np.abs(np.sin(around.direction[a] - around.direction[b])) < MOST_TURN
    mean, total, reach = np.zeros((2, n)), np.zeros((2, n)), np.zeros((2, n))
    for side, sign in enumerate((1, -1)):
        on = same & (sign * around.along_mm > 0)
        marks, others, along = a[on], b[on], np.abs(around.along_mm[on])
        weight = np.exp(-0.5 * (along / FADE_MM) ** 2)
        mean[side] = np.bincount(marks, weight * odds[others], n) / (np.bincount(marks, weight, n) + 0.5)
        total[side] = np.log1p(np.bincount(marks, probability[others], n))
        probable = probability[others] > 0.5
        np.maximum.at(reach[side], marks[probable], along[probable] / 10)
    first, second = around.near.T
    others_near = np.log1p(np.bincount(first, 1 - probability[second], n))
    sides = [values for both in (mean, total) for values in (both.max(0), both.min(0))]
    return np.stack([odds, *sides, others_near, reach.max(0), reach.min(0)], 1)
