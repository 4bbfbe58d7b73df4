"""The work behind one restoration, or one simulated damage, in the queue: a photograph from its folder in, the new one and views out."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from unveil import degradation, figures, photo
from unveil.degradation.primitives import own_seed
from unveil.diffusion.resolution import resize
from unveil.diffusion.sampling import Progress
from unveil.errors import InputError
from unveil.jobs.batch import Restores, steps_of
from unveil.jobs.outputs import EXTRAS
from unveil.options import Options
from unveil.photo.writing import format_of, write_back
from unveil.restoration import Restoration
from unveil.util.atomic import aside
from unveil.util.suffixes import FORMATS
from unveil.util.tensors import batch_of, pixels_of
from unveil.web.engines import Restorers
from unveil.web.queue import Task

if TYPE_CHECKING:
    from unveil.photo import Photo


UPLOAD, RESULT = "upload", "result"
PREVIEW_SIDE = 640
PREVIEW_SECONDS = 0.25
"""The least time between two previews: pictures for the eye must not slow the work down."""
LARGEST_PNG = 4_000_000
"""Pixels up to which a view is a PNG; larger ones are JPEGs of quality 95, which browsers open at once."""
ENDINGS = {name: suffix for suffix, name in reversed(FORMATS.items())}
TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff", "AVIF": "image/avif", "BMP": "image/bmp",
    "HEIF": "image/heif", "JXL": "image/jxl", "JP2": "image/jp2", "GIF": "image/gif", "PNM": "image/x-portable-anymap",
}  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What is to be done with one photograph.

    name: what the user calls the file; messages and the download bear it. engine: see `engines`. format: of the result,
    None for the photograph's own. views: also write what a browser shows: before, after, every draw, the uncertainty. preview: keep
    the estimate of the latest step as a small picture. suffix: what the download's name has behind the photograph's.
    preset: of a zero-shot engine, "" for its own settings.
    """

    name: str
    engine: str
    options: Options = field(default_factory=Options)
    format: str | None = None
    strip: bool = False
    views: bool = False
    preview: bool = False
    suffix: str = ""
    preset: str = ""


@dataclass(frozen=True)
class Delivery:
    """The result of an order. file: the new photograph; name: for its download; media: its type; size: width and height; protocol: what
    decided the pixels; notes: what was lost or corrected; light: standard deviation of the error in overall brightness and colour, in units
    of the full range, None where it was not estimated; views: name -> file.
    """

    file: Path
    name: str
    media: str
    size: tuple[int, int]
    notes: tuple[str, ...] = ()
    light: float | None = None
    seed: int = 0
    protocol: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    views: dict[str, Path] = field(default_factory=dict)


def read(data: bytes, name: str, max_pixels: int) -> Photo:
    """A photograph from memory, whose messages bear the user's name for it."""
    stream = io.BytesIO(data)
    stream.name = name
    return photo.read(stream, max_pixels)


def taken(folder: Path, name: str, max_pixels: int) -> Photo:
    """The photograph in a job's folder as UPLOAD, which is deleted. Messages bear the user's name for it."""
    data = (folder / UPLOAD).read_bytes()
    (folder / UPLOAD).unlink()
    return read(data, name, max_pixels)


def restoring(order: Order, folder: Path, restorers: Restorers) -> Callable[[Task, str], Delivery]:
    """Work for `Queue.submit`. folder: holds the photograph as UPLOAD, and is where results are written (`Store.make`).

    Raises what photo.read and Restorer.restore raise.
    """

    def work(task: Task, device: str) -> Delivery:
        source = taken(folder, order.name, order.options.max_pixels)
        written = format_of(source, io.BytesIO(), order.format)
        task.go_on()
        restorer = restorers.get(order.engine, device, order.preset)
        steps = steps_of(restorer, order.options, source.height, source.width)
        pace = Pace(task, steps, order.options.samples, _preview_of(restorer, folder) if order.preview else None)
        result = restorer.restore(source, order.options, callback=pace)
        assert result.source is not None
        task.go_on()
        done = delivered(result.source, result.image, folder, order.name, written, order.strip, order.suffix)
        return replace(
            done,
            seed=result.seed,
            protocol=result.protocol,
            seconds=result.seconds,
            notes=_once(source.notes, result.notes, done.notes),
            light=result.light_uncertainty,
            views=_views(result, folder, task) if order.views else {},
        )

    return work


def _once(*notes: tuple[str, ...]) -> tuple[str, ...]:
    """Notes of reading, restoring and writing, each once."""
    return tuple(dict.fromkeys(note for those in notes for note in those))


def delivered(
    source: Photo, pixels: np.ndarray, folder: Path, name: str, written: str, strip: bool = False, suffix: str = ""
) -> Delivery:
    """Write new pixels of a photograph into the folder, in format `written`, under a name whose ending says so. suffix: behind its stem."""
    out = io.BytesIO()
    notes = write_back(source, pixels, out, written, strip)
    (folder / RESULT).write_bytes(out.getbuffer())
    return Delivery(
        file=folder / RESULT,
        name=f"{Path(name).stem}{suffix}{_ending(name, written)}",
        media=TYPES[written],
        size=(source.width, source.height),
        notes=notes,
    )


