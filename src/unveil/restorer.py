"""Images in, Restoration out: the one door to every model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unveil import __version__, photo, tiling
from unveil.diffusion.resolution import Resolution
from unveil.diffusion.sampling import EULER, SOLVERS
from unveil.draws import Callback, DescribedPhoto, Draws, ResolvedOptions, generator
from unveil.errors import InputError, note
from unveil.models import shelf
from unveil.models.calibration import Calibration, fitting
from unveil.models.footprint import bytes_per_pixel, weight_bytes
from unveil.models.model import Model
from unveil.models.treatment import Treatment, reaching_detail, repeated, steps_of, treatment
from unveil.networks.condition import LIGHT
from unveil.options import Options, chosen
from unveil.photo import content
from unveil.photo.reading import as_photo as convert
from unveil.photo.tiles import Plan, decide
from unveil.restoration import Doubt, Restoration
from unveil.util.devices import DTYPES, hardware, name_of, pick_device, pick_dtype
from unveil.util.words import check_known

__all__ = ["Callback", "DescribedPhoto", "Options", "Restoration", "Restorer", "as_photo", "describe_photo", "load"]

_AT_ONCE = 8
"""Draws that advance together at most."""


class Restorer:
    """A model on a device. Thread-safe: it holds no state between calls but the specialists that it opened (`specialist`).

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
        self._as_asked = {"device": device, "dtype": dtype, "memory": memory, "engine": engine}
        self._specialists: dict[str, Restorer] = {}
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

    def specialist(self, treat: Treatment | None) -> Restorer:
        """The restorer of the model that is better at what is to be fixed (`Model.specialists`); this one where there is none.

        It is asked where one kind of damage to the light is to be fixed and no other; all else it mends as this one does.
        """
        light = [k for k in LIGHT if treat is not None and treat.probabilities.get(k, 0.0) > 0]
        name = self.model.specialists.get(light[0], "") if len(light) == 1 else ""
        if not name:
            return self
        if name not in self._specialists:
            self._specialists[name] = Restorer(shelf.load(name), **self._as_asked)
        return self._specialists[name]

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
        described = isinstance(image, DescribedPhoto)
        seen = image if described else self._described(as_photo(image, options.max_pixels), options)
        source, treat = seen.source, seen.treat
        if options.told is None and (specialist := self.specialist(treat)) is not self:
            out = specialist.restore(seen, options, callback=callback)
            by = f"by the model {specialist.model.spec.name}, which is better at this"
            return replace(out, notes=(*out.notes, by), seconds=time.perf_counter() - started)
        draws = self._draws(seen, self._shortened(options, treat), callback)
        if options.steps is not None and draws.options.steps != options.steps:
            draws.notes.append(f"steps={options.steps} would decide the light alone; {draws.options.steps} were taken")
        options, notes = draws.options, draws.notes
        whole = plan = self.plan(*draws.size, options)
        notes += [] if treat is None else [treat.sentence()]
        together = self._together(plan, options)
        while True:
            # The draws lie on the host; on a processor, beside what the network takes.
            room = self.memory - plan.bytes if self.device.type == "cpu" else tiling.budget(torch.device("cpu"))
            try:
                with tiling.memory_named(self.device, source.height, source.width):
                    samples, moments = draws.made(together, room)
                break
            except tiling.NeedsSmallerTiles:
                pass  # outside the handler, whose frames hold the tensors that did not leave room
            if together > 1:
                together = 1
                continue
            # As a later run of the protocol will do it: with this tile requested, from the first step on.
            whole = replace(whole, batch=1).halved()
            options = replace(options, tile=tiling.spelled(whole))
            draws = replace(draws, options=options, plan_for=self._plan_for(options))
            plan = self.plan(*draws.size, options)
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
                doubt = self._doubt(seen.box, source.pixels, mean, treat)
        return Restoration(
            samples,
            time.perf_counter() - started,
            draws.clock.seconds,
            options.seed,
            protocol,
            source,
            tuple(dict.fromkeys(notes)),
            moments,
            self._calibration(protocol, treat, doubt),
            doubt,
        )

    def _draws(self, seen: DescribedPhoto, options: Options, callback: Callback | None) -> Draws:
        run, plan_for = self.resolve(options), self._plan_for(options)
        return Draws(self.model, self.device, self.dtype, seen, options, run, plan_for, callback, self._mends)

    def _plan_for(self, options: Options) -> Callable[[int, int], Plan]:
        return lambda height, width: self.plan(height, width, options)

    def _described(self, source: photo.Photo, options: Options) -> DescribedPhoto:
        looks = self.model.spec.conditioned and options.strength > 0
        box = content.within_bars(source.pixels) if looks else content.Box(0, source.height, 0, source.width)
        return DescribedPhoto(source, box, self._treatment(box.of(source.pixels), options))

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
        own = protocol["steps"] == steps_of(treat, self.model.spec)
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
        said, light = deviations(network, y, x0_hat, treat.vector(), dtype=self.dtype)
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
            InputError: What cannot be restored as given, and one image where several are taken.

        """
        check_several(images)
        options = chosen(options, settings)  # once: an iterator in the settings would be empty for the second image
        return [self.restore(image, options) for image in images]

    def resolve(self, options: Options) -> ResolvedOptions:
        """The options with the model's defaults filled in. Raises InputError for a value that the model or sampler does not have."""
        d = self.model.spec.defaults
        if not self.model.spec.conditioned and (options.fix is not None or options.keep or options.told is not None):
            raise InputError(
                f"{self.model.spec.name} cannot be told what to fix; leave out fix and keep, or use the model general"
            )
        if options.fix is not None:
            treatment(None, options.fix, options.keep, self.model.spec.fixable)  # here, before any photograph is read
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
        """The options with fewer steps where no number was asked for and more would change nothing (`treatment.STEPS`), and with as many
        as detail takes where fewer were asked for.
        """
        if options.steps is not None:
            return replace(options, steps=reaching_detail(treat, self.model.spec, options.grid, options.steps))
        left = (options.steps, options.grid, options.solver, options.resolution) == (None,) * 4
        usual = self.model.spec.defaults.steps
        steps = steps_of(treat, self.model.spec) if left and self.resolve(options).fidelity == 1 else usual
        return options if steps == usual else replace(options, steps=steps)

    def _treatment(self, pixels: np.ndarray, options: Options) -> Treatment | None:
        """What to fix in a photograph (H, W, 3); None for a model that is not conditioned on kinds of damage, and for strength 0.

        Raises InputError for options that name kinds to a model that is not conditioned on them.
        """
        self.resolve(options)
        fixable = self.model.spec.fixable
        if not fixable:
            return None
        named = None
        if options.told is not None:
            named = repeated(options.told, fixable)
        elif options.fix is not None:
            named = treatment(None, options.fix, options.keep, fixable)
        if options.strength == 0:
            return None  # nothing is going to be removed, whoever finds or names it
        if named is not None:
            return named
        from unveil.models import describer

        said = describer.shipped().describe(pixels, self.dtype, self.model).probabilities
        return treatment(said, None, options.keep, fixable)

    def protocol(self, options: Options) -> dict[str, Any]:
        """Everything that decides the pixels, as plain values: what stands beside a number or in a manifest."""
        if options.fix is not None:
            named = treatment(None, options.fix, options.keep, self.model.spec.fixable)
            if (specialist := self.specialist(named)) is not self:
                return specialist.protocol(options)
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
            "self_ensemble": options.self_ensemble,
            "samples": options.samples,
            "seed": options.seed,
            "dtype": name_of(self.dtype),
            "engine": self.engine,
            "device": self.device.type,
            "hardware": hardware(self.device),
            "generator": generator(options, self.device),
            **({"describer": _speaker()} if asked else {}),
        }


