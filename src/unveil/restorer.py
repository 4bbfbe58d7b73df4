"""Images in, Restoration out: the one door to every model."""

from __future__ import annotations

import io
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unveil import __version__, photo, tiling
from unveil.diffusion.process import Process
from unveil.diffusion.resolution import Resolution
from unveil.diffusion.sampling import SOLVERS, Progress, sample
from unveil.errors import InputError
from unveil.models import shelf
from unveil.models.calibration import Calibration, fitting
from unveil.models.footprint import bytes_per_pixel, weight_bytes
from unveil.models.model import Model
from unveil.models.treatment import Treatment, first_native, repeated, steps_of, treatment
from unveil.photo import content
from unveil.photo.noise import field as noise_field
from unveil.photo.plan import Plan, decide
from unveil.util.words import did_you_mean

Callback = Callable[[Progress], "bool | None"]
MOST_SEED = 2**53 - 1
"""The largest seed: the largest whole number that JSON carries safely."""
GENERATORS = ("philox4x64", "philox4x32")
"""Of noise: on the processor (`photo.noise`), or in torch on any device (`diffusion.philox`)."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_seed(seed: int) -> None:
    """Raise InputError for a seed out of range: it would be folded onto another one, and two seeds would give the same pixels."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= MOST_SEED:
        raise InputError(f"seed must be a whole number from 0 to {MOST_SEED}, got {str(seed)[:40]}")


