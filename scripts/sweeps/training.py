"""A trial that trains and evaluates through the bundle's own configs: a cell of a sweep, or a fold."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.common.stage import run_stage
from scripts.common.tables import read_csv
from scripts.sweeps.space import labels_of
from scripts.sweeps.storage import Direction
from scripts.sweeps.sweep import Note, Outcome

#: name in the tables -> place in metrics.json
EVALUATED = {
    "pauc": ("froc", "pauc", "value"),
    "tpr_at_0.4_fp_per_cm2": ("froc", "tpr_at_fp_per_cm2", "0.4", "value"),
    "mean_iou_per_image": ("iou", "per_image", "mean_iou", "images_with_mc", "value"),
    "foreground_iou_per_image": ("iou", "per_image", "foreground_iou", "images_with_mc", "value"),
    "iou_per_object": ("iou", "per_object", "value"),
    "operating_threshold": ("operating_point", "threshold"),
    "tpr": ("operating_point", "tpr", "value"),
    "fp_per_cm2": ("operating_point", "fp_per_cm2", "value"),
}
BEST = "best_validation_metric"


class TrainAndEvaluate:
    """Train with a trial's parameters, then evaluate the weights.

    Each trial has a folder, named by its parameters, and up to three stages in it, each a run of the bundle that is
    not repeated when it was done: `training`, `choosing` (operating threshold) and `evaluating`. A training that was
    interrupted goes on from its checkpoint.

    Args:
        output_dir: folder of the trials' folders.
        train_configs: configs of `run training`.
        evaluate_configs: configs of `run evaluating`; empty trains only.
        data_configs: overlays that come last in both (a data set).
        train_overrides, evaluate_overrides, shared_overrides: config key -> value, for one of them or both; a key of
            a nested object as "patches::patch_px": 96 or as "patches": {"patch_px": 96}.
        parameters_for: "training", or "both" when the parameters are keys of the evaluation's configs, too.
        section: part of the data list that is evaluated.
        choose_section: part that the operating threshold is chosen on; "" chooses on `section` itself.
        metric: which of the figures is the trial's value: a key of `EVALUATED` or "best_validation_metric".
        training_metric: column of the training's metrics.csv whose highest value is "best_validation_metric".
    """

    direction: Direction = "maximize"

    def __init__(
        self,
        output_dir: str | Path,
        train_configs: Sequence[str],
        evaluate_configs: Sequence[str] = (),
        data_configs: Sequence[str] = (),
        train_overrides: Mapping[str, Any] | None = None,
        evaluate_overrides: Mapping[str, Any] | None = None,
        shared_overrides: Mapping[str, Any] | None = None,
        parameters_for: str = "training",
        section: str = "validation",
        choose_section: str = "",
        metric: str = "pauc",
        training_metric: str = "validation_mean_iou",
    ) -> None:
        known = [BEST, *(EVALUATED if evaluate_configs else [])]
        if metric not in known:
            raise ValueError(f"metric: got {metric!r}; want one of {known}")
        if parameters_for not in ("training", "both"):
            raise ValueError(f"parameters_for: got {parameters_for!r}; want 'training' or 'both'")
        self._folder = Path(output_dir).expanduser().absolute()
        self.train_configs, self.evaluate_configs = [*train_configs, *data_configs], list(evaluate_configs)
        self.evaluate_configs += list(data_configs) if evaluate_configs else []
        self.train_overrides = {**flat(shared_overrides or {}), **flat(train_overrides or {})}
        self.evaluate_overrides = {**flat(shared_overrides or {}), **flat(evaluate_overrides or {})}
        self.parameters_for, self.section, self.choose_section = parameters_for, section, choose_section
        self.metric, self.training_metric = metric, training_metric

    def prepare(self) -> None:
        """Check that the configs are there.

        Raises:
            FileNotFoundError: one is not.
        """
        for name in [*self.train_configs, *self.evaluate_configs]:
            if not Path(name).is_file():
                raise FileNotFoundError(f"config file: got {name}, which is not there; want a path from {Path.cwd()}")

    def first(self, keys: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """Nothing."""
        return ()

    def __call__(self, parameters: Mapping[str, Any], note: Note) -> Outcome:
        """Train and evaluate."""
        name = folder_name(parameters)
        folder = self._folder / name
        run = folder / "training"
        arguments = {"run_id": "training", "config_file": self.train_configs, **self.train_overrides, **parameters}
        arguments |= {"output_dir": str(run), "publish_path": ""}
        run_stage(
            folder, "training", arguments, watch=lambda: note(f"{name}: {_epochs(run / 'metrics.csv')} epochs done")
        )
        best, epoch = best_epoch(run / "metrics.csv", self.training_metric)
        values: dict[str, float | int | None] = {BEST: best, "best_epoch": epoch}
        if self.evaluate_configs:
            note(f"{name}: evaluating")
            values |= self._evaluated(folder, run / "model.pt", parameters)
        value = values[self.metric]
        if value is None:
            raise ValueError(f"{folder}: {self.metric} is undefined; want annotated MCs in the part {self.section!r}")
        return Outcome(float(value), values)

    def _evaluated(self, folder: Path, weights: Path, parameters: Mapping[str, Any]) -> dict[str, float | int | None]:
        fixed = {"config_file": self.evaluate_configs, **self.evaluate_overrides, "weights": str(weights)}
        fixed |= dict(parameters) if self.parameters_for == "both" else {}
        fixed["progress"] = False
        chosen: dict[str, Any] = {"operating_threshold": None}  # on these images; not the shipped weights' preset
        if self.choose_section:
            place = {"output_dir": str(folder / "choosing"), "section": self.choose_section}
            run_stage(folder, "choosing", {"run_id": "choosing", **fixed, **place})
            points = json.loads((folder / "choosing" / "operating_points.json").read_text(encoding="utf-8"))
            chosen = {"operating_threshold": points["presets"]["balanced"]["threshold"]}
        place = {"output_dir": str(folder / "evaluation"), "section": self.section}
        run_stage(folder, "evaluating", {"run_id": "evaluating", **fixed, **place, **chosen})
        metrics = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
        return {name: _look_up(metrics, place) for name, place in EVALUATED.items()}


def flat(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys as config keys: {"patches": {"patch_px": 96}} is {"patches::patch_px": 96}."""
    keys: dict[str, Any] = {}
    for key, value in overrides.items():
        below = flat(value) if isinstance(value, Mapping) else None
        keys |= {key: value} if below is None else {f"{key}::{name}": inner for name, inner in below.items()}
    return keys


def folder_name(parameters: Mapping[str, Any]) -> str:
    """Folder of a trial: its parameters, e.g. `radius_px_6_alpha_-2`."""
    labels = labels_of(parameters)
    return re.sub(r"[^\w.+-]", "_", "_".join(f"{labels[key]}_{value}" for key, value in parameters.items()))


def best_epoch(path: str | Path, column: str) -> tuple[float, int]:
    """Highest value of a column of a training's metrics.csv, and its epoch (the first one, if several).

    Raises:
        ValueError: no row has a value in that column.
    """
    rows = [(float(row[column]), -int(row["epoch"])) for row in read_csv(path) if row.get(column)]
    if not rows:
        raise ValueError(f"{path}: got no values of {column!r}; want a training with validation")
    value, epoch = max(rows)
    return value, -epoch


def _epochs(path: Path) -> int:
    """Epochs done, from the rows of metrics.csv."""
    return len(path.read_text(encoding="utf-8").splitlines()) - 1 if path.is_file() else 0


def _look_up(metrics: Any, place: Sequence[str]) -> float | None:
    for key in place:
        metrics = metrics.get(key) if isinstance(metrics, Mapping) else None
    return metrics if isinstance(metrics, int | float) else None
