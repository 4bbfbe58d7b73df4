"""What the tests of all networks share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class Golden:
    """One golden file: the official network's random weights (keys `sd.`), its inputs and outputs."""

    def __init__(self, path: Path) -> None:
        tensors = load_file(path)
        self.state = {key.removeprefix("sd."): value for key, value in tensors.items() if key.startswith("sd.")}
        self.data = {key: value for key, value in tensors.items() if not key.startswith("sd.")}

    def __getitem__(self, name: str) -> Tensor:
        return self.data[name]

    def into(self, network: nn.Module, prefix: str = "") -> nn.Module:
        """The network with the golden weights, every key matched, in evaluation mode."""
        network.load_state_dict({key.removeprefix(prefix): value for key, value in self.state.items()}, strict=True)
        return network.eval()


@pytest.fixture
def golden(shared: Path) -> Callable[[str], Golden]:
    return lambda name: Golden(shared / "golden" / f"{name}.safetensors")


@pytest.fixture
def close() -> Callable[[Tensor, Tensor], None]:
    """Asserts equality to the tolerance stated with the golden networks."""
    return lambda got, expected: torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def perturbed() -> Callable[[nn.Module], nn.Module]:
    """Adds a little noise to every weight, so that layers which start at zero take part."""

    def perturb(network: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        return network

    return perturb


@pytest.fixture
def images() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """images(batch, height, width) -> x_t, y, t."""

    def draw(batch: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 * height + width)
        x_t, y = torch.rand(2, batch, 3, height, width, generator=generator)
        return x_t, y, torch.arange(1, batch + 1)

    return draw


@pytest.fixture
def without_gradient() -> Callable[..., set[str]]:
    """without_gradient(network, *inputs): names of the parameters that a squared loss leaves without gradient."""

    def names(network: nn.Module, *inputs: Tensor) -> set[str]:
        network(*inputs).square().mean().backward()
        return {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}

    return names


@pytest.fixture
def reflected_image() -> Callable[[Tensor, int], Tensor]:
    """numpy's reflection to the next multiple, at the bottom and right: an independent word on what padding means."""

    def reflect(x: Tensor, multiple: int) -> Tensor:
        down, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
        return torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (0, down), (0, right)), mode="reflect"))

    return reflect
