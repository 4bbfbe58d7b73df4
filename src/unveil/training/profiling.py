"""Where the time of a training step goes: `unveil train CONFIG --profile`."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch

from unveil.data.files import Store
from unveil.training import batches, objectives
from unveil.training.batches import Source
from unveil.training.distributed import World, world
from unveil.training.on_device import Album, OnDevice
from unveil.training.optimiser import Optimiser
from unveil.training.reporting import Reporter
from unveil.training.settings import Config
from unveil.training.stage import StageRunner, Stop, TrainingRun
from unveil.training.state import State
from unveil.training.trainer import Restoring

PARTS = ("decode", "crop", "simulate", "batch", "states", "forward", "backward", "optimiser", "average", "rest")
"""Parts of a step; "batch" is the remainder of preparing one, "rest" that of the step: the loss, copies, clipping."""

_CALLS: tuple[tuple[Any, str, str], ...] = (
    (Store, "_make", "decode"),
    (batches, "crops", "crop"),
    (Album, "cut", "crop"),
    (Source, "_damaged", "simulate"),
    (Source, "stage_batch", "batch"),
    *(
        (objectives, name, "states")
        for name in ("forward_states", "grid_states", "after_switch", "sampled_conditions", "normal")
    ),
    (torch.Tensor, "backward", "backward"),
    (Optimiser, "step", "optimiser"),
    (State, "average", "average"),
    (StageRunner, "_step", "rest"),
)
"""Functions and the part that their time belongs to, less that of the ones they call."""


@dataclass
class Clock:
    """Seconds by part, each moment counted for the innermost function that is timed."""

    device: torch.device
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    def _switch(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Within this context, time is counted for a part."""
        self._switch()
        self._open.append(part)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted for a part."""

        def call(*args: Any, **settings: Any) -> Any:
            with self.of(part):
                return function(*args, **settings)

        return call


@contextmanager
def _watched(clock: Clock, learner: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, part in _CALLS:
            stack.enter_context(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        networks = {id(m): m for m in (*learner.modules.values(), learner.predictor)}
        for module in networks.values():
            for name in ("forward", "answer"):
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, clock.timed("forward", getattr(module, name))))
        yield


@dataclass(frozen=True)
class StageProfile:
    """Of one stage: seconds of a step by part, images of a step, and its kind."""

    kind: str
    seconds: dict[str, float]
    images: int

    @property
    def total(self) -> float:
        """Seconds of a step."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Profile:
    """stages: one each. decoding: seconds for all photographs once, None where they do not fit into memory. validation: of one."""

    stages: list[StageProfile]
    decoding: float | None
    validation: float

    def table(self) -> str:
        """As Markdown: milliseconds and shares of a step, then what happens less often."""
        heads = [f"stage {n} ({stage.kind})" for n, stage in enumerate(self.stages, 1)]
        lines = ["| ms of a step | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
        for part in PARTS:
            cells = [f"{1000 * s.seconds[part]:.1f} ({s.seconds[part] / s.total:.0%})" for s in self.stages]
            lines.append(f"| {part} | " + " | ".join(cells) + " |")
        lines.append("| all | " + " | ".join(f"{1000 * s.total:.1f}" for s in self.stages) + " |")
        lines.append("| images/s | " + " | ".join(f"{s.images / s.total:.1f}" for s in self.stages) + " |")
        once = "as they are drawn" if self.decoding is None else f"once, in {self.decoding:.1f} s"
        return "\n".join([*lines, "", f"Photographs are decoded {once}; one validation takes {self.validation:.1f} s."])


def profile(config: Config, steps: int = 10, warm: int = 2) -> Profile:
    """Run a few steps of every stage, `warm` of them uncounted, with batches prepared in this process so that their parts can be timed,
    and discard the result.

    Seconds of wall time; a device is synchronised after every part, so that it is a little slower than a run. Raises InputError as a run
    does.
    """
    config = replace(config, workers=0, minutes=0.0)
    with world(config.device) as here, TemporaryDirectory() as folder:
        return _profiled(config, here, Path(folder), steps, warm)


def _profiled(config: Config, here: World, folder: Path, steps: int, warm: int) -> Profile:
    trainer = Restoring(config)
    state = State.fresh(trainer.config, trainer.learner(here.device))
    reporter = Reporter(folder, lambda line: None)
    try:
        source = trainer.material(here, reporter.say)
        started = time.perf_counter()
        fits = isinstance(source, OnDevice) or source.store.fill(source.pictures)
        decoding = time.perf_counter() - started if fits else None
        decoding = source.decoding if isinstance(source, OnDevice) else decoding
        run = TrainingRun(trainer, state, source, here, reporter, Stop(), folder)
        stages = [_stage(run, number, steps, warm) for number in range(len(config.stages))]
        started = time.perf_counter()
        run.validated()
        return Profile(stages, decoding, time.perf_counter() - started)
    finally:
        reporter.close()


def _stage(run: TrainingRun, number: int, steps: int, warm: int) -> StageProfile:
    stage, first = run.trainer.config.stages[number], run.state.counters.done
    run.state.counters.number, run.state.counters.first = number, first
    runner = StageRunner(run, number, stage, first)
    prepared = runner._batches(range(first, first + warm + steps))
    for step in range(first, first + warm):
        runner._step(step, prepared)
    clock, images = Clock(run.world.device), runner.pace.images
    with _watched(clock, run.state.learner):
        for step in range(first + warm, first + warm + steps):
            runner._step(step, prepared)
    prepared.close()
    seconds = {part: clock.seconds[part] / steps for part in PARTS}
    return StageProfile(stage.kind, seconds, (runner.pace.images - images) // steps)
