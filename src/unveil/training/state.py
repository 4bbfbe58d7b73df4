"""Where a run stands: networks, their averages, the optimiser and the counters; and all of it as tensors for a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unveil.errors import InputError
from unveil.training import checkpoint
from unveil.training.config import same_run, stored
from unveil.training.distributed import World, fill, gathered, is_sharded, local, put
from unveil.training.optimiser import Optimiser, adamw_of
from unveil.training.settings import Config, Stage
from unveil.util.words import first_line


@dataclass
class Counters:
    """done: optimiser steps of all stages, skipped ones included. running: smoothed loss of the stage. bad: non-finite steps
    in a row. skipped: non-finite steps in all. seconds: spent so far, of all stages, for runs that end with the clock.
    validating: seconds spent on validation. number: the present stage. first, stage: steps done and seconds spent when it began. saved:
    the step of the last checkpoint. best: of the one from which the stage's lowest smoothed loss was reached, and that loss.
    """

    done: int = 0
    running: float = 0.0
    bad: int = 0
    skipped: int = 0
    seconds: float = 0.0
    stage: float = 0.0
    validating: float = 0.0
    number: int = 0
    first: int = 0
    saved: int = 0
    best: int = 0
    lowest: float = math.inf


@dataclass
class State:
    """A run in progress. learner: has `modules`, networks by name, and `trained(stage)`, the names of those that a stage trains.

    averages: network -> parameter name -> averaged value. fixed: beginnings of the names of parameters that never move, and are in no
    checkpoint. saved: tensors of the checkpoint resumed from. whole: of a sharded run, on its first process, a copy of the learner that
    gathered weights are put into. first: whether this process writes the files; the others help it to gather what they alone have.
    """

    config: Config
    learner: Any
    averages: dict[str, dict[str, Tensor]]
    counters: Counters = field(default_factory=Counters)
    fixed: tuple[str, ...] = ()
    saved: dict[str, Tensor] = field(default_factory=dict)
    whole: Any = None
    first: bool = True

    @classmethod
    def fresh(cls, config: Config, learner: Any, fixed: tuple[str, ...] = ()) -> State:
        """At step 0, the averages equal to the weights."""
        state = cls(config, learner, {}, fixed=fixed)
        for key in learner.modules:
            state.averages[key] = {name: p.detach().clone() for name, p in state.moving(key).items()}
        return state

    def moving(self, key: str) -> dict[str, nn.Parameter]:
        """The parameters of a network that training may move, by name."""
        named = self.learner.modules[key].named_parameters()
        return {name: p for name, p in named if not name.startswith(self.fixed)}

    def optimiser(self, stage: Stage, world: World, *, resumed: bool) -> Optimiser:
        """That of the networks that a stage trains, the others frozen; with its saved moments in the middle of a stage."""
        trained = self.learner.trained(stage)
        for key, module in self.learner.modules.items():
            module.requires_grad_(False)
            for parameter in self.moving(key).values():
                parameter.requires_grad_(key in trained)
        modules = {key: self.learner.modules[key] for key in trained}
        # The moments of a single network have no prefix, as in earlier checkpoints.
        whole = nn.ModuleDict(modules) if len(modules) > 1 else modules[trained[0]]
        optimiser = Optimiser(stage.optimiser, whole, stage.lr, adamw_of(stage), world)
        if resumed:
            moments = {k.removeprefix("optimiser."): v for k, v in self.saved.items() if k.startswith("optimiser.")}
            optimiser.restore(moments)
        self.saved = {}
        return optimiser

    def average(self, *trained: str) -> None:
        """Move the averages of the trained networks towards their weights; faster while the run is young."""
        done = self.counters.done
        decay = min(self.config.ema, (1 + done) / (10 + done))
        for key in trained:
            named = self.moving(key)
            with torch.no_grad():
                averages = [local(self.averages[key][n]) for n in named]
                torch._foreach_lerp_(averages, [local(p.data) for p in named.values()], 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    def put_averages(self, *keys: str) -> None:
        """Copy the averages into the networks named."""
        for key in keys:
            for name, parameter in self.moving(key).items():
                parameter.data.copy_(self.averages[key][name])

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of every tensor."""
        return any(is_sharded(p) for module in self.learner.modules.values() for p in module.parameters())

    @contextmanager
    def shown(self) -> Iterator[State | None]:
        """Context: a state whose networks have their averaged weights, whole; None on processes that do not write. All processes of a
        sharded run must enter together.
        """
        if not self.sharded:
            if not self.first:
                yield None
                return
            with self.averaged():
                yield self
            return
        for key in self.learner.modules:
            fill(None if self.whole is None else self.whole.modules[key], self.averages[key])
        if self.whole is None:
            yield None
            return
        place = next(local(value).device for one in self.averages.values() for value in one.values())
        for module in self.whole.modules.values():
            module.to(place)
        try:
            yield replace(self, learner=self.whole)
        finally:
            for module in self.whole.modules.values():
                module.to("cpu")

    def exchange(self) -> None:
        """Swap weights and averages without arithmetic; a second call undoes the first."""
        for key in self.learner.modules:
            for name, parameter in self.moving(key).items():
                parameter.data, self.averages[key][name] = self.averages[key][name], parameter.data

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within this context the networks have their averaged weights."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def save(self, folder: Path, optimiser: Optimiser) -> None:
        """Write a checkpoint. All processes call it. Raises InputError when it cannot be written; the last good one stays."""
        counters = self.counters
        # How good a checkpoint's weights are shows only in the steps after it.
        if counters.saved and counters.running <= counters.lowest and not counters.bad:
            counters.best, counters.lowest = counters.saved, counters.running
        counters.saved = counters.done
        tensors = self._tensors(optimiser)
        if self.first:
            checkpoint.save(folder, counters.done, tensors, self._meta(), counters.best or None)

    def carry(self, folder: Path, optimiser: Optimiser) -> None:
        """Write the small state, with moments where the configuration says so. All processes call it. Raises InputError when it cannot be
        written.
        """
        moments = optimiser if self.config.carry == "moments" else None
        tensors = self._tensors(moments)
        if self.first:
            checkpoint.carry(folder, self.counters.done, tensors, self._meta())

    def _tensors(self, optimiser: Optimiser | None) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for key in self.learner.modules:
            for name, parameter in self.moving(key).items():
                tensors[f"{key}.{name}"] = parameter.data
                tensors[f"average.{key}.{name}"] = self.averages[key][name]
        if optimiser is not None:
            tensors |= {f"optimiser.{k}": v for k, v in optimiser.state().items()}
        if not self.sharded:
            return tensors
        # One after the other, and kept by the process that writes them alone.
        wholes = ((name, gathered(tensor)) for name, tensor in tensors.items())
        return {name: whole.cpu() for name, whole in wholes if self.first}

    def _meta(self) -> dict[str, str]:
        return {"config": json.dumps(asdict(self.config)), "counters": json.dumps(asdict(self.counters))}

    def load(self, folder: Path) -> checkpoint.Checkpoint | None:
        """Continue from the newest intact checkpoint in `folder`, if there is one; returns it.

        Raises InputError where it is of other networks or other settings, or none can be read.
        """
        found = checkpoint.latest(folder)
        if found is None:
            return None
        self._same(found)
        self.saved = found.tensors
        try:
            for key in self.learner.modules:
                for name, parameter in self.moving(key).items():
                    put(parameter.data, found.tensors[f"{key}.{name}"])
                    put(self.averages[key][name], found.tensors[f"average.{key}.{name}"])
        except (KeyError, RuntimeError) as error:
            raise InputError(
                f"{found.path}: a checkpoint of another network ({first_line(error)}); choose another folder"
            ) from error
        try:
            self.counters = Counters(**{**json.loads(found.meta.get("counters", "{}")), "done": found.step})
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{found.path}: its counters cannot be read ({error}); made by another version?"
            ) from error
        return found

    def _same(self, found: checkpoint.Checkpoint) -> None:
        """Raise InputError where the configuration is not the one that the checkpoint was made with."""
        if "config" not in found.meta:
            return
        changed = same_run(stored(json.loads(found.meta["config"])), self.config)
        if changed:
            raise InputError(
                f"{found.path}: made with other settings ({', '.join(changed)}); put them back in config.yaml, or start a new run"
            )
