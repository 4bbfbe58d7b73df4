"""The draws of one photograph: from its pixels through the sampler and back into it, with all that may never change put back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unveil import photo, tiling
from unveil.diffusion.path import GaussianPath
from unveil.diffusion.resolution import Resolution
from unveil.diffusion.sampling import Noise, Progress, check, sample
from unveil.diffusion.self_ensemble import self_ensemble
from unveil.errors import Cancelled
from unveil.models.model import Model
from unveil.models.treatment import Treatment, first_evaluation
from unveil.networks.predictor import finite
from unveil.options import GENERATORS, Options
from unveil.photo import content
from unveil.photo.srgb import LUMA, decode, encode
from unveil.photo.tiles import Plan, noise_field
from unveil.restoration import RunningMoments
from unveil.util.tensors import batch_of

Callback = Callable[[Progress], "bool | None"]
_UPRIGHT = 4
"""The last EXIF orientation that does not exchange rows and columns."""
_STRETCH = 8192
"""Pixels summed at a time: as many as NumPy takes of a whole picture, so that the sums are the same to the last bit."""

MEAN_LIGHT, HIGHLIGHTS, BRIGHTEST, MOST_GAIN = 0.25, 0.85, 0.995, 2.0
"""What is left of a photograph without its haze is exposed anew (docs/choices.md): by a stop at most (MOST_GAIN in linear light),
to a mean of MEAN_LIGHT at most in linear light, and so that what a share BRIGHTEST of the pixels stay below comes to HIGHLIGHTS at most."""
_SAMPLED, _KNOTS = 1 << 17, 4096
"""About how many pixels the exposure is judged on; knots of the curve by which it is changed."""

LEFT_OF_LIGHT = 0.6
"""Share of the mean light that stays where haze is taken away that nobody named: dense smog would end in the dark (docs/choices.md)."""


@dataclass(frozen=True)
class DescribedPhoto:
    """A photograph, its picture without black bars, and what is to be fixed in it; None for a model that is not conditioned on kinds."""

    source: photo.Photo
    box: content.Box
    treat: Treatment | None


@dataclass(frozen=True)
class ResolvedOptions:
    """Options with nothing left open."""

    process: GaussianPath
    grid: str
    solver: str
    fidelity: float
    resolution: Resolution


class Clock:
    """Seconds spent inside the network."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._events: list[tuple[Any, Any]] = []

    @property
    def seconds(self) -> float:
        """So far; on a GPU by its own events, which are waited for only here."""
        for before, after in self._events:
            after.synchronize()
            self._seconds += before.elapsed_time(after) / 1000
        self._events.clear()
        return self._seconds

    def timed(self, denoise: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor, int], Tensor]:
        """The denoiser, whose seconds are counted."""

        def timed(x_t: Tensor, y: Tensor, t: int) -> Tensor:
            if y.is_cuda:
                stream = torch.cuda.current_stream(y.device)
                before = stream.record_event(torch.cuda.Event(enable_timing=True))
                out = denoise(x_t, y, t)
                self._events.append((before, stream.record_event(torch.cuda.Event(enable_timing=True))))
                return out
            started = time.perf_counter()
            out = denoise(x_t, y, t)
            self._seconds += time.perf_counter() - started
            return out

        return timed


