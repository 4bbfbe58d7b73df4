"""Models of ours in the conventions of the Hugging Face hub: a folder with model.safetensors, config.json and a model card.

The weight file is the same as everywhere else, so that its sha256 is the one in protocols.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from unveil import __version__
from unveil.errors import InputError, ModelError, note
from unveil.models import shelf, weights_file
from unveil.models.model import Model
from unveil.util import atomic, filled_in
from unveil.util.words import first_line

WEIGHTS, CONFIG, CARD = shelf.WEIGHTS, shelf.DESCRIPTION, "README.md"
_LEAST_SAID = ("summary", "method", "licence", "training_data", "recipe", "parameters", "seed", "steps")


def save_pretrained(model: Model, folder: str | Path) -> Path:
    """Write a model as the hub keeps it.

    Args:
        model: Any model of ours; one of the shelf keeps its file byte for byte, others are written in half precision.
        folder: Made where it is missing; files of the same names are replaced, but for a model card that was changed by hand: the new
            one is README.new.md then.

    Returns:
        The folder.

    Raises:
        InputError: The folder cannot be written.
        ModelError: A model that needs another one beside it (DA-CLIP).

    """
    if model.guide is not None:
        raise ModelError(f"{model.spec.name} needs a DA-CLIP beside it; only models that stand alone can be published")
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name the folder that the model is to be written into")
    folder.mkdir(parents=True, exist_ok=True)
    name, entry = _entry(model)
    if name:
        atomic.replace(folder / WEIGHTS, shelf.place(name)[0].read_bytes())
        digest = model.sha256
    else:
        spec = replace(model.spec, reach=0)  # stands in config.json, as for models of the shelf
        digest = weights_file.write(folder / WEIGHTS, spec, model.predictor, model.head, _dtype(model), model.doubt)
    config = {
        "model_type": "unveil",
        "unveil_version": __version__,
        "sha256": digest,
        "reach": model.spec.reach,
        "calibration": [c.to_dict() for c in model.calibrations],
        "specialists": dict(model.specialists),
        "spec": json.loads(model.spec.to_json()),
    }
    atomic.replace(folder / CONFIG, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    written = filled_in.put(folder / CARD, card(model, digest, entry))
    if written.name != CARD:
        note(f"{folder / CARD} was changed by hand and stays; the new card is {written.name}")
    return folder


def from_pretrained(
    source: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Model:
    """A model from a folder that `save_pretrained` wrote, or from the hub.

    Args:
        source: A folder, or a repository as OWNER/NAME.
        revision: Branch, tag or commit on the hub.
        cache_dir: Where downloads are kept, by default the hub's own place.
        token: For private repositories; by default the one that is logged in.
        local_files_only: Take what was downloaded before and open no connection.

    Raises:
        ModelError: No such folder or repository, files that are missing, damaged, or not those that config.json names.

    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _downloaded(str(source), revision, cache_dir, token, local_files_only)
    return shelf.of_folder(folder)


def push_to_hub(
    model: Model,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload model",
    create_pr: bool = False,
) -> str:
    """Publish a model: make the repository where it is missing, and upload what `save_pretrained` writes.

    Args:
        model: Any model of ours that stands alone.
        repo_id: OWNER/NAME.
        private: Whether a new repository is private; by default as the account says.
        token: By default the one that is logged in (`hf auth login`).
        revision: Branch to write to, by default the main one.
        commit_message: What the upload is called.
        create_pr: Propose the upload instead of making it.

    Returns:
        The address of the commit.

    Raises:
        ModelError: The hub refuses or cannot be reached.

    """
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="unveil", library_version=__version__)
    with TemporaryDirectory() as folder:
        save_pretrained(model, folder)
        try:
            made = api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=made.repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=commit_message,
                create_pr=create_pr,
            )
        except _refusals() as error:
            raise ModelError(
                f"{repo_id}: the hub did not take the model ({first_line(error)}); log in with `hf auth login`, and check the name"
            ) from error
    return str(commit)


