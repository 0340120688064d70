"""Handlers of a training run: seeds per epoch, resuming, metrics table, publishing the best weights."""

from __future__ import annotations

import csv
import hashlib
import itertools
import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from monai.transforms import Randomizable

from scripts.common.files import write_atomically

logger = logging.getLogger(__name__)


class SeedEveryEpoch:
    """Seed all generators from (seed, epoch) when an epoch starts.

    So an epoch draws the same numbers whether training ran through or was resumed before it.

    Args:
        seed: base seed.
        loader: training data loader; its data set's transforms are seeded too, and it is told the epoch if it
            has `set_epoch`.
    """

    def __init__(self, seed: int, loader: DataLoader | None = None) -> None:
        self.seed, self.loader = seed, loader

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the epoch that starts."""
        seed = int(np.random.SeedSequence([self.seed, engine.state.epoch]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - MONAI's transforms draw from it
        torch.manual_seed(seed)
        dataset = getattr(self.loader, "dataset", None)
        set_epoch = getattr(dataset, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(engine.state.epoch)
        transform = getattr(dataset, "transform", None)
        if isinstance(transform, Randomizable):
            transform.set_random_state(seed=seed)


class TrainingState:
    """Keep everything that training needs to go on in one file, and pick it up again.

    Args:
        path: checkpoint file, rewritten atomically after every epoch.
        objects: name -> object with state_dict (network, optimizer, scheduler, ...).
        evaluator: validation engine, whose best metric is kept, or None.
        resume: pick up `path` when it exists; else start anew (and overwrite it).
        every: epochs between two writings.
        settings: what else makes the run what it is (data folder, patch size, seed, ...), as plain values. They are
            kept in the checkpoint with what the objects tell of themselves (see `fingerprint_of`); a checkpoint with
            other ones is refused. Only "max_epochs" may differ.
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        evaluator: Engine | None = None,
        resume: bool = True,
        every: int = 1,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.objects, self.evaluator = Path(path), dict(objects), evaluator
        self.resume, self.every = resume, every
        self.fingerprint = fingerprint_of(self.objects, settings or {})  # now: training changes some of it

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; must be the last handler, so that it sees each epoch's final state."""
        engine.add_event_handler(Events.STARTED, self._load)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every), self._save)

    def _save(self, engine: Engine) -> None:
        state: dict[str, Any] = {name: thing.state_dict() for name, thing in self.objects.items()}
        state["fingerprint"] = self.fingerprint
        state["epoch"], state["iteration"] = engine.state.epoch, engine.state.iteration
        if self.evaluator is not None:
            state["best_metric"] = float(getattr(self.evaluator.state, "best_metric", -1))
            state["best_metric_epoch"] = int(getattr(self.evaluator.state, "best_metric_epoch", -1))
            state["validation_epoch"] = int(self.evaluator.state.epoch)
        _save(self.path, state)

    def _load(self, engine: Engine) -> None:
        if not (self.resume and self.path.is_file()):
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        self._check(state)
        for name, thing in self.objects.items():
            thing.load_state_dict(state[name])
        engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        if self.evaluator is not None:
            self.evaluator.state.best_metric = state["best_metric"]
            self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        logger.info("resuming %s after epoch %d of %s", self.path, state["epoch"], engine.state.max_epochs)
        if engine.state.max_epochs is not None and state["epoch"] >= engine.state.max_epochs:
            logger.warning(
                "%s has all %d epochs; raise max_epochs or choose another output_dir", self.path, state["epoch"]
            )
            engine.terminate()

    def _check(self, state: Mapping[str, Any]) -> None:
        remedy = "give another output_dir, or --resume False to start anew"
        if "fingerprint" not in state:
            raise ValueError(f"{self.path}: does not tell the settings that it was trained with; {remedy}")
        old, new = state["fingerprint"], self.fingerprint
        keys = sorted((old.keys() | new.keys()) - {"settings.max_epochs"})
        differing = [key for key in keys if old.get(key, "absent") != new.get(key, "absent")]
        if differing:
            named = [f"{key} {old.get(key, 'absent')!r} there, {new.get(key, 'absent')!r} here" for key in differing]
            more = [f"{len(named) - 5} more"] if len(named) > 5 else []
            raise ValueError(f"{self.path}: is of another run: {'; '.join(named[:5] + more)}; {remedy}")


