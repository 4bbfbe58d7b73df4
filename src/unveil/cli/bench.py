"""`unveil bench`: quality beside the papers, speed, memory."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from unveil.cli import exit_status, say
from unveil.cli.progress import counting
from unveil.cli.zero_shot import NONE_GIVEN, ZeroShotOptions
from unveil.errors import InputError
from unveil.util.allocator import keep_freed_memory
from unveil.util.words import listed

if TYPE_CHECKING:
    from unveil.bench.methods import Method


_ABOUT = {
    "size": ("speed",),
    "megapixels": ("memory",),
    "threads": ("speed", "memory"),
    **dict.fromkeys(
        ("data", "baselines", "sets", "samples", "every", "metrics", "paper", "table", "cost", "dtype"), ("quality",)
    ),
    "models": ("quality", "speed"),
}
"""Options that not every measurement has: which of them have it."""
_ANY_METHODS = ("label", "preset")
"""Zero-shot options that belong to no method: those of the prior, and the preset."""


def bench(
    what: Literal["quality", "speed", "memory"] = "quality",
    *,
    data: Path | None = None,
    models: str = "general",
    baselines: str = "auto",
    sets: str = "",
    samples: int = 1,
    steps: str = "",
    fix: str = "",
    fidelity: float | None = None,
    every: int = 1,
    metrics: str = "",
    paper: str = "",
    table: str = "",
    cost: Annotated[bool, Parameter(negative="")] = False,
    size: int = 512,
    megapixels: str = "",
    threads: int = 1,
    device: str = "auto",
    dtype: str = "auto",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
    zero: ZeroShotOptions = NONE_GIVEN,
) -> int:
    """Measure models and cheap baselines on known test sets, beside what the papers print; or seconds; or memory.

    Args:
        what: quality (needs --data), speed, or memory.
        data: Folder with the test sets: LOL_eval15, SRD, tao256, Kodak24, PolyU_100, or benchmarks as their authors ship them.
        models: Models, separated by commas: names on the shelf, weight files, folders of runs, or zero-shot methods (diffpir, tao, ...).
            The options of zero-shot methods below go to those among them that have them.
        baselines: Methods that cost nothing, separated by commas; auto for the usual ones, none for none.
        sets: Test sets by name, separated by commas. Default: all that are found.
        samples: Draws for each photograph; with several, their mean is scored too.
        steps: Numbers of steps, separated by commas; each makes a row. Default: the model's.
        fix: Kinds of damage to fix, as of `unveil restore`: one row more for each model that takes this option. Without it, what the
            describer finds is fixed.
        fidelity: Of trained models, 0 to 1, in place of their default; it is part of the row's title. The result states the fidelity of
            each row.
        every: Take each n-th photograph alone.
        metrics: As of `unveil evaluate`, separated by commas. Default: psnr,ssim. On sets with masks also in the shadow and outside it.
        paper: Take the sets and the columns of a paper's table: learnir, daclip-wild, ld-rps or up-zeroir, with --table.
        table: Number of the table in the paper, or its title.
        cost: Also count parameters and multiply-adds, and the peak of a CUDA device's memory; with --paper always.
        size: Side in pixels of the photograph that speed is measured on.
        megapixels: Sizes of the photographs that memory is measured on, separated by commas. Default: 1,12,50,100.
        threads: Threads for speed and memory.
        device: auto, cpu, cuda, ... (quality and speed; memory is planned for the processor)
        dtype: auto, fp32, bf16 or fp16 (quality).
        output: JSON file to keep the result in; written after every photograph, and an interrupted call goes on from it.
        as_json: Print JSON instead of tables.

    """
    given = dict(locals())
    from unveil.bench.record import to_json, write_json

    _check_about(what, {name: value for name, value in given.items() if name in _ABOUT})
    counts = [_count(part) for part in listed(steps)]
    before = _before(output, what)
    if what == "quality":
        from unveil.bench.quality import markdown

        columns = listed(metrics)
        protocols: list[str] = []
        if paper or table:
            protocols, columns = _printed(paper, table, columns)
        methods = _methods(listed(models), baselines, samples, counts, fix, fidelity, device, dtype, zero)
        result = _quality(data, methods, listed(sets), every, before, output, columns, protocols, cost or bool(paper))
    else:
        if fix:
            raise InputError(f"{what} does not depend on what is fixed; leave out --fix")
        if fidelity is not None:
            raise InputError(f"{what} is measured at the model's own fidelity; leave --fidelity out")
        if what == "memory" and device not in ("auto", "cpu"):
            raise InputError(f"memory is measured on the processor; leave --device {device} out")
        for option, value in (("size", size), ("threads", threads)):
            if value < 1:
                raise InputError(f"--{option} must be at least 1, got {value}")
        if zero.given():
            raise InputError(
                f"{what} is measured of trained models; leave out {', '.join(f'--{n}' for n in zero.given())}"
            )
        if "torch" not in sys.modules:  # as `unveil restore` does
            keep_freed_memory()
        room = importlib.import_module(f"unveil.bench.{what}")
        markdown = room.markdown
        with counting() as show:
            own = {"model": models, "size": size, "device": device} if what == "speed" else _sizes(megapixels)
            own |= {"threads": threads, **_steps(counts)}
            result = room.measure(**own, progress=lambda done, total: show(what, done, total))
        if output is not None:
            write_json(output, result)
    print(to_json(result) if as_json else markdown(result), end="" if as_json else "\n")
    return _status(result)


def _check_about(what: str, given: Mapping[str, object]) -> None:
    """Raise InputError for an option that the measurement does not have: it would do nothing. given: options by name, with their values."""
    usual = inspect.signature(bench).parameters
    wrong = [name for name, value in given.items() if what not in _ABOUT[name] and value != usual[name].default]
    if wrong:
        those = " and ".join(_ABOUT[wrong[0]])
        raise InputError(f"--{wrong[0]} is of {those}, and does nothing for {what}; leave it out")


def _before(output: Path | None, what: str) -> dict[str, Any] | None:
    """The earlier result in a file, None where none is there. Raises InputError for a file that holds something else."""
    if output is None or not output.exists():
        return None
    try:
        before = json.loads(output.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{output} is no result to go on from ({error}); name another file") from error
    if not isinstance(before, dict) or before.get("benchmark", before.get("name")) != what:
        raise InputError(f"{output} is there already and is no result of `unveil bench {what}`; name another file")
    return before


def _count(text: str) -> int:
    if not text.isdecimal():
        raise InputError(f"--steps takes whole numbers separated by commas, not {text!r}")
    return int(text)


def _sizes(text: str) -> dict[str, list[float]]:
    try:
        sizes = [float(part) for part in listed(text)]
    except ValueError as error:
        raise InputError(f"--megapixels takes numbers separated by commas, not {str(error).split(': ')[-1]}") from error
    if not all(0 < size < math.inf for size in sizes):
        raise InputError(f"--megapixels takes numbers above 0, got {text}")
    return {"sizes": sizes} if sizes else {}


def _steps(counts: list[int]) -> dict[str, int]:
    if len(counts) > 1:
        raise InputError("speed and memory take one number of steps")
    return {"steps": counts[0]} if counts else {}


def _methods(
    models: list[str],
    baselines: str,
    samples: int,
    counts: list[int],
    fix: str,
    fidelity: float | None,
    device: str,
    dtype: str,
    zero: ZeroShotOptions,
) -> list[Method]:
    from unveil import loading
    from unveil.bench import methods
    from unveil.models.treatment import kinds_of
    from unveil.restorer import load
    from unveil.zeroshot.methods import METHODS

    _check_zero_shot([name for name in models if name in METHODS], zero)
    kinds = kinds_of(fix) if fix else ()
    made = methods.cheap() if baselines == "auto" else [methods.baseline(n) for n in listed(baselines) if n != "none"]
    for name in models:
        if name == "none":
            continue
        if name in METHODS:
            if fidelity is not None:
                raise InputError(
                    f"--fidelity is of trained models, and {name} is a zero-shot method; leave one of the two out"
                )
            own = {k: v for k, v in zero.settings().items() if k in _ANY_METHODS or k in METHODS[name].takes()}
            opened = loading.load(zero.prior, device, dtype, method=name, **own)
            told = {"preset": zero.preset or "", "prior": zero.prior}
            made += [methods.zero_shot(opened, samples, n, **told) for n in counts or [None]]  # type: ignore[arg-type]
            continue
        restorer = load(name, device, dtype)
        title = restorer.model.spec.name if name == restorer.model.spec.name else f"{restorer.model.spec.name} ({name})"
        own = {} if fidelity is None else {"fidelity": fidelity}
        at = "" if fidelity is None else f", fidelity {fidelity:g}"
        rows: list[tuple[str, dict[str, Any]]] = [("", own)]
        if told_kinds := [k for k in kinds if k in restorer.model.spec.fixable]:
            rows.append((f", told {' and '.join(told_kinds)}", own | {"fix": told_kinds}))
        for told, settings in rows:
            made += [
                methods.model(
                    restorer, f"{title}{told}, {n} step{'s' if n > 1 else ''}{at}", samples, steps=n, **settings
                )
                for n in counts
            ] or [methods.model(restorer, title + told + at, samples, **settings)]
    return made


def _check_zero_shot(named: list[str], zero: ZeroShotOptions) -> None:
    """Raise InputError for an option that none of the methods has: it would do nothing."""
    from unveil.zeroshot.methods import METHODS

    given = zero.given()
    if given and not named:
        raise InputError(
            f"only zero-shot methods take {', '.join(f'--{name}' for name in given)}; name one with --models (diffpir, ldrps, ...)"
        )
    for name in zero.settings():
        if name not in _ANY_METHODS and not any(name in METHODS[method].takes() for method in named):
            those = ", ".join(key for key, method in METHODS.items() if name in method.takes())
            raise InputError(f"{', '.join(named)} take no --{name}; {those} do")


def _printed(paper: str, table: str, wanted: list[str]) -> tuple[list[str], list[str]]:
    """(protocols, metrics) of a paper's table; metrics whose packages are missing are left out, with a message."""
    from unveil.evaluation.metrics.learned import OF_SETS, features
    from unveil.evaluation.metrics.registry import METRICS, check_available
    from unveil.evaluation.published import papers, published_tables

    if paper not in papers():
        raise InputError(f"no paper {paper!r}; known are {', '.join(papers())}")
    tables = [t for t in published_tables() if t.paper == paper and t.kind == "quality"]
    found = [t for t in tables if table in (t.table, t.title)]
    if not found:
        named = "; ".join(f"{t.table or repr(t.title)} ({t.title})" for t in tables)
        raise InputError(f"--paper {paper} has no table {table!r} of quality; --table is one of: {named}")
    columns = [c for c in found[0].columns if c.protocol is not None]
    if not columns:
        raise InputError(f"no column of {found[0].title!r} says enough of its protocol to be taken")
    metrics: list[str] = []
    for name in wanted or dict.fromkeys(c.metric for c in columns):
        try:
            if name in OF_SETS:
                features()
                metrics.append(name)
            elif name in METRICS:
                check_available(name)
                metrics.append(name)
        except InputError as error:
            say(f"column {name} is left out: {error}")
    return list(dict.fromkeys(str(c.protocol) for c in columns)), metrics


