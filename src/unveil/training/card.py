"""The model card of a run: what it is, what it saw, how it was made, what was measured, and what is left to fill in."""

from __future__ import annotations

from pathlib import Path

from unveil.models.spec import Defaults
from unveil.training.batches import Source
from unveil.training.config import Config
from unveil.training.export import machine, one_shot
from unveil.training.state import Counters
from unveil.training.validation import Scores
from unveil.util import atomic


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
    """The card as Markdown. defaults: how the model is run where nothing is said."""
    what = "a regression network, evaluated once" if one_shot(config) else "a posterior sampler of the residual path"
    lines = [f"# {config.name}", "", f"Image restoration: {what}. Written by `unveil train`.", ""]
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
) -> None:
    """Write `card` to a file, aside and renamed. Raises InputError when it cannot be written."""
    atomic.replace(path, card(config, source, counters, digest, scores, defaults).encode())
