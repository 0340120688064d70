"""Handlers of a training run: seeds per epoch, resuming, metrics table, publishing the best weights."""

import json
import logging
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Randomizable

from scripts.common.errors import one_line
from scripts.common.files import PARTIAL
from scripts.common.ranks import from_first, is_first, rank, wait
from scripts.common.settings import describe
from scripts.common.stage import try_lock
from scripts.common.tables import read_csv, write_csv
from scripts.networks.checkpoint import WeightsError, bare, not_finite, read_file, weights_digest, write_file
from scripts.training.ranks import epoch_seed

logger = logging.getLogger(__name__)
STALE_S = 60  # no file takes so long to write
REMEDY = "give another output_dir, or --resume False to start anew"


class SeedEveryEpoch:
    """Seed all generators from (seed, epoch) when an epoch starts.

    So an epoch draws the same numbers whether training ran through or was resumed before it. The data set and the
    sampler of the trainer's loader are told the epoch if they have `set_epoch`, and its transforms are seeded, too.
    Of several ranks each has a seed of its own.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the epoch that starts."""
        seed = epoch_seed(self.seed, engine.state.epoch, rank())
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - MONAI's transforms draw from it
        torch.manual_seed(seed)
        loader: Any = engine.state.dataloader
        dataset = getattr(loader, "dataset", None)
        parts: list[Any] = [dataset, getattr(loader, "batch_sampler", None)]
        for part in parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(engine.state.epoch)
        transform = getattr(dataset, "transform", None)
        if isinstance(transform, Randomizable):
            transform.set_random_state(seed=seed)


class AverageWeights:
    """Keep an exponential moving average of the trained network's weights; starts with them after the first step.

    Args:
        average: `torch.optim.swa_utils.AveragedModel` of the network.
    """

    def __init__(self, average: torch.optim.swa_utils.AveragedModel) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Take a step's weights in."""
        self.average.update_parameters(engine.network)


class TrainingState:
    """Keep everything that training needs to go on in one file, and pick it up again.

    With it goes what the run is made of, as `describe` tells it: the trainer's network, optimizer, loss, inferer and
    data set (images and labels, patches, reading, working grid, transforms), the validation's data set, the other
    `objects` and `settings`. A checkpoint with anything else is refused, so that another split or fold in the same
    folder cannot leak test patients into training; what has no part in it may differ: `max_epochs` (but for schedules
    that know it, such as a cosine), where weights are published, workers.

    One training at a time writes into the folder of `path`; a second one is a ValueError. Of several ranks the first
    one writes, and all pick up, with any other number of ranks than before.

    Of one that differs in its images or labels alone, a run that was given weights to start from (fine-tuning; MONAI
    Label, which loads the published ones) starts anew from these; the old checkpoint is kept as `*.previous.pt`.

    Args:
        path: checkpoint file, rewritten atomically after every epoch.
        objects: name -> object with state_dict ("network", and optimizer, scheduler, ...).
        evaluator: validation engine, whose best metric is kept, or None.
        resume: pick up `path` when it exists; else start anew (and overwrite it).
        settings: what else makes the run what it is and no engine holds (postprocessing, ...).
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        evaluator: Engine | None = None,
        resume: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.objects, self.evaluator = Path(path), dict(objects), evaluator
        self.resume, self.settings = resume, dict(settings or {})
        self.fingerprint: dict[str, Any] = {}
        self._untrained = ""
        self._lock: TextIO | None = None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; must be the last handler, so that it sees each epoch's final state."""
        self._untrained = weights_digest(self.objects["network"])  # the engine holds none yet
        engine.add_event_handler(Events.STARTED, self._load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)
        for end in (Events.COMPLETED, Events.TERMINATE, Events.EXCEPTION_RAISED):
            engine.add_event_handler(end, self._release)

    def _take(self) -> None:
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = try_lock(folder / ".training.lock")
        if self._lock is None:
            raise ValueError(f"output_dir: got {folder}, where another training is at work; want a folder for each")

    def _release(self, engine: Engine, *error: Exception) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        for raised in error:  # ignite leaves an exception to its handlers
            raise raised

    def _save(self, engine: Engine) -> None:
        state: dict[str, Any] = {name: thing.state_dict() for name, thing in self.objects.items()}
        state["fingerprint"] = self.fingerprint
        state["epoch"], state["iteration"] = engine.state.epoch, engine.state.iteration
        if self.evaluator is not None:
            state["best_metric"] = float(getattr(self.evaluator.state, "best_metric", -1))
            state["best_metric_epoch"] = int(getattr(self.evaluator.state, "best_metric_epoch", -1))
        if is_first():
            write_file(self.path, state)

    def _load(self, engine: Engine) -> None:
        if is_first():
            self._take()
        wait()
        for left in self.path.parent.glob(f"{PARTIAL}*") if is_first() else ():  # by a run killed while it wrote
            if time.time() - left.stat().st_mtime > STALE_S:
                left.unlink(missing_ok=True)
        engines = {"train": engine} | ({} if self.evaluator is None else {"validate": self.evaluator})
        self.fingerprint = fingerprint_of(engines, self.objects | self.settings)
        if not (self.resume and from_first(self.path.is_file())):
            return
        try:
            state = read_file(self.path)
            wait()  # until all have read it
            if self._other_images(state) and weights_digest(self.objects["network"]) != self._untrained:
                kept = self.path.with_suffix(f".previous{self.path.suffix}")
                if is_first():
                    self.path.replace(kept)
                logger.warning("other images or labels than in %s: starting anew from the given weights", kept)
                return
            self._check(state)
        except WeightsError as error:
            raise ValueError(f"{error}; {REMEDY}") from error
        try:
            for name, thing in self.objects.items():
                thing.load_state_dict(state[name])
            engine.state.epoch, engine.state.iteration = int(state["epoch"]), int(state["iteration"])
            if self.evaluator is not None:
                for name in ("best_metric", "best_metric_epoch"):
                    setattr(self.evaluator.state, name, state[name])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(
                f"{self.path}: is no checkpoint of this training ({one_line(error, 200)}); {REMEDY}"
            ) from error
        logger.info("resuming %s after epoch %d of %s", self.path, state["epoch"], engine.state.max_epochs)
        if engine.state.max_epochs is not None and state["epoch"] >= engine.state.max_epochs:
            got = f"max_epochs: got {engine.state.max_epochs}, and {self.path} has {state['epoch']} with these images"
            logger.warning("%s; want more epochs, or another output_dir: nothing is trained", got)
            engine.terminate()

    def _other_images(self, state: Any) -> bool:
        """Whether images or labels differ from the checkpoint's, and nothing else."""
        old = state.get("fingerprint") if isinstance(state, Mapping) else None
        differing = _differing(old, self.fingerprint) if isinstance(old, Mapping) else []
        return bool(differing) and all(key.endswith(IMAGES) for key in differing)

    def _check(self, state: Any) -> None:
        if not isinstance(state, Mapping) or not isinstance(state.get("fingerprint"), Mapping):
            raise ValueError(f"{self.path}: does not tell the settings that it was trained with; {REMEDY}")
        if bad := next(not_finite(state), None):
            raise ValueError(f"{self.path}: holds numbers that are not finite, in {bad}; {REMEDY}")
        old, new = state["fingerprint"], self.fingerprint
        if keys := _differing(old, new):
            named = [f"{key} {old.get(key, 'absent')!r} there, {new.get(key, 'absent')!r} here" for key in keys]
            more = [f"{len(named) - 5} more"] if len(named) > 5 else []
            split = "another split, fold or set of images; " if any(key.endswith(IMAGES) for key in keys) else ""
            raise ValueError(f"{self.path}: is of another run: {split}{'; '.join(named[:5] + more)}; {REMEDY}")


