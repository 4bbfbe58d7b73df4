"""Unveil restores real photographs by diffusion posterior sampling.

    import unveil

    out = unveil.load("general").restore("photo.jpg", seed=0)
    out.save("clean.png")

Importing this package costs nothing: the public names, and torch with them, are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unveil.loading import load, restore
    from unveil.restorer import Restoration, Restorer

__version__ = "0.1.0"
__all__ = ["Restoration", "Restorer", "__version__", "load", "restore"]
_PLACES = {"load": "unveil.loading", "restore": "unveil.loading"}


def __getattr__(name: str) -> object:
    """Fetch a public name on its first use (PEP 562) and keep it, so that the second use is an ordinary attribute."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES.get(name, "unveil.restorer")), name)
    return value


def __dir__() -> list[str]:
    """List the public names too, loaded or not."""
    return sorted({*globals(), *__all__})
