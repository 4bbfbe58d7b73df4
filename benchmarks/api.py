"""The public names of the package with their signatures and docstrings: docs/api.md, and the list that a test holds them to.

    python -m benchmarks api --freeze     write tests/public_api.txt anew, after a change that CONTRIBUTING allows

The page itself is written by render.py.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from argparse import Namespace
from importlib import import_module
from types import ModuleType
from typing import Any

from benchmarks._shared import HERE

FROZEN = HERE.parent / "tests" / "public_api.txt"
PUBLIC: dict[str, tuple[str, ...]] = {
    # module: its public names; none named: those in __all__
    "unveil": (),
    "unveil.restorer": ("Options",),
    "unveil.errors": ("UnveilError", "InputError", "ModelError", "Cancelled", "UnveilWarning"),
    "unveil.figures": ("side_by_side", "deviation", "overlay"),
    "unveil.photo": ("Photo", "read", "write"),
    "unveil.models.shelf": ("load", "names", "manifest"),
    "unveil.models.calibration": ("Calibration",),
    "unveil.models.spec": ("Spec", "Defaults"),
    "unveil.diffusion": (),
    "unveil.degradation": (),
    "unveil.evaluation": (),
    "unveil.evaluation.calibration": ("fit", "measure", "Measured"),
    "unveil.evaluation.evidence": ("gather", "Evidence"),
    "unveil.evaluation.baselines": ("Baseline", "get_baseline"),
    "unveil.evaluation.published": ("published_numbers", "published_tables"),
    "unveil.bench.sets": ("find", "TestSet"),
    "unveil.bench.quality": ("measure",),
}


INTRODUCTION = """# Python interface

Everything that is public: names, signatures and what they promise, from the docstrings. What is not here may change
in any release; what is here changes by the rule in CONTRIBUTING.
"""


def names(module: str) -> list[str]:
    """The public names of a module."""
    return list(PUBLIC[module] or (n for n in import_module(module).__all__ if not n.startswith("__")))


def signature(thing: Any) -> str:
    """Parameters and result as written; "" for what is not called."""
    if isinstance(thing, type) and issubclass(thing, BaseException):
        return ""
    try:
        return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(thing)))  # annotations are kept as text
    except (TypeError, ValueError):
        return ""


def members(thing: Any) -> list[tuple[str, Any]]:
    """Public methods and properties that a class itself defines, in the order of its source."""
    if not isinstance(thing, type) or issubclass(thing, BaseException):
        return []
    found = ((n, m) for n, m in vars(thing).items() if not n.startswith("_"))
    return [(n, m) for n, m in found if isinstance(m, (property, classmethod, staticmethod)) or inspect.isfunction(m)]


def _said(member: Any) -> tuple[str, str]:
    """(signature, docstring) of a member."""
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    told = inspect.getdoc(function) or ""
    if isinstance(member, property):
        return f" -> {inspect.signature(function).return_annotation}", told
    return signature(function), told


def frozen() -> list[str]:
    """One line a public name: what may not change without a deprecation."""
    lines = []
    for module in PUBLIC:
        for name in names(module):
            thing = getattr(import_module(module), name)
            if isinstance(thing, ModuleType) or not callable(thing):
                lines.append(f"{module}.{name}: {type(thing).__name__}")
                continue
            lines.append(f"{module}.{name}{signature(thing)}")
            lines += [f"{module}.{name}.{n}{_said(m)[0]}" for n, m in members(thing)]
    return lines


def _section(level: int, title: str, called: str, told: str) -> list[str]:
    code = textwrap.wrap(called, 110, subsequent_indent="    ", break_on_hyphens=False)
    code = ["```py", *code, "```", ""] if code else []
    return [f"{'#' * level} {title}", "", *code, told.replace("<", "\\<"), ""]


def page() -> str:
    """docs/api.md."""
    lines = [INTRODUCTION]
    for module in PUBLIC:
        own = import_module(module)
        lines += [f"## {module}", "", (inspect.getdoc(own) or "").split("\n\n")[0], ""]
        for name in names(module):
            thing = getattr(own, name)
            called = signature(thing) if callable(thing) else ""
            told = (inspect.getdoc(thing) or "") if callable(thing) else ", ".join(map(str, thing))
            title = f"`{name}`" if callable(thing) else f"`{name}` ({type(thing).__name__})"
            lines += _section(3, title, called and f"{name}{called}", told)
            for n, m in members(thing):
                lines += _section(4, f"`{name}.{n}`", f"{n}{_said(m)[0]}", _said(m)[1])
    return "\n".join(lines).rstrip() + "\n"


OPTIONS = {"--freeze": (False, "write tests/public_api.txt")}


def main(given: Namespace) -> None:
    if given.freeze:
        FROZEN.write_text("\n".join(frozen()) + "\n", encoding="utf-8")
        print(f"wrote {FROZEN}")
    else:
        print("\n".join(frozen()))
