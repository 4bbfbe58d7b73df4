"""Scores of methods on test sets, photograph by photograph, in a result that an interruption leaves useful."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unveil.bench.methods import Method
from unveil.bench.record import Clock, environment, table, write_json
from unveil.bench.sets import TestSet, damaged
from unveil.data.files import bicubic
from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, round_to
from unveil.evaluation.evaluate import prepare, values_of
from unveil.evaluation.metrics.learned import OF_SETS, features
from unveil.evaluation.metrics.registry import check_available, get_metric
from unveil.evaluation.protocols import Protocol, get_protocol
from unveil.evaluation.published import published_numbers
from unveil.evaluation.reading import read_image
from unveil.evaluation.table import Score, Table, summarise
from unveil.util import atomic
from unveil.util.words import shown


class SetFeatures:
    """The features of one row, by photograph: in memory, and in the folder RESULT.features where there is a file of results.

    They belong to the row's own settings: another protocol, method or run has other names.
    """

    def __init__(self, output: Path | None, of: str, title: str, row: dict[str, Any]) -> None:
        """Find what was kept in a file of results (None: nothing) of a test set (`of`), a row's title, and its protocol and run."""
        told = json.dumps([of, title, row["protocol"], row["run"]], sort_keys=True, default=str)
        key = hashlib.sha256(told.encode()).hexdigest()[:16]
        self.folder = None if output is None else output.with_name(f"{output.name}.features") / key
        self.held: dict[str, np.ndarray] = {}

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npy"

    def add(self, name: str, pixels: np.ndarray, target: np.ndarray, protocol: Protocol) -> None:
        """Look at a result and its target, (H, W, 3) in [0, 1] each, at the size and with the border that the protocol scores."""
        ready = prepare(pixels.clip(0, 1), target, protocol)
        look = features()
        self.held[name] = np.stack([look(ready.prediction), look(ready.target)]).astype(np.float32)
        if (path := self._path(name)) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = io.BytesIO()
            np.save(content, self.held[name])
            atomic.replace(path, content.getvalue())

    def has(self, name: str) -> bool:
        """Whether a photograph was looked at, now or in a call before."""
        path = self._path(name)
        if name not in self.held and path is not None and path.is_file():
            self.held[name] = np.load(path)
        return name in self.held

    def distance(self, names: list[str]) -> float | None:
        """FID of these photographs, all of which were looked at; None for fewer than two."""
        from unveil.evaluation.metrics.deep import frechet

        if len(names) < 2:
            return None
        pairs = np.stack([self.held[name] for name in names]).astype(np.float64)
        return frechet(pairs[:, 0], pairs[:, 1])


HIDDEN = ("psnr_mean_matched",)
"""Metrics that rows keep and tables of sets do not show."""
NOTES = "notes"
"""Key of a row where a metric has no value (null) for some photographs: why, by photograph."""


def label(name: str) -> str:
    """How a column is called: "PSNR (dB)", or "MAE in Lab, shadow" for a metric in a region."""
    metric, _, region = name.partition("@")
    if metric in OF_SETS:
        return metric.upper()
    found = get_metric(metric)
    return found.title + (f" ({found.unit})" if found.unit else "") + (f", {region}" if region else "")


def of_set(name: str, rows: dict[str, Any]) -> Table:
    """The table of one set: a row a method, the mean over images with its bootstrap interval, one draw and the mean of draws in columns
    of their own; what is taken on the set as a whole (FID), without interval; then the rows that papers print for the same data set, those
    that do not say how they were taken apart.
    """
    made = Table(name)
    protocol = get_protocol(next(iter(rows.values()))["protocol"].split(":", 1)[0])  # its words begin with its name
    columns_shown: dict[str, None] = {}
    for title, row in rows.items():
        if not row["images"]:
            continue
        for name in row["one draw"][0]:
            # A file that is measured on with fewer metrics has some of its photographs alone.
            if name in HIDDEN or not all(name in one for one in row["one draw"]):
                continue
            columns_shown.setdefault(name.partition("@")[0])
            metric, _, region = name.partition("@")
            rules = protocol.changed(region=region) if region else protocol
            made.put(title, label(name), _score(metric, row["one draw"], rules, name))
            if row.get("mean of draws"):
                many = rules.changed(draws=row["draws"])
                column = f"{label(name)}, mean of {row['draws']} draws"
                made.put(title, column, _score(metric, row["mean of draws"], many, name))
        for name, value in row.get("of set", {}).items():
            columns_shown.setdefault(name)
            made.put(title, label(name), Score(name, value, protocol, len(row["images"])))
    for number in published_numbers():
        if number.table.place == "ablation":
            continue
        if number.column.protocol == protocol.name and number.column.metric in columns_shown:
            column = label(number.column.metric)
            if number.comparable:
                made.put(f"{number.method} (printed)", column, number.score())
            else:
                number.put_apart(made, column)
    return made


