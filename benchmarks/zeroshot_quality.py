"""Measure the zero-shot methods with the shipped priors on test photographs, beside corrections that cost nothing.

    python -m benchmarks zeroshot_quality --json benchmarks/results/zeroshot_quality.json

The blind methods (LD-RPS, UP-ZeroIR, TAO, and GDP: its light model where photographs are dark, the identity elsewhere) run on every set;
DPS, DiffPIR, DDRM and PiGDM where the damage is known, which is noise, whose level they estimate. Every method has three seeds. Steps,
photographs and the sides of the priors' networks are few: the priors are small and the machine a processor; the result says how few.

The JSON file is written after every photograph, and an interrupted call goes on from it. `--sheet` writes what came out, side by side.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._pages import Value
from benchmarks._shared import positive, positive_number, read_json, shared_folder, table
from unveil.bench import methods, quality
from unveil.bench.methods import Method, Outcome
from unveil.bench.sets import TestSet, find
from unveil.evaluation.published import published_numbers

SEEDS = (0, 1, 2)
TASKS = {"tao256/LOL": "lowlight", "tao256/HSTS": "dehaze", "tao256/Kodak24": "denoise", "LOL_eval15": "lowlight"}
NAMES = {
    "ldrps": "LD-RPS", "upzeroir": "UP-ZeroIR", "tao": "TAO", "gdp": "GDP",
    "dps": "DPS", "diffpir": "DiffPIR", "ddrm": "DDRM", "pigdm": "PiGDM",
}  # fmt: skip
STEPS = {"ldrps": 12, "upzeroir": 12, "tao": 12, "gdp": 30, "dps": 30, "diffpir": 12, "ddrm": 12, "pigdm": 12}
KNOWN = ("dps", "diffpir", "ddrm", "pigdm")
BASELINES = {"lowlight": ("gain", "gamma"), "dehaze": ("stretch", "dark-channel-80"), "denoise": ("nlm", "tv")}
PRINTED = {"tao256/LOL": "LOLv1", "tao256/HSTS": "RESIDE-HSTS", "tao256/Kodak24": "Kodak24", "LOL_eval15": "LOLv1"}


def options(method: str, task: str, steps: int) -> dict[str, Any]:
    """What a method is told on a set of this task."""
    if method in KNOWN:
        return {"operator": "identity", "steps": steps}
    if method == "gdp":
        return {"operator": "light" if task == "lowlight" else "identity", "steps": steps}
    more: dict[str, dict[str, Any]] = {
        "ldrps": {"rounds": 0, "crop": 64},
        "upzeroir": {"rounds": 0, "width": 16},
        "tao": {"width": 16, "crop": 64},
    }
    return {"task": task, "steps": steps, **more[method]}


def row(method: str, task: str, seed: int, steps: int, dtype: str, sheet: list[Any]) -> Method:
    """A method with one seed. sheet: what came out is put there."""
    from unveil.loading import load
    from unveil.options import Options

    chosen = options(method, task, steps)
    restorer = load(method=method, dtype=dtype, **chosen)
    called = Options(seed=seed)

    def restore(y: np.ndarray) -> Outcome:
        out = restorer.restore(y, called).image
        sheet.append(out)
        return Outcome(out)

    protocol = {
        k: v
        for k, v in restorer.protocol(called).items()
        if k not in ("device", "vgg", "arniqa", "captioner", "caption_model")
    }
    return Method(f"{NAMES[method]} seed {seed}", restore, protocol)


def plan(
    test: TestSet, task: str, chosen: list[str], seeds: list[int], dtype: str, steps: float, sheet: list[Any]
) -> list[Method]:
    made = [methods.baseline(name) for name in ("identity", *BASELINES[task])]
    for seed in seeds:
        for method in chosen:
            if method not in KNOWN or task == "denoise":
                made.append(row(method, task, seed, max(2, round(STEPS[method] * steps)), dtype, sheet))
    return made


def average(of_row: dict[str, Any], key: str = "psnr") -> float:
    return float(np.mean([v[key] for v in of_row["one draw"]]))


def value(of_set: dict[str, Any], title: str, key: str = "psnr", digits: int = 2) -> Value | None:
    """A method's mean over photographs, one for each seed that measured as many photographs as the first did."""
    rows = [of_set.get(f"{title} seed {seed}") for seed in SEEDS]
    full = [r for r in rows if r is not None and r["one draw"]]
    most = max((len(r["one draw"]) for r in full), default=0)
    seen = [average(r, key) for r in full if len(r["one draw"]) == most]
    return Value(seen, digits) if seen else None


HEAD = ("set (photographs)", "row", "prior", "evaluations", "PSNR", "SSIM", "seconds a photograph")