@dataclass(frozen=True)
class Options:
    """How to restore. None means the model's own default.

    steps: network evaluations per draw; by default fewer where the light stays. samples: draws from the posterior. seed: same seed,
    same pixels.
    fidelity: 0 samples the posterior (sharp, draws differ), 1 follows its mean (least squared error).
    strength: share of the estimated residual that is removed, 0 returns the input, 1 the restoration.
    solver: "ancestral", "ddim", "renoise" or "2m". grid: "cubic" or the trained schedule. resolution: "coarse_to_fine",
    "hourglass" or "off". tile: longest side of the tiles that the network sees, "auto" for what memory allows (at most
    2048), 0 for the whole photograph. max_pixels: refuse larger files from their header.
    fix: kinds of damage to fix and no others ("noise", "haze", ...; "light" for all that changes the light), None for what the describer
    finds. keep: kinds to leave alone. told: probabilities by kind, as a protocol has them, in place of both. All three are for models
    that can be told (`general`). generator: where noise comes from, one of GENERATORS; by default the one that is faster on the device,
    "philox4x64" on processors and "philox4x32" elsewhere. Named, a seed means the same noise on every device, but for the last digit.
    """

    steps: int | None = None
    samples: int = 1
    seed: int = 0
    fidelity: float | None = None
    strength: float = 1.0
    solver: str | None = None
    grid: str | None = None
    resolution: str | None = None
    tile: int | str = "auto"
    max_pixels: int = photo.MAX_PIXELS
    fix: str | Sequence[str] | None = None
    keep: str | Sequence[str] = ()
    told: Mapping[str, float] | None = None
    uncertainty: bool = False
    generator: str | None = None

    def __post_init__(self) -> None:
        for name in ("samples", "seed", "max_pixels", "steps"):
            value = getattr(self, name)
            if not (_whole(value) or (name == "steps" and value is None)):
                raise InputError(f"{name} must be a whole number, got {value!r}")
        check_seed(self.seed)
        if self.samples < 1:
            raise InputError(f"samples must be at least 1, got {self.samples}")
        if self.tile != "auto" and not (_whole(self.tile) and int(self.tile) >= 0):
            raise InputError(f"tile must be auto, 0 or a number of pixels, got {self.tile!r}")
        if self.max_pixels < 1:
            raise InputError(f"max_pixels must be at least 1, got {self.max_pixels}")
        if self.generator is not None and self.generator not in GENERATORS:
            raise InputError(f"generator must be one of {', '.join(GENERATORS)}, got {self.generator!r}")
        for name in ("fidelity", "strength"):
            value = getattr(self, name)
            if value is not None and not (_number(value) and 0.0 <= value <= 1.0):
                raise InputError(f"{name} must be a number between 0 and 1, got {value!r}")
        if self.told is not None and (self.fix is not None or self.keep):
            raise InputError("told says it all; leave out fix and keep")
        if self.fix is not None or self.keep:
            treatment({}, self.fix, self.keep)  # a wrong name is said before anything is read


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Restoration:
    """image: (H, W, 3) float32 in [0, 1], the mean of the draws (the draw itself when there is one).

    samples: (K, H, W, 3), none of them (0, H, W, 3) where keeping all would not fit into memory. mean: (H, W, 3). std: (H, W, 3)
    per-pixel standard deviation of the draws, in units of the full range, None for a single draw. seconds: wall time, of which
    network_seconds inside the network. seed and protocol: what to say to get the same pixels again. source: the photograph, whose
    format and metadata `save` keeps. notes: what was put right on the way (smaller tiles, fp32), one sentence each. doubt: what the
    model's own network says about its error, where it was asked. calibration: what was measured about that, or about the spread of such
    draws, None where nothing was for these settings.
    """

    samples: np.ndarray
    seconds: float
    network_seconds: float
    seed: int
    protocol: dict[str, Any]
    source: photo.Photo | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    moments: Moments | None = field(default=None, repr=False)
    calibration: Calibration | None = field(default=None, repr=False)
    doubt: Doubt | None = field(default=None, repr=False)

    @property
    def mean(self) -> np.ndarray:
        """(H, W, 3), mean over the draws."""
        if self.moments is not None:
            return self.moments.mean
        if len(self.samples) == 1:
            return self.samples[0]
        out = np.empty(self.samples.shape[1:], np.float32)
        for row, of in enumerate(out):
            of[...] = self.samples[:, row].mean(axis=0, dtype=np.float64)
        return out

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]."""
        return self.mean

    @property
    def std(self) -> np.ndarray | None:
        """(H, W, 3), standard deviation over the draws (unbiased), None for a single draw."""
        if self.moments is not None:
            return self.moments.std
        if len(self.samples) < 2:
            return None
        out = np.empty(self.samples.shape[1:], np.float32)
        for row, of in enumerate(out):  # row by row: the sums in double would take twice the draws' memory
            of[...] = self.samples[:, row].std(axis=0, ddof=1, dtype=np.float64)
        return out

    @property
    def uncertainty(self) -> np.ndarray | None:
        """(H, W, 3) standard deviation of the error from place to place, in units of the full range, calibrated where it was measured.

        What the model's network says where it was asked (`Options.uncertainty`), else the spread of the draws; None where there is neither.
        An error of the light of the whole is no part of it (`light_uncertainty`).
        """
        said = self.std if self.doubt is None else self.doubt.local
        return said if said is None or self.calibration is None else self.calibration.std(said, self._kinds)

    @property
    def light_uncertainty(self) -> float | None:
        """Standard deviation of the error of the light of the whole, in units of the full range; None where nothing says it."""
        if self.doubt is None:
            return None
        return self.doubt.light * (1.0 if self.calibration is None else self.calibration.light)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return tuple(k for k, p in self.protocol.get("told", {}).items() if p > 0)

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper), each (H, W, 3) in [0, 1]: the image -+ the conformal width times its standard deviation, light included.

        For a photograph exchangeable with the calibration photographs the expected share of pixel values inside is at least `level`
        (`evaluation.conformal.pixel_factor`); nothing is promised for one chosen pixel, or for photographs unlike them. Raises
        InputError for a level, a number of draws or settings that were not calibrated, saying what to ask for.
        """
        known = self.calibration
        if known is None:
            raise InputError(
                "no interval was calibrated for this model under these settings; restore with uncertainty=True, or with fidelity=0 and "
                "samples=8, or calibrate it"
            )
        if self.doubt is None and (self.std is None or self.protocol["samples"] != known.draws):
            raise InputError(
                f"intervals hold for {known.draws} draws, got {self.protocol['samples']}; restore with samples={known.draws}"
            )
        std = np.hypot(self.uncertainty, self.light_uncertainty) if self.doubt is not None else self.std
        assert std is not None
        width = known.half_width(std, level).astype(np.float32)
        return np.clip(self.mean - width, 0, 1), np.clip(self.mean + width, 0, 1)

    def save(self, path: str | Path, strip: bool = False) -> tuple[str, ...]:
        """Write the image, in the source photograph's colour space, depth and metadata, by the suffix of `path`.

        strip: leave EXIF (with its GPS position), XMP and comments out. Returns notes on what the format could not hold.
        """
        return photo.write(self.source or as_photo(self.image), self.image, Path(path), strip=strip)


