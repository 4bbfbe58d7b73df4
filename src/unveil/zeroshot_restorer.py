"""Photographs restored by a zero-shot method: the interface of `Restorer` for a frozen prior and a method."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from unveil import __version__, tiling
from unveil.diffusion.noise import seeded
from unveil.draws import Callback, draw_seed
from unveil.errors import Cancelled, InputError, ModelError, UnveilError, collected
from unveil.models import shelf
from unveil.options import Options, chosen
from unveil.photo.record import in_the_shape_of
from unveil.restoration import Restoration
from unveil.restorer import as_photo, check_several
from unveil.util.devices import DTYPES, name_of, pick_device, pick_dtype
from unveil.util.tensors import at_least, batch_of, pixels_of
from unveil.zeroshot import methods
from unveil.zeroshot.priors import Measured, Prior, TiledPrior
from unveil.zeroshot.priors.opening import open_prior

LARGEST = 1024
"""Longest side in pixels that a prior is given in one piece by default; beyond it, in tiles of half this size."""
_NOT_HERE = ("fidelity", "solver", "grid", "resolution", "generator")
_TRIAL = 128
"""Side of the crop that the time of a restoration is estimated on."""


@dataclass(frozen=True)
class Estimate:
    """evaluations of the prior for one draw, at most; seconds for all draws, from a trial on a small crop."""

    evaluations: int
    seconds: float


@dataclass(frozen=True)
class ZeroShotPlan:
    """What a restoration keeps in memory at the most, as far as it is known beforehand. tile: side of the prior's tiles, 0 for none."""

    height: int
    width: int
    tile: int
    bytes: int