def _speaker() -> str:
    from unveil.models import describer

    return describer.shipped().speaker


def describe_photo(restorer: Restorer, source: photo.Photo, options: Options) -> DescribedPhoto:
    """The first part of `restore`, so that it can be done for the next photograph of a folder while this one is in the network.

    Raises InputError for options that name kinds to a model that is not conditioned on them.
    """
    return restorer._described(source, options)


def single(images: Any) -> str:
    """What `images` is where it is one image and not several, in words; empty where it is several."""
    if isinstance(images, (np.ndarray, Tensor)):
        stack = images.ndim > 3 or (
            images.ndim == 3 and isinstance(images, np.ndarray) and images.shape[2] not in (1, 3, 4)
        )
        return "" if stack else f"of shape {tuple(images.shape)}"
    whole = isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike, photo.Photo, DescribedPhoto))
    return type(images).__name__ if whole or not hasattr(images, "__iter__") or hasattr(images, "read") else ""


def check_several(images: Any) -> None:
    """Raise InputError where `images` is one image."""
    kind = single(images)
    if kind:
        raise InputError(
            f"restore_batch takes several images, not one ({kind}); put it into a list, or give it to restore"
        )


def as_photo(image: Any, max_pixels: int = photo.MAX_PIXELS) -> photo.Photo:
    """Any accepted kind of image as a Photo. Raises InputError naming what is wrong with it."""
    return image.source if isinstance(image, DescribedPhoto) else convert(image, max_pixels)


def load(name: str | Path = "general", device: str = "auto", dtype: str = "auto", engine: str = "torch") -> Restorer:
    """A restorer by shelf name, weight file or run folder. Raises ModelError with the nearest names, InputError for device or engine."""
    return Restorer(shelf.load(name), device, dtype, engine=engine)