class Pace:
    """The callback of a restoration that tells its task how far it is and how long it will take, and stops when the task should.

    steps: the relative work of each step of a draw (a low-resolution step is cheap); empty: all alike. preview: called with the estimate
    of a step, at most every PREVIEW_SECONDS.
    """

    def __init__(
        self,
        task: Task,
        steps: list[float],
        draws: int,
        preview: Callable[[Any], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.task, self.steps, self.draws, self.preview, self._clock = task, steps, draws, preview, clock
        self._started = clock()
        self._seen = 0
        self._shown = float("-inf")
        self._previews = 0

    def __call__(self, step: Progress) -> bool:
        """Take one step into account; True: stop."""
        # Of those that are known, the first are left out where the light stays as it is.
        steps = self.steps[-step.steps :] if len(self.steps) >= step.steps else [1.0] * step.steps
        draw, self._seen = min(self._seen // step.steps, self.draws - 1), self._seen + 1
        share = min(1.0, (draw * sum(steps) + sum(steps[: step.index + 1])) / (sum(steps) * self.draws))
        now = self._clock()
        if self.preview is not None and now - self._shown >= PREVIEW_SECONDS:
            self.preview(step.x0_hat)
            self._shown, self._previews = now, self._previews + 1
        return self.task.report(
            share,
            (now - self._started) * (1 - share) / share,
            step=step.index + 1,
            steps=step.steps,
            draw=draw + 1,
            draws=self.draws,
            previews=self._previews,
        )


def _preview_of(restorer: Restores, folder: Path) -> Callable[[Any], None]:
    spec = getattr(getattr(restorer, "model", None), "spec", None)
    low, high = (-1.0, 1.0) if spec is None else spec.value_range

    def show(x0_hat: torch.Tensor) -> None:
        height, width = x0_hat.shape[-2:]
        scale = min(1.0, PREVIEW_SIDE / max(height, width))
        small = resize(x0_hat[:1].detach().float(), (max(1, round(height * scale)), max(1, round(width * scale))))
        pixels = pixels_of(((small - low) / (high - low)).clamp(0, 1))
        with aside(folder / "preview.jpg") as temporary:
            image_of(pixels).save(temporary, "JPEG", quality=85)

    return show


def image_of(pixels: np.ndarray) -> Image.Image:
    """(H, W, 3) in [0, 1] as an 8-bit picture; row by row, since three more float copies of a large photograph are gigabytes."""
    whole = np.empty(pixels.shape, np.uint8)
    for row, out in zip(pixels, whole, strict=True):
        out[:] = np.rint(np.clip(row, 0, 1) * 255)
    return Image.fromarray(whole)


def save_view(pixels: np.ndarray | Image.Image, folder: Path, name: str) -> Path:
    """Write what a browser shows at full size: (H, W, 3) in [0, 1], or an 8-bit picture. Without any metadata."""
    image = pixels if isinstance(pixels, Image.Image) else image_of(pixels)
    if image.width * image.height <= LARGEST_PNG:
        image.save(path := folder / f"{name}.png", "PNG", compress_level=1)
    else:
        image.save(path := folder / f"{name}.jpg", "JPEG", quality=95, subsampling=0)
    return path


def _views(result: Restoration, folder: Path, task: Task) -> dict[str, Path]:
    assert result.source is not None
    pictures: dict[str, np.ndarray | Image.Image] = {"before": result.source.pixels, "after": result.image}
    if len(result.samples) > 1:
        pictures |= {f"draw-{k + 1}": draw for k, draw in enumerate(result.samples)}
    if (said := result.uncertainty) is not None:
        height, width = result.image.shape[:2]
        # To look at under the slider, every view has the photograph's size; the one to keep has its legend.
        doubt = figures.overlay(result.image, said)
        pictures["overlay"] = doubt.crop((0, 0, width, height))
        task.go_on()
        pictures["deviation"] = EXTRAS["std"](result)  # type: ignore[assignment]
        pictures["doubt"] = doubt
    views = {}
    for name, picture in pictures.items():
        task.go_on()
        views[name] = save_view(picture, folder, name)
    return views


def _ending(name: str, written: str) -> str:
    """The user's own suffix where it stands for the format (.jpeg stays .jpeg)."""
    own = Path(name).suffix
    return own if FORMATS.get(own.lower()) == written else ENDINGS[written]


def check_format(format: str | None) -> None:
    """Raise InputError for a format that is not written here."""
    if format is not None and f".{format.lower().lstrip('.')}" not in FORMATS:
        raise InputError(f"unknown format {format!r}; use one of {', '.join(sorted({s[1:] for s in FORMATS}))}")


def degrading(
    name: str, kind: str, severity: float | None, seed: int, folder: Path, max_pixels: int
) -> Callable[[Task, str], Delivery]:
    """Work for `Queue.submit`: damage the photograph in the folder by simulator `kind`; see `restoring`.

    The protocol is the simulator's report. Runs on the processor, whatever the device: the draws are the processor's.
    """

    def work(task: Task, device: str) -> Delivery:
        started = time.perf_counter()
        source = taken(folder, name, max_pixels)
        damaged, report = damage(source.pixels, kind, severity, own_seed(seed, name))
        done = delivered(source, damaged, folder, name, format_of(source, io.BytesIO()), suffix=f"_{kind}")
        views = {"before": save_view(source.pixels, folder, "before"), "after": save_view(damaged, folder, "after")}
        return replace(
            done,
            seed=seed,
            protocol={"kind": kind, "seed": seed} | report,
            seconds=time.perf_counter() - started,
            notes=_once(source.notes, done.notes),
            views=views,
        )

    return work


def damage(pixels: np.ndarray, kind: str, severity: float | None, seed: int) -> tuple[np.ndarray, dict]:
    """(H, W, 3) in [0, 1] damaged by simulator `kind`, and its report. seed: the generator's, see `degradation.primitives.own_seed`."""
    y, drawn = degradation.apply(kind, batch_of(pixels), torch.Generator().manual_seed(seed), severity)
    return pixels_of(y), degradation.report(kind, drawn)