@dataclass(frozen=True)
class Draws:
    """The draws of one photograph (`seen`); each depends on the seed and its own number alone.

    run: the options with nothing left open. plan_for: (height, width) -> tiles of a state of that size. callback: as of
    `Restorer.restore`. mends: whether every tile is looked at for values that are not finite; else all are, once, at the end. clock:
    counts the network's seconds. notes: sentences about what was corrected on the way; it is added to.
    """

    model: Model
    device: torch.device
    dtype: torch.dtype
    seen: DescribedPhoto
    options: Options
    run: ResolvedOptions
    plan_for: Callable[[int, int], Plan]
    callback: Callback | None
    mends: bool
    clock: Clock = field(default_factory=Clock)
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that are planned for."""
        return self.seen.source.height, self.seen.source.width + 2 * self.beyond

    @cached_property
    def beyond(self) -> int:
        """Columns of the opposite side that are appended beyond each edge of a full-circle panorama; 0 for other photographs.

        As many as the network's reach, in pixels of the coarsest stage used, and at most half of the panorama, since then it sees all of
        it.
        """
        source, box = self.seen.source, self.seen.box
        whole = (box.left, box.right) == (0, source.width)
        if not source.xmp or not whole or source.orientation > _UPRIGHT:
            return 0
        from unveil.photo import metadata

        if not metadata.goes_round(source.xmp, source.width):
            return 0
        run, spec = self.run, self.model.spec
        steps = range(first_evaluation(self.seen.treat, run.process, self.model.spec), run.process.steps)
        coarsest = max(run.resolution.factor(i, run.process.steps, (source.height, source.width)) for i in steps)
        reach = math.ceil((spec.reach or spec.receptive_field) * coarsest) + (0 if coarsest > 1 else tiling.BLEND)
        return min(-(-reach // spec.multiple_of) * spec.multiple_of, source.width // 2)

    def made(self, together: int, room: int) -> tuple[np.ndarray, RunningMoments | None]:
        """All draws (K, H, W, 3), or none of them (0, H, W, 3) and their moments where keeping them would take more than `room` bytes.

        together: how many advance at once.
        """
        every, pixels = range(self.options.samples), self.seen.source.pixels
        groups = (every[k : k + together] for k in range(0, len(every), together))
        draws = (draw for group in groups for draw in self._group(group))
        if len(every) > 1 and 4 * pixels.size * len(every) > room:
            moments = RunningMoments.of(next(draws))
            for draw in draws:
                moments.add(draw)
            return np.empty((0, *pixels.shape), np.float32), moments
        return (np.stack(list(draws)) if len(every) > 1 else next(draws)[None]), None

    def _group(self, indices: range) -> list[np.ndarray]:
        """The draws of these numbers, advanced together, each (H, W, 3) float32 in [0, 1]."""
        source, treat = self.seen.source, self.seen.treat
        if self.options.strength == 0 or (treat is not None and treat.nothing):
            return [source.pixels.copy() for _ in indices]
        low, high = self.model.spec.value_range
        pixels, beyond = self.seen.box.of(source.pixels), self.beyond
        # In place: every array of the photograph's size counts.
        state_y = batch_of(content.around(pixels, beyond)).to(self.device)
        state_y.mul_(high - low).add_(low)
        if len(indices) > 1:
            state_y = state_y.repeat(len(indices), 1, 1, 1)
        noise = self._noise(indices, pixels.shape[1])
        x0 = self._sampled(state_y, noise, mends=self.mends)
        if not self.mends and not finite(x0):
            x0 = self._sampled(state_y, noise, mends=True)
        del state_y
        x0 = x0[..., beyond : beyond + pixels.shape[1]].float().cpu()
        # Copies, since callbacks may hold x0; pixel by pixel at once, since each of the many sums to come then reads memory in its order.
        found = [np.stack(list(planes), axis=-1) for planes in x0.numpy()]
        del x0
        for restored in found:
            torch.from_numpy(restored).sub_(low).div_(high - low).clamp_(0, 1)
        return [self._finished(restored) for restored in found]

    def _noise(self, indices: range, columns: int) -> Noise:
        """The noise of these draws; columns: of the photograph, round which a panorama's is continued too."""
        seeds = [draw_seed(self.options.seed, index) for index in indices]
        wide = columns + 2 * self.beyond
        counted = generator(self.options, self.device) == "philox4x32"

        def noise(step: int, like: Tensor) -> Tensor:
            h, w = int(like.shape[-2]), int(like.shape[-1])
            if self.beyond and w == wide:
                inner = noise(step, like[..., self.beyond : self.beyond + columns])
                return torch.cat([inner[..., columns - self.beyond :], inner, inner[..., : self.beyond]], dim=-1)
            if counted:
                from unveil.diffusion.noise import normals

                return torch.stack([normals(s, step, 0, 0, h, w, 3, like.device) for s in seeds]).to(like)
            return torch.stack([noise_field(s, step, 0, 0, h, w, 3) for s in seeds]).to(like)

        return noise

    def _sampled(self, state_y: Tensor, noise: Noise, *, mends: bool) -> Tensor:
        """x0 (B, 3, H, W) in the network's range, from the photograph in it, once for each draw. mends: as of `tiling.Tiled`."""
        run, treat = self.run, self.seen.treat
        turned = self.options.self_ensemble
        # One where all of them are averaged anyway, and where nothing is reduced, so that they would cost much.
        views = 1 if turned >= self.model.spec.defaults.views or run.resolution.reading == "off" else None
        inner = self.model.conditioned_on(treat).with_guide_of(state_y).denoiser(run.process, run.fidelity, views)
        denoise = tiling.Tiled(
            self.clock.timed(self_ensemble(inner, turned)),
            self.plan_for,
            tell=getattr(self.callback, "within", None),
            mends=mends,
        )
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            tell = self.callback if len(state_y) == 1 else _each(self.callback)
            if self.model.spec.sampler == "one_shot":
                x0 = denoise(run.process.start(state_y, None), state_y, run.process.steps)
                if tell is not None and tell(Progress(0, 1, x0)):
                    raise Cancelled("cancelled after step 1 of 1")
            else:
                x0 = sample(
                    denoise,
                    state_y,
                    run.process,
                    noise,
                    solver=run.solver,
                    fidelity=run.fidelity,
                    resolution=run.resolution,
                    callback=tell,
                    begin=first_evaluation(treat, run.process, self.model.spec),
                )
        self.notes.extend(denoise.notes)
        return x0

    def _finished(self, restored: np.ndarray) -> np.ndarray:
        """The whole photograph with the restored picture, (h, w, 3), in its box."""
        source, box, treat = self.seen.source, self.seen.box, self.seen.treat
        pixels = box.of(source.pixels)
        if treat is not None:
            restored = _harmless(pixels, restored, treat)
        if self.options.strength != 1.0:
            restored = pixels + np.float32(self.options.strength) * (restored - pixels)
        if pixels.shape == source.pixels.shape:
            return restored
        out = source.pixels.copy()
        box.of(out)[...] = restored
        return out