def lines(name: str, of_set: dict[str, Any]) -> list[list[str]]:
    out = []
    for title, r in of_set.items():
        if " seed " in title or not r["one draw"]:
            continue
        out.append(
            [f"{name} ({len(r['images'])})", title, "", "", f"{average(r):.2f}", f"{average(r, 'ssim'):.3f}", ""]
        )
    for title in NAMES.values():
        found = value(of_set, title)
        if found is None:
            continue
        first = next(r for seed in SEEDS if (r := of_set.get(f"{title} seed {seed}")))
        seconds = float(np.mean(first["processor_seconds"]))
        run, ssim = first["run"], value(of_set, title, "ssim", 3)
        where = f"{name} ({len(first['images'])})"
        out.append([where, title, str(run["model"]), str(run["steps"]), str(found), str(ssim), f"{seconds:.1f}"])
    return out


def printed() -> str:
    """The papers' own numbers, all on Stable Diffusion 2.1 or ADM: never a column beside ours."""
    rows = []
    for dataset in dict.fromkeys(PRINTED.values()):
        for number in published_numbers(dataset=dataset, metric="psnr"):
            if number.method in ("LD-RPS", "UP-ZeroIR", "TAO", "GDP") and number.table.title in (
                "Low-light enhancement on LOLv1", "Dehazing on RESIDE-HSTS", "Main results",
            ):  # fmt: skip
                rows.append((dataset, number.method, f"{number.value:g}", number.citation))
    return table(("set", "method", "PSNR as printed", "where"), rows)


def tables(result: dict[str, Any]) -> str:
    return table(HEAD, [line for name in TASKS for line in lines(name, result["sets"].get(name, {}))])


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """`table`, `printed`, `protocol`, and for every set and method SET.METHOD (PSNR in dB; slashes, spaces and hyphens as underscores)."""
    found: dict[str, Value | str] = {
        "table": tables(result),
        "printed": printed(),
        "protocol": result["protocol"]["about"],
    }
    for name, of_set in result["sets"].items():
        for title, r in of_set.items():
            if " seed " not in title and r["one draw"]:
                found[_key(f"{name}.{title}")] = Value([average(r)])
        for title in NAMES.values():
            if (mean := value(of_set, title)) is not None:
                found[_key(f"{name}.{title}")] = mean
    return found


def _key(text: str) -> str:
    return text.replace("/", "_").replace(" ", "_").replace("-", "_")


def save_sheet(path: Path, pictures: list[np.ndarray]) -> None:
    from PIL import Image

    height = min(p.shape[0] for p in pictures)
    whole = np.concatenate([p[:height, : min(p.shape[1] for p in pictures)] for p in pictures], 1)
    Image.fromarray((255 * whole.clip(0, 1)).round().astype(np.uint8)).save(path)


def arguments(command: ArgumentParser) -> None:
    command.add_argument("--sets", nargs="*", default=list(TASKS), choices=list(TASKS))
    command.add_argument("--methods", nargs="*", default=list(NAMES), choices=list(NAMES))
    command.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    command.add_argument("--every", type=positive, default=8, help="take each n-th photograph of a set (default 8)")
    command.add_argument("--steps", type=positive_number, default=1.0, help="share of the steps in STEPS (default 1)")
    command.add_argument("--dtype", default="bf16")
    command.add_argument(
        "--sheet", type=Path, help="folder for a strip of results per set, which is no part of the project"
    )


def main(args: Namespace) -> None:
    found = find(shared_folder() / "data" / "test")
    every, steps = (15, 0.1) if args.quick else (args.every, args.steps)
    about = f"each {every}th photograph, by name, of each set; three seeds; priors small-pixel and small-latent in {args.dtype}"
    result: dict[str, Any] = {}
    for name in args.sets:
        sheet: list[Any] = []
        for method in plan(found[name], TASKS[name], args.methods, args.seeds, args.dtype, steps, sheet):
            before = read_json(args.json) if args.json and args.json.exists() else result
            result = quality.measure(
                [found[name]],
                [method],
                before=before,
                output=args.json,
                every=every,
                about={"about": about, "quick": args.quick},
            )
            done = result["sets"][name][method.title]
            if done["one draw"]:
                print(
                    f"{name} / {method.title}: {average(done):.2f} dB, {np.mean(done['processor_seconds']):.1f} s",
                    flush=True,
                )
            elif done["failed"]:
                print(f"{name} / {method.title}: failed: {done['failed']}", flush=True)
        if args.sheet and sheet:
            args.sheet.mkdir(parents=True, exist_ok=True)
            save_sheet(args.sheet / f"{name.replace('/', '_')}.png", sheet)
    print(tables(result))
    print(printed())
