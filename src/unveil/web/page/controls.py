"""The controls of a restoration: what most people need first, the rest behind a fold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from unveil.diffusion.resolution import READINGS
from unveil.diffusion.sampling import SOLVERS
from unveil.errors import InputError
from unveil.jobs.queue_work import Order
from unveil.restorer import Options
from unveil.web.page import words
from unveil.web.service import Given, Service

DEFAULT = "model's default"
FORMATS = ("as it came", "jpg", "png", "webp", "tiff", "avif")
FIDELITY = "0: sharp, every draw differs. 1: cautious, the least expected error."


@dataclass(frozen=True)
class Controls:
    """The components, in the order in which their values come."""

    model: gr.Dropdown
    fidelity: gr.Slider
    samples: gr.Slider
    strength: gr.Slider
    seed: gr.Number
    steps: gr.Number
    solver: gr.Dropdown
    resolution: gr.Dropdown
    tile: gr.Number
    format: gr.Dropdown
    strip: gr.Checkbox

    def all(self) -> list[Any]:
        """As the inputs of an event."""
        return [getattr(self, field.name) for field in fields(self)]


def default_fidelity(service: Service, model: str) -> float | None:
    """What the model does when it is not told, None for a method without this dial."""
    return getattr(service.restorers.get(model, service.devices[0]).resolve(Options()), "fidelity", None)


def model_choice(service: Service, label: str = "Model", value: str | None = None) -> tuple[gr.Dropdown, gr.HTML]:
    """A choice among all engines, and the line about the one that is chosen."""
    known = service.restorers.known
    first = value or next(iter(known))
    choice = gr.Dropdown(
        [(f"{e.name} ({e.method})", e.name) for e in known.values()], value=first, label=label, filterable=False
    )
    about = gr.HTML(words.model(known[first].summary, ""))
    choice.change(
        lambda name: words.model(known[name].summary, ""),
        choice,
        about,
        show_progress="hidden",
        api_visibility="private",
    )
    return choice, about


def controls(service: Service) -> Controls:
    """Build them where they stand."""
    choice, _ = model_choice(service)
    fidelity = gr.Slider(
        0,
        1,
        default_fidelity(service, next(iter(service.restorers.known))) or 0,
        step=0.05,
        label="Fidelity",
        info=FIDELITY,
    )
    samples = gr.Slider(
        1,
        service.settings.samples,
        1,
        step=1,
        label="Draws",
        info="Several show where the model is unsure; the result is their mean.",
    )
    with gr.Accordion("More", open=False):
        strength = gr.Slider(0, 1, 1.0, step=0.05, label="Strength", info="How much of the estimated damage to remove.")
        seed = gr.Number(0, label="Seed", info="Same seed, same pixels.", precision=0, minimum=0)
        steps = gr.Number(
            0,
            label="Steps",
            info="Network evaluations per draw; 0 is the model's default.",
            precision=0,
            minimum=0,
            maximum=200,
        )
        solver = gr.Dropdown(
            [DEFAULT, *SOLVERS], value=DEFAULT, label="Solver", info="How each step is taken.", filterable=False
        )
        resolution = gr.Dropdown(
            [DEFAULT, *READINGS],
            value=DEFAULT,
            label="Dynamic resolution",
            info="At which size the early steps run.",
            filterable=False,
        )
        tile = gr.Number(
            0, label="Tile", info="Longest side of a tile in pixels; 0 is chosen by memory.", precision=0, minimum=0
        )
        format = gr.Dropdown(list(FORMATS), value=FORMATS[0], label="Format of the download", filterable=False)
        strip = gr.Checkbox(
            False, label="Leave out metadata", info="Position, camera, comments. The colour profile stays."
        )

    def dials(name: str) -> tuple[Any, ...]:
        value = default_fidelity(service, name)
        return gr.update(value=value or 0, visible=value is not None), *[
            gr.update(value=DEFAULT, visible=value is not None)
        ] * 2

    choice.change(dials, choice, [fidelity, solver, resolution], show_progress="hidden", api_visibility="private")
    return Controls(choice, fidelity, samples, strength, seed, steps, solver, resolution, tile, format, strip)


def order(service: Service, given: Given, values: tuple[Any, ...]) -> Order:
    """The order for the values of `Controls.all`. Raises InputError for an empty number."""
    told = {field.name: value for field, value in zip(fields(Controls), values, strict=True)}
    for name in ("seed", "steps", "tile", "fidelity", "samples", "strength"):
        if told[name] is None:
            raise InputError(f"{name.capitalize()} is empty; give a number")
    options = Options(
        steps=int(told["steps"]) or None,
        samples=int(told["samples"]),
        seed=int(told["seed"]),
        fidelity=None if default_fidelity(service, told["model"]) is None else float(told["fidelity"]),
        strength=float(told["strength"]),
        solver=None if told["solver"] == DEFAULT else told["solver"],
        resolution=None if told["resolution"] == DEFAULT else told["resolution"],
        tile=int(told["tile"]) or "auto",
        max_pixels=service.settings.max_pixels,
    )
    own = told["format"] == FORMATS[0]
    return Order(
        given.name,
        told["model"],
        options,
        None if own else told["format"],
        bool(told["strip"]),
        views=True,
        preview=True,
    )
