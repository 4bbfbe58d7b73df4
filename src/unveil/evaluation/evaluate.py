"""Scoring restored images against their targets: one pair, or folders of thousands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np

from unveil.errors import InputError, note
from unveil.evaluation.arrays import as_image, as_mask, as_numpy, crop_border, round_to, size_text
from unveil.evaluation.metrics.learned import OF_SETS, load_metric
from unveil.evaluation.metrics.registry import METRICS, check_available, get_metric
from unveil.evaluation.protocols import Protocol, get_protocol
from unveil.evaluation.reading import Match, Pair, match_folders, read_image
from unveil.evaluation.report import Failure, Report, Row
from unveil.evaluation.resize import resize
from unveil.evaluation.table import Comparison, compare


@dataclass(frozen=True)
class Prepared:
    """prediction, target: float64 in [0, 1], one shape; mask: bool (H, W) or None; notes: what belongs beside the number."""

    prediction: np.ndarray
    target: np.ndarray
    mask: np.ndarray | None
    notes: tuple[str, ...]


def prepare(prediction: Any, target: Any, protocol: Protocol, mask: Any = None) -> Prepared:
    """Scale, resize, round and crop a pair as the protocol says.

    prediction, target: (H, W[, 3]), see `as_image`. mask: (H, W), nonzero in the shadow; needed if the protocol's region is not
    "all". The two sizes must agree, except that under a protocol with a size either image may already have that size.
    Raises InputError if they do not, or for images that cannot be scored.
    """
    notes = _depth_notes(prediction, target)
    floats = protocol.data_range if protocol.data_range != (0.0, 1.0) else None
    images = []
    for name, image in (("prediction", prediction), ("target", target)):
        whole_numbers = np.issubdtype(as_numpy(image).dtype, np.integer)
        images.append(as_image(image, name=name, data_range=None if whole_numbers else floats))
    sizes = [image.shape[:2] for image in images]
    if sizes[0] != sizes[1] and protocol.size not in sizes:
        raise InputError(
            f"prediction is {size_text(images[0])} and target is {size_text(images[1])}; "
            "sizes must agree: nothing is resized to make a number"
        )
    if images[0].ndim != images[1].ndim:
        images = [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in images]
        notes.append("grey repeated to compare with colour")
    done = [
        crop_border(round_to(resize(image, protocol.resize, protocol.size), protocol.rounding), protocol.border)
        for image in images
    ]
    region = _region(mask, sizes[1], protocol)
    if done[0].min() == done[0].max():
        notes.append("prediction is constant")
    if done[1].min() == done[1].max():
        notes.append("target is constant")
    return Prepared(done[0], done[1], region, tuple(notes))


def _depth_notes(prediction: Any, target: Any) -> list[str]:
    types = [as_numpy(image).dtype for image in (prediction, target)]
    if types[0] == types[1]:
        return []
    return [f"prediction is {types[0]} and target is {types[1]}: each scaled by its own depth"]


def _region(mask: Any, size: tuple[int, ...], protocol: Protocol) -> np.ndarray | None:
    """The part that counts, (H, W) bool, or None for all of it. A resized mask counts as shadow wherever it is not exactly 0."""
    if protocol.region == "all":
        return None
    if mask is None:
        raise InputError(f"the {protocol.region} region needs a mask for every image")
    plane = as_numpy(mask)
    plane = plane.max(axis=2) if plane.ndim == 3 else plane
    if plane.shape not in (tuple(size), protocol.size):
        raise InputError(f"mask is {size_text(plane)} and the images are {size[1]}x{size[0]}; sizes must agree")
    if plane.dtype == np.bool_ or plane.max() <= 1:
        plane = (plane > 0) * np.uint8(255)
    shadow = round_to(resize(as_image(plane, name="mask"), protocol.resize, protocol.size), "8bit") > 0
    region = crop_border(shadow if protocol.region == "shadow" else ~shadow, protocol.border)
    return as_mask(region, region.shape)


DEFAULT_METRICS = ("psnr", "ssim")

Progress = Callable[[int, int, str], None]


def evaluate_pair(
    prediction: Any,
    target: Any,
    *,
    protocol: Protocol | str = "native",
    metrics: Sequence[str] = DEFAULT_METRICS,
    mask: Any = None,
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Metric -> value for one pair of arrays, and notes on what the reader of the numbers should know.

    prediction, target: (H, W[, 3]), see `as_image`. mask: (H, W), nonzero in the shadow, for a protocol with a region.
    Raises InputError for images that cannot be compared under the protocol, or metrics that do not exist or know no regions.
    """
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    _check_metrics(metrics, protocol)
    ready = prepare(prediction, target, protocol, mask)
    values, notes, refused = values_of(ready, protocol, metrics)
    if refused:
        raise refused[0]
    return values, (*ready.notes, *notes)


def values_of(
    ready: Prepared, protocol: Protocol, metrics: Sequence[str]
) -> tuple[dict[str, float], tuple[str, ...], list[InputError]]:
    """Metric -> value; NaN where a metric refuses the images or does not exist, and a note that says so. The refusals."""
    values: dict[str, float] = {}
    notes: list[str] = []
    refused: list[InputError] = []
    for name in metrics:
        try:
            values[name] = METRICS[name].compute(ready.prediction, ready.target, ready.mask, protocol)
        except InputError as error:
            values[name] = nan
            refused.append(error)
            notes.append(f"{name}: {error}")
        else:
            notes += [f"{name} is undefined"] if isnan(values[name]) else []
    return values, tuple(notes), refused


