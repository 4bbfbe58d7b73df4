"""`unveil train`: one configuration, one command; and going on where a run stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from unveil.cli import say
from unveil.errors import InputError

if TYPE_CHECKING:
    from unveil.training.settings import Config


def train(
    *config: Annotated[str, Parameter(allow_leading_hyphen=True)],
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    resume: Path | None = None,
    check: Annotated[bool, Parameter(negative="")] = False,
    profile: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a model: unveil train CONFIG [-o RUN] [--key value ...], or unveil train --resume RUN.

    Ctrl-C writes a checkpoint and stops with exit status 130; --resume goes on from it, bit for bit on a CPU. On several
    devices: torchrun --nproc-per-node N -m unveil.cli train CONFIG --stages.0.accumulate N.

    Args:
        config: A YAML file or the name of a preset (general, regression, finetune, adapter, wild, daclip, ...); then any of its
            settings by its dotted name, as --data.root photos --stages.0.steps 2000 --precision bf16.
        output: Folder of the run, runs/NAME by default. `unveil restore -n` takes this folder.
        resume: Folder of a run to go on with. Only settings that do not change the result may be changed, such as --data.root.
        check: Read the configuration, find and match all photographs, print the configuration, and stop; warns if they share pictures with
            a known test set.
        profile: Run a few steps of every stage, print where their time goes, and stop; nothing is written.

    """
    if resume is not None:
        if output is not None:
            raise InputError("--resume names the folder of the run; leave out -o")
        if config and not config[0].startswith("-"):
            raise InputError(f"--resume goes on by the run's own config.yaml; leave out {config[0]!r}")
        settings, folder = _resumed(resume, _overrides(config)), resume
    else:
        if not config or config[0].startswith("-"):
            raise InputError(
                "name a configuration first, a YAML file or a preset: unveil train general --data.root PHOTOS"
            )
        from unveil.training.config import find, load

        settings = load(find(config[0]), _overrides(config[1:]))
        folder = output or Path("runs") / settings.name
        if not (check or profile) and (folder / "config.yaml").exists():
            raise InputError(
                f"{folder} holds a run already; go on with --resume {folder}, or choose another folder with -o"
            )
    if check:
        _check(settings)
        return
    if profile:
        from unveil.training.profiling import profile as profiled

        if settings.path == "daclip" or not settings.stages:
            raise InputError("--profile is for networks that restore, with a stage at least")
        print(profiled(settings).table())
        return
    from unveil.training.loop import train as run

    run(settings, folder, report=lambda line: print(line, flush=True))


def _overrides(tokens: tuple[str, ...]) -> dict[str, str]:
    """--a.b value, --a.b=value and a lone --a.b (true) as a mapping. Raises InputError for a value without a name."""
    out: dict[str, str] = {}
    name = ""
    for token in tokens:
        if token.startswith("--") and len(token) > 2:
            name, given, value = token[2:].partition("=")
            name = name.replace("-", "_")
            out[name] = value if given else "true"
            name = "" if given else name
        elif name:
            out[name], name = token, ""
        else:
            raise InputError(f"{token!r} belongs to no setting; write settings as --data.root photos")
    return out


def _resumed(folder: Path, overrides: dict[str, str]) -> Config:
    from unveil.training.config import load, same_run

    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder}: no run to resume here (no config.yaml)")
    before, now = load(path), load(path, overrides)
    changed = same_run(before, now)
    if changed:
        raise InputError(
            f"a resumed run cannot change {', '.join(changed)}, which would change its result; start a new run"
        )
    return now


def _check(settings: Config) -> None:
    from unveil.data.leaks import cautions
    from unveil.training.batches import Source, scan
    from unveil.training.config import dump
    from unveil.training.loop import inventory, trainer_of

    settings = trainer_of(settings).config
    material = scan(settings.data)
    if settings.data.captions:
        from unveil.training.daclip import captions_of, tokeniser

        captions_of(settings.data, material)
        tokeniser(Path(settings.data.root) / settings.data.tokenizer)
    source, held_out = (Source(settings.data, held_out=h, material=material) for h in (False, True))
    print(dump(settings), end="")
    print(f"# {inventory(source, held_out)}")
    for line in material.notes:
        say(line)
    learned = [*material.photos, *(photo for _, photos in material.pairs for photo in photos)]
    for caution in cautions(photo.clean.path for photo in learned):
        say(caution)
