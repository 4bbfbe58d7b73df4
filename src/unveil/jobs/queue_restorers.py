"""What photographs can be restored with, by name, loaded when it is first needed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from unveil.errors import ModelError
from unveil.options import Options
from unveil.restoration import Restoration
from unveil.restorer import Callback, Restorer


class Restores(Protocol):
    """The shape that every method shares; see `unveil.restorer.Restorer`."""

    def restore(self, image: Any, options: Any = None, *, callback: Callback | None = None) -> Restoration: ...

    def resolve(self, options: Any) -> Any: ...


@dataclass(frozen=True)
class Engine:
    """One thing to restore with. method: how it works, by its published name; summary: one line for the user; facts: plain values.

    load: the restorer on a device, by the device's name.
    """

    name: str
    method: str
    summary: str
    load: Callable[[str], Restores] = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Restorers:
    """Loaded restorers by device and engine; on each device the `most` that were used last are kept, since each has its own memory.

    Thread-safe: a device waits for its own loading and for no other's.
    """

    def __init__(self, known: Mapping[str, Engine], most: int = 4) -> None:
        self.known, self.most = known, most
        self._kept: dict[str, tuple[OrderedDict[str, Restores], threading.Lock]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, device: str) -> Restores:
        """The restorer of engine `name` on `device`. Raises ModelError for a name that is not offered: paths are none."""
        if name not in self.known:
            raise ModelError(f"no model named {name!r} is offered here; there are {', '.join(self.known)}")
        with self._lock:
            kept, loading = self._kept.setdefault(device, (OrderedDict(), threading.Lock()))
        with loading:
            if name not in kept:
                kept[name] = self.known[name].load(device)
                while len(kept) > self.most:
                    kept.popitem(last=False)
            kept.move_to_end(name)
            return kept[name]


def steps_of(restorer: Restores, options: Options, height: int, width: int) -> list[float]:
    """The work of each step of a draw, relative to one another, as far as it can be told beforehand; empty where it cannot."""
    if not isinstance(restorer, Restorer):
        return []
    run = restorer.resolve(options)
    return [float(h * w) for h, w in run.resolution.sizes(run.process.steps, (height, width))]
