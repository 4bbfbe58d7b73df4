"""The controls of a restoration: what most people need first, the rest behind a fold; set to what the describer finds in a photograph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr

from unveil import photo
from unveil.diffusion import irsde
from unveil.diffusion.resolution import READINGS
from unveil.diffusion.sampling import EULER, SOLVERS
from unveil.diffusion.self_ensemble import SIZES
from unveil.errors import InputError, ModelError
from unveil.models import describer
from unveil.models.treatment import treatment
from unveil.networks.condition import KINDS
from unveil.options import Options
from unveil.restorer import Restorer
from unveil.web.page import words, working
from unveil.web.schemas import RESTORED
from unveil.web.service import Given, Service
from unveil.web.work import Order

SHOWN = 0.2
"""Least probability that is shown."""
PLAIN = {"lowlight": "low light", "jpeg": "compression"}
"""Kinds of damage that people call otherwise."""


@dataclass(frozen=True)
class Diagnosis:
    """probabilities: by kind. fixed: the kinds that a restoration fixes by default. perhaps: those that are half suspected, and left.

    speaker: the describer's name.
    """

    probabilities: dict[str, float]
    fixed: tuple[str, ...]
    perhaps: tuple[str, ...]
    speaker: str


@lru_cache(maxsize=1)
def _speaker() -> describer.Describer | None:
    try:
        return describer.load()
    except ModelError:
        return None


def diagnosed(given: Given, kinds: tuple[str, ...] = KINDS) -> Diagnosis | None:
    """The classifier's answer for the part of a photograph that a restoration uses; None where it does not ship. kinds: what the chosen
    model fixes.
    """
    speaker = _speaker()
    if speaker is None:
        return None
    said = speaker.describe(photo.read(given.file).pixels).probabilities
    found = treatment(said, fixable=kinds or KINDS)
    fixed = tuple(k for k in KINDS if found.probabilities[k] > 0)
    return Diagnosis(dict(said), fixed, found.perhaps, speaker.speaker)


def described(found: Diagnosis | None) -> str:
    """HTML for models that are not conditioned on kinds of damage: the likely ones, with their probabilities."""
    if found is None:
        return ""
    likeliest = max(found.probabilities, key=lambda kind: found.probabilities[kind])
    named = [(kind, p) for kind, p in found.probabilities.items() if p >= SHOWN or kind == likeliest]
    return words.chips("It looks like", [f"{called(kind)} {p:.0%}" for kind, p in named], f"Said by {found.speaker}.")


def in_words(found: Diagnosis | None) -> str:
    """HTML above the switches: what happens when they are left as they are."""
    if found is None:
        return words.model("Say what to fix: nobody looks at the photograph here.", "")
    perhaps = f"Perhaps {' and '.join(map(called, found.perhaps))}: " if found.perhaps else ""
    if not found.fixed:
        hint = f"{perhaps}turn it on if you think so." if perhaps else "Turn on what you see."
        return words.model(f"Nothing to fix was found: the photograph would come back as it is. {hint}", "")
    hint = f"{perhaps}off, turn it on if you think so." if perhaps else "What is off stays as it is."
    return words.model(f"Found: {', '.join(map(called, found.fixed))}. {hint}", "")


def called(kind: str) -> str:
    """A kind of damage in plain words."""
    return PLAIN.get(kind, kind)


DEFAULT = "model's default"
PRESET = {
    "quick": "quick: as measured with the prior that ships",
    "paper": "paper: as published, which takes long",
}
"""The presets of zero-shot methods in plain words; those of a method are in its engine."""
FORMATS = ("as it came", "jpg", "png", "webp", "tiff", "avif")
FIDELITY = "0: sharp, and every draw differs. 1: cautious: smoother, and nearer to the truth on average."
DOUBT = "Shows where the result is likely off; takes up to half as long again."
CHOOSE = "Choose a photograph: what is wrong with it is shown here."


@dataclass(frozen=True)
class Switches:
    """What is found in a photograph, as switches. auto: the describer decides what to fix; kinds: one for each of KINDS; found: what was,
    kept.
    """

    panel: gr.Column
    line: gr.HTML
    auto: gr.Checkbox
    kinds: tuple[gr.Checkbox, ...]
    found: gr.State

    def outputs(self) -> list[Any]:
        """What `shown` sets."""
        return [self.line, self.auto, self.found, *self.kinds]


NAMES = (
    "model", "fidelity", "samples", "strength", "seed", "steps", "solver", "resolution", "tile", "format", "strip", "uncertainty",
    "preset", "self_ensemble", "auto", *KINDS,
)  # fmt: skip
"""Of the controls, in the order in which their values come; those of options as in `Options`."""


def fixable(service: Service, model: str) -> tuple[str, ...]:
    """The kinds of damage that one can tell this model to fix; none for one that cannot be told."""
    restorer = service.restorers.get(model, service.devices[0])
    return restorer.model.spec.fixable if isinstance(restorer, Restorer) else ()


def says_doubt(service: Service, model: str) -> bool:
    """Whether this model has a network that estimates its error."""
    restorer = service.restorers.get(model, service.devices[0])
    return isinstance(restorer, Restorer) and restorer.model.doubt is not None


def switches(service: Service) -> Switches:
    """Build them where they stand."""
    shown_here = fixable(service, next(iter(service.restorers.known)))
    with gr.Column(visible=bool(shown_here), elem_id="fix-restore") as panel:
        line = gr.HTML(words.model(CHOOSE, ""), js_on_load=None)
        auto = gr.Checkbox(True, label="Automatic: fix what is found", elem_id="fix-auto")
        with gr.Row(elem_classes="u-kinds"):
            kinds = tuple(
                gr.Checkbox(
                    False,
                    label=called(kind),
                    container=False,
                    min_width=90,
                    elem_id=f"fix-{kind}",
                    visible=kind in shown_here,
                )
                for kind in KINDS
            )
    found = gr.State(())
    for kind in kinds:
        kind.input(None, None, auto, js="() => false", **working.QUIET)

    def back(automatic: bool, fixed: tuple[str, ...]) -> tuple[Any, ...]:
        return tuple(gr.update(value=kind in fixed) if automatic else gr.update() for kind in KINDS)

    auto.input(back, [auto, found], list(kinds), **working.QUIET)
    return Switches(panel, line, auto, kinds, found)


def shown(found: Diagnosis | None) -> tuple[Any, ...]:
    """The switches for a photograph, for `Switches.outputs`: each with its probability, set to what would be fixed."""
    fixed = found.fixed if found else ()
    said = found.probabilities if found else {}
    boxes = [
        gr.update(value=kind in fixed, label=f"{called(kind)} {said[kind]:.0%}" if kind in said else called(kind))
        for kind in KINDS
    ]
    return in_words(found), gr.update(value=True), fixed, *boxes


def default_fidelity(service: Service, model: str) -> float | None:
    """The model's default, None for a method without this option."""
    return getattr(service.restorers.get(model, service.devices[0]).resolve(Options()), "fidelity", None)