def _score(metric: str, values: list[dict[str, float | None]], protocol: Protocol, name: str) -> Score:
    found = summarise([nan if (value := v[name]) is None else value for v in values])
    return Score(metric, found.mean, protocol, found.n, found.low, found.high)


def costs(result: dict[str, Any]) -> str:
    """What the methods cost: size of each network, seconds a photograph of the processor and, of methods on a device, as the clock went,
    and a CUDA device's peak; "" where nothing was counted.
    """
    rows = []
    for title, found in result.get("costs", {}).items():
        networks = {part: size for part, size in found.items() if isinstance(size, dict)}
        spent, waited = (
            [s for of in result["sets"].values() for s in of.get(title, {}).get(key, ())]
            for key in ("processor_seconds", "seconds")
        )
        peak = found.get("peak_device_bytes")
        rows.append(
            [
                title,
                " + ".join(f"{size['parameters'] / 1e6:,.1f}" for size in networks.values()),
                " + ".join(f"{size['macs'] / 1e9:,.1f}" for size in networks.values()),
                f"{sum(spent) / len(spent):.2f}" if spent else "",
                f"{sum(waited) / len(waited):.2f}" if waited else "",
                f"{peak / 2**30:.1f}" if peak else "",
            ]
        )
    head = ["method", "parameters (M)", "GMAC an evaluation, 512x512", "processor s a photograph"]
    head += ["s a photograph on the device", "device GiB, peak"]
    return f"## Cost\n\n{table(head, rows)}\n" if rows else ""


def _photographs(name: str, rows: dict[str, Any]) -> str:
    """Which rows of a set are of which photographs, in words; "" where all are of the same, so that they can be compared."""
    by: dict[tuple[str, ...], list[str]] = {}
    for title, row in rows.items():
        if row["images"]:
            by.setdefault(tuple(sorted(row["images"])), []).append(title)
    if len(by) < 2:
        return ""
    each = "; ".join(f"{', '.join(titles)}: {len(images)} ({_named(images)})" for images, titles in by.items())
    return f"Rows of {name} that are of other photographs cannot be compared: {shown(each)}\n"


_NAMED = 6
"""Photographs that are named at most."""


def _named(images: tuple[str, ...]) -> str:
    return ", ".join(images[:_NAMED]) + (", ..." if len(images) > _NAMED else "")


def markdown(result: dict[str, Any]) -> str:
    """Every set's table, where its rows are not of the same photographs, and what could not be measured."""
    parts = [
        part
        for name, rows in result["sets"].items()
        for part in (of_set(name, rows).to_markdown(), _photographs(name, rows))
        if part
    ]
    counted = costs(result)
    parts += [counted] if counted else []
    for key, head in (("failed", "Not measured:"), (NOTES, "Without a value, and left out of the means:")):
        lines = [
            shown(f"- {name}, {title}, {image}: {reason}")
            for name, rows in result["sets"].items()
            for title, row in rows.items()
            for image, reason in row.get(key, {}).items()
        ]
        parts += [head, "", *lines, ""] if lines else []
    return "\n".join(parts)


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
) -> tuple[dict[str, float | None], str]:
    """Metric -> value of a result against its target, after the rounding that writing it to a file does; None where a metric has none for
    them (too small for it, an empty region), and why, in words.

    Args:
        pixels: (H, W, 3) in [0, 1], the result.
        target: (H, W, 3) in [0, 1].
        protocol: What decides sizes, rounding and colour spaces.
        metrics: Names of `evaluation.metrics`.
        mask: (H, W), nonzero in the shadow; with it the metrics that know regions are taken there and outside too, as "psnr@shadow".

    Raises:
        InputError: Images that cannot be compared, or that every metric refuses.

    """
    rounded = round_to(pixels.clip(0, 1), "8bit")
    values, notes, refused = values_of(prepare(rounded, target, protocol), protocol, metrics)
    if len(refused) == len(metrics):
        raise refused[0]
    regional = [name for name in metrics if get_metric(name).regions]
    for region in REGIONS if mask is not None and regional else ():
        rules = protocol.changed(region=region)
        try:
            there, said, _ = values_of(prepare(rounded, target, rules, mask), rules, regional)
        except InputError as error:  # no such region
            there, said = dict.fromkeys(regional, nan), (str(error),)
        values |= {f"{name}@{region}": value for name, value in there.items()}
        notes += tuple(f"{region}: {text}" for text in said)
    known = {k: min(v, MOST) if k.startswith("psnr") else v for k, v in values.items()}
    return {k: None if isnan(v) else v for k, v in known.items()}, "; ".join(notes)


