"""One network over several processes: parameters, gradients, moments and averages in shards (FSDP2), for what does not fit one device.

Every process holds a part of each tensor; a block's parameters are gathered while it computes and let go again. Files hold whole
tensors, as those of an unsharded run do, so that a run goes on with any number of processes, or with one alone.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from unveil.networks.blocks import ResnetBlock
from unveil.training.distributed import World, is_sharded

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def shard(learner: Any, world: World) -> Any:
    """Split the networks of a learner over all processes, in place. All processes call it.

    Args:
        learner: Has `modules`, whole networks with equal weights everywhere.
        world: The processes.

    Returns:
        A copy of the learner on the processor, whole, to be filled with gathered weights (`gather`); None but on the first process.

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
    """Gather tensors, one after the other, into the parameters of these names of a whole network. All processes call it.

    Args:
        whole: The network, None where this process keeps nothing.
        tensors: By the name of the parameter; sharded or not.

    """
    named = {} if whole is None else dict(whole.named_parameters())
    for name, tensor in tensors.items():
        value = gathered(tensor)
        if whole is not None:
            named[name].data.copy_(value)
