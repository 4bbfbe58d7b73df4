"""Images in, Restoration out: the one door to every model."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unveil import __version__, photo, tiling
from unveil.diffusion.path import GaussianPath
from unveil.diffusion.resolution import Resolution
from unveil.diffusion.sampling import EULER, SOLVERS, Noise, Progress, check, sample
from unveil.errors import InputError, note
from unveil.models import shelf
from unveil.models.calibration import Calibration, fitting
from unveil.models.footprint import bytes_per_pixel, weight_bytes
from unveil.models.model import Model
from unveil.models.treatment import Treatment, first_native, repeated, steps_of, treatment
from unveil.networks.predictor import finite
from unveil.options import GENERATORS, Options, chosen
from unveil.photo import content
from unveil.photo.tiles import Plan, decide, noise_field
from unveil.restoration import Doubt, Restoration, RunningMoments
from unveil.util.devices import DTYPES, hardware, name_of, pick_device, pick_dtype
from unveil.util.words import check_known

__all__ = [
    "Callback", "DescribedPhoto", "Options", "ResolvedOptions", "Restoration", "Restorer", "as_photo", "describe_photo", "draw_seed",
    "load",
]  # fmt: skip

Callback = Callable[[Progress], "bool | None"]
_AT_ONCE = 8
"""Draws that advance together at most."""
_UPRIGHT = 4
"""The last EXIF orientation that does not exchange rows and columns."""


class Restorer:
    """A model on a device. Thread-safe: it holds no state between calls.

    memory: bytes that a restoration may plan with; by default a fixed share of the machine's or the device's. engine: what evaluates the
    network, "torch", "onnx" or "openvino" (`models.engines`); the others than torch run on processors alone.
    """

    def __init__(
        self,
        model: Model,
        device: str = "auto",
        dtype: str = "auto",
        memory: int | None = None,
        engine: str = "torch",
    ) -> None:
        self.device = pick_device("cpu" if engine != "torch" and device == "auto" else device)
        self.engine = engine
        # On other devices finiteness is checked at the end only: a check at every step would wait for the device.
        self._mends = self.device.type == "cpu"
        # Imported networks run in fp32 by default, so that they give the numbers of their authors' code.
        wanted = "fp32" if dtype == "auto" and self.device.type == "cpu" and not model.spec.trained_here else dtype
        self.dtype = pick_dtype(wanted, self.device, model.spec.dtypes)
        self.model = model.to(self.device)
        if engine != "torch":
            self.model = self._on_engine(engine, "fp32" if engine == "onnx" and dtype == "auto" else "")
        self.memory = tiling.budget(self.device) if memory is None else memory

    def _on_engine(self, engine: str, dtype: str) -> Model:
        """The model on an engine; dtype: in place of the one that was picked. Raises InputError for a combination that is not possible."""
        from unveil.models import engines

        engines.check(engine)
        if self.device.type != "cpu":
            raise InputError(f"the engine {engine} runs on processors; leave out --device {self.device.type}")
        self.dtype = DTYPES[dtype] if dtype else self.dtype
        return engines.on_engine(self.model, engine, dtype or name_of(self.dtype))

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, device: str = "auto", dtype: str = "auto", **hub_settings: Any
    ) -> Restorer:
        """A restorer from a folder that `save_pretrained` wrote, or from the Hugging Face hub.

        Args:
            source: A folder, or a repository as OWNER/NAME.
            device: As `load` takes it.
            dtype: As `load` takes it.
            hub_settings: revision, cache_dir, token and local_files_only, as the hub's other libraries have them.

        Raises:
            ModelError: No such folder or repository, or files that are missing, damaged or not what their description says.
            InputError: A device or precision that is not there.

        """
        from unveil.models import hub

        return cls(hub.from_pretrained(source, **hub_settings), device, dtype)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model as the hub keeps it: model.safetensors, config.json and a model card. Returns the folder."""
        from unveil.models import hub

        return hub.save_pretrained(self.model, folder)

    def push_to_hub(self, repo_id: str, **hub_settings: Any) -> str:
        """Publish the model on the Hugging Face hub.

        Args:
            repo_id: OWNER/NAME; made where it is missing.
            hub_settings: private, token, revision, commit_message and create_pr, as the hub's other libraries have them.

        Returns:
            The address of the commit.

        Raises:
            ModelError: The hub refuses or cannot be reached.

        """
        from unveil.models import hub

        return hub.push_to_hub(self.model, repo_id, **hub_settings)

    @cached_property
    def _footprint(self) -> float:
        return bytes_per_pixel(replace(self.model, runner=None))  # counted in torch, whatever runs it

    @cached_property
    def _weights(self) -> int:
        return weight_bytes(self.model)

    def plan(self, height: int, width: int, options: Options | None = None) -> Plan:
        """Tiles, their batches and the memory for a photograph of this size. Raises InputError where it does not fit."""
        options = options or Options()
        spec = self.model.spec
        tile = options.tile if isinstance(options.tile, str) else int(options.tile)
        cost = tiling.cost(
            tile,
            reach=spec.reach or spec.receptive_field,
            multiple_of=spec.multiple_of,
            weights=self._weights,
            per_pixel=self._footprint,
            held_per_pixel=tiling.HELD + (24 if options.samples > 1 else 0),
        )
        # CPUs gain nothing from batches of tiles, which only take memory.
        tile = "auto" if isinstance(tile, str) else tile
        return decide(height, width, self.memory, cost, tile, most=8 if self.device.type == "cuda" else 1)

    def restore(
        self,
        image: Any,
        options: Options | None = None,
        *,
        callback: Callback | None = None,
        **settings: Any,
    ) -> Restoration:
        """Restore one image.

        image: a path, a PIL image, a numpy array (H, W, C) uint8, uint16 or float in [0, 1], or a tensor (3, H, W) or
        (1, 3, H, W) in [0, 1]. settings: the fields of `Options`. callback: sees every evaluation of every draw; returning
        True cancels (raises Cancelled). Where it has a method `within`, that is called after every tile with the share of the current
        evaluation that is done. Raises InputError for what cannot be restored as given.
        """
        options = chosen(options, settings)
        if isinstance(image, Tensor) and image.ndim == 4 and len(image) > 1:
            raise InputError(
                f"a tensor of {len(image)} images has {len(image)} results; give it to restore_batch, or one image at a time"
            )
        started = time.perf_counter()
        seen = (
            image
            if isinstance(image, DescribedPhoto)
            else self._described(as_photo(image, options.max_pixels), options)
        )
        source, box, treat = seen.source, seen.box, seen.treat
        options = self._shortened(options, treat)
        plan = self.plan(source.height, source.width + 2 * self._beyond(source, box, treat, options), options)
        clock = _Clock()
        notes: list[str] = [] if treat is None else [treat.sentence()]
        whole, together = plan, self._together(plan, options)
        while True:
            try:
                with tiling.memory_named(self.device, source.height, source.width):
                    samples, moments = self._draws(source, box, treat, options, plan, together, callback, clock, notes)
                break
            except tiling.NeedsSmallerTiles:
                pass  # outside the handler, whose frames hold the tensors that did not leave room
            if together > 1:
                together = 1
                continue
            # As a later run of the protocol will do it: with this tile requested, from the first step on.
            whole = replace(whole, batch=1).halved()
            options = replace(options, tile=tiling.spelled(whole))
            plan = self.plan(source.height, source.width + 2 * self._beyond(source, box, treat, options), options)
            first = plan.tiles()[0]
            notes.append(f"memory ran out; begun again with tiles of {first.width} x {first.height} pixels")
            note(notes[-1])
        protocol = self.protocol(options) | {"tile": tiling.spelled(plan)}
        if treat is not None:
            protocol["told"] = dict(treat.probabilities)
        doubt = None
        if options.uncertainty:
            mean = samples[0] if len(samples) == 1 else samples.mean(axis=0) if moments is None else moments.mean
            with tiling.memory_named(self.device, source.height, source.width):
                doubt = self._doubt(box, source.pixels, mean, treat)
        return Restoration(
            samples,
            time.perf_counter() - started,
            clock.seconds,
            options.seed,
            protocol,
            source,
            tuple(dict.fromkeys(notes)),
            moments,
            self._calibration(protocol, treat, doubt),
            doubt,
        )

    def _described(self, source: photo.Photo, options: Options) -> DescribedPhoto:
        looks = self.model.spec.conditioned and options.strength > 0
        box = content.within_bars(source.pixels) if looks else _whole_of(source.pixels)
        return DescribedPhoto(source, box, self._treatment(box.of(source.pixels), options))

    def _draws(
        self,
        source: photo.Photo,
        box: content.Box,
        treat: Treatment | None,
        options: Options,
        plan: Plan,
        together: int,
        callback: Callback | None,
        clock: _Clock,
        notes: list[str],
    ) -> tuple[np.ndarray, RunningMoments | None]:
        """All draws (K, H, W, 3), or none of them (0, H, W, 3) and their moments where keeping them would not fit."""
        every = range(options.samples)
        groups = (every[k : k + together] for k in range(0, len(every), together))
        draws = (
            draw for group in groups for draw in self._drawn(source, box, treat, options, group, callback, clock, notes)
        )
        # The draws lie on the host; on a processor, beside what the network takes.
        host = self.memory - plan.bytes if self.device.type == "cpu" else tiling.budget(torch.device("cpu"))
        if options.samples > 1 and 4 * source.pixels.size * options.samples > host:
            moments = RunningMoments.of(next(draws))
            for draw in draws:
                moments.add(draw)
            return np.empty((0, *source.pixels.shape), np.float32), moments
        return (np.stack(list(draws)) if options.samples > 1 else next(draws)[None]), None

    def _together(self, plan: Plan, options: Options) -> int:
        """How many draws to advance at once; one on CPUs, which gain nothing by more and would add in another order."""
        if self.device.type != "cuda":
            return 1
        each = max(plan.bytes - plan.cost.fixed, 1)
        return max(1, min(options.samples, _AT_ONCE, (self.memory - plan.cost.fixed) // each))

    def _calibration(
        self, protocol: dict[str, Any], treat: Treatment | None, doubt: Doubt | None
    ) -> Calibration | None:
        """The calibration measured for such runs; that of the doubt was measured at the default steps and holds for shortened runs too
        (`_shortened`).
        """
        if doubt is None:
            return fitting(self.model.calibrations, protocol)
        usual = self.model.spec.defaults.steps
        own = protocol["steps"] == steps_of(treat, usual)
        return fitting(self.model.calibrations, protocol | ({"steps": usual} if own else {}), "doubt")

    def _doubt(self, box: content.Box, before: np.ndarray, after: np.ndarray, treat: Treatment | None) -> Doubt:
        """The model's estimate of the error of `after` (H, W, 3), where `before` was restored inside `box`."""
        from unveil.networks.doubt import deviations

        network = self.model.doubt
        assert network is not None
        local = np.zeros_like(after)
        if treat is None or treat.nothing:
            return Doubt(local, 0.0)
        y, x0_hat = (torch.from_numpy(2 * box.of(a).transpose(2, 0, 1) - 1).to(self.device) for a in (before, after))
        said, light = deviations(network, y, x0_hat, treat.vector())
        box.of(local)[...] = said.permute(1, 2, 0).cpu().numpy() / 2
        return Doubt(local, light / 2)

    def restore_batch(
        self, images: Tensor | Sequence[Any], options: Options | None = None, **settings: Any
    ) -> list[Restoration]:
        """Restore several images, each as `restore` would alone (the same seed for each).

        Args:
            images: A tensor (B, 3, H, W) in [0, 1], or a sequence of anything that `restore` takes.
            options: As for `restore`.
            settings: As for `restore`.

        Returns:
            One restoration per image, in order.

        Raises:
            InputError: What cannot be restored as given.

        """
        return [self.restore(image, options, **settings) for image in images]

    def resolve(self, options: Options) -> ResolvedOptions:
        """The options with the model's defaults filled in. Raises InputError for a value that the model or sampler does not have."""
        d = self.model.spec.defaults
        if not self.model.spec.conditioned and (options.fix is not None or options.keep or options.told is not None):
            raise InputError(
                f"{self.model.spec.name} cannot be told what to fix; leave out fix and keep, or use the model general"
            )
        if options.uncertainty and self.model.doubt is None:
            raise InputError(
                f"{self.model.spec.name} has no network that says how far it is off; take samples=8 and fidelity=0 in place of uncertainty"
            )
        solver = options.solver or d.solver
        check_known("solver", solver, (*SOLVERS, *EULER))
        steps = options.steps
        if solver in EULER:
            from unveil.diffusion.irsde import check
            from unveil.models.path_config import path

            trained = path(self.model.spec.schedule, self.model.spec.time)
            check(trained)  # here, before any photograph is read, and not once for each of a folder
            steps = trained.steps if steps is None else steps  # few Euler steps destroy a photograph
        process = self.model.spec.process(options.grid, steps)
        return ResolvedOptions(
            process=process,
            grid=options.grid or d.grid,
            solver=solver,
            fidelity=d.fidelity if options.fidelity is None else options.fidelity,
            resolution=Resolution(options.resolution or d.resolution, d.low, d.switch),
        )

    def _shortened(self, options: Options, treat: Treatment | None) -> Options:
        """The options with fewer steps where no number was asked for and more would change nothing (`treatment.STEPS`)."""
        left = (options.steps, options.grid, options.solver, options.resolution) == (None,) * 4
        usual = self.model.spec.defaults.steps
        steps = steps_of(treat, usual) if left and self.resolve(options).fidelity == 1 else usual
        return options if steps == usual else replace(options, steps=steps)

    def _beyond(self, source: photo.Photo, box: content.Box, treat: Treatment | None, options: Options) -> int:
        """Columns of the opposite side that are appended beyond each edge of a full-circle panorama; 0 for other photographs.

        As many as the network's reach, in pixels of the coarsest stage used, and at most half of the panorama, since then it sees all of
        it.
        """
        whole = (box.left, box.right) == (0, source.width)
        if not source.xmp or not whole or source.orientation > _UPRIGHT:
            return 0
        from unveil.photo import metadata

        if not metadata.goes_round(source.xmp, source.width):
            return 0
        run, spec = self.resolve(options), self.model.spec
        first = _begin(run, treat)
        size = (source.height, source.width)
        coarsest = max(run.resolution.factor(i, run.process.steps, size) for i in range(first, run.process.steps))
        reach = math.ceil((spec.reach or spec.receptive_field) * coarsest) + (0 if coarsest > 1 else tiling.BLEND)
        return min(-(-reach // spec.multiple_of) * spec.multiple_of, source.width // 2)

    def _generator(self, options: Options) -> str:
        """On CPUs torch's integer arithmetic takes six times as long as NumPy's (docs/speed.md); on other devices it saves the copy."""
        return options.generator or GENERATORS[self.device.type != "cpu"]

    def _treatment(self, pixels: np.ndarray, options: Options) -> Treatment | None:
        """What to fix in a photograph (H, W, 3); None for a model that is not conditioned on kinds of damage, and for strength 0.

        Raises InputError for options that name kinds to a model that is not conditioned on them.
        """
        self.resolve(options)
        if not self.model.spec.conditioned:
            return None
        if options.told is not None:
            return repeated(options.told)
        if options.fix is not None:
            return treatment(None, options.fix, options.keep)
        if options.strength == 0:
            return None  # nothing is going to be removed, so the describer is not needed
        from unveil.models import describer

        said = describer.shipped().describe(pixels, self.dtype, self.model).probabilities
        return treatment(said, None, options.keep)

    def _drawn(
        self,
        source: photo.Photo,
        box: content.Box,
        treat: Treatment | None,
        options: Options,
        indices: range,
        callback: Callback | None,
        clock: _Clock,
        notes: list[str],
    ) -> list[np.ndarray]:
        """The draws of these numbers, advanced together, each (H, W, 3) float32 in [0, 1]."""
        run = self.resolve(options)
        low, high = self.model.spec.value_range
        pixels = box.of(source.pixels)
        if options.strength == 0 or (treat is not None and treat.nothing):
            return [source.pixels.copy() for _ in indices]
        beyond, columns = self._beyond(source, box, treat, options), pixels.shape[1]
        wide = columns + 2 * beyond
        # In place: every array of the photograph's size counts.
        state_y = torch.from_numpy(content.around(pixels, beyond).transpose(2, 0, 1).copy())[None].to(self.device)
        state_y.mul_(high - low).add_(low)
        if len(indices) > 1:
            state_y = state_y.repeat(len(indices), 1, 1, 1)

        def noise(step: int, like: Tensor) -> Tensor:
            h, w = int(like.shape[-2]), int(like.shape[-1])
            if beyond and w == wide:  # the noise of a panorama is continued round the circle too
                inner = noise(step, like[..., beyond : beyond + columns])
                return torch.cat([inner[..., columns - beyond :], inner, inner[..., :beyond]], dim=-1)
            seeds = [draw_seed(options.seed, index) for index in indices]
            if self._generator(options) == "philox4x32":
                from unveil.diffusion.noise import normals

                return torch.stack([normals(s, step, 0, 0, h, w, 3, like.device) for s in seeds]).to(like)
            return torch.stack([noise_field(s, step, 0, 0, h, w, 3) for s in seeds]).to(like)

        x0 = self._sampled(state_y, noise, run, treat, options, callback, clock, notes, mends=self._mends)
        if not self._mends and not finite(x0):
            x0 = self._sampled(state_y, noise, run, treat, options, callback, clock, notes, mends=True)
        del state_y
        # A copy, since callbacks may hold x0.
        found = (x0.float() - low).div_(high - low).clamp_(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        del x0
        inner = found[:, :, beyond : beyond + columns]
        return [self._finished(source, box, treat, options, restored) for restored in inner]

    @staticmethod
    def _finished(
        source: photo.Photo, box: content.Box, treat: Treatment | None, options: Options, restored: np.ndarray
    ) -> np.ndarray:
        """The whole photograph with the restored picture, (h, w, 3), in its box."""
        pixels = box.of(source.pixels)
        if treat is not None:
            restored = _harmless(pixels, restored, treat)
        if options.strength != 1.0:
            restored = pixels + np.float32(options.strength) * (restored - pixels)
        if pixels.shape == source.pixels.shape:
            return np.ascontiguousarray(restored)
        out = source.pixels.copy()
        box.of(out)[...] = restored
        return out

    def _sampled(
        self,
        state_y: Tensor,
        noise: Noise,
        run: ResolvedOptions,
        treat: Treatment | None,
        options: Options,
        callback: Callback | None,
        clock: _Clock,
        notes: list[str],
        *,
        mends: bool,
    ) -> Tensor:
        """x0 (B, 3, H, W) in the network's range, from the photograph in it, once for each draw. mends: as of `tiling.Tiled`."""
        denoise = tiling.Tiled(
            clock.timed(self.model.conditioned_on(treat).with_guide_of(state_y).denoiser(run.process, run.fidelity)),
            lambda h, w: self.plan(h, w, options),
            tell=getattr(callback, "within", None),
            mends=mends,
        )
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            if self.model.spec.sampler == "one_shot":
                x0 = denoise(run.process.start(state_y, None), state_y, run.process.steps)
            else:
                x0 = sample(
                    denoise,
                    state_y,
                    run.process,
                    noise,
                    solver=run.solver,
                    fidelity=run.fidelity,
                    resolution=run.resolution,
                    callback=callback if len(state_y) == 1 else _each(callback),
                    begin=_begin(run, treat),
                )
        notes += denoise.notes
        return x0

    def protocol(self, options: Options) -> dict[str, Any]:
        """Everything that decides the pixels, as plain values: what stands beside a number or in a manifest."""
        run = self.resolve(options)
        asked = self.model.spec.conditioned and options.fix is None and options.told is None and options.strength > 0
        return {
            "model": self.model.spec.name,
            "sha256": self.model.sha256,
            "unveil": __version__,
            "grid": run.grid,
            "steps": run.process.steps,
            "solver": run.solver,
            "fidelity": run.fidelity,
            "resolution": run.resolution.reading,
            "strength": options.strength,
            "samples": options.samples,
            "seed": options.seed,
            "dtype": name_of(self.dtype),
            "engine": self.engine,
            "device": self.device.type,
            "hardware": hardware(self.device),
            "generator": self._generator(options),
            **({"describer": _speaker()} if asked else {}),
        }


def _speaker() -> str:
    from unveil.models import describer

    return describer.shipped().speaker


@dataclass(frozen=True)
class DescribedPhoto:
    """A photograph, its picture without black bars, and what is to be fixed in it; None for a model that is not conditioned on kinds."""

    source: photo.Photo
    box: content.Box
    treat: Treatment | None


def describe_photo(restorer: Restorer, source: photo.Photo, options: Options) -> DescribedPhoto:
    """The first part of `restore`, so that it can be done for the next photograph of a folder while this one is in the network.

    Raises InputError for options that name kinds to a model that is not conditioned on them.
    """
    return restorer._described(source, options)


@dataclass(frozen=True)
class ResolvedOptions:
    """Options with nothing left open."""

    process: GaussianPath
    grid: str
    solver: str
    fidelity: float
    resolution: Resolution


def _begin(run: ResolvedOptions, treat: Treatment | None) -> int:
    """The first evaluation that is run: the coarse ones correct the light alone."""
    return first_native(run.process) if treat is not None and not treat.light else 0


def _each(callback: Callback | None) -> Callback | None:
    """A callback for several draws at once, which is called for each of them."""
    if callback is None:
        return None

    def tell(step: Progress) -> bool:
        return any(callback(replace(step, x0_hat=x0_hat)) for x0_hat in step.x0_hat.split(1))

    return tell


def _whole_of(pixels: np.ndarray) -> content.Box:
    return content.Box(0, pixels.shape[0], 0, pixels.shape[1])


def _harmless(before: np.ndarray, after: np.ndarray, treat: Treatment) -> np.ndarray:
    """A restoration (H, W, 3) with what may never change put back.

    Where the light is not to be fixed, the mean of each channel stays; grey stays grey; empty black stays.
    """
    if not treat.light:
        for _ in range(8):  # clipping undoes part of a shift; the next round corrects it
            check()
            # Channel by channel: over both axes at once it takes ten times as long.
            moved = [(after[..., c] - before[..., c]).mean(dtype=np.float64) for c in range(3)]
            shift = np.array(moved).astype(np.float32)
            if np.abs(shift).max() < 1e-4:
                break
            after = after - shift
            np.clip(after, 0, 1, out=after)
    if content.is_grey(before):
        after = content.as_grey(after)
    share = content.void(before)
    return before + (1 - share) * (after - before) if share.any() else after


class _Clock:
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


def draw_seed(seed: int, index: int) -> int:
    """The seed of draw `index`: draw k of seed s does not depend on how many draws were asked for."""
    return (seed * 1_000_003 + index * 7_919) % 2**62


def as_photo(image: Any, max_pixels: int = photo.MAX_PIXELS) -> photo.Photo:
    """Any accepted kind of image as a Photo. Raises InputError naming what is wrong with it."""
    if isinstance(image, photo.Photo):
        return image
    if isinstance(image, DescribedPhoto):
        return image.source
    if isinstance(image, (str, Path, bytes)) or hasattr(image, "read"):
        return photo.read(image, max_pixels)
    if isinstance(image, Tensor):
        tensor = image.detach().cpu()
        if tensor.dtype in (torch.bfloat16, torch.float16):
            tensor = tensor.float()
        if tensor.ndim == 4 and len(tensor) == 1:
            tensor = tensor[0]
        if tensor.ndim != 3 or tensor.shape[0] != 3:
            raise InputError(f"a tensor must be (3, H, W) or (1, 3, H, W), got {tuple(image.shape)}")
        image = tensor.permute(1, 2, 0).numpy()
    elif hasattr(image, "convert") and hasattr(image, "size"):
        return photo.read(_lossless(image), max_pixels)
    if isinstance(image, np.ndarray):
        from unveil.photo.record import from_array

        return from_array(image)
    raise InputError(f"cannot restore a {type(image).__name__}; give a path, a PIL image, an array or a tensor")


def _lossless(image: Any) -> bytes:
    """A PIL image as a file that keeps its samples, profile, EXIF and transparency, so that it is read as a path would be."""
    from PIL import Image

    out = io.BytesIO()
    image.load()
    exif = image.getexif()
    if image.format == "TIFF":
        exif.pop(0x0112, None)  # Pillow has turned it on loading, and leaves the tag where it was
    about = {"icc_profile": image.info.get("icc_profile"), "exif": exif.tobytes()}
    kept = {k: v for k, v in about.items() if v}
    try:
        if image.mode in ("CMYK", "F", "I", "YCbCr", "LAB", "HSV"):
            wide = image if image.mode in ("CMYK", "F") else image.convert("RGB")
            bare = Image.frombytes(wide.mode, wide.size, wide.tobytes())  # without the tags of the file it came from
            bare.save(out, "TIFF", **kept)
        else:
            image.save(out, "PNG", compress_level=1, **kept)
    except (OSError, ValueError) as error:
        raise InputError(f"a PIL image of mode {image.mode} cannot be restored ({error}); convert it to RGB") from error
    return out.getvalue()


def load(name: str | Path = "general", device: str = "auto", dtype: str = "auto", engine: str = "torch") -> Restorer:
    """A restorer by shelf name, weight file or run folder. Raises ModelError with the nearest names, InputError for device or engine."""
    return Restorer(shelf.load(name), device, dtype, engine=engine)
