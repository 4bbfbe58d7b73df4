"""A private folder of our own for what Gradio may want to keep: emptied at the start, gone at the end."""

from __future__ import annotations

import atexit
import shutil

from unveil.web.store import private_folder

_BASE, _ALIVE = private_folder()
FOLDER = _BASE / "gradio"
"""Gradio's own default is one folder of a fixed name for all users of the machine."""


def empty() -> None:
    """Delete what is in it."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o700)


@atexit.register
def _clear() -> None:
    shutil.rmtree(_BASE, ignore_errors=True)
