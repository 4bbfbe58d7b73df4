"""Measure the zero-shot methods with the shipped priors on test photographs, beside corrections that cost nothing.

    python -m benchmarks zeroshot_quality --json benchmarks/results/zeroshot_quality.json

The blind methods (LD-RPS, UP-ZeroIR, TAO, and GDP: its light model where photographs are dark, the identity elsewhere) run on every set;
DPS, DiffPIR, DDRM and PiGDM where the damage is known, which is noise, whose level they estimate. Every method has three seeds. Steps,
photographs and the sides of the priors' networks are few: the priors are small and the machine a processor; the result says how few.

The JSON file is written after every photograph, and an interrupted call goes on from it.
"""

from __future__ import annotations

import itertools
import re
from argparse import Namespace
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from benchmarks._pages import Facts, Value
from benchmarks._shared import average, shared_folder, table
from benchmarks.quality import scored
from unveil.bench import methods
from unveil.bench.methods import Method, Outcome
from unveil.bench.sets import TestSet, find
from unveil.evaluation.published import published_numbers
from unveil.loading import load
from unveil.options import Options

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


def row(method: str, task: str, seed: int, steps: int, dtype: str) -> Method:
    """A method with one seed."""
    restorer, called = load(method=method, dtype=dtype, **options(method, task, steps)), Options(seed=seed)
    elsewhere = ("device", "vgg", "arniqa", "captioner", "caption_model")
    run = {k: v for k, v in restorer.protocol(called).items() if k not in elsewhere}
    return Method(f"{NAMES[method]} seed {seed}", lambda y: Outcome(restorer.restore(y, called).image), run)


def value(of_set: dict[str, Any], title: str, key: str = "psnr", digits: int = 2) -> Value | None:
    """A method's mean over photographs, one for each seed that measured as many photographs as the first did."""
    rows = [of_set.get(f"{title} seed {seed}") for seed in SEEDS]
    full = [r["one draw"] for r in rows if r is not None and r["one draw"]]
    most = max(map(len, full), default=0)
    seen = [average(r, key) for r in full if len(r) == most]
    return Value(seen, digits) if seen else None


HEAD = ("set (photographs)", "row", "prior", "evaluations", "PSNR", "SSIM", "seconds a photograph")


def lines(name: str, of_set: dict[str, Any]) -> list[list[str]]:
    out = []
    for title, r in of_set.items():
        if " seed " in title or not r["one draw"]:
            continue
        numbers = f"{average(r['one draw']):.2f}", f"{average(r['one draw'], 'ssim'):.3f}"
        out.append([f"{name} ({len(r['images'])})", title, "", "", *numbers, ""])
    for title in NAMES.values():
        found = value(of_set, title)
        if found is None:
            continue
        first = next(r for seed in SEEDS if (r := of_set.get(f"{title} seed {seed}")))
        seconds = fmean(first["processor_seconds"])
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


def facts(result: dict[str, Any]) -> Facts:
    """`table`, `printed`, `protocol`, and for every set and method SET.METHOD (PSNR in dB; slashes, spaces and hyphens as underscores)."""
    body = [line for name in TASKS for line in lines(name, result["sets"].get(name, {}))]
    found = Facts(table=table(HEAD, body), printed=printed(), protocol=result["protocol"]["about"])
    for name, of_set in result["sets"].items():
        means = {title: value(of_set, title) for title in NAMES.values()}
        means |= {
            title: Value([average(r["one draw"])])
            for title, r in of_set.items()
            if " seed " not in title and r["one draw"]
        }
        found |= {re.sub("[/ -]", "_", f"{name}.{title}"): mean for title, mean in means.items() if mean is not None}
    return found


def show(result: dict[str, Any]) -> str:
    return f"{facts(result)['table']}\n{printed()}"


OPTIONS = {
    "--sets": (TASKS, "", TASKS), "--methods": (NAMES, "", NAMES), "--seeds": list(SEEDS), "--dtype": "bf16",
    "--every": (8, "take each n-th photograph of a set"), "--steps": (1.0, "share of the steps in STEPS"),
}  # fmt: skip


def measure(given: Namespace) -> dict[str, Any]:
    found = find(shared_folder() / "data" / "test")
    every, share = (15, 0.1) if given.quick else (given.every, given.steps)
    about = f"each {every}th photograph, by name, of each set; three seeds; priors small-pixel and small-latent in {given.dtype}"

    def plan() -> Iterator[tuple[TestSet, Method]]:
        for name in given.sets:
            task = TASKS[name]
            for baseline in ("identity", *BASELINES[task]):
                yield found[name], methods.baseline(baseline)
            for seed, method in itertools.product(given.seeds, given.methods):
                if method not in KNOWN or task == "denoise":
                    steps = max(2, round(STEPS[method] * share))
                    yield found[name], row(method, task, seed, steps, given.dtype)

    return scored(given, plan(), every, about=about)
