"""Several processes of one run, as torchrun starts them: which one this is, and what they do together.

A run that has not called `join` is a single process, rank 0 of 1; then everything here does nothing.
"""

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

Thing = TypeVar("Thing")
#: How long a rank waits for the others: reading a large data set, or an evaluation's figures, is done by one of them.
PATIENCE = timedelta(hours=24)


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if _joined() else 0


def ranks() -> int:
    """How many processes the run has."""
    return distributed.get_world_size() if _joined() else 1


def is_first() -> bool:
    """Whether this is rank 0, which alone writes what there is one of."""
    return rank() == 0


def own_device() -> torch.device:
    """This process's GPU, by its number on its machine; the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def join(device: Any = "cpu") -> None:
    """Join the other processes that torchrun started, before anything else here is called.

    Args:
        device: where tensors that the ranks exchange lie: a GPU takes NCCL, the CPU Gloo.

    Raises:
        ValueError: torchrun did not start this process.
    """
    if _joined():
        return
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        want = "a run started by torchrun --nproc_per_node=<processes> -m monai.bundle run ..."
        raise ValueError(f"RANK: got a process that is none of several; want {want}")
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)


def leave() -> None:
    """Wait for the others to come here, and part."""
    if _joined():
        wait()
        distributed.destroy_process_group()


def wait() -> None:
    """Return when all ranks have come here."""
    if ranks() > 1:
        distributed.barrier()


def places(length: int) -> range:
    """This rank's part of `length` things: every n-th of n ranks, beginning with its own number."""
    return range(rank(), length, ranks())


def gathered(value: Thing) -> list[Thing]:
    """The values of all ranks, in their order. They are objects of this run's own processes, never read from files."""
    if ranks() == 1:
        return [value]
    values: list[Any] = [None] * ranks()
    distributed.all_gather_object(values, value)
    return values


def from_first(value: Thing) -> Thing:
    """Rank 0's value, on every rank."""
    if ranks() == 1:
        return value
    values: list[Any] = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


@contextlib.contextmanager
def first_before_others() -> Iterator[None]:
    """Rank 0 does what is inside, then the others: they find what it has made, if they see the same disk."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


def _joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()
