"""Publishing the best weights of a training run."""

import hashlib
import itertools
import logging
from pathlib import Path

import torch
from ignite.engine import Engine, Events

from scripts.common.checks import check
from scripts.common.files import write_atomically
from scripts.common.ranks import is_first
from scripts.networks.checkpoint import bare, write_file

logger = logging.getLogger(__name__)


class PublishWeights:
    """Keep the best network's state dict, and put it where inference looks for it when training is complete.

    Args:
        evaluator: validation engine; its best metric decides. Without one the last epoch is kept, whatever `epoch`.
        best_path: plain state dict of the epoch that is kept so far.
        publish_path: copy of it at the end of training, once (`*.published` beside `best_path` says of which weights);
            another file that is already there is kept as the first free of `*.previous.pt`, `*.previous2.pt`, ... None
            or "" publishes nothing.
        epoch: "best" keeps the epoch of the best metric, "last" the last one.
        network: what is kept instead of the trainer's network, e.g. the moving average of its weights.
    """

    def __init__(
        self,
        evaluator: Engine | None,
        best_path: str | Path,
        publish_path: str | Path | None = None,
        epoch: str = "best",
        network: torch.nn.Module | None = None,
    ) -> None:
        check("epoch", epoch, epoch in ("best", "last"), "best or last")
        if evaluator is None:
            logger.warning("the data list has no validation section: no validation runs, the last epoch is published")
            epoch = "last"
        self.evaluator, self.epoch = evaluator, epoch
        self.best_path, self.publish_path = Path(best_path), Path(publish_path) if publish_path else None
        self.network, self.trained = network, False

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after the validation handler."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._publish)

    def _keep(self, engine: Engine) -> None:
        self.trained = True
        best = None if self.evaluator is None else self.evaluator.state.best_metric_epoch
        if is_first() and (self.epoch == "last" or best == engine.state.epoch):
            network = bare(self.network or engine.network)
            state = {key: value.detach().cpu() for key, value in network.state_dict().items()}
            write_file(self.best_path, state)
            logger.info("epoch %d is the %s so far: %s", engine.state.epoch, self.epoch, self.best_path)

    def _publish(self, engine: Engine) -> None:
        if self.publish_path is None or not is_first() or not self.best_path.is_file():
            return
        content = self.best_path.read_bytes()
        mark, digest = self.best_path.with_suffix(".published"), hashlib.sha256(content).hexdigest()
        if not self.trained and mark.is_file() and mark.read_text(encoding="utf-8") == digest:
            return  # a complete run; one that was killed before it published is not
        if self.publish_path.is_file() and (old := self.publish_path.read_bytes()) != content:
            names = (f"{self.publish_path.stem}.previous{n if n > 1 else ''}.pt" for n in itertools.count(1))
            kept = next(path for path in map(self.publish_path.with_name, names) if not path.exists())
            write_atomically(kept, lambda path: path.write_bytes(old))
            logger.warning("the weights that were at %s are kept as %s", self.publish_path, kept)
        write_atomically(self.publish_path, lambda path: path.write_bytes(content))
        write_atomically(mark, lambda path: path.write_text(digest, encoding="utf-8"))
        logger.info("weights of the %s epoch published to %s", self.epoch, self.publish_path)