def presets(service: Service, model: str) -> list[tuple[str, str]]:
    """The settings that a model can be run with, as the choices of a list.

    The first, "", is its own: of zero-shot methods on the priors that ship the quick ones.
    """
    others = [name for name in service.restorers.known[model].presets if name != "quick"]
    return [(PRESET["quick"], ""), *((PRESET.get(name, name), name) for name in others)]


def solvers(service: Service, model: str) -> tuple[str, ...]:
    """The solvers of a model, IR-SDE's own among them where its path has them; none for a method without this dial."""
    path = getattr(service.restorers.get(model, service.devices[0]).resolve(Options()), "process", None)
    if path is None:
        return ()
    try:
        irsde.check(path)
    except InputError:
        return SOLVERS
    return (*SOLVERS, *EULER)


def offered(service: Service, refused: Collection[str] = ()) -> list[tuple[str, str]]:
    """All engines but those that are refused, as the choices of a list."""
    return [(f"{e.name} ({e.method})", e.name) for e in service.restorers.known.values() if e.name not in refused]


def model_choice(service: Service, label: str = "Model", value: str | None = None) -> tuple[gr.Dropdown, gr.HTML]:
    """A choice among all engines, and the line about the one that is chosen."""
    known = service.restorers.known
    first = value or next(iter(known))
    choice = gr.Dropdown(offered(service), value=first, label=label, filterable=False)
    about = gr.HTML(words.model(known[first].summary, ""))
    choice.change(lambda name: words.model(known[name].summary, ""), choice, about, **working.QUIET)
    return choice, about


