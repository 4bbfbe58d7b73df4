"""From trained networks to a model file that `unveil.load` takes, with everything needed to run it, and its model card."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from unveil.errors import InputError
from unveil.models.model import Model
from unveil.models.path_config import RESIDUAL, name_of, path
from unveil.models.spec import Defaults, Spec
from unveil.models.weights_file import write
from unveil.training.batches import Source, reduced_side
from unveil.training.learner import asked, described, described_head
from unveil.training.objectives import Learner
from unveil.training.settings import Config, total_steps
from unveil.training.state import Counters
from unveil.training.validation import Scores
from unveil.util import filled_in

FEW = 10
"""Steps of a model that is run on a subset of a long grid: see docs/wild.md."""


def machine() -> str:
    """The class of machine a run was made on, without names: "x86_64, 2 cores, CPU, torch 2.13.0"."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return f"{platform.machine()}, {os.cpu_count()} cores, {device}, torch {torch.__version__.split('+')[0]}"


def one_shot(config: Config) -> bool:
    """Whether the predictor was last trained as a plain regression, a network that is evaluated once."""
    kinds = [s.kind for s in config.stages if s.kind in ("predictor", "joint", "matching", "regression")]
    return kinds[-1:] == ["regression"]


def corrected(config: Config) -> bool:
    """Whether some stage of the run trains the correction; an untrained one is left out."""
    return any(stage.kind in ("correction", "adapter", "joint") for stage in config.stages)


def reach(network: Any, head: bool) -> int:
    """Pixels to each side of an output pixel that its value may depend on, for a compact network of this size.

    network: has `mults`, `blocks`, `bottom`. A block looks 2 of its level's pixels far, stem and output one; changes of scale
    add less than one pixel of the coarser level. With the head, its own three levels are added.
    """
    last = len(network.mults) - 1
    far = 2 * 2  # stem and output, at half resolution
    for level in range(last + 1):
        up = (network.up_blocks or network.blocks) if level < last else 0
        far += 2 ** (level + 1) * 2 * (network.blocks + up)
    far += 2 ** (last + 1) * 2 * network.bottom
    far += 2 ** (last + 1)
    if head:
        depth = min(3, last + 1) - 1
        far += 2 * 2 + sum(2 ** (level + 1) * 2 * (2 if level < depth else 1) for level in range(depth + 1))
        far += 2 ** (depth + 1)
    return far


_EVERYWHERE = 512
"""The receptive field that is stated for a network with attention: it depends on all pixels, and smaller tiles give other results."""


def _far(config: Config, head: bool) -> int:
    """Distance in pixels within which an output depends on the input."""
    net = config.network
    if net.experts:
        return max(reach(sizes, False) for sizes in net.experts)
    if net.kind != "compact" or (head and net.correction.base):
        return _EVERYWHERE
    return reach(net, head)


