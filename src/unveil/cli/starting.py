"""Loading torch for one restoration: without what only its compilers need, and without counting its objects again and again."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

SHAPES = "torch._meta_registrations"
"""Where torch says in Python what shape an operation's result has on the device "meta". Its compilers and exporters need it and load it
themselves; loading it with torch costs a quarter of a second, a fifth of the whole start."""


@contextmanager
def swift() -> Iterator[None]:
    """Inside, modules are loaded without garbage collection; torch, where it is loaded here for the first time, without `SHAPES`.

    What was loaded is then left out of later collections, which would look through some hundred thousand objects that stay anyway.
    For commands alone, whose process is theirs: a program that imports the library gets torch as it is.
    """
    if "torch" in sys.modules:  # another program's process, or that of the tests
        yield
        return
    gc.disable()
    stand_in = sys.modules[SHAPES] = ModuleType(SHAPES)
    try:
        import torch

        yield
    finally:
        # Gone again, so that whoever asks for it (torch.compile, torch.export) gets the module itself.
        if sys.modules.get(SHAPES) is stand_in:
            del sys.modules[SHAPES]
        if getattr(torch, "_meta_registrations", None) is stand_in:
            delattr(torch, "_meta_registrations")
        gc.freeze()
        gc.enable()