class ZeroShotRestorer:
    """A method and a prior on a device. Thread-safe: it holds no state between calls.

    settings: the method's options by name (operator, noise, task, prompt, rounds, ...); `steps` comes with each call's `Options`.
    extras: what a method may be given beside them, as UP-ZeroIR's judge. memory: bytes that a restoration may plan with.
    """

    def __init__(
        self,
        prior: Prior,
        method: str,
        settings: Mapping[str, Any] | None = None,
        *,
        extras: Mapping[str, Any] | None = None,
        memory: int | None = None,
    ) -> None:
        self.model = self.prior = prior
        self.name, self.method = method, methods.find(method)
        self.given = {k: v for k, v in (settings or {}).items() if v is not None}
        self.extras = dict(extras or {})
        self.memory = tiling.budget(prior.device) if memory is None else memory
        self.method.configured(self.given)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.prior.device

    def resolve(self, options: Options) -> Any:
        """The method's options with those of a call filled in. Raises InputError for one that zero-shot methods do not have."""
        for name in _NOT_HERE:
            if getattr(options, name) is not None:
                raise InputError(
                    f"{self.method.title} has no {name}; leave it out, or use a trained model (--method learnir)"
                )
        if options.uncertainty:
            raise InputError(
                f"{self.method.title} has no network that says how far it is off; take samples=8 in place of uncertainty"
            )
        if options.self_ensemble > 1:
            raise InputError(
                f"{self.method.title} has no self_ensemble; leave it out, or use a trained model (--method learnir)"
            )
        if options.fix is not None or options.keep or options.told is not None:
            raise InputError(
                f"{self.method.title} cannot be told what to fix; leave out fix and keep, or use the model general"
            )
        given = self.given if options.steps is None else {**self.given, "steps": options.steps}
        settings = self.method.configured(given)
        if getattr(settings, "prompt", ""):
            self.prior.condition(settings.prompt, getattr(settings, "negative", ""))  # told now, not once per file
        elif getattr(settings, "captioner", ""):
            try:
                self.prior.condition("a photograph", "")
            except UnveilError as error:
                raise InputError(
                    f"{self.prior.name} reads no text, which a captioner writes; leave the captioner out"
                ) from error
        return settings

    def plan(self, height: int, width: int, options: Options | None = None) -> ZeroShotPlan:
        """How a photograph of this size is worked on. Raises InputError where it does not fit into memory."""
        tile = (options or Options()).tile
        if isinstance(tile, str):
            most = int(tile.partition(":")[2] or LARGEST)
            tile = 0 if max(height, width) <= most else min(most, LARGEST // 2)
        need = self.method.held * height * width
        if need > self.memory:
            most = int((self.memory / self.method.held) ** 0.5)
            raise InputError(
                f"{self.method.title} on {width} x {height} pixels needs about {need / 2**30:.1f} GiB beside the prior, the limit is "
                f"{self.memory / 2**30:.1f} GiB; reduce the photograph to about {most} x {most} pixels"
            )
        return ZeroShotPlan(height, width, int(tile), need)

    def estimate(self, height: int, width: int, options: Options | None = None) -> Estimate:
        """How long a restoration takes: the method is begun on a small grey crop, and stopped after its third evaluation."""
        options = options or Options()
        settings = _for_a_trial(self.resolve(options))
        side = max(_TRIAL, self.prior.multiple_of, self.method.least)
        size = (min(height, side), min(width, side))
        times: list[tuple[float, int]] = []

        def watch(progress: Any) -> bool:
            times.append((time.perf_counter(), progress.steps))
            return len(times) == 3

        y = torch.zeros(1, 3, *(max(side, self.method.least) for side in size), device=self.device)
        started = time.perf_counter()
        try:
            with collected():
                self.method.call()(self.prior, _grained(y), seeded([0]), settings, watch, **self.extras)
        except Cancelled:
            pass
        if not times:
            return Estimate(0, 0.0)
        steps = times[-1][1]
        each = (times[-1][0] - times[0][0]) / max(1, len(times) - 1)
        before = max(0.0, times[0][0] - started - each)  # what a method does first: an adapter's rehearsal, features
        least = self.method.least  # a narrow photograph is worked on as one of this width
        larger = max(height, least) * max(width, least) / (y.shape[-2] * y.shape[-1])
        return Estimate(steps, (before + each * steps) * options.samples * larger)

    def restore(
        self, image: Any, options: Options | None = None, *, callback: Callback | None = None, **settings: Any
    ) -> Restoration:
        """Restore one image; see `Restorer.restore`. callback: its x0_hat is the current estimate (1, 3, H, W) around [-1, 1]."""
        options = chosen(options, settings)
        started = time.perf_counter()
        source = as_photo(image, options.max_pixels)
        resolved = self.resolve(options)
        plan = self.plan(source.height, source.width, options)
        prior = Measured(TiledPrior(self.prior, plan.tile) if plan.tile else self.prior)
        y = batch_of(source.pixels).to(self.device) * 2 - 1
        whole = at_least(y, self.method.least, self.method.least)
        draws, notes = [], list[str]()
        for k in range(options.samples):
            noise = seeded([draw_seed(options.seed, k)])
            with collected() as collected_notes, tiling.memory_named(self.device, source.height, source.width):
                x = self.method.call()(prior, whole, noise, resolved, callback, **self.extras)
            notes += collected_notes
            draws.append(_cropped(x, whole, y))
        samples = np.stack(draws)
        same = samples.shape[1:] == source.pixels.shape
        if options.strength != 1.0:
            if not same:
                raise InputError(
                    "strength blends with the photograph and needs a result of its size; leave it out with downsample"
                )
            samples = source.pixels + np.float32(options.strength) * (samples - source.pixels)
        coloured = getattr(resolved, "operator", "") == "grey" or getattr(resolved, "task", "") == "colorize"
        shaped = in_the_shape_of(source, samples[0], coloured=coloured)
        protocol = self.protocol(options) | {"tile": plan.tile, "counts": dataclasses.asdict(prior.counts)}
        return Restoration(
            samples,
            time.perf_counter() - started,
            prior.seconds,
            options.seed,
            protocol,
            shaped,
            tuple(dict.fromkeys([*notes, *(n for n in shaped.notes if n not in source.notes)])),
        )

    def restore_batch(
        self, images: Tensor | Sequence[Any], options: Options | None = None, **settings: Any
    ) -> list[Restoration]:
        """Restore several images, each as `restore` would alone; see `Restorer.restore_batch`."""
        check_several(images)
        options = chosen(options, settings)
        return [self.restore(image, options) for image in images]

    def protocol(self, options: Options) -> dict[str, Any]:
        """Everything that decides the pixels, as plain values: what stands beside a number or in a manifest.

        threads: attention and gradients add up in an order that depends on how many threads share the work, and iterations make more of it.
        """
        used = dataclasses.asdict(self.resolve(options))
        return {
            "method": self.name,
            "model": self.prior.name,
            "sha256": self.prior.sha256,
            "unveil": __version__,
            **{k: str(v) if isinstance(v, Path) else v for k, v in used.items()},
            "strength": options.strength,
            "samples": options.samples,
            "seed": options.seed,
            "dtype": name_of(getattr(self.prior, "dtype", torch.float32)),
            "device": self.device.type,
            **({} if getattr(self.prior, "label", None) is None else {"label": self.prior.label}),  # type: ignore[attr-defined]
            **({"threads": torch.get_num_threads()} if self.device.type == "cpu" else {}),
        }


def _for_a_trial(settings: Any) -> Any:
    """A method's options for a grey crop: nobody is asked what it shows, and a mask of the photograph's size is one of any other size."""
    changes: dict[str, Any] = {"captioner": ""} if getattr(settings, "captioner", "") else {}
    if str(getattr(settings, "operator", "")).startswith("mask:file="):
        changes["operator"] = "mask:keep=0.5"
    return dataclasses.replace(settings, **changes) if changes else settings


def _grained(y: Tensor) -> Tensor:
    """The plain grey image of a trial with a little noise: some methods estimate the noise, or divide by the contrast, of what they get."""
    return y + 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(y)


def _cropped(x: Tensor, whole: Tensor, y: Tensor) -> np.ndarray:
    """A method's result as (H, W, 3) float32 in [0, 1], without what was added to the photograph; larger where the method enlarges."""
    height, width = (y.shape[d] * (x.shape[d] // whole.shape[d]) for d in (-2, -1))
    return pixels_of(((x[..., :height, :width].float() + 1) / 2).clamp_(0, 1))


def load(
    prior: str | Path = "",
    method: str = "diffpir",
    settings: Mapping[str, Any] | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    tiny: str | Path | None = None,
    label: int | None = None,
    preset: str = "",
    extras: Mapping[str, Any] | None = None,
) -> ZeroShotRestorer:
    """A zero-shot restorer. prior: a name on the shelf, a folder, a hub id, or "" for the method's own; tiny: a TAESD for guidance;
    label: the class of a class-conditional one.

    On a prior that ships a method runs with the settings that were measured with it (`zeroshot.methods`, `quick`), on others with its own
    defaults; preset: "paper" for the published ones on any prior, "quick" for the measured ones. settings, and steps of a call, are taken
    instead of any.

    Raises ModelError for a prior that cannot be opened, InputError for the rest.
    """
    shelf.check_name(prior)
    found = methods.find(method)
    base = found.preset(preset) if preset else None  # a wrong name is told before anything is opened
    name = str(prior) or found.prior
    where = pick_device(device)
    # Priors run in weights of their own precision, not under autocast, and guidance differentiates them: full precision on processors.
    kind = pick_dtype("fp32" if dtype == "auto" and where.type == "cpu" else dtype, where, tuple(DTYPES))
    known = name in shelf.priors()
    if not known and name in shelf.entries() and not Path(name).exists():
        raise ModelError(shelf.use(name))
    source = shelf.prior_folder(name) if known else name
    opened = open_prior(source, where, kind, name=name if known else "", tiny=tiny, label=label)
    # A protocol names every option, those left to the method as None: it runs as it did, whatever is quick today.
    if base is None:
        base = found.quick if known else {}
    return ZeroShotRestorer(cast(Prior, opened), method, {**base, **(settings or {})}, extras=extras)
