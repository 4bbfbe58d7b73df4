"""Loading what one restoration needs, without counting its objects again and again."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def swift() -> Iterator[None]:
    """Inside, modules are loaded without garbage collection.

    What was loaded is then left out of later collections, which would look through some hundred thousand objects that stay anyway.
    For commands alone, whose process is theirs: a program that imports the library gets torch as it is.
    """
    if "torch" in sys.modules:  # another program's process, or that of the tests
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
