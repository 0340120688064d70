"""Running over many images: an evaluator that survives a bad one, and computes the next while results are written."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from monai.engines import IterationEvents, SupervisedEvaluator
from monai.utils import CommonKeys as Keys

from scripts.common.checks import check
from scripts.common.interrupt import second_interrupt_leaves
from scripts.common.memory import give_back_freed_memory
from scripts.data.lists.folder import FAILURE, describe_failure

logger = logging.getLogger(__name__)
#: What postprocessing and writers need of preprocessing, besides the image.
MASKS = ("breast", "breast_inner")
AHEAD = "computed_ahead"


class LookAhead:
    """A data loader that reads and computes one batch ahead, in one background thread.

    Each batch comes with the result of `compute` under `AHEAD`, or with the exception that it raised. While a batch
    is in the user's hands, the next one is read and computed; nothing further, so that memory stays bounded.

    The loader's batches are dictionaries; those that hold `FAILURE` are passed on as they are. `prepare` is called
    while the first one is read.
    """

    def __init__(
        self, loader: Iterable[Any], compute: Callable[[Any], Any], prepare: Callable[[], Any] | None = None
    ) -> None:
        self.loader, self.compute, self.prepare = loader, compute, prepare

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        with ThreadPoolExecutor(1, thread_name_prefix="look-ahead") as pool:
            batches = iter(self.loader)
            ahead = pool.submit(self._next, batches)
            if self.prepare is not None:
                self.prepare()
            while (batch := ahead.result()) is not None:
                ahead = pool.submit(self._next, batches)
                yield batch

    def _next(self, batches: Iterator[Any]) -> Any:
        batch = next(batches, None)
        if batch is not None and FAILURE not in batch:
            try:
                batch[AHEAD] = self.compute(batch)
            except Exception as error:
                batch[AHEAD] = error
        return batch


class TolerantEvaluator(SupervisedEvaluator):
    """MONAI's supervised evaluator, one image per batch, that records a failing image and goes on.

    After each iteration `state.failure` is None or a record {"file", "stage", "reason"}.

    With `prefetch` the next image is read and the network run on it while this one's results are made and written. It
    needs room for a second image; the results, their order and what is reported stay the same.
    """

    def __init__(self, *args: Any, prefetch: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if prefetch:
            self.data_loader: Any = LookAhead(self.data_loader, self._forward, self._prepare)

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Run over all images; Ctrl-C ends it in order, a second one at once. None are left: nothing happens."""
        if self.state.epoch_length == 0:  # every image was done before; MONAI would warn
            return
        with second_interrupt_leaves():
            super().run(*args, **kwargs)

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        engine.state.failure, engine.state.output = None, []
        if FAILURE in batchdata:
            engine.state.failure = {key: value[0] for key, value in batchdata[FAILURE].items()}
            return engine.state.output
        try:
            size = len(batchdata["image"])
            check("batch_size", size, size == 1, "1, as one bad image would take others along")
            outcome = batchdata.pop(AHEAD) if AHEAD in batchdata else self._forward(batchdata)
            if isinstance(outcome, Exception):
                raise outcome
            engine.state.output = outcome
            engine.fire_event(IterationEvents.FORWARD_COMPLETED)
            engine.fire_event(IterationEvents.MODEL_COMPLETED)
        except Exception as error:
            file = batchdata["image"].meta.get("filename_or_obj", "")
            engine.state.failure = describe_failure(file[0] if isinstance(file, list) else file, "processing", error)
            logger.debug("processing failed", exc_info=True)
            engine.state.output = []
        return engine.state.output

    def _prepare(self) -> None:
        """Let an inferer that can (`TileInferer`) bring the network into its form; an error shows with the images."""
        prepare = getattr(self.inferer, "prepare", None)
        if prepare is not None:
            with contextlib.suppress(Exception):
                prepare(self.network.eval(), self.state.device)

    def _forward(self, batchdata: Any) -> dict[str, Any]:
        """The network's part of an iteration: {"image", "label", "pred"} and the breast masks."""
        give_back_freed_memory()
        batch = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        inputs, targets, args, kwargs = batch if len(batch) == 4 else (*batch, (), {})
        with self.mode(self.network), torch.autocast("cuda", enabled=self.amp, **self.amp_kwargs):
            pred = self.inferer(inputs, self.network, *args, **kwargs)
        masks = {key: batchdata[key] for key in MASKS if key in batchdata}
        return {Keys.IMAGE: inputs, Keys.LABEL: targets, Keys.PRED: pred, **masks}
