"""The training loop: stages in order, one optimiser per stage, an average of the weights, checkpoints that resume exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unveil.data.photographs import Photograph
from unveil.errors import Cancelled, InputError
from unveil.training.batches import Source, scan
from unveil.training.card import write_card
from unveil.training.config import Config, dump, total_steps
from unveil.training.distributed import World, world
from unveil.training.export import export
from unveil.training.interrupt import Stop, stop_on_signal
from unveil.training.learner import build, started_from
from unveil.training.objectives import Learner
from unveil.training.reporting import Reporter
from unveil.training.stage import Run, StageRunner, rate
from unveil.training.state import State
from unveil.training.validation import held_out
from unveil.util import atomic
from unveil.util.devices import computes_bf16

__all__ = ["build", "inventory", "rate", "train"]

SLOW = (
    "this processor has no instructions for bf16, where it takes several times as long as fp32; "
    "to train here: --precision fp32"
)


def train(
    config: Config, folder: Path, *, report: Callable[[str], None] = print, stop_at: int | None = None
) -> Learner:
    """Train all stages into `folder` and return the learner with averaged weights. Resumes from the newest checkpoint there.

    Every batch and every noise draw is a function of (seed, step), so a resumed run equals an uninterrupted one.
    At the end `folder` holds model.safetensors and README.md and is what `unveil.load` takes.
    stop_at: end early after this many steps in all (as a kill would; for tests). Raises InputError for material that does not
    fit, a checkpoint that cannot be written, or losses that stay non-finite; Cancelled after Ctrl-C, with a checkpoint written.
    """
    if not config.stages:
        raise InputError("stages is empty: a run needs at least one, as {kind: predictor, steps: 1000}")
    config, model = started_from(config)
    folder = Path(folder)
    with world(config.device) as here, stop_on_signal() as stop:
        state = State.fresh(config, build(config, here.device, model))
        resumed = state.load(folder)
        _together(here, state.counters.done, folder)  # and nobody writes before all have read
        if here.first:
            _write_config(config, folder)
        done = state.counters.done
        reporter = Reporter(folder, report, done=done, quiet=not here.first)
        try:
            for path in () if resumed is None else resumed.damaged:
                reporter.say(f"{path}: a damaged checkpoint, set aside; going on from the one before")
            if resumed:
                reporter.say(f"resumed at step {done} of {total_steps(config)}")
            if config.precision == "bf16" and here.device.type == "cpu" and not computes_bf16(here.device):
                reporter.say(SLOW)
            run = _run(state, here, reporter, stop, folder, stop_at)
            if not _stages(run):
                if stop.asked:
                    reporter.say(
                        f"stopped after step {state.counters.done}; go on with: unveil train --resume {folder}"
                    )
                    raise Cancelled(f"training stopped after step {state.counters.done}")
                return state.learner
            _finish(run)
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
    folder.mkdir(parents=True, exist_ok=True)
    atomic.replace(folder / "config.yaml", dump(config).encode())


def _run(state: State, here: World, reporter: Reporter, stop: Stop, folder: Path, stop_at: int | None) -> Run:
    """Everything the stages need, the photographs found and listed."""
    config = state.config
    material = scan(config.data)
    source = Source(config.data, material=material)
    kept_back = Source(config.data, held_out=True, material=material)
    crops = held_out(config, kept_back) if here.first and config.data.held_out != 0 else None
    reporter.say(inventory(source, kept_back))
    for path in sorted(material.store.unreadable)[:20]:
        reporter.say(f"left out: {material.store.unreadable[path]}")
    return Run(state, source, crops, here, reporter, stop, folder, stop_at)


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


def _stages(run: Run) -> bool:
    """All stages that are not over yet. False when one was stopped."""
    counters = run.state.counters
    for number, stage in enumerate(run.state.config.stages):
        if number < counters.number:
            continue
        if number > counters.number:
            counters.number, counters.first = number, counters.done
        over = not run.state.config.minutes and counters.done >= counters.first + stage.steps
        if not over and not StageRunner(run, number, stage, counters.first).go():
            return False
    return True


def _finish(run: Run) -> None:
    """Validate, put the averaged weights in place and write what ships."""
    state = run.state
    run.validated()
    state.put_averages(*state.learner.modules)
    if run.world.first:
        digest = export(
            state.learner,
            state.config,
            run.folder / "model.safetensors",
            steps_done=state.counters.done,
            scores=run.scores,
        )
        write_card(run.folder / "README.md", state.config, run.source, state.counters, digest, run.scores)
        run.report.say(
            f"wrote {run.folder / 'model.safetensors'}; use it with: unveil restore PHOTO -o OUT -n {run.folder}"
        )
    run.world.wait()
