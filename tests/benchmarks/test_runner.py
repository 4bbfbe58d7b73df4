"""The commands of developers: every module has its name in a registry, and every name its module."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks._runner import listed, run
from recipes import __main__ as recipes

ROOT = Path(__file__).resolve().parents[2]
SHARED = {"overview"}
"""Modules that are no commands, beside those with an underscore."""


@pytest.mark.parametrize("registry", [benchmarks, recipes])
def test_every_module_is_in_the_registry_and_once(registry: ModuleType) -> None:
    package = Path(str(registry.__file__)).parent
    modules = {p.stem for p in package.glob("*.py") if not p.stem.startswith("_")} - SHARED
    names = [name for names in registry.GROUPS.values() for name in names]
    assert sorted(names) == sorted(modules)
    assert set(registry.PLAIN) <= set(names)


def test_a_name_that_is_not_known_is_refused_and_the_nearest_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("benchmarks", benchmarks.GROUPS, words=["qualty"]) == 2
    assert "did you mean quality?" in capsys.readouterr().err


def test_the_list_has_a_line_for_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recipes", recipes.GROUPS, words=[]) == 0
    assert capsys.readouterr().out.strip() == listed("recipes", recipes.GROUPS)
    for names in recipes.GROUPS.values():
        for name in names:
            assert f"\n  {name} " in listed("recipes", recipes.GROUPS)


def module(main: object, **more: object) -> ModuleType:
    made = ModuleType("benchmarks.made")
    made.__dict__.update(main=main, **more)
    return made


def test_options_exit_status_and_what_nobody_knows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    made = module(
        lambda given: seen.append(given) or 3, arguments=lambda command: command.add_argument("--size", type=int)
    )
    monkeypatch.setitem(sys.modules, "benchmarks.made", made)
    groups = {"a group": ("made",)}
    assert run("benchmarks", groups, words=["made", "--size", "7", "--quick", "--json", "a.json"]) == 3
    assert (seen[0].size, seen[0].quick, seen[0].json, seen[0].threads) == (7, True, Path("a.json"), 1)
    with pytest.raises(SystemExit):
        run("benchmarks", groups, words=["made", "--sise", "7"])
    assert "unrecognized arguments: --sise 7" in capsys.readouterr().err
    with pytest.raises(SystemExit):  # no measurement: --quick would be read and ignored
        run("benchmarks", groups, plain=("made",), words=["made", "--quick"])
    made.__dict__["REST"] = True
    assert run("benchmarks", groups, plain=("made",), words=["made", "--ema", "0.9"]) == 3
    assert seen[-1].rest == ["--ema", "0.9"]
