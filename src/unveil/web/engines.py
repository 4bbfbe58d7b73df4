"""What is offered to restore with, loaded when it is first needed.

The shelf's models, the user's own, and the zero-shot methods that need no operator named.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unveil.errors import InputError, ModelError
from unveil.jobs.batch import Restores
from unveil.loading import load
from unveil.models import shelf
from unveil.zeroshot.methods import METHODS, Method


@dataclass(frozen=True)
class Engine:
    """One thing to restore with. method: how it works, by its published name; summary: one line for the user; facts: plain values.

    load: the restorer on a device, by the device's name. presets: the same under settings of a name (see `zeroshot.methods`).
    """

    name: str
    method: str
    summary: str
    load: Callable[[str], Restores] = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Callable[[str], Restores]] = field(default_factory=dict, repr=False)

    def opened(self, device: str, preset: str = "") -> Restores:
        """The restorer on a device, under a preset; "" for its own settings. Raises InputError for a preset that it does not have."""
        if preset and preset not in self.presets:
            has = f"it has {', '.join(self.presets)}" if self.presets else "presets are of zero-shot methods"
            raise InputError(f"{self.name} has no preset {preset!r}; {has}")
        return (self.presets[preset] if preset else self.load)(device)


class Restorers:
    """Loaded restorers by device and engine; on each device the `most` that were used last are kept, since each has its own memory.

    Thread-safe: a device waits for its own loading and for no other's.
    """

    def __init__(self, known: Mapping[str, Engine], most: int = 4) -> None:
        self.known, self.most = known, most
        self._kept: dict[str, tuple[OrderedDict[tuple[str, str], Restores], threading.Lock]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, device: str, preset: str = "") -> Restores:
        """The restorer of engine `name` on `device`, under a preset.

        Raises ModelError for a name that is not offered (paths are none), InputError for a preset that it does not have.
        """
        name = name if name in self.known else shelf.FORMER.get(name, name)
        if name not in self.known:
            raise ModelError(f"no model named {name!r} is offered here; there are {', '.join(self.known)}")
        with self._lock:
            kept, loading = self._kept.setdefault(device, (OrderedDict(), threading.Lock()))
        with loading:
            key = (name, preset)
            if key not in kept:
                kept[key] = self.known[name].opened(device, preset)
                while len(kept) > self.most:
                    kept.popitem(last=False)
            kept.move_to_end(key)
            return kept[key]


TRAINED = "LearnIR"
OPERATOR = "operator"


def engines(more: Mapping[str, Path] | None = None) -> dict[str, Engine]:
    """Everything that is offered, the shelf's models first. more: weight files or run folders, by the name they are called."""
    found = {name: _shelved(name, entry) for name, entry in sorted(shelf.manifest().items())}
    for name, path in (more or {}).items():
        found[name] = Engine(name, TRAINED, "Your own model.", lambda device, path=path: load(path, device))
    shipped = shelf.priors()
    for name, method in METHODS.items():
        # The other methods need to know the blur or mask of a photograph, for which the interface has no option.
        if method.prior in shipped and OPERATOR not in method.takes():
            found[name] = _zero_shot(name, method)
    return found


def _shelved(name: str, entry: Mapping[str, Any]) -> Engine:
    facts = {key: entry[key] for key in ("licence", "parameters", "sha256") if key in entry}
    return Engine(name, entry.get("method", TRAINED), entry["summary"], lambda device: load(name, device), facts)


def _zero_shot(name: str, method: Method) -> Engine:
    facts = {
        "prior": method.prior,
        "minutes": "many: it searches anew for every photograph",
        "presets": ", ".join(method.presets),
    }
    presets = {
        preset: lambda device, preset=preset: load(device=device, method=name, preset=preset)
        for preset in method.presets
    }
    return Engine(name, method.title, method.summary, lambda device: load(device=device, method=name), facts, presets)
