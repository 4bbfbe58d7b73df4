"""Several processes that train one network: torchrun on one machine or many, NCCL on GPUs, gloo on CPUs.

Each process computes its share of the parts of every batch; the gradients are averaged once per step, after accumulation.
That is what DistributedDataParallel does without overlapping communication and computation; it is done here by hand because
the on-policy objective takes several backward passes per step. Every process holds the whole network and optimiser state (but for the
momentum of Muon, whose work is shared: `training.optimiser`), unless the run is `sharded` (FSDP2), for what does not fit one device: then
every process holds a part of each tensor, and a block's parameters are gathered while it computes and let go again. Files hold whole
tensors in either case, so that a run goes on with any number of processes.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unveil.errors import InputError
from unveil.networks.blocks import ResnetBlock
from unveil.util.devices import opened

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds a part of it alone."""
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

        Gradients of a sharded network are means over the processes already, taken while they were computed.
        """
        if gradients and is_sharded(gradients[0]):
            for gradient in gradients:
                cast("DTensor", gradient).to_local().mul_(self.size / parts)
            return
        if self.size > 1:
            # Convolutions as they lie in memory, channels last: in another order their copies take as long as the sum.
            rows = [g.permute(0, 2, 3, 1) if g.ndim == 4 else g for g in gradients]
            flat = torch.cat([r.reshape(-1) for r in rows])
            dist.all_reduce(flat)
            for row, whole in zip(rows, flat.split([r.numel() for r in rows]), strict=True):
                row.copy_(whole.view(row.shape))
        if parts > 1:
            for gradient in gradients:
                gradient.div_(parts)

    @torch.no_grad()
    def exchange(self, tensors: Sequence[Tensor], owners: Sequence[int]) -> None:
        """Give every process each tensor as its owner (a rank) has it, in place, by one broadcast an owner. All processes call it.

        tensors: whole, of one data type, the same shapes in the same order everywhere.
        """
        if self.size == 1:
            return
        sent = []
        for rank in sorted(set(owners)):
            part = [tensor for tensor, owner in zip(tensors, owners, strict=True) if owner == rank]
            flat = torch.cat([tensor.reshape(-1) for tensor in part])
            sent.append((rank, part, flat, dist.broadcast(flat, rank, async_op=True)))
        for rank, part, flat, work in sent:
            work.wait()
            if rank != self.rank:
                for tensor, whole in zip(part, flat.split([t.numel() for t in part]), strict=True):
                    tensor.copy_(whole.view(tensor.shape))

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


def balanced(costs: Sequence[float], size: int) -> list[int]:
    """The process, of `size`, for each of these costs: the dearest first, each to the process that has least to do."""
    owners, loads = [0] * len(costs), [0.0] * size
    for index in sorted(range(len(costs)), key=lambda i: -costs[i]):
        owners[index] = loads.index(min(loads))
        loads[owners[index]] += costs[index]
    return owners


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


def shard(learner: Any, world: World) -> Any:
    """Split the networks of a learner, with equal weights everywhere, over all processes, in place. All processes call it.

    Returns a copy of the learner on the processor, whole, to be filled with gathered weights (`fill`); None but on the first process.
    """
    # Seconds to import, which runs that are not sharded need not spend.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    whole = None
    if world.first:
        device = world.device
        for module in learner.modules.values():
            module.to("cpu")
        whole = copy.deepcopy(learner)
        for module in learner.modules.values():
            module.to(device)
    mesh = init_device_mesh(world.device.type, (world.size,))
    for module in learner.modules.values():
        module.to(memory_format=torch.contiguous_format)  # shards are rows of memory
        for block in module.modules():
            if isinstance(block, ResnetBlock):
                fully_shard(block, mesh=mesh)
        fully_shard(module, mesh=mesh)
    return whole


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; shares its memory."""
    return cast("DTensor", tensor).to_local() if is_sharded(tensor) else tensor


def gathered(tensor: Tensor) -> Tensor:
    """The whole tensor. Of a shard all processes must ask for it at the same time."""
    return cast("DTensor", tensor).full_tensor() if is_sharded(tensor) else tensor


@torch.no_grad()
def put(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor, which every process has, into a target that may be sharded. Raises RuntimeError where shapes differ."""
    if not is_sharded(target):
        target.copy_(value)
        return
    from torch.distributed.tensor import distribute_tensor

    target = cast("DTensor", target)
    if value.shape != target.shape:
        raise RuntimeError(f"a tensor {tuple(value.shape)} where {tuple(target.shape)} is expected")
    mine = distribute_tensor(
        value.to(device=local(target).device, dtype=target.dtype),
        target.device_mesh,
        target.placements,
        src_data_rank=None,
    )
    local(target).copy_(local(mine))


@torch.no_grad()
def fill(whole: nn.Module | None, tensors: dict[str, Tensor]) -> None:
    """Gather tensors, one after the other, into the parameters of these names of a whole network, None where this process keeps nothing.
    All processes call it.
    """
    named = {} if whole is None else dict(whole.named_parameters())
    for name, tensor in tensors.items():
        value = gathered(tensor)
        if whole is not None:
            named[name].data.copy_(value)