def generator(options: Options, device: torch.device) -> str:
    """The generator of noise, chosen by the device where the options name none.

    On CPUs NumPy's: torch's integer arithmetic takes six times as long (docs/speed.md). On other devices torch's, which saves the copy.
    """
    return options.generator or GENERATORS[device.type != "cpu"]


def draw_seed(seed: int, index: int) -> int:
    """The seed of draw `index`: draw k of seed s does not depend on how many draws were asked for."""
    return (seed * 1_000_003 + index * 7_919) % 2**62


def _each(callback: Callback | None) -> Callback | None:
    """A callback for several draws at once, which is called for each of them."""
    if callback is None:
        return None

    def tell(step: Progress) -> bool:
        return any(callback(Progress(step.index, step.steps, x0_hat)) for x0_hat in step.shared.split(1))

    return tell


def _moved(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(3,) float32, how far the mean of each channel moved between two pictures (H, W, 3).

    By stretches that stay in the processor's cache, channel by channel: over both axes at once it takes six times as long.
    """
    before, after, total = before.reshape(-1, 3), after.reshape(-1, 3), np.zeros(3)
    for at in (slice(first, first + _STRETCH) for first in range(0, len(after), _STRETCH)):
        total += (after[at] - before[at]).T.astype(np.float64, order="C").sum(axis=1)
    return (total / len(after)).astype(np.float32)


def _in_part(before: np.ndarray, after: np.ndarray, share: float) -> None:
    """Leave of the change from `before` to `after`, which is overwritten, this share."""
    after -= before
    after *= np.float32(share)
    after += before


def _exposed(before: np.ndarray, after: np.ndarray) -> None:
    """Expose `after`, what is left of `before` without its haze and is overwritten, as bright on average as `before` was.

    A camera exposes for the scene with its haze, whose light is part of it: without it the scene is underexposed. It gets no darker by
    this, no brighter on average than it was photographed or than a meter would have it, and its highlights are not blown out.
    """
    every = max(1, math.isqrt(before.shape[0] * before.shape[1] // _SAMPLED))
    was, found = (decode(x[::every, ::every]) for x in (before, after))
    highlights = max(float(np.quantile(x.max(axis=-1), BRIGHTEST)) for x in (was, found))
    room = float(decode(np.array(HIGHLIGHTS))) / max(highlights, 1e-3)
    wanted = min(float((was @ LUMA).mean()), MEAN_LIGHT)
    gain = min(wanted / max(float((found @ LUMA).mean()), 1e-3), room, MOST_GAIN)
    if gain <= 1:
        return
    knots = np.linspace(0, 1, _KNOTS + 1, dtype=np.float32)
    values = np.clip(encode(np.minimum(gain * decode(knots), 1)), 0, 1)
    for rows in np.array_split(after, max(1, after.size // _SAMPLED)):
        rows[...] = np.interp(rows, knots, values)


def _harmless(before: np.ndarray, after: np.ndarray, treat: Treatment) -> np.ndarray:
    """A restoration (H, W, 3), contiguous, with what must not change set back to what it was; it may be overwritten.

    What haze is taken away from is exposed anew, unless it is lit anyway. Where the light is not to be fixed, the mean of each channel
    stays; haze and low light that nobody named go in part, as likely as they are; haze that nobody named takes at most so much of the mean
    light that LEFT_OF_LIGHT stays; grey stays grey; empty black stays.
    """
    if treat.probabilities.get("haze", 0.0) > 0 and not treat.probabilities.get("lowlight", 0.0) > 0:
        _exposed(before, after)
    if treat.share < 1:
        _in_part(before, after, treat.share)
    if 0 < treat.probabilities.get("haze", 0.0) < 1:
        light = float(before.mean(dtype=np.float64))
        taken = -float(_moved(before, after).mean())
        if taken > (1 - LEFT_OF_LIGHT) * light:
            _in_part(before, after, (1 - LEFT_OF_LIGHT) * light / taken)
    if not treat.light:
        rows = after.reshape(len(after), -1)
        for _ in range(8):  # clipping undoes part of a shift; the next round corrects it
            check()
            shift = _moved(before, after)
            if np.abs(shift).max() < 1e-4:
                break
            rows -= np.tile(shift, after.shape[1])
            np.clip(rows, 0, 1, out=rows)
    if content.is_grey(before):
        after = content.as_grey(after)
    share = content.void(before)
    return before + (1 - share) * (after - before) if share.any() else after