@dataclass(frozen=True)
class Doubt:
    """What a model's network says about its own error, in units of the full range. local: (H, W, 3) standard deviation from place to

    place. light: that of the light of the whole.
    """

    local: np.ndarray
    light: float


@dataclass
class Moments:
    """Mean and standard deviation of draws that come one by one and are not kept (Welford 1962). mean, squares: (H, W, 3) float32."""

    mean: np.ndarray
    squares: np.ndarray
    count: int = 1

    @classmethod
    def of(cls, draw: np.ndarray) -> Moments:
        """The moments of a first draw (H, W, 3)."""
        return cls(draw.copy(), np.zeros_like(draw))

    def add(self, draw: np.ndarray) -> None:
        """Take one more draw (H, W, 3) into account, row by row, so that nothing of the photograph's size is allocated."""
        self.count += 1
        for mean, squares, row in zip(self.mean, self.squares, draw, strict=True):
            before = row - mean
            mean += before / self.count
            squares += before * (row - mean)

    @property
    def std(self) -> np.ndarray:
        """(H, W, 3), unbiased."""
        return np.sqrt(self.squares / max(self.count - 1, 1))


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
        # Imported networks keep the digits of their authors' code unless asked otherwise.
        wanted = "fp32" if dtype == "auto" and self.device.type == "cpu" and not model.spec.trained_here else dtype
        self.dtype = pick_dtype(wanted, self.device, model.spec.dtypes)
        self.model = model.to(self.device)
        if engine != "torch":
            self.model = self._on_engine(engine, "fp32" if engine == "onnx" and dtype == "auto" else "")
        self.memory = tiling.budget(self.device) if memory is None else memory

    def _on_engine(self, engine: str, dtype: str) -> Model:
        """The model on an engine; dtype: in place of the one that was picked. Raises InputError for what does not go together."""
        from unveil.models import engines

        engines.check(engine)
        if self.device.type != "cpu":
            raise InputError(f"the engine {engine} runs on processors; leave out --device {self.device.type}")
        self.dtype = DTYPES[dtype] if dtype else self.dtype
        return engines.on_engine(self.model, engine, dtype or _name_of(self.dtype))

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
        cost = tiling.cost(
            options.tile,
            reach=spec.reach or spec.receptive_field,
            multiple_of=spec.multiple_of,
            weights=self._weights,
            per_pixel=self._footprint,
            held_per_pixel=tiling.HELD + (24 if options.samples > 1 else 0),
        )
        # Processors gain nothing from batches of tiles, which only take memory.
        return decide(height, width, self.memory, cost, options.tile, most=8 if self.device.type == "cuda" else 1)

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
        True cancels (raises Cancelled). Where it has a method `within`, that is told after every tile which share of the evaluation
        under way is done. Raises InputError for what cannot be restored as given.
        """
        options = _options(options, settings)
        if isinstance(image, Tensor) and image.ndim == 4 and len(image) > 1:
            raise InputError(
                f"a tensor of {len(image)} images has {len(image)} results; give it to restore_batch, or one image at a time"
            )
        started = time.perf_counter()
        source = as_photo(image, options.max_pixels)
        looks = self.model.spec.told and options.strength > 0
        box = content.within_bars(source.pixels) if looks else _whole_of(source.pixels)
        treat = self._treatment(box.of(source.pixels), options)
        options = self._shortened(options, treat)
        plan = self.plan(source.height, source.width, options)
        clock = _Clock()
        notes: list[str] = [] if treat is None else [treat.sentence()]
        draws = (self._draw(source, box, treat, options, k, callback, clock, notes) for k in range(options.samples))
        moments = None
        # The draws lie on the host; on a processor, beside what the network takes.
        host = self.memory - plan.bytes if self.device.type == "cpu" else tiling.budget(torch.device("cpu"))
        if options.samples > 1 and 4 * source.pixels.size * options.samples > host:
            moments = Moments.of(next(draws))
            for draw in draws:
                moments.add(draw)
            samples = np.empty((0, *source.pixels.shape), np.float32)
        else:
            samples = np.stack(list(draws)) if options.samples > 1 else next(draws)[None]
        protocol = self.protocol(options) | {"tile": plan.tile}
        if treat is not None:
            protocol["told"] = dict(treat.probabilities)
        doubt = None
        if options.uncertainty:
            mean = samples[0] if len(samples) == 1 else samples.mean(axis=0) if moments is None else moments.mean
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

    def _calibration(
        self, protocol: dict[str, Any], treat: Treatment | None, doubt: Doubt | None
    ) -> Calibration | None:
        """What was measured about such runs: of the doubt in the model's own steps, whether or not light stays (`_shortened`)."""
        if doubt is None:
            return fitting(self.model.calibrations, protocol)
        usual = self.model.spec.defaults.steps
        own = protocol["steps"] == steps_of(treat, usual)
        return fitting(self.model.calibrations, protocol | ({"steps": usual} if own else {}), "doubt")

    def _doubt(self, box: content.Box, before: np.ndarray, after: np.ndarray, treat: Treatment | None) -> Doubt:
        """What the model's network says about the error of `after` (H, W, 3), where `before` was restored inside `box`."""
        from unveil.networks.doubt import deviations

        network = self.model.doubt
        assert network is not None
        local = np.zeros_like(after)
        if treat is None or treat.nothing:
            return Doubt(local, 0.0)
        pair = (torch.from_numpy(2 * box.of(a).transpose(2, 0, 1) - 1).to(self.device) for a in (before, after))
        said, light = deviations(network, *pair, treat.vector())
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

    def resolve(self, options: Options) -> Run:
        """The options with the model's defaults filled in. Raises InputError for a value that the model or sampler does not have."""
        d = self.model.spec.defaults
        if not self.model.spec.told and (options.fix is not None or options.keep or options.told is not None):
            raise InputError(
                f"{self.model.spec.name} cannot be told what to fix; leave out fix and keep, or use the model general"
            )
        if options.uncertainty and self.model.doubt is None:
            raise InputError(
                f"{self.model.spec.name} has no network that says how far it is off; take samples=8 and fidelity=0 in place of uncertainty"
            )
        solver = options.solver or d.solver
        if solver not in SOLVERS:
            raise InputError(f"unknown solver {solver!r}; known are {', '.join(SOLVERS)}")
        return Run(
            process=self.model.spec.process(options.grid, options.steps),
            grid=options.grid or d.grid,
            solver=solver,
            fidelity=d.fidelity if options.fidelity is None else options.fidelity,
            resolution=Resolution(options.resolution or d.resolution, d.low, d.switch),
        )

    def _shortened(self, options: Options, treat: Treatment | None) -> Options:
        """The options with fewer steps where nobody asked for a number and more say nothing more (`treatment.STEPS`)."""
        left = (options.steps, options.grid, options.solver, options.resolution) == (None,) * 4
        usual = self.model.spec.defaults.steps
        steps = steps_of(treat, usual) if left and self.resolve(options).fidelity == 1 else usual
        return options if steps == usual else replace(options, steps=steps)

    def _generator(self, options: Options) -> str:
        """On a processor the integers of torch take six times as long (docs/speed.md); elsewhere they spare the way there."""
        return options.generator or GENERATORS[self.device.type != "cpu"]

    def _treatment(self, pixels: np.ndarray, options: Options) -> Treatment | None:
        """What to fix in a photograph (H, W, 3), None where nobody says: for a model that cannot be told, and for strength 0.

        Raises InputError where a model that cannot be told is told all the same.
        """
        self.resolve(options)
        if not self.model.spec.told:
            return None
        if options.told is not None:
            return repeated(options.told)
        if options.fix is not None:
            return treatment(None, options.fix, options.keep)
        if options.strength == 0:
            return None  # nothing is going to be removed, so nobody needs to look
        from unveil.models import describer

        return treatment(describer.shipped().describe(pixels).probabilities, None, options.keep)

    def _draw(
        self,
        source: photo.Photo,
        box: content.Box,
        treat: Treatment | None,
        options: Options,
        index: int,
        callback: Callback | None,
        clock: _Clock,
        notes: list[str],
    ) -> np.ndarray:
        """One draw, (H, W, 3) float32 in [0, 1]."""
        run = self.resolve(options)
        low, high = self.model.spec.value_range
        pixels = box.of(source.pixels)
        if options.strength == 0 or (treat is not None and treat.nothing):
            return source.pixels.copy()
        # In place and not kept twice: every array of the photograph's size counts.
        state_y = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].to(self.device)
        state_y.mul_(high - low).add_(low)

        def noise(step: int, like: Tensor) -> Tensor:
            h, w = int(like.shape[-2]), int(like.shape[-1])
            drawn = draw_seed(options.seed, index)
            if self._generator(options) == "philox4x32":
                from unveil.diffusion.philox import normals

                return normals(drawn, step, 0, 0, h, w, 3, like.device)[None].to(like)
            return noise_field(drawn, step, 0, 0, h, w, 3)[None].to(like)

        denoise = tiling.Tiled(
            clock.timed(self.model.told_of(treat).looking_at(state_y).denoiser(run.process, run.fidelity)),
            lambda h, w: self.plan(h, w, options),
            tell=getattr(callback, "within", None),
        )
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            if self.model.spec.sampler == "one_shot":
                x0 = denoise(run.process.start(state_y, torch.zeros_like(state_y)), state_y, run.process.steps)
            else:
                x0 = sample(
                    denoise,
                    state_y,
                    run.process,
                    noise,
                    solver=run.solver,
                    fidelity=run.fidelity,
                    resolution=run.resolution,
                    callback=callback,
                    begin=first_native(run.process) if treat is not None and not treat.light else 0,
                )
        notes += denoise.notes
        del state_y
        restored = ((x0.float() - low) / (high - low)).clamp_(0, 1)[0].permute(1, 2, 0).cpu().numpy()
        if treat is not None:
            restored = _harmless(pixels, restored, treat)
        if options.strength != 1.0:
            restored = pixels + np.float32(options.strength) * (restored - pixels)
        if pixels.shape == source.pixels.shape:
            return np.ascontiguousarray(restored)
        out = source.pixels.copy()
        box.of(out)[...] = restored
        return out

    def protocol(self, options: Options) -> dict[str, Any]:
        """Everything that decides the pixels, as plain values: what stands beside a number or in a manifest."""
        run = self.resolve(options)
        asked = self.model.spec.told and options.fix is None and options.told is None and options.strength > 0
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
            "dtype": _name_of(self.dtype),
            "engine": self.engine,
            "device": self.device.type,
            "hardware": hardware(self.device),
            "generator": self._generator(options),
            **({"describer": _speaker()} if asked else {}),
        }


