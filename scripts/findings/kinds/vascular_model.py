"""How likely a mark is a vascular one: two sets of boosted trees, plain numbers in a JSON file.

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
#: Of a mark; log odds are those of the first trees, -4 to 4.
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


@dataclass(frozen=True)
class BoostedTrees:
    """Gradient-boosted regression trees (Friedman 2001), all full: node i has the children 2 i + 1 and 2 i + 2.

    A value above the node's threshold goes to the second one; the last 2^depth nodes are leaves. Log odds are the start
    and one leaf of each tree, added up.
    """

    start: float
    features: tuple[tuple[int, ...], ...]  # of every tree, place of the value that each node looks at
    thresholds: tuple[tuple[float, ...], ...]
    leaves: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        check_fields(self, start=ANY, thresholds=ANY, leaves=ANY)
        for name in ("features", "thresholds"):
            sizes = [len(tree) + 1 for tree in getattr(self, name)]
            want = "as many as each tree has leaves, less one; a power of 2 of these"
            fits = sizes == [len(tree) for tree in self.leaves] and all(size.bit_count() == 1 for size in sizes)
            check(name, sizes, fits, want)

    def log_odds(self, values: np.ndarray) -> np.ndarray:
        """Log odds of values (n, k), (n,)."""
        features, thresholds, leaves = (np.array(part) for part in (self.features, self.thresholds, self.leaves))
        values, tree = values.astype(np.float32), np.arange(len(leaves))  # as scikit-learn
        row, node = np.arange(len(values))[:, None], np.zeros((len(values), len(leaves)), int)
        for _ in range(leaves.shape[1].bit_length() - 1):
            node = 2 * node + 1 + (values[row, features[tree, node]] > thresholds[tree, node])
        return leaves[tree, node - features.shape[1]].sum(1) + self.start


@dataclass(frozen=True)
class VascularModel:
    """Both sets of trees."""

    first: BoostedTrees
    second: BoostedTrees

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
    return VascularModel(_trees(stored["first"]), _trees(stored["second"]))


def _trees(stored: dict[str, Any]) -> BoostedTrees:
    parts = {name: tuple(map(tuple, stored[name])) for name in ("features", "thresholds", "leaves")}
    return BoostedTrees(stored["start"], **parts)


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
