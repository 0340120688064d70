"""Groups of clusters by their features: standardise, k-means, and how well groups agree with given labels.

HDoGReg, arXiv 2102.00754, section V-C. A fitted model is plain numbers in a JSON file and needs no scikit-learn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.checks import check, check_fields
from scripts.common.files import write_json
from scripts.data.reader.errors import check_file
from scripts.data.text_files import json_content
from scripts.findings.features.clusters import CLUSTER_FEATURES
from scripts.findings.features.microcalcifications import FeatureRecord

SCHEMA = "microcalcification-groups-1"
WANT = f"a model of groups ({SCHEMA}) as `run clustering` writes it"


@dataclass(frozen=True)
class GroupModel:
    """k-means on standardised features.

    A missing feature takes the median of the clusters that the model was fitted to (`fill`), then the features are
    (value - mean) / scale, and a cluster belongs to the group of the nearest centre (Euclidean distance).
    """

    features: tuple[str, ...]
    fill: tuple[float, ...]  # of each feature
    means: tuple[float, ...]
    scales: tuple[float, ...]  # population standard deviation; 1 where a feature does not vary
    centres: tuple[tuple[float, ...], ...]  # of each group, standardised
    names: tuple[str, ...] = ()  # of each group: the most frequent label when it was fitted, "" for an empty group

    def __post_init__(self) -> None:
        check_fields(self, **dict.fromkeys(("fill", "means", "centres"), "(-inf, inf)"))
        width = {len(row) for row in (self.fill, self.means, self.scales, *self.centres)}
        check("fill, means, scales, centres", sorted(width), width == {len(self.features)}, "a number per feature")
        check("scales", self.scales, min(self.scales, default=1) > 0, "numbers above 0")
        check("names", self.names, len(self.names) in (0, len(self.centres)), "one per group, or none")

    def groups(self, records: Sequence[FeatureRecord]) -> np.ndarray:
        """Number of each cluster's group, int64 (n,), of their features."""
        standard = self.standardised(table_of(records, self.features))
        distance = ((standard[:, None] - np.array(self.centres)) ** 2).sum(axis=-1)
        return distance.argmin(axis=1).astype(np.int64)

    def standardised(self, table: np.ndarray) -> np.ndarray:
        """Filled and standardised features, (n, features)."""
        return (np.where(np.isnan(table), self.fill, table) - self.means) / self.scales

    def save(self, path: str | Path) -> Path:
        """Write the model as JSON."""
        return write_json(path, {"schema": SCHEMA, **asdict(self)})


def load_groups(path: str | Path) -> GroupModel:
    """Read a model that `GroupModel.save` wrote; a MammogramReadError when the file is no such model."""
    content = json_content(path, WANT)
    check_file(path, isinstance(content, Mapping) and content.get("schema") == SCHEMA, "another kind of JSON", WANT)
    try:
        return GroupModel(**{field.name: _frozen(content[field.name]) for field in fields(GroupModel)})
    except (KeyError, TypeError, ValueError) as error:
        check_file(path, False, f"{type(error).__name__}: {error}", WANT)
        raise


def fit_groups(records: Sequence[FeatureRecord], k: int = 5, seed: int = 0, starts: int = 10) -> GroupModel:
    """Fit k groups to the features of clusters; `starts` runs of k-means++ from the seed, the best one is taken."""
    check("k", k, 1 <= k <= len(records), f"1 to the number of clusters, {len(records)}")
    names = tuple(CLUSTER_FEATURES)
    table = table_of(records, names)
    known = ~np.isnan(table)
    fill = [float(np.median(column[has])) if has.any() else 0.0 for column, has in zip(table.T, known.T, strict=True)]
    table = np.where(known, table, fill)
    means, deviations = table.mean(axis=0), table.std(axis=0)
    scales = np.where(deviations > 1e-12 * np.maximum(np.abs(means), 1), deviations, 1.0)
    from sklearn.cluster import KMeans  # slow to import, and a fitted model does without it

    fitted = KMeans(k, n_init=starts, random_state=seed).fit((table - means) / scales)
    return GroupModel(
        features=names,
        fill=tuple(fill),
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        centres=tuple(map(tuple, fitted.cluster_centers_.tolist())),
    )


def table_of(records: Sequence[FeatureRecord], names: Sequence[str]) -> np.ndarray:
    """Features as an array, float64 (n, names); NaN for None and for what is missing."""
    return np.array([[record.get(name) for name in names] for record in records], np.float64).reshape(-1, len(names))


def duplicated(image_labels: Sequence[Sequence[str]]) -> tuple[np.ndarray, list[str]]:
    """Pair every cluster with every label of its image: places of clusters, int (m,), and labels, m.

    `image_labels` has the labels of each cluster's image. So clusters of images with several labels count once for
    each (section V-C, step 3).
    """
    places = np.repeat(np.arange(len(image_labels)), [len(labels) for labels in image_labels])
    return places, [label for labels in image_labels for label in labels]


def agreement(labels: Sequence[str], groups: Sequence[Any] | np.ndarray) -> dict[str, float]:
    """Homogeneity (each group holds one label) and completeness (each label lies in one group), [0, 1].

    Source: Rosenberg & Hirschberg 2007 (reference 44 of the paper), as in scikit-learn.
    """
    from sklearn.metrics import completeness_score, homogeneity_score

    scores = homogeneity_score(labels, groups), completeness_score(labels, groups)
    return {"homogeneity": float(scores[0]), "completeness": float(scores[1])}


def confusion(labels: Sequence[str], found: Sequence[Any], rows: Sequence[str], columns: Sequence[Any]) -> np.ndarray:
    """How often each label (row) was found as what (column), int64 (rows, columns)."""
    table = np.zeros((len(rows), len(columns)), np.int64)
    for label, other in zip(labels, found, strict=True):
        table[list(rows).index(label), list(columns).index(other)] += 1
    return table


def group_names(table: np.ndarray, rows: Sequence[str]) -> tuple[str, ...]:
    """The most frequent label of each group (column) of a `confusion`; "" for an empty one."""
    return tuple(rows[int(column.argmax())] if column.any() else "" for column in table.T)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
