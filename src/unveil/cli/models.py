"""`unveil models`: what is on the shelf."""

from __future__ import annotations

import json

from cyclopts import App

app = App(name="models", help="List, show and verify the models on the shelf, import published ones, and export ours.")
app.command("unveil.cli.import_model:import_model", name="import", help="Convert a published checkpoint to a model.")
app.command("unveil.cli.export_model:export_model", name="export", help="Write a model for another program.")


@app.command(name="list")
@app.default
def list_models() -> None:
    """List the models by name, size and purpose."""
    from unveil.models import shelf

    for name, entry in sorted(shelf.entries().items()):
        print(f"{name:12} {entry['bytes'] / 2**20:5.1f} MiB  {entry['summary']}")


@app.command
def show(name: str) -> None:
    """Print everything known about a model as JSON, with its parameters and multiply-adds at 512x512.

    Of a model on the shelf: training data, recipe, licence, sha256, measured numbers. Of a weight file or the folder of a run: what it is
    and how it was made. Of a training preset: the networks that it trains, and the memory that one step needs.

    Args:
        name: A name on the shelf, a weight file, the folder of a run, or the name of a preset or of a configuration in YAML.

    """
    from pathlib import Path

    from unveil.models import shelf

    if name in shelf.entries():
        shelf.place(name)
        found = {"name": name} | shelf.entries()[name] | (_sized(name) if name in shelf.names() else {})
    elif Path(name).suffix in (".yaml", ".yml") or (not Path(name).exists() and name in _presets()):
        found = _preset(name)
    elif Path(name).exists():
        model = shelf.load(name)
        found = {"name": name, "sha256": model.sha256, **json.loads(model.spec.to_json()), **_sized(name)}
    else:
        shelf.place(name)  # raises, with the nearest names
        return
    print(json.dumps(found, indent=2))


def _presets() -> list[str]:
    from unveil.training.config import presets

    return presets()


def _sized(name: str) -> dict[str, object]:
    from dataclasses import asdict

    from unveil.models import priors, shelf
    from unveil.models.footprint import sizes

    if name in priors.manifest():
        return {}
    return {"size": {part: asdict(size) for part, size in sizes(shelf.load(name).spec.network).items()}}


def _preset(name: str) -> dict[str, object]:
    """What a configuration trains: its networks, and the bytes of one step of each stage."""
    from dataclasses import asdict

    from unveil.models.footprint import sizes
    from unveil.training.config import find, load
    from unveil.training.describing import described, described_head
    from unveil.training.needs import needs

    config = load(find(name))
    found: dict[str, object] = {"preset": name, "init": config.init, "path": config.path, "steps": config.steps}
    if config.init or config.path == "daclip":
        return found | {
            "note": f"the networks are those of {config.init or 'DA-CLIP'}: unveil models show {config.init}"
        }
    network = {**described(config), "head": described_head(config)}
    return found | {
        "network": network,
        "size": {part: asdict(size) for part, size in sizes(network).items()},
        "memory": [f"{stage.kind}: {needs(config, stage).line()}" for stage in config.stages if not stage.expert],
    }


@app.command
def verify() -> int:
    """Compare every weight file with its sha256. Exit status 1 if one differs."""
    from unveil.models import priors, shelf
    from unveil.models.weights_file import sha256_of

    bad = 0
    for name in sorted(shelf.entries()):
        path, expected = shelf.place(name)
        good = not priors.damaged(name) if name in priors.manifest() else path.is_file() and sha256_of(path) == expected
        bad += not good
        print(f"{name:12} {'ok' if good else 'DAMAGED: install the package again'}")
    return 1 if bad else 0