def spec(
    config: Config,
    multiple_of: int,
    steps_done: int,
    *,
    head: bool,
    fidelity: float = 0.0,
    reduced: int = 0,
    published: Spec | None = None,
) -> Spec:
    """The specification of the model that a run of this configuration yields, after so many optimiser steps in all.

    multiple_of: the predictor's. head: whether the model has its correction. fidelity: the default of the model that the run began from,
    where that had a correction. reduced: the long side in pixels to which that model reduces photographs; 0 where it reduces none.
    published: the description of the published network that was trained further; all but the correction is taken from it.
    """
    recipe = dataclasses.asdict(config)
    recipe["data"]["root"] = "."  # paths on the training machine do not belong in a published file
    recipe["network"]["guide"] = Path(config.network.guide).name
    made = {"config": recipe, "steps_done": steps_done, "seed": config.seed, "machine": machine()}
    correction = described_head(config) if head else 0
    if published is not None:
        defaults = published.defaults
        if head:
            defaults = dataclasses.replace(defaults, fidelity=1.0 if fidelity == 0 else fidelity)
        network = {**published.network, "head": correction}
        return dataclasses.replace(
            published, name=config.name, network=network, defaults=defaults, recipe={**published.recipe, **made}
        )
    network = described(config)
    if not config.network.experts:
        network["head"] = correction
    asks = asked(config)
    text = asks.schedule
    defaults = Defaults(grid=name_of(text), steps=min(FEW, path(text).steps))
    if one_shot(config) or name_of(text) not in RESIDUAL:  # reduced views belong to the residual path
        defaults = dataclasses.replace(defaults, resolution="off")
    # Sampling reduces to what training has seen reduced: larger costs low light up to two decibels (docs/choices.md).
    views = [reduced_side(stage) for stage in config.stages if stage.low > 0 or stage.expert == "low"]
    defaults = dataclasses.replace(defaults, low=max(views, default=reduced or defaults.low))
    if config.network.experts:
        # As `noising.after_switch` makes the native states; the views pay (docs/choices.md).
        defaults = dataclasses.replace(defaults, switch="guided", views=4)
    kinds = {stage.kind for stage in config.stages}
    if "rollout" in kinds:  # trained on the sampler's own states at every fidelity, of which 1 gives the best results
        defaults = dataclasses.replace(defaults, fidelity=1.0)
    if head:
        # The paper subtracts the correction in full; a model that began with another default keeps it, but for an adapter, whose predictor
        # was not trained on this damage.
        defaults = dataclasses.replace(defaults, fidelity=1.0 if "adapter" in kinds or fidelity == 0 else fidelity)
    return Spec(
        name=config.name,
        network=network,
        schedule=text,
        sampler="one_shot" if one_shot(config) else "diffusion",
        prediction=asks.prediction,
        time=asks.time,
        fixes=tuple(config.network.fixes),
        multiple_of=multiple_of,
        receptive_field=_far(config, head),
        defaults=defaults,
        recipe=made,
    )


def _as_spec(learner: Learner, config: Config, steps_done: int) -> tuple[Spec, nn.Module | None]:
    """The description of a trained learner, and its correction."""
    head = None if one_shot(config) or not corrected(config) else learner.head  # none beside experts
    described = spec(
        config, learner.predictor.multiple_of, steps_done, head=head is not None, fidelity=learner.fidelity,
        reduced=learner.reduced, published=learner.published,
    )  # fmt: skip
    if learner.guide is not None:
        described = dataclasses.replace(described, network={**described.network, "guide": learner.guide.entry()})
    return described, head


def as_model(learner: Learner, config: Config, steps_done: int) -> Model:
    """The learner's networks as they are now, as a model: what `export` writes, without the file."""
    described, head = _as_spec(learner, config, steps_done)
    return Model(described, learner.predictor, head, guide=None if learner.guide is None else learner.guide.network)


def export(
    learner: Learner, config: Config, path: Path, *, steps_done: int | None = None, scores: Scores | None = None
) -> str:
    """Write the learner's networks (averaged weights in place, as `train` returns them) to `path`; returns the sha256.

    steps_done: optimiser steps taken in all; the configuration's own number by default. scores: kept in the specification
    with their protocol. A regression run is written as a one-shot model, and a head that no stage trained is left out.
    Raises InputError when the file cannot be written.
    """
    done = total_steps(config) if steps_done is None else steps_done
    described, head = _as_spec(learner, config, done)
    if scores is not None:
        described.recipe["validation"] = dataclasses.asdict(scores)
    # A published network is written in full precision, so that it stays bit for bit; ours in half precision.
    dtype = torch.float16 if learner.published is None else torch.float32
    with written(path):
        if learner.guide is not None:
            learner.guide.put_into(Path(path).parent)
        return write(Path(path), described, learner.predictor, head, dtype)


