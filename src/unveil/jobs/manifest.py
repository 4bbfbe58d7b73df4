"""The manifest: one line of JSON per photograph, written when it is finished, readable at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unveil.errors import InputError


@dataclass(frozen=True)
class Row:
    """The outcome of one photograph.

    status: "restored"; "skipped" (its output was there already); "failed", with the reason; "stopped" (the run ended before it was
    finished; nothing of it was written). outputs: the files written, the restoration first. seconds: wall time inside the restorer.
    size: width and height. sha256: of the model. protocol: everything that decides the pixels. notes: what was lost or corrected.
    """

    input: str
    output: str
    status: str
    reason: str = ""
    outputs: tuple[str, ...] = ()
    seconds: float | None = None
    size: tuple[int, int] | None = None
    seed: int | None = None
    sha256: str | None = None
    protocol: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One line, without newline: valid JSON whatever bytes a name has (as Python's `os.fsencode` takes it back)."""
        text = json.dumps(asdict(self), ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError:
            # Bytes of names that are no text are lone surrogates, which JSON can only hold as escapes.
            return json.dumps(asdict(self))
        return text


def restored(
    source: Path, outputs: Sequence[Path], seconds: float, size: tuple[int, int], seed: int, protocol: dict[str, Any],
    notes: tuple[str, ...],
) -> Row:  # fmt: skip
    """The row of what was restored into these files, the restoration first. notes: of reading, restoring and writing, each kept once."""
    files = tuple(map(str, outputs))
    sha256 = protocol.get("sha256", "")
    return Row(
        str(source),
        files[0],
        "restored",
        "",
        files,
        round(seconds, 3),
        size,
        seed,
        sha256,
        protocol,
        tuple(dict.fromkeys(notes)),
    )


class Manifest:
    """Appends rows to a file, each forced to disk; a line that a kill cut short is removed when the file is opened again.

    path: None keeps nothing. Raises InputError where the file cannot be written, and where it holds something else than a manifest.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _mend(path)
            self._file = path.open("ab")
        except OSError as error:
            raise InputError(
                f"{path}: the manifest cannot be written ({error.strerror}); choose another --manifest"
            ) from error

    def add(self, row: Row) -> None:
        """Append a row. Raises OSError, naming the file, where it cannot be written: a run that keeps no record must stop."""
        if self._file is None:
            return
        try:
            self._file.write(row.to_json().encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OSError(
                f"{self.path}: the manifest cannot be written any more ({error.strerror}); make room and go on with --skip-existing"
            ) from error

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, kind: type[BaseException] | None, *more: object) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                if kind is None:  # else it was reported already
                    raise


def _mend(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    if data.strip() and not _has_rows(data):
        raise InputError(f"{path}: is there already and is no manifest; choose another --manifest")
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def _has_rows(data: bytes) -> bool:
    """Whether the first line is a row, or the beginning of one that a kill cut short."""
    first, newline, _ = data.partition(b"\n")
    if not newline:
        return first.startswith(_BEGINS) or _BEGINS.startswith(first)
    try:
        row = json.loads(first)
    except ValueError:
        return False
    return isinstance(row, dict) and {"input", "output", "status"} <= row.keys()


_BEGINS = b'{"input": "'
