"""Texts that a program writes and a person then fills in: they are never written over once somebody changed them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from unveil.util import atomic

_MARK = "<!-- as Unveil wrote it, sha256 "


def put(path: Path, text: str) -> Path:
    """Write a Markdown text, with its checksum in a last line that no reader sees; returns where it was written.

    That is `path` where nothing is there, or where what is there is as it was last written here; else NAME.new.md beside it. Raises
    InputError where the folder or disk refuses.
    """
    target = path if not path.exists() or _untouched(path) else path.with_suffix(f".new{path.suffix}")
    atomic.replace(target, f"{text}{_mark(text)}".encode())
    return target


def _mark(text: str) -> str:
    return f"{_MARK}{hashlib.sha256(text.encode()).hexdigest()} -->\n"


def _untouched(path: Path) -> bool:
    try:
        text, found, _ = path.read_text(encoding="utf-8").partition(_MARK)
    except (OSError, UnicodeDecodeError):
        return False
    return bool(found) and path.read_bytes() == f"{text}{_mark(text)}".encode()