def steps_of(path: Path) -> int:
    """How many steps the run had made that wrote a model file; -1 for a file that cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return int(json.loads((file.metadata() or {})["unveil"])["recipe"]["steps_done"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return -1


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Context for writing an output file of a run: makes its folder, lets other users read it, and turns errors of the disk into
    InputError.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
        path.chmod(0o644)  # safetensors writes files that only their owner can read
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: the model could not be written ({error}); free some space or choose another folder"
        ) from error


def _data(config: Config, source: Source) -> list[str]:
    lines = [f"- photographs with simulated damage: {folder}" for folder in config.data.photos]
    if config.data.photos:
        kinds = config.data.kinds or {"all kinds": 1.0}
        lines.append(f"- damage: {', '.join(f'{k} {v:g}' for k, v in kinds.items())}")
    for entry, (_, found) in zip(config.data.pairs, source.pairs, strict=True):
        name = entry.folder or f"{entry.degraded} and {entry.clean}"
        lines.append(f"- {len(found)} pairs: {name}, weight {entry.weight:g}")
    held = f"{config.data.kept():.0%}"
    if config.data.held_out is None and any(pairs.folder for pairs in config.data.pairs):
        held += ", and nothing of the published benchmarks' pairs"
    lines.append(f"- held out for validation, by scene: {held}")
    if source.store.unreadable:
        lines.append(f"- unreadable and left out: {len(source.store.unreadable)} files")
    return lines


def _stages(config: Config) -> list[str]:
    head = ["| stage | steps | batch | crop | peak rate | reduced views |", "| --- | --- | --- | --- | --- | --- |"]
    return head + [
        f"| {s.kind} | {s.steps} | {s.batch} | {s.crop} px | {s.lr:g} | {s.low:.0%} |" for s in config.stages
    ]


def card(
    config: Config, source: Source, counters: Counters, digest: str, scores: Scores | None, defaults: Defaults
) -> str:
    """The card as Markdown. defaults: how the model is run without options."""
    path = "IR-SDE's mean-reverting" if config.path == "mean_reverting" else "the residual"
    what = "a regression network, evaluated once" if one_shot(config) else f"a posterior sampler of {path} path"
    lines = [f"# {config.name}", "", f"Image restoration: {what}. Written by `unveil train`.", ""]
    if config.network.fixes:
        lines += [f"It fixes {', '.join(config.network.fixes)}, and leaves all else as it is.", ""]
    lines += [
        "    import unveil",
        '    unveil.load("PATH_OF_THIS_FOLDER").restore("photo.jpg", seed=0).save("clean.png")',
        "",
    ]
    if not one_shot(config):
        lines += [
            f"By default: {defaults.steps} steps on the grid {defaults.grid}, solver {defaults.solver}, fidelity {defaults.fidelity:g} "
            "(0 draws from the posterior, 1 follows its mean), resolution "
            + (f"{defaults.resolution} from {defaults.low} px" if defaults.resolution != "off" else "native")
            + ".",
            "",
        ]
    lines += ["## Data", "", *_data(config, source), ""]
    lines += ["## Recipe", "", *_stages(config), ""]
    start = f", started from {config.init}" if config.init else ""
    lines += [
        f"Seed {config.seed}, {config.precision}, averaged weights (decay {config.ema:g}){start}; "
        f"{counters.done} steps, {counters.skipped} of them skipped as non-finite. {machine()}. All settings are in config.yaml.",
        "",
        "## Numbers",
        "",
    ]
    if scores is None:
        lines += ["None measured: no photographs were held out.", ""]
    else:
        lines += [
            f"PSNR {scores.line()}.",
            "",
            f"Protocol: {scores.protocol}. These crops chose nothing but are of the same sources as the training data; "
            "a published comparison needs a test set (`unveil evaluate`).",
            "",
        ]
    lines += ["## Licence", "", "To fill in. The terms of the training data may bind the weights.", ""]
    return "\n".join([*lines, f"sha256 of model.safetensors: `{digest}`", ""])


def write_card(
    path: Path,
    config: Config,
    source: Source,
    counters: Counters,
    digest: str,
    scores: Scores | None,
    defaults: Defaults,
) -> Path:
    """Write `card` to a file, or beside it where somebody changed that (`util.filled_in`); returns where. Raises InputError when it
    cannot be written.
    """
    return filled_in.put(path, card(config, source, counters, digest, scores, defaults))
