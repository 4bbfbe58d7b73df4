"""The training loop: stages in order, one optimiser per stage, an average of the weights, checkpoints that resume exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from unveil.errors import Cancelled, InputError
from unveil.training import checkpoint
from unveil.training.config import dump
from unveil.training.daclip import Describing
from unveil.training.distributed import World, shard, world
from unveil.training.learner import build
from unveil.training.reporting import Reporter
from unveil.training.settings import Config, total_steps
from unveil.training.stage import StageRunner, TrainingRun, rate, stop_on_signal
from unveil.training.state import State
from unveil.training.trainer import Restoring, Trainer, inventory
from unveil.util import atomic
from unveil.util.devices import computes_bf16

__all__ = ["build", "inventory", "rate", "run", "train"]

SLOW = (
    "this processor has no instructions for bf16, where it takes several times as long as fp32; "
    "to train here: --precision fp32"
)

THREADS = (
    "loader: threads is no longer there; batches are prepared by as many processes as workers says, and are the same"
)


def train(config: Config, folder: Path, *, report: Callable[[str], None] = print, stop_at: int | None = None) -> Any:
    """Train what a configuration says: networks that restore or, on path daclip, one that describes. See `run`."""
    return run(trainer_of(config), folder, report=report, stop_at=stop_at)


def trainer_of(config: Config) -> Trainer:
    """What a configuration trains; its `config` has the network that the run starts from filled in. Raises for what does not fit."""
    if not config.stages:
        raise InputError("stages is empty: a run needs at least one, as {kind: predictor, steps: 1000}")
    return Describing(config) if config.path == "daclip" else Restoring(config)


def run(trainer: Trainer, folder: Path, *, report: Callable[[str], None] = print, stop_at: int | None = None) -> Any:
    """Train all stages into `folder` and return the learner with averaged weights. Resumes from the newest checkpoint there.

    Every batch and every noise draw is a function of (seed, step), so a resumed run equals an uninterrupted one. At the end `folder` holds
    the trainer's output: for networks that restore, a folder that `unveil.load` takes.

    report: takes the lines for a person. stop_at: end early after this many steps in all (as a kill would; for tests). Raises InputError
    for material that does not fit, a checkpoint that cannot be written, or losses that stay non-finite; Cancelled after Ctrl-C, with a
    checkpoint written.
    """
    config, folder = trainer.config, Path(folder)
    with world(config.device) as here, stop_on_signal() as stop:
        learner = trainer.learner(here.device)
        whole = shard(learner, here) if config.sharded and here.size > 1 else None
        state = State.fresh(config, learner, trainer.fixed)
        state.whole, state.first = whole, here.first
        resumed = state.load(folder)
        _together(here, state.counters.done, folder)  # no process writes before all have read
        if resumed is not None and trainer.finished(state, folder):
            if here.first:
                report(
                    f"{folder} is finished, at step {state.counters.done}: its {trainer.leaves[0]} is there; nothing was changed"
                )
            state.put_averages(*state.learner.modules)
            return state.learner
        said: list[str] = []
        # Before anything is written: a folder of photographs that is not there leaves no run behind.
        source = trainer.material(here, said.append)
        if here.first:
            _write_config(config, folder)
        done = state.counters.done
        reporter = Reporter(folder, report, done=done, quiet=not here.first)
        try:
            for path in () if resumed is None else resumed.damaged:
                reporter.say(f"{path}: a damaged checkpoint, set aside; going on from the one before")
            if resumed:
                how = ", from the small state in half precision" if resumed.path.name == checkpoint.CARRIED else ""
                reporter.say(f"resumed at step {done} of {total_steps(config)}{how}")
            if config.precision == "bf16" and here.device.type == "cpu" and not computes_bf16(here.device):
                reporter.say(SLOW)
            if config.loader == "threads":
                reporter.say(THREADS)
            for line in said:
                reporter.say(line)
            going = TrainingRun(trainer, state, source, here, reporter, stop, folder, stop_at)
            if not _stages(going):
                if stop.asked:
                    reporter.say(
                        f"stopped after step {state.counters.done}; go on with: unveil train --resume {folder}"
                    )
                    raise Cancelled(f"training stopped after step {state.counters.done}")
                return state.learner
            _finish(going)
        finally:
            reporter.close()
    return state.learner


def _together(here: World, done: int, folder: Path) -> None:
    """Raise InputError unless every process resumes at the same step."""
    total, squares = here.sums([float(done), float(done) ** 2])
    if here.size * squares != total**2:
        raise InputError(
            f"{folder}: not all processes find the same checkpoint; it must lie where every machine sees it"
        )


def _write_config(config: Config, folder: Path) -> None:
    with atomic.replacing(folder / "config.yaml") as temporary:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(dump(config))


def _stages(going: TrainingRun) -> bool:
    """All stages that are not over yet. False when one was stopped."""
    counters = going.state.counters
    for number, stage in enumerate(going.state.config.stages):
        if number < counters.number:
            continue
        if number > counters.number:
            counters.number, counters.first = number, counters.done
        over = not going.state.config.minutes and counters.done >= counters.first + stage.steps
        if not over and not StageRunner(going, number, stage, counters.first).go():
            return False
    return True


def _finish(going: TrainingRun) -> None:
    """Validate, put the averaged weights in place and write the model file."""
    state = going.state
    going.validated()
    state.put_averages(*state.learner.modules)
    with state.shown() as seen:
        if seen is not None:
            going.report.say(going.trainer.finish(seen, going.folder, going.found))
    going.world.wait()
