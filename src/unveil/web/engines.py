"""What is offered to restore with: the shelf's models, the user's own, and the zero-shot methods that need no operator named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unveil.jobs.queue_restorers import Engine
from unveil.loading import load
from unveil.models import priors, shelf
from unveil.zeroshot.methods import METHODS, Method

TRAINED = "LearnIR"
OPERATOR = "operator"


def engines(more: Mapping[str, Path] | None = None) -> dict[str, Engine]:
    """Everything that is offered, the shelf's models first. more: weight files or run folders, by the name they are called."""
    found = {name: _shelved(name, entry) for name, entry in sorted(shelf.manifest().items())}
    for name, path in (more or {}).items():
        found[name] = Engine(name, TRAINED, "Your own model.", lambda device, path=path: load(path, device))
    shipped = priors.manifest()
    for name, method in METHODS.items():
        # Which blur or mask a photograph suffered, the other methods want to be told; here nobody is asked that.
        if method.prior in shipped and OPERATOR not in method.takes():
            found[name] = _zero_shot(name, method)
    return found


def _shelved(name: str, entry: Mapping[str, Any]) -> Engine:
    facts = {key: entry[key] for key in ("licence", "parameters", "sha256") if key in entry}
    return Engine(name, entry.get("method", TRAINED), entry["summary"], lambda device: load(name, device), facts)


def _zero_shot(name: str, method: Method) -> Engine:
    facts = {"prior": method.prior, "minutes": "many: it searches anew for every photograph"}
    return Engine(name, method.title, method.summary, lambda device: load(device=device, method=name), facts)