def _name_of(dtype: torch.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known == dtype)


def _speaker() -> str:
    from unveil.models import describer

    return describer.shipped().speaker


@dataclass(frozen=True)
class Run:
    """Options with nothing left open."""

    process: Process
    grid: str
    solver: str
    fidelity: float
    resolution: Resolution


def _options(options: Options | None, settings: dict[str, Any]) -> Options:
    """The options of a call. Raises InputError for a setting that does not exist, or one given beside an Options that has it."""
    known = [f.name for f in fields(Options)]
    for name in settings:
        if name not in known:
            raise InputError(f"no option is called {name!r}; {did_you_mean(name, known)}")
    return Options(**settings) if options is None else replace(options, **settings)


def _whole_of(pixels: np.ndarray) -> content.Box:
    return content.Box(0, pixels.shape[0], 0, pixels.shape[1])


def _harmless(before: np.ndarray, after: np.ndarray, treat: Treatment) -> np.ndarray:
    """What a restoration (H, W, 3) may not do, whatever the network says.

    Where the light is not to be fixed, the mean of each channel stays; grey stays grey; black in which nothing is hidden stays.
    """
    if not treat.light:
        for _ in range(8):  # what the ends of the range take from a shift is made good by the next
            # Channel by channel: over both axes at once it takes ten times as long.
            moved = [(after[..., c] - before[..., c]).mean(dtype=np.float64) for c in range(3)]
            shift = np.array(moved).astype(np.float32)
            if np.abs(shift).max() < 1e-4:
                break
            after = np.clip(after - shift, 0, 1)
    if content.is_grey(before):
        after = content.as_grey(after)
    share = content.void(before)
    return before + (1 - share) * (after - before) if share.any() else after