def card(model: Model, digest: str, entry: Mapping[str, Any] | None = None) -> str:
    """The model card, Markdown with the hub's front matter. digest: sha256 of the weight file. entry: the manifest's, for models of the
    shelf.
    """
    entry = entry or {}
    spec = model.spec
    licence = str(entry.get("licence", ""))
    known = "apache-2.0" if licence.startswith("Apache-2.0") else "other"
    tags = ["unveil", "image-restoration", "diffusion", "denoising", "dehazing"]
    front = ["---", "library_name: unveil", f"license: {known}", "pipeline_tag: image-to-image", "tags:"]
    lines = [*front, *(f"- {tag}" for tag in tags), "---", "", f"# {spec.name}", ""]
    lines += [str(entry.get("summary", "A model for restoring photographs, trained with Unveil.")), "", "```python"]
    lines += ["import unveil", "", 'restorer = unveil.Restorer.from_pretrained("OWNER/NAME")']
    lines += ['restorer.restore("photo.jpg", seed=0).save("clean.png")', "```", ""]
    lines += ["## What is known about it", ""]
    lines += [f"- {key.replace('_', ' ')}: {_words(entry[key])}" for key in _LEAST_SAID if key in entry]
    if not licence:
        lines.append("- licence: to fill in; the terms of the training data may bind the weights")
    d = spec.defaults
    lines.append(f"- by default: {d.steps} evaluations, solver {d.solver}, fidelity {d.fidelity:g}, grid {d.grid}")
    lines += [f"- sha256 of {WEIGHTS}: `{digest}`", ""]
    numbers = entry.get("psnr")
    if isinstance(numbers, Mapping):
        lines += ["## Numbers", "", f"PSNR in dB. Protocol: {numbers.get('protocol', 'not said')}.", ""]
        sets = {name: row for name, row in numbers.items() if isinstance(row, Mapping)}
        columns = list(dict.fromkeys(column for row in sets.values() for column in row))
        lines += ["| set | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
        lines += [
            f"| {name} | " + " | ".join(str(row.get(c, "")) for c in columns) + " |" for name, row in sets.items()
        ]
        lines.append("")
    return "\n".join(lines)


def _words(value: Any) -> str:
    """A value of the manifest as text: lists with commas, mappings as "key: value" with semicolons."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_words(inner)}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _entry(model: Model) -> tuple[str, dict[str, Any]]:
    """The name and the manifest's entry of a model of the shelf, ("", {}) of another."""
    for name, entry in shelf.manifest().items():
        if model.sha256 and entry["sha256"] == model.sha256:
            return name, entry
    return "", {}


def _dtype(model: Model) -> torch.dtype:
    """Half precision where that changes nothing, as for every model that was read from such a file; fp32 otherwise."""
    tensors = [*model.predictor.state_dict().values(), *(model.head.state_dict().values() if model.head else ())]
    return torch.float16 if all(torch.equal(t, t.half().float()) for t in tensors) else torch.float32


def _downloaded(
    repo_id: str, revision: str | None, cache_dir: str | Path | None, token: str | bool | None, local: bool
) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local,
                allow_patterns=[WEIGHTS, CONFIG, CARD],
                library_name="unveil",
                library_version=__version__,
            )
        )
    except _refusals() as error:
        raise ModelError(
            f"{repo_id}: no such folder, and the hub gives no such model ({first_line(error)}); a repository is called OWNER/NAME"
        ) from error


def _refusals() -> tuple[type[Exception], ...]:
    """What the hub's client raises where the hub refuses or is not reached: its own errors, and those of its HTTP library."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    own = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError)
    try:
        from httpx import HTTPError
    except ImportError:  # clients before 1.0 use requests, whose errors are OSErrors
        return own
    return (*own, HTTPError)
