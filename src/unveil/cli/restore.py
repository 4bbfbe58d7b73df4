"""`unveil restore`: photographs in, restored photographs out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unveil.errors import InputError, UnveilError

SOME_FAILED = 3
"""Exit status: some files failed (each named with its reason), the others were written."""


def restore(
    *inputs: Path,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    name: Annotated[str, Parameter(name=["--name", "-n"])] = "general",
    steps: int | None = None,
    samples: int = 1,
    uncertainty: bool = False,
    seed: int = 0,
    fidelity: float | None = None,
    strength: float = 1.0,
    solver: str | None = None,
    grid: str | None = None,
    resolution: str | None = None,
    compare: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    json_lines: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Restore photographs.

    Args:
        inputs: Files to restore.
        output: File to write, or folder (made if missing) when there are several inputs or it ends in a slash.
        name: Model: a name on the shelf (see `unveil models`), a weight file, or the folder of a training run.
        steps: Network evaluations per draw; more is slower. Default: the model's.
        samples: Draws from the posterior; with several, their mean is written.
        uncertainty: Also write NAME_std.png, the standard deviation of the draws with a colour bar (at least 8 draws).
        seed: Same seed, same pixels.
        fidelity: 0 samples the posterior (sharp, draws differ), 1 aims at the smallest error. Default: the model's.
        strength: How much of the estimated damage to remove, 0 to 1.
        solver: ancestral, ddim, renoise or 2m.
        grid: Where the steps lie: cubic, or the schedule the model was trained on.
        resolution: coarse_to_fine, hourglass or off.
        compare: Also write NAME_compare.png, before and after side by side.
        device: auto, cpu, cuda, ...
        dtype: auto, fp32, bf16 or fp16.
        json_lines: Print one line of JSON per file instead of text.

    """
    if not inputs:
        raise InputError("nothing to restore: name at least one photograph")
    from unveil.cli.progress import Bar
    from unveil.restorer import Options, load

    if uncertainty:
        samples = max(samples, 8)
    options = Options(steps, samples, seed, fidelity, strength, solver, grid, resolution)
    restorer = load(name, device, dtype)
    restorer.resolve(options)  # a wrong setting is a usage error, not one per file
    targets = _targets(inputs, output)
    failed = 0
    for source, target in zip(inputs, targets, strict=True):
        try:
            with Bar(str(source), samples, quiet=json_lines) as bar:
                result = restorer.restore(source, options, callback=bar.advance)
            written = _write(result, target, uncertainty, compare)
        except UnveilError as error:
            failed += 1
            _say(
                json_lines,
                {"input": str(source), "status": "failed", "reason": str(error)},
                f"unveil: {error}",
                sys.stderr,
            )
            continue
        row = {
            "input": str(source),
            "status": "restored",
            "outputs": [str(p) for p in written],
            "seconds": round(result.seconds, 3),
        }
        _say(json_lines, row | result.protocol, f"{written[0]}  {result.seconds:.1f} s", sys.stdout)
    return SOME_FAILED if failed else 0


def _targets(inputs: tuple[Path, ...], output: Path) -> list[Path]:
    folder = len(inputs) > 1 or output.is_dir() or str(output).endswith(("/", "\\")) or not output.suffix
    place = output if folder else output.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        probe = place / ".unveil-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{place}: cannot be written to ({error.strerror}); choose another -o") from error
    targets = [place / source.name for source in inputs] if folder else [output]
    for i, target in enumerate(targets):
        if target in targets[:i]:
            raise InputError(
                f"{inputs[i]} and {inputs[targets.index(target)]} would both be written to {target}; rename one"
            )
    return targets


def _write(result, target: Path, uncertainty: bool, compare: bool) -> list[Path]:  # type: ignore[no-untyped-def]
    from unveil import figures

    written = [target]
    result.save(target)
    if uncertainty:
        path = target.with_name(f"{target.stem}_std.png")
        figures.deviation(result.std).save(path)
        written.append(path)
    if compare:
        path = target.with_name(f"{target.stem}_compare.png")
        figures.side_by_side([result.source.pixels, result.image], ["before", "after"]).save(path)
        written.append(path)
    return written


def _say(as_json: bool, row: dict, text: str, stream) -> None:  # type: ignore[no-untyped-def]
    print(json.dumps(row) if as_json else text, file=sys.stdout if as_json else stream, flush=True)
