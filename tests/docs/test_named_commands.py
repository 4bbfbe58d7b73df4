"""Commands and files of developers that pages, docstrings and messages name are there, with the options that are written behind them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks._runner import parser
from recipes import __main__ as recipes

ROOT = Path(__file__).resolve().parents[2]
REGISTRIES = {"benchmarks": benchmarks, "recipes": recipes}
SOURCES = ("README.md", "CONTRIBUTING.md", "Makefile", "docs", "src", "benchmarks", "recipes", "integrations", "space")
WRITTEN = re.compile(r"python -m (benchmarks|recipes) ([a-z]\w*)([^`\n;|#]*)")
FILE = re.compile(r"\b(?:benchmarks|recipes)/(?:[\w-]+/)*\w+\.(?:py|md)\b")


def texts() -> Iterator[tuple[str, str]]:
    """(name, text) of every source that a reader sees."""
    for name in SOURCES:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.suffix in (".md", ".py", ".json", "") and path.is_file() and "results" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


@cache
def options(package: str, name: str) -> frozenset[str]:
    """What a command knows, those of its own commands too."""
    made, known = [parser(package, name, name not in REGISTRIES[package].PLAIN)], set()
    for command in made:
        known |= set(command._option_string_actions)
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                made += action.choices.values()
    return frozenset(known)


COMMANDS = sorted({found.groups() for _, text in texts() for found in WRITTEN.finditer(text)})


@pytest.mark.parametrize(("package", "name", "behind"), COMMANDS, ids=lambda word: word.strip()[:60])
def test_a_command_is_there_with_its_options(package: str, name: str, behind: str) -> None:
    known = [one for names in REGISTRIES[package].GROUPS.values() for one in names]
    assert name in known
    if not getattr(
        import_module(f"{package}.{name}"), "REST", False
    ):  # else what it does not know is a configuration's
        written = re.split(r"\s{2,}", behind)[0]  # what follows is a remark
        assert set(re.findall(r"(?<!\S)\[?(--?[a-z][a-z-]*)", written)) <= options(package, name)


@pytest.mark.parametrize("pattern", [WRITTEN, FILE])
def test_there_is_something_to_test(pattern: re.Pattern[str]) -> None:
    assert sum(len(pattern.findall(text)) for _, text in texts()) > 10


def test_a_file_is_there() -> None:
    named = {(found, where) for where, text in texts() for found in FILE.findall(text)}
    assert not [f"{where} names {found}" for found, where in sorted(named) if not (ROOT / found).is_file()]
