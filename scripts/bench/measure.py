"""Clocks: wall and CPU time of calls, peak memory of fresh processes."""

import multiprocessing
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple


class Timing(NamedTuple):
    """Medians over runs, in seconds; `cpu_s` sums over the threads of the process."""

    wall_s: float
    cpu_s: float

    def as_dict(self) -> dict[str, float]:
        """Rounded to tenths of a millisecond."""
        return {"wall_s": round(self.wall_s, 4), "cpu_s": round(self.cpu_s, 4)}


class Stopwatch:
    """Times of named stages; what a stage takes within one run is summed, over runs the median counts."""

    def __init__(self) -> None:
        self._runs: list[dict[str, list[float]]] = []

    def start_run(self) -> None:
        """Begin a new run."""
        self._runs.append(defaultdict(lambda: [0.0, 0.0]))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to a stage of the current run."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        entry = self._runs[-1][name]
        entry[0] += time.perf_counter() - wall
        entry[1] += time.process_time() - cpu

    def medians(self) -> dict[str, Timing]:
        """Stage -> median times, in the order in which the stages came first."""
        names = list(dict.fromkeys(name for run in self._runs for name in run))
        return {name: Timing(*map(statistics.median, zip(*self._of(name), strict=True))) for name in names}

    def total(self) -> Timing:
        """Median over runs of the sum over stages."""
        sums = [[sum(entry[i] for entry in run.values()) for i in (0, 1)] for run in self._runs]
        return Timing(*map(statistics.median, zip(*sums, strict=True)))

    def _of(self, name: str) -> list[list[float]]:
        return [run[name] for run in self._runs if name in run]


def timed(call: Callable[[], Any], runs: int, warm: int = 0) -> tuple[Timing, Any]:
    """Median times of a call, and its last result.

    Args:
        call: what to time.
        runs: timed calls, at least 1.
        warm: calls before these that do not count.
    """
    if runs < 1:
        raise ValueError(f"runs: got {runs}; want at least 1")
    for _ in range(warm):
        call()
    watch, result = Stopwatch(), None
    for _ in range(runs):
        watch.start_run()
        with watch.stage("call"):
            result = call()
    return watch.total(), result


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """Result of a module-level function, called in a new interpreter that ends afterwards.

    So a part's peak memory is its own, and no part finds another's caches, threads or memory settings. On Linux a new
    process starts with its parent's peak as its own: the parent must stay small.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
