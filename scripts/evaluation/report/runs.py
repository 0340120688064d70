"""The evaluations that a report is about: what their folders hold, and that they can be compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.tables import read_csv
from scripts.evaluation.compare import TABLE_NAME
from scripts.evaluation.froc import FrocTable
from scripts.evaluation.statistics import IMAGE

Rows = list[dict[str, str]]
NEEDED = ("metrics.json", "cases.csv", "objects.csv", "reliability.csv", "sizes.csv", TABLE_NAME)
#: Settings of the evaluation that must be equal: (what it is called, where it stands in metrics.json).
EQUAL = (
    ("matching", ("froc", "matching")),
    ("hit_distance_mm", ("froc", "hit_distance_mm")),
    ("hit_iou", ("froc", "hit_iou")),
    ("fp limit of pAUC", ("froc", "fp_limit_per_cm2")),
    ("rates per cm^2", ("froc", "tpr_at_fp_per_cm2")),
    ("bootstrap", ("provenance", "bootstrap")),
)


@dataclass(frozen=True)
class Run:
    """One method's evaluation.

    Attributes:
        folder: output folder of the evaluation.
        name: what the report calls the method.
        metrics: what metrics.json holds.
    """

    folder: Path
    name: str
    metrics: dict[str, Any]

    @cached_property
    def cases(self) -> Rows:
        """Rows of cases.csv."""
        return self.rows("cases.csv")

    @cached_property
    def objects(self) -> Rows:
        """Rows of objects.csv."""
        return self.rows("objects.csv")

    def pixel_curve(self) -> dict[str, np.ndarray]:
        """Columns of pixel_curve.csv; empty for a method without a map."""
        names = ("threshold", "precision", "recall", "false_positive_rate")
        rows = self.rows("pixel_curve.csv") if (self.folder / "pixel_curve.csv").is_file() else []
        return {name: np.array([number(row[name]) for row in rows]) for name in names}

    def froc(self) -> tuple[FrocTable, list[str]]:
        """The table of all predictions, and the bootstrap's units, in the evaluation's own order of images."""
        with np.load(self.folder / TABLE_NAME, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        unit = self.metrics["provenance"]["bootstrap"]["unit"]
        names = arrays["patient"].tolist()
        return FrocTable.from_arrays(arrays), [str(i) for i in range(len(names))] if unit == IMAGE else names

    def rows(self, name: str) -> Rows:
        """Rows of one of the folder's CSV files."""
        return read_csv(self.folder / name)


def load_runs(folders: Sequence[str | Path], names: Sequence[str] = ()) -> list[Run]:
    """Read evaluations; the first one is the reference that others are compared with.

    Args:
        folders: output folders of evaluations of the same images.
        names: what to call the methods; none takes the name that each evaluation recorded.

    Raises:
        ValueError: a folder is no finished evaluation, or the evaluations cannot be compared.
    """
    if not folders:
        raise ValueError("folders: got none; want the output folder of at least one evaluation")
    if names and len(names) != len(folders):
        raise ValueError(f"names: got {len(names)}; want {len(folders)}, one per folder")
    found = [_read(Path(folder)) for folder in folders]
    recorded = [
        str(m["provenance"]["settings"].get("method") or Path(f).name) for f, m in zip(folders, found, strict=True)
    ]
    titles = list(names) or [
        name if recorded.count(name) == 1 else f"{name} ({Path(folder)})"
        for name, folder in zip(recorded, folders, strict=True)
    ]
    if len(set(titles)) < len(titles):
        raise ValueError(f"names: got one twice ({', '.join(titles)}); want a name per method")
    runs = [Run(Path(f), title, m) for f, title, m in zip(folders, titles, found, strict=True)]
    for other in runs[1:]:
        _check_comparable(runs[0], other)
    return runs


def number(text: str) -> float:
    """A cell of a CSV file; an empty one is NaN."""
    return float(text or "nan")


def _read(folder: Path) -> dict[str, Any]:
    for name in NEEDED:
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: got no {name}; want the output folder of a finished evaluation")
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def _check_comparable(first: Run, other: Run) -> None:
    for name, path in EQUAL:
        ours, theirs = (_at(run.metrics, path) for run in (first, other))
        if ours != theirs:
            where = f"{other.folder}: {name}"
            raise ValueError(f"{where}: got {theirs}; want {ours} as in {first.folder}; evaluate it alike")
    ours_by_name, theirs_by_name = ({row["case_id"]: row["annotated"] for row in run.cases} for run in (first, other))
    if ours_by_name != theirs_by_name:
        items = set(ours_by_name.items()) ^ set(theirs_by_name.items())
        odd = ", ".join(sorted({name for name, _ in items})[:3])
        raise ValueError(f"{other.folder}: got other images or annotations (e.g. {odd}); want those of {first.folder}")


def _at(metrics: dict[str, Any], path: Sequence[str]) -> Any:
    value: Any = metrics
    for key in path:
        value = value[key]
    return list(value) if path[-1].startswith("tpr_at") else value
