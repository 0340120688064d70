"""The evaluations that are compared: what their folders hold, and that they belong together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.tables import read_csv
from scripts.evaluation.froc import TABLE_NAME, FrocTable

Rows = list[dict[str, str]]
METRICS, CASES, OBJECTS = "metrics.json", "cases.csv", "objects.csv"
#: Settings of the evaluation that must be equal: what each is called, and where it stands in metrics.json.
EQUAL = {
    "matching": "froc/matching",
    "hit_distance_mm": "froc/hit_distance_mm",
    "hit_iou": "froc/hit_iou",
    "fp limit of pAUC": "froc/fp_limit_per_cm2",
    "rates per cm^2": "froc/tpr_at_fp_per_cm2",
    "bootstrap": "provenance/bootstrap",
}


@dataclass(frozen=True)
class Run:
    """One method's evaluation; ValueError where the folder is no output folder of an evaluation."""

    folder: Path  # output folder of the evaluation
    name: str = ""  # what the report calls the method

    def __post_init__(self) -> None:
        self.check(METRICS, CASES, OBJECTS, TABLE_NAME)

    def check(self, *files: str) -> None:
        """ValueError where the folder does not hold all these files."""
        missing = [name for name in files if not (self.folder / name).is_file()]
        if missing:
            want = "the output folder of a finished evaluation"
            raise ValueError(f"{self.folder}: got no {', '.join(missing)}; want {want}")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds."""
        return json.loads((self.folder / METRICS).read_text(encoding="utf-8"))

    @cached_property
    def cases(self) -> Rows:
        """One row per image."""
        return self.rows(CASES)

    @cached_property
    def objects(self) -> Rows:
        """One row per annotated or predicted object; rows of an image come in label order."""
        return self.rows(OBJECTS)

    @property
    def annotated(self) -> Rows:
        """Rows of the annotated objects."""
        return [row for row in self.objects if row["kind"] == "annotated"]

    def rows(self, name: str) -> Rows:
        """Rows of one of the folder's CSV files; none where it has no such file."""
        return read_csv(self.folder / name) if (self.folder / name).is_file() else []

    def columns(self, name: str, *columns: str) -> tuple[np.ndarray, ...]:
        """Columns of numbers of one of the folder's CSV files."""
        rows = self.rows(name)
        return tuple(np.array([number(row[column]) for row in rows]) for column in columns)

    def froc(self, by_name: bool = False) -> tuple[FrocTable, list[str], list[str]]:
        """The table of all predictions, and each image's name and patient: in the evaluation's order, or by name."""
        with np.load(self.folder / TABLE_NAME, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        names = arrays["case_id"]
        order = np.argsort(names) if by_name else np.arange(names.size)
        of_images = {name: arrays[name][order] for name in ("annotated", "breast_cm2", "case_id", "patient")}
        arrays |= of_images | {"case": np.argsort(order)[arrays["case"]]}
        return FrocTable.from_arrays(arrays), arrays["case_id"].tolist(), arrays["patient"].tolist()


def load_runs(folders: Sequence[str | Path], names: Sequence[str] = ()) -> list[Run]:
    """Read evaluations of the same images; the first one is the reference that others are compared with.

    Without `names` the methods are called as each evaluation recorded. ValueError where a folder is no finished
    evaluation, or where they cannot be compared.
    """
    if not folders:
        raise ValueError("folders: got none; want the output folder of at least one evaluation")
    if names and len(names) != len(folders):
        raise ValueError(f"names: got {len(names)}; want {len(folders)}, one per folder")
    runs = [Run(Path(folder)) for folder in folders]
    recorded = [str(at(run.metrics, "provenance/settings/method") or run.folder.name) for run in runs]
    named = zip(recorded, runs, strict=True)
    titles = list(names) or [n if recorded.count(n) == 1 else f"{n} ({run.folder})" for n, run in named]
    if len(set(titles)) < len(titles):
        raise ValueError(f"names: got one twice ({', '.join(titles)}); want a name per method")
    for run in runs:
        run.check("reliability.csv", "sizes.csv")
        _check_comparable(runs[0], run)
    return [replace(run, name=title) for run, title in zip(runs, titles, strict=True)]


def number(text: str) -> float:
    """A cell of a CSV file; an empty one is NaN."""
    return float(text or "nan")


def at(metrics: Any, path: str) -> Any:
    """What stands at a path of metrics.json, such as "froc/pauc"; None where there is nothing."""
    for key in path.split("/"):
        metrics = (metrics or {}).get(key)
    return metrics


def _check_comparable(first: Run, other: Run) -> None:
    for name, path in EQUAL.items():
        ours, theirs = (at(run.metrics, path) for run in (first, other))
        if path.endswith("tpr_at_fp_per_cm2"):
            ours, theirs = list(ours), list(theirs)  # the rates, not the values there
        if ours != theirs:
            where = f"{other.folder}: {name}"
            raise ValueError(f"{where}: got {theirs}; want {ours} as in {first.folder}; evaluate it alike")
    ours, theirs = ({(row["case_id"], row["annotated"]) for row in run.cases} for run in (first, other))
    if ours != theirs:
        odd = ", ".join(sorted({name for name, _ in ours ^ theirs})[:3])
        raise ValueError(f"{other.folder}: got other images or annotations (e.g. {odd}); want those of {first.folder}")
