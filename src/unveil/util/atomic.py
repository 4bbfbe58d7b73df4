"""Writing a file so that at any moment there is the old one or the new one, never a part of either."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unveil.errors import InputError, UnveilError

# So that a folder job can recognise and sweep what a kill left behind.
TEMPORARY_SUFFIX = ".unveil-tmp"
LONGEST = 100
"""Characters of a file's name that stand in the name of its temporary file."""


def replace(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, force it to disk, and rename it over `path`.

    On any failure the temporary file is removed and `path` is as it was. Raises InputError where the folder or disk refuses.
    """
    # "x" and the process's own umask, unlike tempfile, whose files nobody else may read.
    with replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """As `aside`, for a file that a user named: raises InputError, which says what to do, where the folder or disk refuses."""
    try:
        with aside(path) as temporary:
            yield temporary
    except (OSError, ValueError) as error:
        if isinstance(error, UnveilError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{path}: cannot be written ({reason}); check the folder, its permissions and the free space"
        ) from error


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """The name of a temporary file beside `path`, to be written inside: afterwards it is forced to disk and renamed over `path`.

    For what is written piece by piece, or by a library that wants a name. On any exception, which is passed on, the temporary file is
    removed and `path` is as it was.
    """
    temporary = path.with_name(f".{path.name[:LONGEST]}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def target_of(temporary: str) -> str | None:
    """The name of the file that a temporary file of this name stands for, cut to `LONGEST`; None for any other file's name."""
    if not temporary.startswith(".") or not temporary.endswith(TEMPORARY_SUFFIX):
        return None
    return temporary[1 : -len(TEMPORARY_SUFFIX)].rpartition(".")[0]


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets folders be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