def controls(service: Service, switches: Switches) -> tuple[dict[str, Any], gr.HTML]:
    """Build them where they stand. Returns them by name, in the order of NAMES, and the line about engines that are not offered."""
    first = next(iter(service.restorers.known))
    uncertainty = gr.Checkbox(
        False, label="How sure is it?", info=DOUBT, visible=says_doubt(service, first), elem_id="doubt-restore"
    )
    model, _ = model_choice(service)
    known = presets(service, first)
    preset = gr.Dropdown(
        known, value="", label="Settings", visible=len(known) > 1, filterable=False, elem_id="preset-restore"
    )
    refused = gr.HTML("", js_on_load=None, elem_id="refused-restore", apply_default_css=False)
    fidelity = gr.Slider(0, 1, default_fidelity(service, first) or 0, step=0.05, label="Fidelity", info=FIDELITY)
    several = "Several show what it may have been; the result is their mean."
    samples = gr.Slider(1, service.settings.samples, 1, step=1, label="Draws", info=several)
    number: dict[str, Any] = {"value": 0, "precision": 0, "minimum": 0}
    choice: dict[str, Any] = {"value": DEFAULT, "filterable": False}
    with gr.Accordion("More", open=False):
        strength = gr.Slider(0, 1, 1.0, step=0.05, label="Strength", info="How much of the estimated damage to remove.")
        seed = gr.Number(**number, label="Seed", info="Same seed, same pixels.")
        steps = gr.Number(**number, label="Steps", info="More is slower; 0 is the model's default.", maximum=200)
        solver = gr.Dropdown(
            [DEFAULT, *solvers(service, first)], label="Solver", info="How each step is taken.", **choice
        )
        resolution = gr.Dropdown(
            [DEFAULT, *READINGS], label="Sizes", info="At which size the early steps run.", **choice
        )
        self_ensemble = gr.Dropdown(
            [("off", 1), *((f"{size} orientations", size) for size in SIZES[1:])],
            value=1,
            label="Self-ensemble",
            info="Restored turned and mirrored too, and averaged: a smaller error, for as many times the time.",
            filterable=False,
            elem_id="ensemble-restore",
        )
        tile = gr.Number(**number, label="Tile", info="Longest side of a tile in pixels; 0 is chosen by memory.")
        format = gr.Dropdown(list(FORMATS), value=FORMATS[0], label="Format of the download", filterable=False)
        kept = "Position, camera, comments. The colour profile stays."
        strip = gr.Checkbox(False, label="Leave out metadata", info=kept)

    def dials(name: str) -> tuple[Any, ...]:
        value, choices, kinds = default_fidelity(service, name), presets(service, name), fixable(service, name)
        return (
            gr.update(value=value or 0, visible=value is not None),
            gr.update(choices=[DEFAULT, *solvers(service, name)], value=DEFAULT, visible=value is not None),
            gr.update(value=DEFAULT, visible=value is not None),
            gr.update(value=1, visible=value is not None),
            gr.update(visible=bool(kinds)),
            gr.update(visible=says_doubt(service, name)),
            gr.update(choices=choices, value="", visible=len(choices) > 1),
            *(gr.update(visible=kind in kinds) for kind in KINDS),
        )

    set_by_model = [fidelity, solver, resolution, self_ensemble, switches.panel, uncertainty, preset, *switches.kinds]
    model.change(dials, model, set_by_model, **working.QUIET)
    made = (
        model, fidelity, samples, strength, seed, steps, solver, resolution, tile, format, strip, uncertainty, preset, self_ensemble,
        switches.auto, *switches.kinds,
    )  # fmt: skip
    return dict(zip(NAMES, made, strict=True)), refused


def changed(
    service: Service, values: tuple[Any, ...], model: str, fidelity: float, seed: float | None
) -> tuple[Any, ...]:
    """The values of the controls for another model, whose result is compared; what it does not have is left to its default."""
    other = {"model": model, "fidelity": fidelity, "seed": seed, "uncertainty": False, "preset": ""}
    chosen = dict(zip(NAMES, values, strict=True)) | other
    if chosen["solver"] not in solvers(service, model):
        chosen["solver"] = DEFAULT
    if default_fidelity(service, model) is None:
        chosen["resolution"], chosen["self_ensemble"] = DEFAULT, 1
    return tuple(chosen.values())


def order(service: Service, given: Given, values: tuple[Any, ...]) -> Order:
    """The order for the values of the controls. Raises InputError for an empty number."""
    chosen = dict(zip(NAMES, values, strict=True))
    for name in ("seed", "steps", "tile", "fidelity", "samples", "strength"):
        if chosen[name] is None:
            raise InputError(f"{name.capitalize()} is empty; give a number")
    fix = None
    if not chosen["auto"] and (own := fixable(service, chosen["model"])):
        fix = tuple(kind for kind in own if chosen[kind])
        if not fix:
            raise InputError("Every switch is off, so nothing would be fixed; turn one on, or Automatic")
    model = chosen["model"]
    plain: dict[str, Any] = {name: int(chosen[name]) for name in ("samples", "seed", "self_ensemble")}
    plain |= {name: chosen[name] for name in ("solver", "resolution") if chosen[name] != DEFAULT}
    options = Options(
        **plain,
        steps=int(chosen["steps"]) or None,
        fidelity=None if default_fidelity(service, model) is None else float(chosen["fidelity"]),
        strength=float(chosen["strength"]),
        tile=int(chosen["tile"]) or "auto",
        max_pixels=service.settings.max_pixels,
        fix=fix,
        uncertainty=bool(chosen["uncertainty"]) and says_doubt(service, model),
    )
    format = None if chosen["format"] == FORMATS[0] else chosen["format"]
    # The list is hidden for other models, and its value is not used then.
    preset = chosen["preset"] if chosen["preset"] in service.restorers.known[model].presets else ""
    shown: dict[str, Any] = {"views": True, "preview": True, "suffix": RESTORED}
    return Order(given.name, model, options, format, strip=bool(chosen["strip"]), preset=preset, **shown)