RESTORED = "; restored as they are"
"""What stands in the protocol of a set that is scored at another size than its photographs have."""


def _empty(protocol: Protocol, method: Method, damage: str) -> dict[str, Any]:
    several = {"mean of draws": [], "spread_levels": [], "draws": method.draws} if method.draws > 1 else {}
    reduces = protocol.size is not None and protocol.resize != "tao256"  # TAO's own pairs have their size on disk
    return {
        "protocol": protocol.describe() + RESTORED * reduces + (f"; damaged by {damage}" if damage else ""),
        "run": method.run,
        "images": [],
        "failed": {},
        "processor_seconds": [],
        "megapixels": [],
        "one draw": [],
        **several,
        **({} if method.device == "cpu" else {"seconds": []}),
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
    features_of_set: SetFeatures | None,
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
        seconds, wall = clock.processor, clock.wall
        one, why = score(made.one, x, protocol, metrics, mask)
        mean = None if made.mean is None else score(made.mean, x, protocol, metrics, mask)[0]
        if features_of_set is not None:
            features_of_set.add(name, round_to(made.one.clip(0, 1), "8bit"), x, protocol)
    except InputError as error:
        row["failed"][name] = str(error)
        return
    row.pop("of set", None)  # of fewer photographs
    row["images"].append(name)
    row["processor_seconds"].append(seconds)
    if "seconds" in row:
        row["seconds"].append(wall)
    row["megapixels"].append(y.shape[0] * y.shape[1] / 1e6)
    row["one draw"].append(one)
    if why:
        row.setdefault(NOTES, {})[name] = why
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
    same = before.keys() - {"of set", NOTES} == fresh.keys() and all(before[k] == fresh[k] for k in ("protocol", "run"))
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

    Raises InputError for a metric that is unknown, or whose package or weights are not here, before anything is restored.
    """
    for name in metrics:  # a row of `before` that lacks it would be measured anew, and lost
        features() if name in OF_SETS else check_available(name)
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
            features_of_set = SetFeatures(output, test.name, method.title, row) if of_sets else None
            if features_of_set is not None:
                _forget(row, [name for name in row["images"] if not features_of_set.has(name)])
            if costs and method.cost is not None:
                found = result.setdefault("costs", {})
                found[method.title] = {**found.get(method.title, {}), **method.cost()}
            on_cuda = costs and method.device.startswith("cuda")
            if on_cuda:
                torch.cuda.reset_peak_memory_stats()  # a method's own, not that of the one before it
            for done, (name, degraded, clean) in enumerate(pairs, start=1):
                if name not in row["images"]:
                    _add(row, test, name, degraded, clean, protocol, method, metrics, features_of_set)
                    if output is not None:
                        _keep(output, result, test.name, method.title)
                if progress is not None:
                    progress(test.name, method.title, done, len(pairs))
            if features_of_set is not None and (distance := features_of_set.distance(row["images"])) is not None:
                row["of set"] = dict.fromkeys(of_sets, distance)
                if output is not None:
                    _keep(output, result, test.name, method.title)
            if method.title in result.get("costs", {}) and on_cuda:
                of = result["costs"][method.title]
                of["peak_device_bytes"] = max(torch.cuda.max_memory_allocated(), of.get("peak_device_bytes", 0))
            if costs and output is not None:  # of a file in which every photograph was measured before, too
                _keep(output, result, test.name, method.title)
    return result
