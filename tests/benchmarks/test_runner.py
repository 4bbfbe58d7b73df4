"""The commands of developers: every module has its name in a registry, and every name its module."""

from __future__ import annotations

import ast
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks._runner import listed, run
from benchmarks._shared import positive_number, read_json
from recipes import __main__ as recipes
from unveil.errors import Cancelled, InputError, ModelError

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


@pytest.mark.parametrize("name", ["zzz", "nope"])
def test_where_no_name_is_near_the_list_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recipes", recipes.GROUPS, words=[name]) == 2
    assert "`python -m recipes` lists what there is" in capsys.readouterr().err


def failing(error: BaseException) -> Callable[[object], None]:
    def main(given: object) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InputError("album: no photographs; name another"), 2, "album: no photographs; name another"),
        (ModelError("no model named 'x'"), 2, "no model named 'x'"),
        (
            FileNotFoundError(2, "No such file or directory", "a.tar"),
            1,
            "a.tar: No such file or directory; check the path",
        ),
        (Cancelled("stopped at step 3"), 130, "stopped at step 3"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.made", module(failing(error)))
    assert run("benchmarks", {"a group": ("made",)}, words=["made"]) == status
    assert capsys.readouterr().err == f"python -m benchmarks made: {said}\n"


def test_a_fault_of_our_own_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.made", module(failing(OSError("no descriptors left"))))
    with pytest.raises(OSError, match="no descriptors"):
        run("benchmarks", {"a group": ("made",)}, words=["made"])


@pytest.mark.parametrize("word", ["0", "-1", "two", "1.5", ""])
def test_threads_and_counts_are_whole_and_positive(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("benchmarks", benchmarks.GROUPS, words=["gpu", "--threads", word])
    assert ended.value.code == 2
    assert f"a whole number of at least 1, not {word!r}" in capsys.readouterr().err


SOURCES = sorted(p for folder in ("benchmarks", "recipes") for p in (ROOT / folder).glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_what_is_imported_within_functions_is_there_too(path: Path) -> None:
    siblings = {p.stem for p in SOURCES if p.stem not in ("__init__", "__main__")}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not siblings & {alias.name for alias in node.names}, f"line {node.lineno}: its package is left out"
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        assert node.module not in siblings, f"line {node.lineno}: its package is left out"
        if node.module.split(".")[0] in ("benchmarks", "recipes", "unveil"):
            try:
                found = import_module(node.module)
            except ModuleNotFoundError as error:
                if str(error.name).split(".")[0] in ("benchmarks", "recipes", "unveil"):
                    raise
                continue  # a peer that is not installed
            for alias in node.names:
                inner = find_spec(f"{node.module}.{alias.name}") if hasattr(found, "__path__") else None
                assert hasattr(found, alias.name) or inner, f"line {node.lineno}: {node.module} has no {alias.name}"


@pytest.mark.parametrize("word", ["0", "-1", "nan", "inf", "many"])
def test_shares_and_limits_are_numbers_above_nothing(word: str) -> None:
    with pytest.raises(ArgumentTypeError, match="a number above 0"):
        positive_number(word)
    assert positive_number("0.5") == 0.5


@pytest.mark.parametrize("content", [b"\xff\xd8\xff", b"a.png\tx", b""])
def test_a_file_that_is_no_result_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: no result of a benchmark"):
        read_json(tmp_path / "a.json")
