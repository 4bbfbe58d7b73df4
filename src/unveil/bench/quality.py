"""Scores of methods on test sets, photograph by photograph, in a result that an interruption leaves useful."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unveil.bench.looks import Looks
from unveil.bench.methods import Method
from unveil.bench.record import Clock, environment, write_json
from unveil.bench.sets import TestSet, damaged
from unveil.data.bicubic import bicubic
from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, round_to
from unveil.evaluation.evaluate import evaluate_pair
from unveil.evaluation.metrics.learned import OF_SETS
from unveil.evaluation.metrics.registry import get_metric
from unveil.evaluation.protocols import Protocol, get_protocol
from unveil.evaluation.reading import read_image

METRICS = ("psnr", "ssim", "psnr_mean_matched")
MOST = 100.0
"""dB that stand for the infinite PSNR of equal images, so that a mean over images exists; at 8 bit any other is below 100."""
NUMBERS = (
    "photographs restored as they are, results rounded to 8 bit, each set scored under its protocol (stored beside every row; "
    "where it has a size, result and target are brought to it), mean over images; "
    f"PSNR of equal images counts as {MOST:g} dB"
)
Progress = Callable[[str, str, int, int], None]


REGIONS = ("shadow", "non-shadow")


def score(
    pixels: np.ndarray,
    target: np.ndarray,
    protocol: Protocol,
    metrics: Sequence[str] = METRICS,
    mask: np.ndarray | None = None,
) -> dict[str, float]:
    """Metric -> value of a result against its target, after the rounding that writing it to a file does.

    Args:
        pixels: (H, W, 3) in [0, 1], the result.
        target: (H, W, 3) in [0, 1].
        protocol: What decides sizes, rounding and colour spaces.
        metrics: Names of `evaluation.metrics`.
        mask: (H, W), nonzero in the shadow; with it the metrics that know regions are taken there and outside too, as "psnr@shadow".

    """
    rounded = round_to(pixels.clip(0, 1), "8bit")
    values, _ = evaluate_pair(rounded, target, protocol=protocol, metrics=metrics)
    if mask is not None:
        regional = [name for name in metrics if get_metric(name).regions]
        for region in REGIONS if regional else ():
            there, _ = evaluate_pair(
                rounded, target, protocol=protocol.changed(region=region), metrics=regional, mask=mask
            )
            values |= {f"{name}@{region}": value for name, value in there.items()}
    return {k: min(v, MOST) if k.startswith("psnr") else v for k, v in values.items()}


RESTORED = "; restored as they are"
"""What stands in the protocol of a set that is scored at another size than its photographs have."""


def _reduces(protocol: Protocol) -> bool:
    """Whether scoring changes sizes; TAO's own pairs have theirs on disk."""
    return protocol.size is not None and protocol.resize != "tao256"


def _empty(protocol: Protocol, method: Method, damage: str) -> dict[str, Any]:
    several = {"mean of draws": [], "spread_levels": [], "draws": method.draws} if method.draws > 1 else {}
    return {
        "protocol": protocol.describe() + RESTORED * _reduces(protocol) + (f"; damaged by {damage}" if damage else ""),
        "run": method.run,
        "images": [],
        "failed": {},
        "processor_seconds": [],
        "megapixels": [],
        "one draw": [],
        **several,
    }


def _add(
    row: dict[str, Any],
    test: TestSet,
    name: str,
    degraded: Path,
    clean: Path,
    protocol: Protocol,
    method: Method,
    metrics: Sequence[str],
    looks: Looks | None,
) -> None:
    """Restore and score one photograph. What cannot be read, restored or compared is noted under its name."""
    try:
        y, x = (as_image(read_image(path).pixels, name=path.name) for path in (degraded, clean))
        if test.damage:
            y = damaged(x, test.damage, name)
        if y.shape != x.shape and test.enlarge:
            y = bicubic(np.rint(255 * y).astype(np.uint8), x.shape[:2]) / 255
        mask = read_image(test.masks[name]).pixels if name in test.masks else None
        clock = Clock()
        made = method.restore(y.astype(np.float32), *((mask,) if method.masked else ()))
        seconds = clock.processor
        one = score(made.one, x, protocol, metrics, mask)
        mean = None if made.mean is None else score(made.mean, x, protocol, metrics, mask)
        if looks is not None:
            looks.add(name, round_to(made.one.clip(0, 1), "8bit"), x, protocol)
    except InputError as error:
        row["failed"][name] = str(error)
        return
    row.pop("of set", None)  # of fewer photographs
    row["images"].append(name)
    row["processor_seconds"].append(seconds)
    row["megapixels"].append(y.shape[0] * y.shape[1] / 1e6)
    row["one draw"].append(one)
    if mean is not None and made.spread is not None:
        row["mean of draws"].append(mean)
        row["spread_levels"].append(255 * made.spread)


