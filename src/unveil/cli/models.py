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
    """Print everything known about a model: training data, recipe, licence, sha256 and measured numbers, as JSON."""
    from unveil.models import shelf

    shelf.place(name)
    print(json.dumps({"name": name} | shelf.entries()[name], indent=2))


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
