"""Handlers of a training run: seeds per epoch, resuming, metrics table, publishing the best weights."""

from __future__ import annotations

import csv
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

from scripts.files import write_atomically

logger = logging.getLogger(__name__)


class SeedEveryEpoch:
    """Seed all generators from (seed, epoch) when an epoch starts.

    So an epoch draws the same numbers whether training ran through or was resumed before it.

    Args:
        seed: base seed.
        loader: training data loader; its data set's transforms are seeded too.
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
        transform = getattr(getattr(self.loader, "dataset", None), "transform", None)
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
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        evaluator: Engine | None = None,
        resume: bool = True,
        every: int = 1,
    ) -> None:
        self.path, self.objects, self.evaluator = Path(path), dict(objects), evaluator
        self.resume, self.every = resume, every

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; must be the last handler, so that it sees each epoch's final state."""
        engine.add_event_handler(Events.STARTED, self._load)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every), self._save)

    def _save(self, engine: Engine) -> None:
        state: dict[str, Any] = {name: thing.state_dict() for name, thing in self.objects.items()}
        state["epoch"], state["iteration"] = engine.state.epoch, engine.state.iteration
        if self.evaluator is not None:
            state["best_metric"] = float(getattr(self.evaluator.state, "best_metric", -1))
            state["best_metric_epoch"] = int(getattr(self.evaluator.state, "best_metric_epoch", -1))
            state["validation_epoch"] = int(self.evaluator.state.epoch)
        write_atomically(self.path, lambda path: torch.save(state, path))

    def _load(self, engine: Engine) -> None:
        if not (self.resume and self.path.is_file()):
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
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


class MetricsTable:
    """Append one row per epoch to a CSV file: epoch, mean training loss, learning rate, validation metrics.

    Args:
        path: CSV file. Rows of epochs that are trained again (after a resume) are replaced.
        optimizer: its first group's learning rate is noted.
        evaluator: validation engine.
    """

    def __init__(self, path: str | Path, optimizer: torch.optim.Optimizer, evaluator: Engine | None = None) -> None:
        self.path, self.optimizer, self.evaluator = Path(path), optimizer, evaluator
        self.losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after the validation handler."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _note(self, engine: Engine) -> None:
        output = engine.state.output
        self.losses.append(float(output[0]["loss"] if isinstance(output, list) else output["loss"]))

    def _write(self, engine: Engine) -> None:
        row = {
            "epoch": str(engine.state.epoch),
            "loss": f"{np.mean(self.losses):.6f}" if self.losses else "",
            "learning_rate": f"{self.optimizer.param_groups[0]['lr']:.3g}",
        }
        if self.evaluator is not None and self.evaluator.state.metrics:
            row |= {name: f"{float(value):.6f}" for name, value in sorted(self.evaluator.state.metrics.items())}
        self.losses.clear()
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
        best_path: plain state dict of the best epoch so far.
        publish_path: copy of it at the end of training; a file that is already there is kept as `*.previous.pt`.
            None or "" publishes nothing.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        evaluator: Engine,
        best_path: str | Path,
        publish_path: str | Path | None = None,
    ) -> None:
        self.network, self.evaluator = network, evaluator
        self.best_path, self.publish_path = Path(best_path), Path(publish_path) if publish_path else None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after the validation handler."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._publish)

    def _keep(self, engine: Engine) -> None:
        if self.evaluator.state.best_metric_epoch == engine.state.epoch:
            module = getattr(self.network, "module", self.network)
            write_atomically(self.best_path, lambda path: torch.save(module.state_dict(), path))
            logger.info("epoch %d is the best so far: %s", engine.state.epoch, self.best_path)

    def _publish(self, engine: Engine) -> None:
        if self.publish_path is None or not self.best_path.is_file():
            return
        content = self.best_path.read_bytes()
        if self.publish_path.is_file() and self.publish_path.read_bytes() != content:
            previous = self.publish_path.with_suffix(".previous.pt")
            self.publish_path.replace(previous)
            logger.warning("the weights that were at %s are kept as %s", self.publish_path, previous)
        write_atomically(self.publish_path, lambda path: path.write_bytes(content))
        logger.info("best weights published to %s", self.publish_path)
