"""Optional parts: what is installed, and how to install what is not, as it works for this installation."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unveil.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
"""The clone, where this is one."""


def installing(extra: str, root: Path = ROOT, prefix: Path | None = None) -> str:
    """The command that installs an extra, or several with commas: "raw", "heic,raw".

    In a clone (`root`) the package index knows no `unveil` of ours, `pip` alone is most often that of another Python, and without the
    constraints torch is replaced; so the line names all three: `.venv/bin/pip install -c constraints.txt -e '.[raw]'`. It holds no
    absolute path, since the server shows it to clients. prefix: the Python environment; that of this process unless given.
    """
    if not (root / "constraints.txt").is_file() or not (root / "pyproject.toml").is_file():
        return f"pip install 'unveil[{extra}]'"
    prefix = Path(sys.prefix) if prefix is None else prefix
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    pip = f"{prefix.relative_to(root).as_posix()}/{scripts}/pip" if prefix.is_relative_to(root) else "pip"
    return f"{pip} install -c constraints.txt -e '.[{extra}]' (in the clone)"


def needed(module: str, what: str, extra: str, error: type[ValueError] = InputError) -> Any:
    """Import a module of an extra, or raise `error`. what: cannot be done without it, as "HEIC needs a further package"."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise error(f"{what}: {installing(extra)}") from None


def check_installed(what: str, modules: Iterable[str], extra: str) -> None:
    """Raise InputError where one of the modules that something needs is not installed, saying which extra brings it."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{what} needs {' and '.join(missing)}: {installing(extra)}")


def codecs(name: str) -> Any:
    """imagecodecs, which is faster than this package's own codecs and reads more; None where it is not installed with this one of its
    codecs.
    """
    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs if getattr(imagecodecs, name).available else None
