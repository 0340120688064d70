"""Runs of this bundle in MLflow: their parameters, curves, figures, pictures, and hashes of weights and data list.

Used by `--tracking configs/tracking_mlflow.json`, MONAI's own option; needs requirements-tracking.txt.
"""

import atexit
import csv
import importlib.util
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

from scripts.common.files import sha256_of
from scripts.common.provenance import package_versions, source_commit
from scripts.common.ranks import is_first
from scripts.common.settings import describe
from scripts.common.tables import read_csv
from scripts.outputs.manifest import digest_of
from scripts.outputs.run_report import RunReport
from scripts.training.handlers import fingerprint_of

#: Files of a result folder that are kept with a run, besides the images' own pictures.
RESULTS = ("*.json", "*.csv", "*.png")
SQLITE = "sqlite:///"
LONGEST_VALUE, PARAMETERS_AT_ONCE, FIGURES_AT_ONCE = 6000, 100, 1000  # limits of MLflow's
#: Files whose numbers become MLflow's metrics.
FIGURES = ("metrics.json", "operating_points.json", "run_report.json")
WITHOUT_FIGURES = ("provenance", "settings", "inputs", "weights", "versions")  # parts of these files


def flat(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings as ("a.b", value), with names that MLflow takes; lists are one leaf."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            key = re.sub(r"[^\w\-. /]", "_", str(key))
            yield from flat(value, f"{name}.{key}" if name else key)
    else:
        yield name, content


def figures(content: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of one of `FIGURES`, by name; lists are passed over."""
    leaves = flat({key: value for key, value in content.items() if key not in WITHOUT_FIGURES})
    numbers = ((key, value) for key, value in leaves if isinstance(value, int | float) and not isinstance(value, bool))
    return {key: float(value) for key, value in numbers if math.isfinite(value)}


def curve(table: Path) -> dict[int, dict[str, float]]:
    """Epoch -> its figures, of a training's metrics.csv; nothing of another table or none."""
    try:
        rows = read_csv(table)
    except (OSError, ValueError, csv.Error):
        return {}
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        if row.get("epoch", "").isdigit():
            found[int(row["epoch"])] = {key: float(text) for key, text in row.items() if text and key != "epoch"}
    return found


def kept_files(folder: Path, pictures: int) -> Iterator[tuple[Path, str]]:
    """Files to keep with a run, each with the folder to keep it in: tables, figures, the first images' pictures."""
    for pattern in RESULTS:
        for file in sorted(folder.glob(pattern)):
            yield file, "" if file.suffix == ".json" else "figures" if file.suffix == ".png" else "tables"
    for file in sorted(folder.glob("*/**/picture.png"))[:pictures]:
        yield file, f"pictures/{file.parent.relative_to(folder).as_posix()}"


def relative_to(folder: str, content: Any) -> Any:
    """Nested content whose texts, where they are paths below the folder, are relative to it."""
    if isinstance(content, Mapping):
        return {key: relative_to(folder, value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [relative_to(folder, value) for value in content]
    return content.removeprefix(folder.rstrip("/") + "/") if isinstance(content, str) else content


class MLflowTracking(MLFlowHandler):
    """MONAI's MLflow handler, with what this bundle knows about a run.

    Parameters are what `describe` says of the objects in use: a training's fingerprint, or the run report's settings.
    Figures and files are taken from the result folder when the process ends, as an evaluation writes them after its
    engine has run. A training that was killed goes on in the same run of MLflow.

    Args:
        output_dir: the run's folder.
        datalist: of the run; its lengths and its SHA-256 are kept, paths being relative to `dataset_dir`.
        report: run report of an inference or evaluation.
        evaluator: validation engine of a training.
        settings: what else a training is made of.
        weights: name -> file whose SHA-256 is kept when the run ends; those that are not there are left out.
        pictures: at most so many images' pictures are kept.
        tracking_uri: of MLflow's store; the environment's MLFLOW_TRACKING_URI comes first.
        experiment_name: that its runs stand under; a run's own name is `output_dir`.
    """

    def __init__(
        self,
        output_dir: str | Path,
        datalist: Any = None,
        dataset_dir: str = "",
        report: RunReport | None = None,
        evaluator: Engine | None = None,
        settings: Mapping[str, Any] | None = None,
        weights: Mapping[str, str] | None = None,
        pictures: int = 20,
        tracking_uri: str = "",
        experiment_name: str = "microcalcifications",
    ) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise ValueError("tracking: got no package mlflow; want pip install -r requirements-tracking.txt")
        uri = os.environ.get("MLFLOW_TRACKING_URI") or tracking_uri
        if uri.startswith(SQLITE):
            Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        super().__init__(tracking_uri or None, experiment_name=experiment_name, run_name=str(output_dir))
        self.folder, self.report = Path(output_dir).expanduser(), report
        self.datalist = None if datalist is None else relative_to(str(dataset_dir), describe(datalist))
        self.evaluator, self.settings, self.weights = evaluator, dict(settings or {}), dict(weights or {})
        self.pictures, self.completed, self.started = pictures, False, 0.0

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or an evaluator, as its last handler; of several ranks the first one does."""
        if is_first():
            engine.add_event_handler(Events.STARTED, self.start)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
            engine.add_event_handler(Events.COMPLETED, self.complete)

    def start(self, engine: Engine) -> None:
        """Begin a run of MLflow, or go on with the one that was cut off, and say what is run."""
        self.started = time.time()
        super().start(engine)
        atexit.register(self.finish)
        parameters = {key: str(value)[:LONGEST_VALUE] for key, value in flat(self.parameters(engine))}
        self._delete_exist_param_in_dict(parameters)
        rest = list(parameters.items())
        while rest:
            self._log_params(dict(rest[:PARAMETERS_AT_ONCE]))
            rest = rest[PARAMETERS_AT_ONCE:]
        self._tag({f"version.{name}": version for name, version in package_versions().items()})
        self._tag({"commit": source_commit() or "unknown", "output_dir": str(self.folder)})
        if self.report is None and not self.client.get_run(self.cur_run.info.run_id).data.metrics:
            for epoch, values in curve(self.folder / "metrics.csv").items():  # of a run before this one
                if epoch <= engine.state.epoch:
                    self._log_metrics(values, step=epoch)

    def parameters(self, engine: Engine) -> dict[str, Any]:
        """What decides the run, as nested plain values."""
        found: dict[str, Any] = {}
        if self.report is not None:
            found = {**self.report.settings, "weights": self.report.weights or {}}
        else:
            engines = {"train": engine} | ({} if self.evaluator is None else {"validate": self.evaluator})
            found = fingerprint_of(engines, self.settings)
        if self.datalist is not None:
            sections = self.datalist if isinstance(self.datalist, Mapping) else {"images": self.datalist}
            found |= {"datalist_sha256": digest_of(self.datalist)}
            found |= {f"datalist.{name}": len(items) for name, items in sections.items()}
        return found

    def epoch_completed(self, engine: Engine) -> None:
        """A training's row of metrics.csv; an evaluation has its figures at the end."""
        if self.report is None:
            self._log_metrics(curve(self.folder / "metrics.csv").get(engine.state.epoch, {}), step=engine.state.epoch)

    def complete(self, *_: Any) -> None:
        """Note that the engine has come to its end."""
        self.completed = True

    def finish(self) -> None:
        """Take in what lies in the result folder, and end MLflow's run; called when the process ends."""
        atexit.unregister(self.finish)
        if self.cur_run is None:
            return
        if self.report is not None and self.completed:
            self._log_results()
        digests = {name: sha256_of(path) for name, path in self.weights.items() if Path(path).is_file()}
        self._tag({f"{name}_sha256": digest for name, digest in digests.items()})
        for file, place in kept_files(self.folder, self.pictures):
            self.client.log_artifact(self.cur_run.info.run_id, str(file), place or None)
        if not self.completed:
            self.run_finish_status = "FAILED"
        self.close()

    def _log_results(self) -> None:
        """Figures of files that this run wrote."""
        for name in FIGURES:
            file = self.folder / name
            if file.is_file() and file.stat().st_mtime >= self.started:
                found = list(figures(json.loads(file.read_text(encoding="utf-8"))).items())
                for first in range(0, len(found), FIGURES_AT_ONCE):
                    self._log_metrics(dict(found[first : first + FIGURES_AT_ONCE]))

    def _tag(self, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self.client.set_tag(self.cur_run.info.run_id, name, value)
