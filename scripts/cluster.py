"""Inference over very many images by workers on one machine or many; Ray starts, feeds and restarts them.

Each worker holds one network, made of the same configs as a run over a folder. There is one run report, and one set of
tables (scripts/outputs/merged_tables.py). Needs requirements-cluster.txt; docs/cluster.md tells how it is used.
"""

import logging
import math
import os
import secrets
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.api import BUNDLE, prepared
from scripts.common.checks import check
from scripts.common.interrupt import second_interrupt_leaves
from scripts.outputs.merged_tables import chunks_of, tables_of, write_tables
from scripts.outputs.run_report import RunReport
from scripts.outputs.writer import FindingsWriter

logger = logging.getLogger(__name__)
IN_FLIGHT = 3  # images of a worker: one is written, one computed, one waits
TRIES = 3  # of an image whose worker died

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and what each has."""

    count: int
    address: str = ""  # of a running Ray cluster ("auto": this machine's); "" starts one on this machine
    cpus: float = 1.0  # of each worker; its number of threads, too
    gpus: float = 0.0  # of each worker; 0.5 puts two of them on one GPU

    def __post_init__(self) -> None:
        check("workers", self.count, self.count >= 1, "1 or more")
        check("cpus_per_worker", self.cpus, self.cpus > 0, "more than 0")
        check("gpus_per_worker", self.gpus, self.gpus >= 0, "0 or more")

    @property
    def place(self) -> str:
        """Address as Ray takes it."""
        return self.address or os.environ.get("RAY_ADDRESS") or "local"


class Worker:
    """One network, in a process of its own."""

    def __init__(self, files: Sequence[str], values: Mapping[str, Any]) -> None:
        parser = prepared(files, values).parser
        self.report: RunReport = parser.get_parsed_content("run_report")
        self.stream = parser.get_parsed_content("dataset")
        evaluator = parser.get_parsed_content("evaluator")
        threading.Thread(target=self._run, args=(evaluator,), daemon=True).start()

    def segment(self, item: Item, earlier: Item | None) -> dict[str, Any]:
        """Entry of an image in the run report: of an earlier run, if its results hold, or done now."""
        if earlier is not None and self.report.is_done(earlier, item):
            return {**earlier, "kept": True}
        entry: dict[str, Any] = self.stream.process(item)
        return entry

    def tables(self, entries: Sequence[Item]) -> Any:
        """Arrow tables of finished images."""
        return tables_of(self.report.path.parent, entries)

    def _run(self, evaluator: Any) -> None:
        try:
            evaluator.run()
        except Exception:  # no fault of an image: those are recorded
            traceback.print_exc()
        finally:
            os._exit(1)  # Ray starts another worker


def run(files: Sequence[str | Path], values: Mapping[str, Any], workers: Workers) -> None:
    """Segment all images of the config's `datalist`; exit status 1 (SystemExit) when one failed.

    Config files are those of a run over a folder, `values` what their keys are set to.
    """
    ray, pool_of = _ray(workers)
    places = [str(Path(file).absolute()) for file in (*files, BUNDLE / "configs" / "cluster.json")]
    values = {key: value.expanduser().absolute() if isinstance(value, Path) else value for key, value in values.items()}
    parser = prepared(places, values).parser
    report: RunReport = parser.get_parsed_content("run_report")
    items = parser.get_parsed_content("datalist")
    outputs, method = (parser.get_parsed_content(key) for key in ("outputs", "method"))
    writer = FindingsWriter(report.path.parent, outputs, report.identity, method)
    report.inputs |= {"workers": workers.count}
    known = report.known(items)
    report.start(len(items))
    try:
        with second_interrupt_leaves():
            _start_ray(ray, workers)
            try:
                crew = _crew(ray, places, values, workers)
                for entry in _entries(ray, crew, items, known, report, writer):
                    report.add(entry, journaled=True)
                parts = chunks_of([*report.kept, *report.images])
                tables = pool_of(crew).map(lambda worker, part: worker.tables.remote(part), parts)
                write_tables(report.path.parent, tables)
            finally:
                ray.shutdown()
    except BaseException as error:
        report.end(error)
        raise
    report.end()
    report.finish()


def _ray(workers: Workers) -> tuple[Any, Any]:
    """The package and its pool. A Ray started here lets nobody else in, which it must know before it is loaded."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if workers.place == "local":
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray
        from ray.util import ActorPool
    except ImportError as error:
        raise ValueError("ray: got no such package; want pip install -r requirements-cluster.txt") from error
    return ray, ActorPool


def _start_ray(ray: Any, workers: Workers) -> None:
    """Join a Ray cluster, or start one of this machine's own."""
    own: dict[str, Any] = {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
    own |= {"num_cpus": math.ceil(workers.count * workers.cpus)}
    paths = os.pathsep.join([str(BUNDLE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"env_vars": {"PYTHONPATH": paths}}
    given = own if workers.place == "local" else {}
    ray.init(address=workers.place, runtime_env=environment, logging_level="error", **given)


def _crew(ray: Any, files: Sequence[str], values: Mapping[str, Any], workers: Workers) -> list[Any]:
    options = {"num_cpus": workers.cpus, "num_gpus": workers.gpus, "max_concurrency": IN_FLIGHT}
    actor = ray.remote(Worker).options(**options, max_restarts=-1, max_task_retries=TRIES - 1)
    return [actor.remote(files, values) for _ in range(workers.count)]


def _entries(
    ray: Any,
    crew: list[Any],
    items: Sequence[Item],
    known: Mapping[str, Item],
    report: RunReport,
    writer: FindingsWriter,
) -> Iterator[dict[str, Any]]:
    """The entry of every image, as they get done.

    A worker that dies takes its other images along, so those that were under way in too many deaths are done at the
    end, one at a time: only what kills its worker then, too, has failed.
    """
    suspects: list[Item] = []
    for item, outcome in _outcomes(ray, crew, items, known, IN_FLIGHT):
        if isinstance(outcome, Exception):
            suspects.append(item)
        else:
            yield outcome
    for item, outcome in _outcomes(ray, crew, suspects, {}, 1):
        if not isinstance(outcome, Exception):
            yield outcome
            continue
        reason = f"the process that worked on it ended {TRIES} times (out of memory, or killed?)"
        failure = {"file": str(item["image"]), "stage": "worker", "reason": reason}
        outputs = writer.fail(item["image_id"], failure)
        yield report.failed_entry(item["image_id"], failure, outputs) | {"seconds": None}


def _outcomes(
    ray: Any, crew: list[Any], items: Sequence[Item], known: Mapping[str, Item], each: int
) -> Iterator[tuple[Item, Any]]:
    """(item, its entry, or the error of a worker that died), `each` images at a time for every worker.

    A worker that is dead for good is taken out of the crew; without any left, its error is raised.
    """
    waiting, running = iter(items), {}
    idle = [worker for _ in range(each) for worker in crew]
    while True:
        while idle and (item := next(waiting, None)) is not None:
            worker = idle.pop(0)
            running[worker.segment.remote(item, known.get(item["image_id"]))] = worker, item
        if not running:
            return
        done = ray.wait(list(running), num_returns=1)[0][0]
        worker, item = running.pop(done)
        try:
            outcome = ray.get(done)
        except ray.exceptions.RayError as error:
            outcome = error
        idle.append(worker)
        yield item, outcome