def _known(
    result: dict[str, Any], of: str, fresh: dict[str, Any], title: str, metrics: Sequence[str], masked: bool
) -> dict[str, Any]:
    """The row as far as it was measured before under the same protocol and settings, else the fresh one. Failures are tried again.

    One that lacks a metric that is wanted now is measured anew.
    """
    before = result["sets"].setdefault(of, {}).get(title, {})
    wanted = {*metrics, *(f"{m}@{r}" for m in metrics for r in REGIONS if masked and get_metric(m).regions)}
    if any(not wanted <= one.keys() for one in before.get("one draw", ())):
        return fresh
    same = before.keys() - {"of set"} == fresh.keys() and all(before[k] == fresh[k] for k in ("protocol", "run"))
    return {**before, "failed": {}} if same and before.get("draws") == fresh.get("draws") else fresh


def _forget(row: dict[str, Any], names: list[str]) -> None:
    """Take photographs out of a row, so that they are measured anew."""
    lists = [values for values in row.values() if isinstance(values, list) and len(values) == len(row["images"])]
    for at in sorted((row["images"].index(name) for name in names), reverse=True):
        for values in lists:
            del values[at]


def _keep(output: Path, result: dict[str, Any], name: str, title: str) -> None:
    """Put one row into the file, whose other rows another process may have measured meanwhile."""
    there = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    of_sets = there.get("sets", {})
    of_sets.setdefault(name, {})[title] = result["sets"][name][title]
    write_json(output, {**there, **result, "sets": of_sets})


def measure(
    sets: Sequence[TestSet],
    methods: Sequence[Method],
    *,
    before: dict[str, Any] | None = None,
    output: Path | None = None,
    every: int = 1,
    metrics: Sequence[str] = METRICS,
    costs: bool = False,
    about: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every method on every set: `sets` -> set -> row -> its lists, one entry a photograph.

    before: an earlier result; what it holds under the same protocol and settings is not measured again. output: written after every
    photograph, this row alone, so that several processes can share a file. every: take each n-th photograph alone. metrics: names of
    `evaluation.metrics`; on sets with masks those that know regions are taken in the shadow and outside too; "fid" is taken on a set as
    a whole, of one draw of each photograph, and what it needs is kept in a folder beside `output`. costs: whether parameters and
    multiply-adds of the methods stand in the result, and the peak of a CUDA device's memory. about: what stands in the result's protocol
    besides. progress(set, method, done, total): what it raises stops the run.
    """
    result: dict[str, Any] = {"benchmark": "quality", **(before or {})}
    result["protocol"] = {**environment(), "numbers": NUMBERS, "every": every, **(about or {})}
    result.setdefault("sets", {})
    of_sets = [name for name in metrics if name in OF_SETS]
    metrics = [name for name in metrics if name not in OF_SETS] or METRICS
    for test in sets:
        protocol = get_protocol(test.protocol)
        for method in methods:
            row = _known(
                result, test.name, _empty(protocol, method, test.damage), method.title, metrics, bool(test.masks)
            )
            result["sets"][test.name][method.title] = row
            pairs = test.pairs[::every]
            looks = Looks(output, test.name, method.title, row) if of_sets else None
            if looks is not None:
                _forget(row, [name for name in row["images"] if not looks.has(name)])
            if costs and method.cost is not None:
                result.setdefault("costs", {})[method.title] = method.cost()
            for done, (name, degraded, clean) in enumerate(pairs, start=1):
                if name not in row["images"]:
                    _add(row, test, name, degraded, clean, protocol, method, metrics, looks)
                    if output is not None:
                        _keep(output, result, test.name, method.title)
                if progress is not None:
                    progress(test.name, method.title, done, len(pairs))
            if looks is not None and (distance := looks.distance(row["images"])) is not None:
                row["of set"] = dict.fromkeys(of_sets, distance)
                if output is not None:
                    _keep(output, result, test.name, method.title)
            if costs and method.title in result.get("costs", {}) and torch.cuda.is_available():
                result["costs"][method.title]["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    return result
