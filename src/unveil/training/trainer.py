"""The interface between the loop and what is trained: networks by name, batches, an objective, files. One subclass for each thing
trained: `Restoring` for networks that restore; DA-CLIP's is in `training.daclip`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from unveil.data.dataset import Photograph
from unveil.data.files import Picture, Store
from unveil.errors import InputError
from unveil.training.batches import Source, scan
from unveil.training.distributed import World
from unveil.training.export import as_model, export, steps_of, write_card
from unveil.training.learner import build, started_from
from unveil.training.objectives import Learner, objective
from unveil.training.on_device import OnDevice
from unveil.training.settings import Config, Stage, total_steps
from unveil.training.state import State
from unveil.training.validation import HeldOut, held_out, validate

MODEL, CARD = "model.safetensors", "README.md"
"""What a run of networks that restore leaves in its folder."""

Objective = Callable[[Any, Any, Stage, torch.Generator, torch.Generator], float]
"""(networks, batch, stage, generator, common) -> the loss, whose gradient it has taken.

common: for draws that all parts of a step share, those that decide how long a part takes; for the first part it is `generator` itself.
"""


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
    leaves: what `finish` writes into the folder, the model first.
    """

    fixed: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()

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

    def finished(self, state: State, folder: Path) -> bool:
        """Whether a state that was loaded is past its last step and `finish` has left all that it writes, of that step."""
        counters, minutes = state.counters, state.config.minutes
        over = counters.seconds >= 60 * minutes if minutes else counters.done >= total_steps(state.config)
        there = bool(self.leaves) and all((folder / name).is_file() for name in self.leaves)
        return over and there and steps_of(folder / self.leaves[0]) == counters.done

    @abstractmethod
    def finish(self, state: State, folder: Path, verdict: Verdict | None) -> str:
        """Write what the run leaves at its end into its folder; returns the line that says so."""


class Restoring(Trainer):
    """A predictor and its correction, or two experts, of a configuration."""

    leaves = (MODEL, CARD)

    def __init__(self, config: Config) -> None:
        config, self._model = started_from(config)
        super().__init__(config)
        self._crops: HeldOut | None = None
        self._source: Source | None = None

    def learner(self, device: torch.device) -> Learner:
        """Fresh networks, or those of the model that the run starts from."""
        return build(self.config, device, self._model)

    def material(self, world: World, say: Callable[[str], None]) -> Source:
        """All photographs and pairs, and fixed crops of those held out."""
        config = self.config
        material = scan(config.data)
        self._source = Source(config.data, material=material)
        kept_back = Source(config.data, held_out=True, material=material)
        self._crops = held_out(config, kept_back) if world.first and config.data.held_out != 0 else None
        for line in material.notes:
            say(line)
        say(inventory(self._source, kept_back))
        for path in sorted(material.store.unreadable)[:20]:
            say(f"left out: {material.store.unreadable[path]}")
        if config.loader == "device" or (config.loader == "auto" and world.device.type == "cuda"):
            self._source = self._placed(self._source, world.device, say)
        return self._source

    def _placed(self, source: Source, device: torch.device, say: Callable[[str], None]) -> Source:
        """The source with its photographs on the device, where they fit into data.cache; else as it is, or an error if asked for."""
        if source.store.fits(source.pictures):
            return OnDevice(source, device)
        most = f"the photographs take more than data.cache, {self.config.data.cache} MiB"
        if self.config.loader == "device":
            raise InputError(
                f"loader: device, but {most}; raise --data.cache, or let --loader processes decode them as they are drawn"
            )
        say(f"{most}: batches are made by processes; with a larger --data.cache by the device")
        return source

    def objective(self, stage: Stage) -> Objective:
        """That of the stage's kind and target."""
        return objective(stage)

    def verdict(self, state: State, device: torch.device, folder: Path) -> Verdict | None:
        """Scores on the held-out crops. With a correction they are measured at fidelity 1 too, since it has no effect at 0."""
        if self._crops is None:
            return None
        done, autocast = state.counters.done, state.learner.autocast
        model = as_model(state.learner, state.config, done)
        sheet = folder / "validation" / f"step_{done:07d}.png"
        scores = validate(model, self._crops, autocast, device, sheet=sheet)
        told = ", told nothing" if model.spec.conditioned else ""
        line = f"validation on {scores.count} held-out crops{told}: {scores.line()}"
        numbers = {k: getattr(scores, k) for k in ("psnr", "ssim", "input_psnr", "input_ssim")}
        if model.head is not None and model.spec.defaults.fidelity < 1:
            full = validate(model, self._crops, autocast, device, fidelity=1.0)
            line += f"; at fidelity 1: {full.psnr:.2f} dB, SSIM {full.ssim:.4f}"
            numbers |= {"psnr_fidelity_1": full.psnr, "ssim_fidelity_1": full.ssim}
        return Verdict(line, numbers, scores)

    def write(self, state: State, path: Path, verdict: Verdict | None = None) -> str:
        """A model file."""
        scores = verdict.kept if verdict else None
        return export(state.learner, state.config, path, steps_done=state.counters.done, scores=scores)

    def finish(self, state: State, folder: Path, verdict: Verdict | None) -> str:
        """The model and its card."""
        assert self._source is not None
        model, scores = folder / MODEL, verdict.kept if verdict else None
        digest = self.write(state, model, verdict)
        defaults = as_model(state.learner, state.config, state.counters.done).spec.defaults
        card = folder / CARD
        written = write_card(card, state.config, self._source, state.counters, digest, scores, defaults)
        beside = "" if written == card else f"{card} was changed by hand and stays, the new card is {written.name}; "
        return f"{beside}wrote {model}; use it with: unveil restore PHOTO -o OUT -n {folder}"


def inventory(source: Source, kept_back: Source) -> str:
    """How much there is on each side of the split, in words."""

    def files(photographs: list[Photograph]) -> int:
        return len({p.clean.path for p in photographs})

    pairs = sum(len(found) for _, found in source.pairs)
    held = sum(len(found) for _, found in kept_back.pairs)
    return (
        f"{files(source.photos)} clean photographs and {pairs} pairs to train on; "
        f"{files(kept_back.photos)} and {held} held out for validation"
    )
