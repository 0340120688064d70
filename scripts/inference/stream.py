"""Images that come one by one, from outside of the evaluator's thread, instead of from a list."""

import queue
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from ignite.engine import Engine, Events
from torch.utils.data import IterableDataset

from scripts.data.lists.folder import TolerantDataset


class ImageStream(IterableDataset):
    """Data set of an evaluator that runs on in a thread of its own, and its last handler.

    Other threads call `process` with an item of a data list and get what `entry_of` makes of the evaluator's state once
    the image is done. Give it two or three images at a time: with prefetch one is read and computed while the results
    of the one before are written.
    """

    def __init__(self, transform: Callable[[Any], Any], entry_of: Callable[[Any], dict[str, Any]]) -> None:
        self.transform, self._entry_of = transform, entry_of
        self._given: queue.SimpleQueue[tuple[Mapping[str, Any], Future] | None] = queue.SimpleQueue()
        self._under_way: deque[Future] = deque()  # in the order in which they are done

    def process(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Hand an image over, and wait until it is done."""
        outcome: Future[dict[str, Any]] = Future()
        self._given.put((item, outcome))
        return outcome.result()

    def close(self) -> None:
        """No image comes any more: the evaluator ends after those that it has."""
        self._given.put(None)

    def __iter__(self) -> Iterator[Any]:
        while (given := self._given.get()) is not None:
            item, outcome = given
            self._under_way.append(outcome)
            yield TolerantDataset([dict(item)], self.transform)[0]

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, as its last handler."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._reply)

    def _reply(self, engine: Engine) -> None:
        self._under_way.popleft().set_result(self._entry_of(engine.state))