def fingerprint_of(objects: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for a run to go on, as plain values that any checkpoint can hold.

    Args:
        objects: name -> network, optimizer or scheduler, as constructed (before training changes them).
        settings: further values; those that are not plain are turned into text.

    Returns:
        "settings.<key>" -> value; "<name>" -> class name; and for an optimizer "<name>.<key>" its defaults, for a
        network "<name>.shapes" a hash of its state dict's keys and shapes, for others "<name>.<attribute>" their
        scalar attributes, private ones and last_epoch left out.
    """
    found = {f"settings.{key}": _plain(value) for key, value in settings.items()}
    for name, thing in objects.items():
        found[name] = type(thing).__name__
        if isinstance(thing, torch.nn.Module):
            shapes = [f"{key} {list(getattr(value, 'shape', []))}" for key, value in thing.state_dict().items()]
            details: dict[str, Any] = {"shapes": hashlib.sha256("\n".join(shapes).encode()).hexdigest()[:16]}
        elif isinstance(thing, torch.optim.Optimizer):
            details = thing.defaults
        else:
            public = {key: value for key, value in vars(thing).items() if key[0] != "_" and key != "last_epoch"}
            details = {key: value for key, value in public.items() if isinstance(value, (str, int, float))}
        found |= {f"{name}.{key}": _plain(value) for key, value in details.items()}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if value is None or type(value) in (bool, int, float, str) else str(value)


class MetricsTable:
    """Append one row per epoch to a CSV file: epoch, mean training loss, learning rate, validation metrics.

    Args:
        path: CSV file. Rows of epochs that are trained again (after a resume) are replaced.
        optimizer: its first group's learning rate, as the epoch starts, is noted.
        evaluator: validation engine; cells of epochs in which it did not run stay empty.
    """

    def __init__(self, path: str | Path, optimizer: torch.optim.Optimizer, evaluator: Engine | None = None) -> None:
        self.path, self.optimizer, self.evaluator = Path(path), optimizer, evaluator
        self.losses: list[float] = []
        self.learning_rate = float("nan")

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after the validation handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self.losses.clear()
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])

    def _note(self, engine: Engine) -> None:
        output = engine.state.output
        self.losses.append(float(output[0]["loss"] if isinstance(output, list) else output["loss"]))

    def _write(self, engine: Engine) -> None:
        row = {
            "epoch": str(engine.state.epoch),
            "loss": f"{np.mean(self.losses):.6f}" if self.losses else "",
            "learning_rate": f"{self.learning_rate:.3g}",
        }
        if self.evaluator is not None and self.evaluator.state.epoch == engine.state.epoch:  # ValidationHandler ran it
            row |= {name: f"{float(value):.6f}" for name, value in sorted(self.evaluator.state.metrics.items())}
        rows = []
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = [old for old in csv.DictReader(file) if int(old["epoch"]) < engine.state.epoch]
        names = list(dict.fromkeys(name for entry in [*rows, row] for name in entry))

        def write(path: Path) -> None:
            with path.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, names)
                table.writeheader()
                table.writerows([*rows, row])

        write_atomically(self.path, write)


class PublishWeights:
    """Keep the best network's state dict, and put it where inference looks for it when training is complete.

    Args:
        network: the network in training.
        evaluator: validation engine; its best metric decides.
        best_path: plain state dict of the epoch that is kept so far.
        publish_path: copy of it at the end of training, if an epoch was trained; another file that is already there
            is kept as the first free of `*.previous.pt`, `*.previous2.pt`, ... None or "" publishes nothing.
        epoch: "best" keeps the epoch of the best metric, "last" the last one.

    Raises:
        ValueError: another `epoch`.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        evaluator: Engine,
        best_path: str | Path,
        publish_path: str | Path | None = None,
        epoch: str = "best",
    ) -> None:
        if epoch not in ("best", "last"):
            raise ValueError(f"epoch: got {epoch!r}; wanted best or last")
        self.network, self.evaluator, self.epoch = network, evaluator, epoch
        self.best_path, self.publish_path = Path(best_path), Path(publish_path) if publish_path else None
        self.trained = False

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after the validation handler."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._publish)

    def _keep(self, engine: Engine) -> None:
        self.trained = True
        if self.epoch == "last" or self.evaluator.state.best_metric_epoch == engine.state.epoch:
            module = getattr(self.network, "module", self.network)
            state = {key: value.detach().cpu() for key, value in module.state_dict().items()}
            _save(self.best_path, state)
            logger.info("epoch %d is the %s so far: %s", engine.state.epoch, self.epoch, self.best_path)

    def _publish(self, engine: Engine) -> None:
        if self.publish_path is None or not self.trained or not self.best_path.is_file():
            return
        content = self.best_path.read_bytes()
        if self.publish_path.is_file() and (old := self.publish_path.read_bytes()) != content:
            names = (f"{self.publish_path.stem}.previous{n if n > 1 else ''}.pt" for n in itertools.count(1))
            kept = next(path for path in map(self.publish_path.with_name, names) if not path.exists())
            write_atomically(kept, lambda path: path.write_bytes(old))
            logger.warning("the weights that were at %s are kept as %s", self.publish_path, kept)
        write_atomically(self.publish_path, lambda path: path.write_bytes(content))
        logger.info("weights of the %s epoch published to %s", self.epoch, self.publish_path)


def _save(path: Path, state: Mapping[str, Any]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # torch.save would put a path's random name into the bytes
            torch.save(state, file)

    write_atomically(path, write)