def _quality(
    data: Path | None,
    methods: list[Method],
    wanted: list[str],
    every: int,
    before: dict[str, Any] | None,
    output: Path | None,
    metrics: list[str],
    protocols: list[str],
    costs: bool,
) -> dict[str, Any]:
    from unveil.bench import quality
    from unveil.bench.sets import find
    from unveil.data.leaks import cautions

    if data is None:
        raise InputError("quality is measured on test sets: name the folder that holds them with --data")
    if every < 1:
        raise InputError(f"--every must be at least 1, got {every}")
    found = find(data)
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise InputError(f"no test set {unknown[0]!r} in {data}; found: {', '.join(found)}")
    if protocols and not wanted:
        wanted = [name for name, test in found.items() if test.protocol in protocols]
        if not wanted:
            raise InputError(
                f"{data}: none of the table's test sets ({', '.join(protocols)}); found: {', '.join(found)}"
            )
    chosen = [found[name] for name in wanted or found]
    for caution in cautions(clean for test in chosen for _, _, clean in test.pairs):
        say(caution)
    with counting() as show:
        return quality.measure(
            chosen,
            methods,
            before=before,
            output=output,
            every=every,
            metrics=metrics or quality.METRICS,
            costs=costs,
            progress=lambda name, title, done, total: show(f"{name}, {title}", done, total),
        )


def _status(result: dict[str, Any]) -> int:
    rows = [row for of_set in result.get("sets", {}).values() for row in of_set.values()]
    done, failed = (sum(len(row[key]) for row in rows) for key in ("images", "failed"))
    return (
        exit_status(failed, done)
        if rows
        else exit_status(len(result.get("left_out_megapixels", ())), len(result["rows"]))
    )
