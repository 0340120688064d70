"""Overlap of images: the next one is read and computed while the results of this one are made and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scripts.data.lists.folder import FAILURE

AHEAD = "computed_ahead"


class LookAhead:
    """A data loader that reads and computes one batch ahead, in one background thread.

    Each batch comes with the result of `compute` under `AHEAD`, or with the exception that it raised. While a batch
    is in the user's hands, the next one is read and computed; nothing further, so that memory stays bounded.

    Args:
        loader: yields batches, dictionaries; those that hold `FAILURE` are passed on as they are.
        compute: called on every batch, in the background thread.
    """

    def __init__(self, loader: Iterable[Any], compute: Callable[[Any], Any]) -> None:
        self.loader, self.compute = loader, compute

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        with ThreadPoolExecutor(1, thread_name_prefix="look-ahead") as pool:
            batches = iter(self.loader)
            ahead = pool.submit(self._next, batches)
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
