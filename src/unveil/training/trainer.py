"""The interface between the loop and what is trained: networks by name, batches, an objective, files. One subclass for each thing
trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from unveil.data.files import Picture, Store
from unveil.training.distributed import World
from unveil.training.settings import Config, Stage
from unveil.training.state import State

Objective = Callable[[Any, Any, Stage, torch.Generator], float]
"""(networks, batch, stage, generator) -> the loss, whose gradient it has taken."""


class Item(Protocol):
    """A batch: how many samples, and how it comes to a device."""

    @property
    def count(self) -> int: ...

    def to(self, device: torch.device) -> Item: ...

    def pin_memory(self) -> Item: ...


class Material(Protocol):
    """Where batches come from: functions of (seed, step, part) that can be sent to a process."""

    store: Store

    @property
    def pictures(self) -> Collection[Picture]: ...

    def stage_batch(self, stage: Stage, seed: int, step: int, part: int = 0) -> Item: ...


@dataclass
class OneNetwork:
    """One network to train, as the loop asks for it; all stages train it."""

    network: Any
    autocast: Callable[[], torch.autocast]

    @property
    def modules(self) -> dict[str, nn.Module]:
        """By the name it has in checkpoints."""
        return {"network": self.network}

    def trained(self, stage: Stage) -> tuple[str, ...]:
        """Its name."""
        return ("network",)


@dataclass(frozen=True)
class Verdict:
    """The result of a validation: a line for a person, numbers for programs, and what is stored in the files."""

    line: str
    numbers: dict[str, float]
    kept: Any = None


class Trainer(ABC):
    """What is trained. config: of the run, complete. fixed: beginnings of the names of parameters that never move.

    details: parts of the last loss by name, logged beside it.
    """

    fixed: tuple[str, ...] = ()

    def __init__(self, config: Config) -> None:
        self.config = config
        self.details: dict[str, float] = {}

    @abstractmethod
    def learner(self, device: torch.device) -> Any:
        """The networks on their device: `modules` by name, and `trained(stage)`, the names of those a stage trains."""

    @abstractmethod
    def material(self, world: World, say: Callable[[str], None]) -> Material:
        """The photographs, found, split and reported; called once, after `learner`."""

    @abstractmethod
    def objective(self, stage: Stage) -> Objective:
        """What a stage minimises."""

    def verdict(self, state: State, device: torch.device, folder: Path) -> Verdict | None:
        """A validation of the networks as they are, the averaged weights in place; None where nothing was held out."""
        return None

    @abstractmethod
    def write(self, state: State, path: Path, verdict: Verdict | None = None) -> str:
        """Write the networks as they are, the averaged weights in place, so that they can be used; returns the sha256."""

    @abstractmethod
    def finish(self, state: State, folder: Path, verdict: Verdict | None) -> str:
        """Write what the run leaves at its end into its folder; returns the line that says so."""