class _Clock:
    """Seconds spent inside the network."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, denoise: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor, int], Tensor]:
        def timed(x_t: Tensor, y: Tensor, t: int) -> Tensor:
            started = time.perf_counter()
            out = denoise(x_t, y, t)
            if out.is_cuda:
                torch.cuda.synchronize(out.device)
            self.seconds += time.perf_counter() - started
            return out

        return timed


def draw_seed(seed: int, index: int) -> int:
    """The seed of draw `index`: draw k of seed s does not depend on how many draws were asked for."""
    return (seed * 1_000_003 + index * 7_919) % 2**62


def pick_device(name: str) -> torch.device:
    """Choose a device: auto is CUDA, else Apple's GPU, else the CPU. Raises InputError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); use auto or cpu"
        ) from error
    return device


def computes_bf16(device: torch.device) -> bool:
    """Whether a device has arithmetic for bf16 (processors: AVX-512-BF16 or AMX)."""
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda"


def hardware(device: torch.device) -> str:
    """What computes, as its maker calls it: digits of a result may depend on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


def pick_dtype(name: str, device: torch.device, supported: Sequence[str]) -> torch.dtype:
    """Choose a precision.

    Args:
        name: "auto", or a name in DTYPES. auto is bf16 where the model allows it and the device computes in it: on CUDA, and on processors
            with instructions for it, where it takes less than half of the time; fp32 elsewhere, for emulated bf16 is slower.
        device: Where it is to run.
        supported: What the model runs in.

    Raises:
        InputError: A precision that does not exist or that the model does not run in.

    """
    if name == "auto":
        name = "bf16" if "bf16" in supported and computes_bf16(device) else "fp32"
    if name not in DTYPES or name not in supported:
        raise InputError(f"dtype {name!r} is not one this model runs in; use auto or {', '.join(supported)}")
    return DTYPES[name]


def as_photo(image: Any, max_pixels: int = photo.MAX_PIXELS) -> photo.Photo:
    """Any accepted kind of image as a Photo. Raises InputError naming what is wrong with it."""
    if isinstance(image, photo.Photo):
        return image
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
        from unveil.photo.arrays import plain

        return plain(image)
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


def restore(image: Any, model: str | Path = "general", **settings: Any) -> Restoration:
    """`load(model).restore(image, **settings)` for a single image."""
    return load(model).restore(image, **settings)
