"""Pillow's warnings, its libtiff's messages and its global pixel limit, kept inside this room."""

from __future__ import annotations

import ctypes
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from PIL import Image

# Without any handler, Python prints their errors to the standard error stream.
for _name in ("PIL", "tifffile"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

_lock = threading.Lock()
_limit_lock = threading.RLock()
_inside = 0
_filters: warnings.catch_warnings | None = None
_handler: int | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of Pillow and its libtiff about damaged files while any thread is inside; errors of ours replace them.

    warnings.catch_warnings alone is wrong with threads: two that overlap restore each other's filters. Here the first one in saves
    them and the last one out restores them.
    """
    global _inside, _filters, _handler
    with _lock:
        if _inside == 0:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _handler = _set_libtiff_handler(None)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _filters is not None:
                _filters.__exit__(None, None, None)
                _filters = None
                _set_libtiff_handler(_handler)


def _set_libtiff_handler(handler: int | None) -> int | None:
    """Exchange libtiff's error handler (none: it is silent) and return the one before.

    It prints to the standard error stream from C, past everything Python could redirect for one thread. Where Pillow has libtiff
    built in, as on Windows, there is no way to reach it and it goes on printing.
    """
    exchange = _exchange()
    return None if exchange is None else exchange(handler)


@cache
def _exchange() -> Callable[[int | None], int | None] | None:
    """libtiff's own function for it, found once."""
    try:
        exchange = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
    except (AttributeError, OSError):
        return None
    exchange.argtypes, exchange.restype = [ctypes.c_void_p], ctypes.c_void_p
    return exchange


@contextmanager
def unlimited(pixels: int) -> Iterator[None]:
    """Let Pillow decode `pixels` pixels whose number was already checked against our own limit.

    Pillow's limit is a global of its module. It is left alone unless this very picture would break it, and then put back.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or pixels <= limit:
        yield
        return
    with _limit_lock:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
