"""Several processes that train one network (torchrun); a single process is the case of one.

Every process holds all the data and works on its share of each global batch; files, lines and progress bars come
from the first one only. How many there are, and which of them this is, `support.launch` knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from support.errors import InputError
from support.launch import is_first, local_rank, rank, world_size

T = TypeVar("T")


def local_device(name: str) -> str:
    """The device of this process when the user asked for `name`: `cuda` becomes a GPU of its own for each process.

    Raises:
        InputError: there are several processes, and `name` is neither cpu nor cuda.
    """
    if world_size() == 1:
        return name
    if name not in ("cpu", "cuda"):
        raise InputError(f"--device {name}: several processes take cpu, or cuda, which gives each a GPU of its own")
    return f"cuda:{local_rank()}" if name == "cuda" else name


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes for the length of the block: over nccl on CUDA, over gloo elsewhere."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # events and streams are those of the current device
    if world_size() == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield
    # Not after an error: the others would notice the closed connection and fail first, with that as their message.
    # A thread of gloo may still need Python's lock, to free what it has gathered; the end of the group waits for that
    # thread while holding the lock. With torch 2.6 half of the groups that ended right after a `gather` never did; both
    # the barrier and the pause wait without the lock.
    dist.barrier()
    time.sleep(0.2)
    dist.destroy_process_group()


def share(indices: Tensor) -> Tensor:
    """This process's part of the indices (b,) of a global batch: sizes differ by one at most, and may be 0."""
    return indices if world_size() == 1 else indices.tensor_split(world_size())[rank()]


def gather(values: np.ndarray) -> np.ndarray:
    """The rows of all processes, (n, ...) each, in the order of their ranks."""
    if world_size() == 1:
        return values
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, values)
    return np.concatenate(parts)


def from_first(value: T) -> T:
    """The first process's `value`."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def require_same(value: object, message: str) -> None:
    """Raise an `InputError` with `message` in a process whose `value` is not the first one's."""
    if from_first(value) != value:
        raise InputError(message)


def on_first(function: Callable[[], T]) -> T:
    """Call `function` in the first process only, and give all of them what it returned."""
    value: Any = function() if is_first() else None
    return from_first(value)


def seed_ranks() -> None:
    """Give every process random numbers of its own, drawn from the first one's generator.

    Called before each epoch. The first process's generator is what a checkpoint keeps, so a run resumes with any
    number of processes; a single process goes on with its generator untouched.
    """
    if world_size() > 1:
        torch.manual_seed(from_first(int(torch.randint(2**62, ()))) + rank())


def copy_buffers_from_first(model: nn.Module) -> None:
    """Give every process the running statistics of the first: those that a checkpoint keeps."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