IMAGES = ".dataset.images"  # end of a fingerprint's key


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [key for key in dict.fromkeys([*new, *old]) if old.get(key, "absent") != new.get(key, "absent")]


#: Parts of MONAI's engines that say what a run is made of; their data loader is looked at besides.
ENGINE_PARTS = ("network", "optimizer", "loss_function", "inferer")


def fingerprint_of(engines: Mapping[str, Engine], things: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for a run to go on: of trainer and evaluator, and of further objects or values.

    Given is each by its name, returned path of a setting -> plain value that any checkpoint can hold, such as
    "train.dataset.patches.patch_px" -> 512.
    """
    found: dict[str, Any] = {}
    parts = dict(things)
    for name, engine in engines.items():
        own = {part: bare(getattr(engine, part)) for part in ENGINE_PARTS if hasattr(engine, part)}
        loader = getattr(engine, "data_loader", None)
        dataset = getattr(loader, "dataset", None)
        if dataset is not None:  # an empty one says something too
            size = getattr(loader, "batch_size", None) or getattr(loader, "batch_sampler", None)
            own |= {"dataset": dataset, "batch_size": getattr(size, "batch_size", size)}  # of all ranks
        repeated = [part for part in ENGINE_PARTS if any(own.get(part) is other for other in things.values())]
        parts |= {f"{name}.{part}": thing for part, thing in own.items() if part not in repeated}
    for name, thing in parts.items():
        found |= _flat(name, describe(thing))
    return found


def _flat(name: str, description: Any) -> dict[str, Any]:
    if not isinstance(description, Mapping):
        return {name: json.loads(json.dumps(description))}
    return {path: leaf for key, value in description.items() for path, leaf in _flat(f"{name}.{key}", value).items()}


class MetricsTable:
    """Append one row per epoch to a CSV file: epoch, mean training loss, learning rate, validation metrics.

    The learning rate is that of the optimizer's first group as the epoch starts. Rows of epochs that are trained again
    (after a resume) are replaced; validation cells of epochs in which the evaluator did not run stay empty.
    """

    def __init__(self, path: str | Path, evaluator: Engine | None = None) -> None:
        self.path, self.evaluator = Path(path), evaluator
        self.losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after the validation handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self.losses.clear()
        self.learning_rate = float(engine.optimizer.param_groups[0]["lr"])

    def _note(self, engine: Engine) -> None:
        output = engine.state.output
        self.losses.append(float(output[0]["loss"] if isinstance(output, list) else output["loss"]))

    def _write(self, engine: Engine) -> None:
        if not is_first():
            return
        loss = f"{np.mean(self.losses):.6f}" if self.losses else ""
        row = {"epoch": str(engine.state.epoch), "loss": loss, "learning_rate": f"{self.learning_rate:.3g}"}
        if self.evaluator is not None and self.evaluator.state.epoch == engine.state.epoch:  # ValidationHandler ran it
            row |= {name: f"{float(value):.6f}" for name, value in sorted(self.evaluator.state.metrics.items())}
        earlier = read_csv(self.path) if self.path.is_file() else []
        rows = [*(old for old in earlier if int(old["epoch"]) < engine.state.epoch), row]
        write_csv(self.path, list(dict.fromkeys(name for entry in rows for name in entry)), rows)
