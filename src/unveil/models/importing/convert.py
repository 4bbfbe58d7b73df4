"""A published checkpoint made into a model file of this project, with a description of everything that was found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unveil.diffusion.prediction import KINDS, current_name
from unveil.errors import ModelError
from unveil.models.importing.containers import load
from unveil.models.importing.recognise import Found, recognise
from unveil.models.network_registry import build
from unveil.models.path_config import name_of, path
from unveil.models.spec import Defaults, Spec
from unveil.models.weights_file import sha256_of, write

PREDICTIONS = (*KINDS, "residual_and_noise")
_NAMED = 5
"""How many keys a message names."""


@dataclass(frozen=True)
class Imported:
    """What an import made: the files written, what the weights were recognised as, and what they did not say.

    averaged: the name under which averaged weights were found and taken; None where the file has none.
    """

    weights: Path
    description: Path
    sha256: str
    family: str
    parameters: int
    assumed: tuple[str, ...]
    unexpected: tuple[str, ...]
    spec: Spec
    averaged: str | None = None


def import_file(
    source: str | Path,
    output: str | Path | None = None,
    *,
    schedule: str | None = None,
    prediction: str | None = None,
    guide: str | Path | None = None,
    half: bool = False,
) -> Imported:
    """Convert a published checkpoint to OUTPUT (default: beside it, .safetensors), with OUTPUT's name + .json beside it.

    schedule, prediction: how the network was trained, where it is not the published default (see `models.path_config` and
    `diffusion.prediction`). guide: an imported DA-CLIP in the same folder, for networks conditioned on its embeddings. half: store 16 bits;
    half the size, and outputs that differ in the fourth digit.
    Raises ModelError: a file that cannot be read, holds code, is none of the known networks, lacks tensors, or needs
    what was not given.
    """
    source = Path(source)
    flat = load(source)
    try:
        found = recognise(flat)
        unexpected = _fitted(found)
        if schedule is not None:
            path(schedule, found.time)
        if prediction is not None and current_name(prediction) not in PREDICTIONS:
            raise ModelError(f"unknown prediction {prediction!r}; known are {', '.join(PREDICTIONS)}")
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    target = source.with_suffix(".safetensors") if output is None else Path(output)
    if target.resolve() == source.resolve():
        raise ModelError(f"{source}: would be overwritten by what is made of it; name another file with -o")
    network = {"kind": found.kind, **found.network, **_guided(found, target, guide)}
    digest = sha256_of(source)
    spec = _spec(target.stem, found, network, schedule, prediction, {"source": source.name, "sha256": digest})
    module = _module(found, network)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        written = write(target, spec, module, None, torch.float16 if half else torch.float32)
        beside = target.with_name(target.name + ".json")
        parameters = sum(p.numel() for p in module.parameters())
        account: dict[str, Any] = {
            "family": found.family,
            "source": source.name,
            "source_sha256": digest,
            "packed_in": list(flat.where),
            "averaged": flat.averaged,
            "sha256": written,
            "parameters": parameters,
            "tensors": len(found.tensors),
            "precision": "fp16" if half else "fp32",
            "missing": [],
            "unexpected": list(unexpected),
            "assumed": list(_assumptions(found, schedule, prediction)),
            "licence": "that of the published weights; see where they come from",
            "description": json.loads(spec.to_json()),
        }
        beside.write_text(json.dumps(account, indent=1) + "\n")
    except OSError as error:
        raise ModelError(f"{target}: cannot be written ({error.strerror or error}); choose another -o") from error
    assumed = tuple(account["assumed"])
    return Imported(target, beside, written, found.family, parameters, assumed, unexpected, spec, flat.averaged)


def _fitted(found: Found) -> tuple[str, ...]:
    """Keys that the network does not have. Raises ModelError for missing tensors, wrong shapes and values not finite."""
    with torch.device("meta"):
        expected = build({"kind": found.kind, **found.network}).state_dict()
    missing = [k for k in expected if k not in found.tensors]
    if missing:
        raise ModelError(
            f"recognised as {found.family}, but {len(missing)} of {len(expected)} tensors are missing: {_some(missing)}"
        )
    wrong = [
        f"{k} {tuple(found.tensors[k].shape)} instead of {tuple(v.shape)}"
        for k, v in expected.items()
        if found.tensors[k].shape != v.shape
    ]
    if wrong:
        raise ModelError(f"recognised as {found.family}, but {len(wrong)} tensors have another shape: {_some(wrong)}")
    broken = [k for k in expected if not bool(found.tensors[k].isfinite().all())]
    if broken:
        raise ModelError(
            f"recognised as {found.family}, but {len(broken)} tensors hold values that are no numbers: {_some(broken)}"
        )
    return (*(k for k in found.tensors if k not in expected), *found.left)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _guided(found: Found, target: Path, guide: str | Path | None) -> dict[str, Any]:
    """The entry of the description that names the DA-CLIP file, {} where there is none."""
    if guide is None:
        return {}
    if not found.network.get("context_dim"):
        raise ModelError(f"{found.family} takes no guide; leave --guide out")
    guide = Path(guide)
    if not guide.is_file():
        raise ModelError(f"{guide}: no such file; import the DA-CLIP first")
    if guide.resolve().parent != target.resolve().parent:
        raise ModelError(f"{guide}: must lie in the folder of {target}, so that the two are found and moved together")
    return {"guide": {"file": guide.name, "sha256": sha256_of(guide)}}


def _spec(
    name: str,
    found: Found,
    network: dict[str, Any],
    schedule: str | None,
    prediction: str | None,
    origin: dict[str, str],
) -> Spec:
    trained = schedule or found.schedule or "linear_pro(12)"
    available = path(trained, found.time).steps
    defaults = Defaults(
        grid=name_of(trained),
        steps=min(found.steps, available),
        solver=found.solver,
        resolution="off",
    )
    with torch.device("meta"):
        multiple = getattr(build(network), "multiple_of", 1)
    return Spec(
        name=name,
        network=network,
        schedule=trained,
        sampler="diffusion" if found.schedule else "guide",
        value_range=found.value_range,
        prediction=prediction or found.prediction,
        multiple_of=multiple,
        receptive_field=512,  # attention sees everything; tiles of less differ
        dtypes=("fp32", "bf16"),
        defaults=defaults,
        recipe={"imported": origin, "family": found.family},
        time=found.time,
    )


def _module(found: Found, network: dict[str, Any]) -> torch.nn.Module:
    with torch.device("meta"):
        module = build(network)
        keys = module.state_dict().keys()
    module.load_state_dict({k: found.tensors[k].float() for k in keys}, assign=True)
    return module


def _assumptions(found: Found, schedule: str | None, prediction: str | None) -> tuple[str, ...]:
    """What the file did not say, without what the caller did."""
    return found.assumed if schedule is None and prediction is None else ()


def describe(made: Imported) -> list[str]:
    """Lines of text: what was recognised, what was assumed, what was left over, and what to do with it."""
    lines = [f"{made.weights}: {made.family}, {made.parameters:,} parameters"]
    if made.averaged is not None:
        lines.append(f"  taken: the averaged weights ({made.averaged})")
    lines += [f"  assumed: {text}" for text in made.assumed]
    if made.unexpected:
        lines.append(f"  left out, since the network has no such part: {_some(list(made.unexpected))}")
    if made.spec.sampler == "guide":
        lines.append(
            "  restores nothing by itself; give it as --guide when a network of DA-CLIP or wild-IR is imported"
        )
    elif made.spec.network.get("context_dim") and "guide" not in made.spec.network:
        lines.append("  cannot restore yet: it needs a DA-CLIP; import that one too, then this one again with --guide")
    else:
        shown = " --mask MASK" if made.spec.network.get("mask_channels") else ""
        lines.append(f"  run it with: unveil restore PHOTO -o OUT -n {made.weights}{shown}")
    return lines
