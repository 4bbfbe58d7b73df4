"""One stage of a run, step by step."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from unveil.errors import InputError
from unveil.training.batches import ahead, shares_memory
from unveil.training.distributed import World, gathered
from unveil.training.on_device import OnDevice
from unveil.training.reporting import EVERY, Pace, Reporter
from unveil.training.settings import Stage
from unveil.training.state import State
from unveil.training.trainer import Item, Material, Trainer, Verdict
from unveil.util.signals import answered
from unveil.util.words import duration

_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")  # the keyboard; torchrun, SLURM or kill; a scheduler's early notice


@dataclass
class Stop:
    """asked: whether the run is to stop."""

    asked: bool = False


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """While this is entered, the first signal of a kind only sets `asked`; the second of it acts as it would have without this.

    Of a kind, because Ctrl-C under torchrun brings each process a SIGINT from the terminal and a SIGTERM from torchrun.
    """
    stop = Stop()

    def ask(*_: object) -> None:
        stop.asked = True

    with answered(ask, *_SIGNALS, once=True):
        yield stop


WEIGHTS = "weights.safetensors"
"""In the folder of a run: recent averaged weights, as a model file like the one at its end."""
_MOST_STEPS = 10**8
_VALIDATION = 0.02
"""Share of its time that a run which ends with the clock spends on validation before it skips one."""
BAD_STEPS = 50
"""Non-finite steps in a row after which a run is given up."""

_PART_SEED = 0x9E3779B97F4A7C15  # so that the parts of one step draw different noise


def rate(stage: Stage, step: int, gone: float | None = None) -> float:
    """Learning rate at a step of the stage: a linear warm-up, then a cosine to a fiftieth, or level until it falls to a hundredth.

    gone: share of the stage's time that is over, for runs limited by time; by default that of its steps.
    """
    warm = min(1.0, (step + 1) / max(1, stage.warmup))
    whole = stage.horizon or stage.steps
    far = step / whole if gone is None else min(1.0, gone) * stage.steps / whole
    if stage.schedule == "level":
        return stage.lr * min(warm, max(0.01, 4 * (1 - far)))
    return stage.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * far)))


@dataclass
class TrainingRun:
    """What all stages of a run share."""

    trainer: Trainer
    state: State
    source: Material
    world: World
    report: Reporter
    stop: Stop
    folder: Path
    stop_at: int | None = None
    found: Verdict | None = None
    found_at: int = -1

    def write_weights(self) -> None:
        """Write the averaged weights as they are now, so that they can be used while the run goes on."""
        with self.state.shown() as seen:
            if seen is not None:
                self.trainer.write(seen, self.folder / WEIGHTS)

    def validated(self) -> None:
        """Validate the averaged weights, on the first process alone; the result is reported and kept."""
        done = self.state.counters.done
        if self.found_at == done:
            return
        self.found_at = done
        with self.state.shown() as seen:
            found = None if seen is None else self.trainer.verdict(seen, self.world.device, self.folder)
        if found is not None:
            self.found = found
            self.report.say(found.line)
            self.report.record(done, found.numbers, "validation")


@dataclass
class StageRunner:
    """Trains stage `number`, whose first step is `first` of the run."""

    run: TrainingRun
    number: int
    stage: Stage
    first: int

    def __post_init__(self) -> None:
        run, state = self.run, self.run.state
        self.parts = run.world.parts(self.stage.accumulate)
        self.keys = state.learner.trained(self.stage)
        resumed = state.counters.done > self.first
        if not resumed and self.keys == ("head",):
            # The head is trained on the averaged predictor, which is the one that is exported.
            state.put_averages("predictor")
        if not resumed:
            state.counters.running, state.counters.bad, state.counters.lowest = 0.0, 0, math.inf
            state.counters.stage = state.counters.seconds
        self.clock = time.monotonic() - state.counters.seconds
        self.ends = self._ends()
        self.written = state.counters.seconds
        self.optimiser = state.optimiser(self.stage, run.world, resumed=resumed)
        self.parameters = [p for key in self.keys for p in state.moving(key).values()]
        self.goal = run.trainer.objective(self.stage)
        self.pace = Pace()

    @property
    def last(self) -> int:
        """The step of the run after which the stage is over."""
        return self.first + self.stage.steps

    def go(self) -> bool:
        """Run the stage to its end. False when the run was asked to stop before it; a checkpoint has been written then."""
        run, counters = self.run, self.run.state.counters
        if self.ends is not None and counters.seconds >= self.ends:
            return True
        # A stage limited by time has as many steps as fit.
        steps = range(counters.done, self.last if self.ends is None else counters.done + _MOST_STEPS)
        batches = self._batches(steps)
        try:
            for step in steps:
                self._step(step, batches)
                ended = step + 1 == self.last if self.ends is None else counters.seconds >= self.ends
                if ended:
                    self._sound(step)
                if (step + 1) % EVERY == 0 or ended:
                    self._report()
                stopping = self.told_to_stop or (run.stop_at is not None and counters.done >= run.stop_at)
                if (step + 1) % run.state.config.save_every == 0 or ended or stopping:
                    run.state.save(run.folder, self.optimiser)
                    run.world.wait()
                if ended or counters.seconds - self.written >= 60 * run.state.config.weights_every:
                    # The clock of all processes, which may have to gather the weights together.
                    self.written = counters.seconds
                    run.write_weights()
                    self._carry()
                elif stopping:
                    self._carry()
                every = run.state.config.validation.every
                due = every and (step + 1) % every == 0 and not stopping and not ended
                if due and (self.ends is None or counters.validating <= _VALIDATION * counters.seconds):
                    started = time.perf_counter()
                    run.validated()
                    run.world.wait()
                    away = time.perf_counter() - started
                    counters.validating += run.world.sums([away])[0] / run.world.size
                    self.pace.away(away)
                if stopping:
                    return False
                if ended:
                    break
        finally:
            batches.close()
        return True

    def _ends(self) -> float | None:
        """Seconds of the run after which the stage is over; None where steps are counted.

        What is left of the run's time is shared among this stage and those after it as their steps say.
        """
        config, counters = self.run.state.config, self.run.state.counters
        if config.minutes <= 0:
            return None
        left = 60 * config.minutes - counters.stage
        after = sum(stage.steps for stage in config.stages[self.number :])
        return counters.stage + left * self.stage.steps / after

    def _rate(self, step: int) -> float:
        counters = self.run.state.counters
        if self.ends is None:
            return rate(self.stage, step - self.first)
        gone = (counters.seconds - counters.stage) / max(1e-9, self.ends - counters.stage)
        return rate(self.stage, step - self.first, gone)

    def _progress(self) -> str:
        done = self.run.state.counters.done - self.first
        return f"{done}/{self.stage.steps}" if self.ends is None else str(done)

    def _left(self) -> str:
        counters = self.run.state.counters
        if self.ends is None:
            return self.pace.left(self.last - counters.done)
        return duration(max(0.0, self.ends - counters.seconds))

    def _batches(self, steps: range) -> Generator[Item]:
        """The parts of all these steps in order, prepared ahead."""
        run, config = self.run, self.run.state.config
        keys = ((step, part) for step in steps for part in self.parts)
        make = partial(_batch, run.source, self.stage, config.seed)
        if isinstance(run.source, OnDevice):
            return ahead(make, keys, 0)
        if config.workers and shares_memory() and len(steps) * self.stage.batch >= len(run.source.pictures):
            run.source.store.fill(run.source.pictures)
        pinned = run.world.device.type == "cuda"
        return ahead(make, keys, config.workers, store=run.source.store, pinned=pinned)

    def _step(self, step: int, batches: Iterator[Item]) -> None:
        state, counters = self.run.state, self.run.state.counters
        self.optimiser.rate(self._rate(step))
        loss, images = self._gradient(step, batches)
        if self._finite(loss):
            self.optimiser.step()
            counters.running = loss if counters.running == 0.0 else 0.98 * counters.running + 0.02 * loss
        counters.done = step + 1
        self.pace.step(images * self.run.world.size)
        state.average(*self.keys)

    def _sound(self, last: int) -> None:
        """Raise InputError where a stage ends amid non-finite losses and would go on so: on the batches that would have followed, the
        weights as they are. Nothing has been written of its last steps then.
        """
        counters = self.run.state.counters
        if not counters.bad:
            return
        skipped, following = counters.skipped, range(last + 1, last + 1 + BAD_STEPS)
        batches = self._batches(following)
        try:
            for step in following:
                if self._finite(self._gradient(step, batches)[0]):
                    break
        finally:
            batches.close()
        counters.skipped = skipped  # these were no steps of the run

    def _gradient(self, step: int, batches: Iterator[Item]) -> tuple[float, int]:
        """The loss of a step, whose gradient is in place, and how many samples there were in this process."""
        run, state, counters = self.run, self.run.state, self.run.state.counters
        for parameter in self.parameters:
            parameter.grad = None
        losses: list[float] = []
        images = 0
        for part in self.parts:
            batch = next(batches)
            images += batch.count
            generator = self._generator(step, part)
            common = self._generator(step, 0) if part else generator
            losses.append(self.goal(state.learner, batch.to(run.world.device), self.stage, generator, common))
        run.world.average([p.grad for p in self.parameters if p.grad is not None], self.stage.accumulate)
        spent = time.monotonic() - self.clock
        total, asked, seconds = run.world.sums([sum(losses), float(run.stop.asked), spent])
        # As all processes know it: a signal that comes from here on counts for the next step.
        self.told_to_stop = asked > 0
        run.stop.asked |= self.told_to_stop
        # One clock for all processes: the rate follows it, and none may take a step that the others do not.
        counters.seconds = seconds / run.world.size
        loss = total / self.stage.accumulate
        self.norm = float(gathered(torch.nn.utils.clip_grad_norm_(self.parameters, self.stage.clip)))
        return loss, images

    def _generator(self, step: int, part: int) -> torch.Generator:
        seed = (self.run.state.config.seed * 1_000_003 + step + part * _PART_SEED) % 2**63
        return torch.Generator().manual_seed(seed)

    def _finite(self, loss: float) -> bool:
        """Whether a step can be taken; counts those that cannot, and raises InputError after too many."""
        counters = self.run.state.counters
        if math.isfinite(loss) and math.isfinite(self.norm):
            counters.bad = 0
            return True
        counters.bad += 1
        counters.skipped += 1
        if counters.bad >= BAD_STEPS:
            raise InputError(
                f"the loss was not finite for {BAD_STEPS} steps in a row; resume with a lower --stages.{self.number}.lr (now "
                f"{self.stage.lr:g}) or with --precision fp32"
                + (
                    f"; if that does not help, remove the checkpoints after step {counters.best}"
                    if counters.best
                    else ""
                )
            )
        return False

    def _carry(self) -> None:
        """Write the small state where it is asked for."""
        if self.run.state.config.carry != "none":
            self.run.state.carry(self.run.folder, self.optimiser)

    def _report(self) -> None:
        run, counters, pace = self.run, self.run.state.counters, self.pace
        speed, images = pace.steps / pace.seconds, pace.images / pace.seconds
        values = {
            "stage": self.number,
            "loss": counters.running,
            "norm": self.norm,
            "lr": self._rate(counters.done - 1),
        }
        values |= {"steps_per_second": speed, "images_per_second": images, "skipped": counters.skipped}
        values |= run.trainer.details
        parts = "".join(f", {name} {value:.4f}" for name, value in run.trainer.details.items())
        run.report.record(counters.done, values)
        unreadable = len(run.source.store.unreadable)
        run.report.say(
            f"stage {self.number + 1} ({self.stage.kind}) step {self._progress()} "
            f"loss {counters.running:.5f}{parts} {speed:.2f} steps/s {images:.0f} images/s, {self._left()} left"
            + (f", {counters.skipped} steps skipped" if counters.skipped else "")
            + (f", {unreadable} files unreadable" if unreadable else "")
        )


def _batch(source: Material, stage: Stage, seed: int, key: tuple[int, int]) -> Item:
    return source.stage_batch(stage, seed, *key)
