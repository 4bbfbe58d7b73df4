"""Several processes that train one network: torchrun on one machine or many, NCCL on GPUs, gloo on CPUs.

Each process computes its share of the parts of every batch; the gradients are averaged once per step, after accumulation.
That is what DistributedDataParallel does without overlapping communication and computation; it is done here by hand because
the on-policy objective takes several backward passes per step. Every process holds the whole network and optimiser state, unless the run
is `sharded` (`training.sharding`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist
from torch import Tensor

from unveil.errors import InputError
from unveil.util.devices import opened

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds a part of it alone (`training.sharding`)."""
    return hasattr(tensor, "to_local")


@dataclass(frozen=True)
class World:
    """rank: of this process, 0 writes the files. size: number of processes. device: where this one computes."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a device is immutable)

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def parts(self, accumulate: int) -> range:
        """The parts of a batch that this process computes. Raises InputError where they cannot be shared evenly."""
        if accumulate % self.size:
            raise InputError(
                f"a batch in {accumulate} parts cannot be shared by {self.size} processes; set accumulate of every stage to a "
                f"multiple of {self.size}, as --stages.0.accumulate {self.size} (results depend on it, not on the number of processes)"
            )
        each = accumulate // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def average(self, gradients: Sequence[Tensor], parts: int) -> None:
        """Turn each process's sum over its own parts into the mean over all `parts`, in place.

        Gradients of a sharded network (`training.sharding`) are means over the processes already, taken while they were computed.
        """
        if gradients and is_sharded(gradients[0]):
            for gradient in gradients:
                cast("DTensor", gradient).to_local().mul_(self.size / parts)
            return
        if self.size > 1:
            flat = torch.cat([g.reshape(-1) for g in gradients])
            dist.all_reduce(flat)
            for gradient, whole in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(whole.view(gradient.shape))
        if parts > 1:
            for gradient in gradients:
                gradient.div_(parts)

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes."""
        if self.size == 1:
            return list(values)
        together = torch.tensor(
            values, dtype=torch.float64, device=self.device if self.device.type == "cuda" else "cpu"
        )
        dist.all_reduce(together)
        return together.tolist()

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """Auto is CUDA where there is one, else the CPU. Raises InputError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{local_rank}"
    return opened(name)


@contextmanager
def world(device: str) -> Iterator[World]:
    """This process's place among those that torchrun started, or alone. Leaves the group at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    place = pick_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1 or dist.is_initialized():
        yield World(
            dist.get_rank() if dist.is_initialized() else 0,
            dist.get_world_size() if dist.is_initialized() else 1,
            place,
        )
        return
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), place)
    finally:
        dist.destroy_process_group()