def _check_metrics(metrics: Sequence[str], protocol: Protocol) -> None:
    if not metrics:
        raise InputError("no metric of single images was asked for")
    for name in metrics:
        if protocol.region != "all" and not get_metric(name).regions:
            raise InputError(
                f"{name} cannot be taken in a region; leave it out, or use a protocol whose region is 'all'"
            )
        check_available(name)


def evaluate_folders(
    prediction: Path | str,
    target: Path | str,
    *,
    protocol: Protocol | str = "native",
    metrics: Sequence[str] = DEFAULT_METRICS,
    match: Match = "stem",
    prediction_suffix: str = "",
    target_suffix: str = "",
    masks: Path | str | None = None,
    mask_suffix: str = "",
    workers: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Score every image of a folder against its partner in another.

    Pairs are matched as in `match_folders`. At most 2 `workers` pairs are in memory at a time, and the result does not depend on
    how many workers there are. `progress(done, total, name)` is called after each pair; what it raises stops the run.
    "fid" among the metrics is taken on the two folders as wholes, beside the others.
    A pair that cannot be scored (unreadable, sizes that differ) becomes a row of `Report.failures`, never a number. Where one metric of
    several refuses a pair (too small for it), that value alone is NaN, with the reason among the row's notes.
    Raises InputError if nothing pairs, or for a protocol or metric that does not exist.
    """
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    of_sets = {name: load_metric(name) for name in metrics if name in OF_SETS}
    metrics = tuple(name for name in metrics if name not in OF_SETS)
    _check_metrics(metrics, protocol)
    if of_sets and protocol.size is not None:
        raise InputError(
            f"{', '.join(of_sets)} is taken on the folders as they are; protocol {protocol.name!r} resizes"
        )
    if (protocol.region == "all") != (masks is None):
        raise InputError(
            f"region {protocol.region!r} and masks {masks} do not go together: a region needs masks, and only it"
        )
    if workers < 1:
        raise InputError(f"workers {workers} must be at least 1")
    if seed < 0:
        raise InputError(f"seed {seed} must be at least 0")
    pairing = match_folders(
        Path(prediction),
        Path(target),
        match=match,
        prediction_suffix=prediction_suffix,
        target_suffix=target_suffix,
        masks=Path(masks) if masks is not None else None,
        mask_suffix=mask_suffix,
    )
    rows: list[Row] = []
    failures: list[Failure] = []
    for done, result in enumerate(_in_order(pairing.pairs, protocol, metrics, workers), start=1):
        (rows if isinstance(result, Row) else failures).append(result)  # type: ignore[arg-type]
        if progress is not None:
            progress(done, len(pairing.pairs), result.name)
    return Report(
        protocol=protocol,
        metrics=metrics,
        rows=tuple(rows),
        failures=tuple(failures),
        predictions_left=pairing.predictions_left,
        targets_left=pairing.targets_left,
        rule=pairing.rule,
        prediction=str(prediction),
        target=str(target),
        seed=seed,
        of_sets={name: _of_set(name, metric, prediction, target) for name, metric in of_sets.items()},
    )


def _of_set(name: str, metric: Callable[..., float], prediction: Path | str, target: Path | str) -> float:
    """A metric of two folders as wholes; NaN, with a note, where it refuses them: the numbers of the images stand without it."""
    try:
        return metric(prediction, target)
    except InputError as error:
        note(f"{name}: {error}")
        return nan


def _score(pair: Pair, protocol: Protocol, metrics: tuple[str, ...]) -> Row | Failure:
    try:
        left, right = read_image(pair.prediction), read_image(pair.target)
        mask = read_image(pair.mask).pixels if pair.mask is not None else None
        ready = prepare(left.pixels, right.pixels, protocol, mask)
        values, notes, refused = values_of(ready, protocol, metrics)
        if len(refused) == len(metrics):
            raise refused[0]
    except InputError as error:
        return Failure(pair.name, str(error), pair.partner)
    read = [f"prediction: {note}" for note in left.notes] + [f"target: {note}" for note in right.notes]
    return Row(pair.name, values, (*read, *ready.notes, *notes), pair.partner)


def _in_order(
    pairs: Sequence[Pair], protocol: Protocol, metrics: tuple[str, ...], workers: int
) -> Iterator[Row | Failure]:
    """Results in the order of the pairs. No more than 2 `workers` pairs are handed out ahead of the one waited for."""
    if workers == 1:
        for pair in pairs:
            yield _score(pair, protocol, metrics)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Row | Failure]] = deque()
    try:
        for pair in pairs:
            waiting.append(pool.submit(_score, pair, protocol, metrics))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def compare_reports(first: Report, second: Report) -> Mapping[str, Comparison]:
    """Paired comparison of two methods on the images that both scored, metric by metric: first minus second.

    Raises InputError if the reports stand under different protocols, or share no image or metric.
    """
    differences = first.protocol.differences(second.protocol)
    if differences:
        listed = "; ".join(f"{key}: {a!r} against {b!r}" for key, (a, b) in differences.items())
        raise InputError(f"numbers under different protocols cannot be compared ({listed})")
    metrics = [name for name in first.metrics if name in second.metrics]
    left, right = ({row.key: row.values for row in report.rows} for report in (first, second))
    keys = sorted(set(left) & set(right))
    if not keys or not metrics:
        raise InputError("the two reports share no image or no metric")
    return {
        metric: compare(
            metric,
            [left[key][metric] for key in keys],
            [right[key][metric] for key in keys],
            higher_is_better=METRICS[metric].better == "higher",
            seed=first.seed,
        )
        for metric in metrics
    }
