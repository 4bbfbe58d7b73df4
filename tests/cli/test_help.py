"""The frame of the command line: help, version, and how each kind of failure ends."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from cyclopts import App

import unveil
from unveil import cli
from unveil.cli.progress import Pace
from unveil.errors import Cancelled, InputError

Command = Callable[..., int | None]
Register = Callable[[Command], None]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """A function that makes its argument the command `probe`, the only one."""

    def as_probe(command: Command) -> None:
        module = ModuleType("probe_module")
        monkeypatch.setattr(module, "run", command, raising=False)
        monkeypatch.setitem(sys.modules, "probe_module", module)
        monkeypatch.setattr(cli, "COMMANDS", {"probe": ("probe_module:run", "Try something.")})

    return as_probe


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What went to standard error, which must be one line, with nothing on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("unveil: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command_and_the_exit_statuses(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([flag]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "Usage: unveil" in page
    assert "3 some files failed" in page
    for name, (_, summary) in cli.COMMANDS.items():
        assert f"│ {name}" in page
        assert summary.split()[0] in page


def test_every_command_leads_to_a_function_with_a_docstring() -> None:
    for path, _ in cli.COMMANDS.values():
        module, function = path.split(":")
        command = getattr(importlib.import_module(module), function)
        assert command.help if isinstance(command, App) else command.__doc__


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"unveil {unveil.__version__}\n"


def test_the_module_runs_as_a_program() -> None:
    ran = subprocess.run([sys.executable, "-m", "unveil.cli", "--nope"], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.startswith('unveil: Unknown command "--nope".')
    assert ran.stderr.endswith("See `unveil --help`.\n")
    assert ran.stderr.count("\n") == 1


def test_a_called_command_is_described_by_its_own_docstring(
    register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    def probe(size: int = 3) -> None:
        """Probe with the long explanation.

        Args:
            size: how large a probe.
        """

    register(probe)
    assert cli.main(["--help"]) == 0
    assert "Try something." in capsys.readouterr().out
    assert cli.main(["probe", "--help"]) == 0
    page = capsys.readouterr().out
    assert "Probe with the long explanation." in page
    assert "how large a probe." in page


@pytest.mark.parametrize("status", [None, 0, 1, 3])
def test_a_command_returns_its_exit_status(status: int | None, register: Register) -> None:
    register(lambda: status)
    assert cli.main(["probe"]) == (status or 0)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["prob"], 'Unknown command "prob". Did you mean "probe"?'),
        (["probe"], "--size is missing"),
        (["probe", "--size"], "--size needs a value behind it"),
        (["probe", "many"], "unable to convert"),
        (["probe", "3", "--speed", "2"], "Unknown option: --speed"),
        (["probe", "2.5"], "2.5 is no whole number. See"),
        (["probe", "3", "4"], "unveil probe takes options alone, and no 4. See"),
    ],
    ids=["command", "missing", "no value", "type", "option", "fraction", "too many"],
)
def test_wrong_usage_ends_with_2(
    tokens: list[str], expected: str, register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    def probe(size: int) -> None:
        """Probe."""

    register(probe)
    assert cli.main(["probe", "3.0"]) == 0
    assert cli.main(tokens) == 2
    message = one_line(capsys)
    assert expected in message
    assert "--help`" in message


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (InputError("a.jpg is empty:\nnothing to restore"), 2, "a.jpg is empty: nothing to restore"),
        (Cancelled(), 130, "stopped"),
        (KeyboardInterrupt(), 130, "stopped"),
        (OSError(errno.ENOSPC, "No space left on device", "out.png"), 1, "No space left on device: 'out.png'"),
    ],
    ids=["input", "cancelled", "ctrl-c", "disk full"],
)
def test_a_failure_is_one_line_and_its_status(
    error: BaseException, status: int, expected: str, register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    def probe() -> None:
        raise error

    register(probe)
    assert cli.main(["probe"]) == status
    assert expected in one_line(capsys)


def test_a_bug_keeps_its_traceback(register: Register) -> None:
    def probe() -> None:
        raise ZeroDivisionError("ours")

    register(probe)
    with pytest.raises(ZeroDivisionError, match="ours"):
        cli.main(["probe"])


def test_a_reader_that_goes_away_is_not_an_error() -> None:
    """As in `unveil --help | head -0`: no traceback, and no complaint when Python closes standard output on exit."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "unveil.cli", "--help"]
    ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert ran.stderr == ""
    assert ran.returncode == cli.NOTHING_DONE


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_do_not_spin_unless_told_to(
    monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")  # so that it is put back
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    assert cli.main(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == after


def test_the_help_of_restore_is_in_groups_and_begins_with_three_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["restore", "--help"]) == 0
    page = capsys.readouterr().out
    groups = [
        page.index(f"─ {name} ") for name in ("Everyday", "Many files", "Sampling", "Zero-shot methods", "Machine")
    ]
    assert groups == sorted(groups)
    assert page[: groups[0]].count("\nunveil restore ") == 3
    assert groups[0] < page.index("--keep STR") < groups[1] < page.rindex("--skip-existing") < groups[2]
    assert "─ Parameters" not in page


def test_the_time_left_for_all_photographs() -> None:
    now = [100.0]
    pace = Pace(5, clock=lambda: now[0])
    assert pace.left(0) == ""
    now[0] = 130.0
    assert pace.left(1) == " (all: 2 min left)"
    now[0] = 140.0
    assert pace.left(4) == " (all: 10 s left)"


def test_warnings_of_ours_are_messages_like_all_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not Python's two lines with a place in the code."""
    from PIL import Image

    from unveil.models import shelf

    monkeypatch.setattr(shelf, "FORMER", {"gone": "wild"})
    Image.new("RGB", (16, 16), (90, 90, 90)).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        given = ["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "-n", "gone", "--fix", "noise"]
        assert cli.main(given) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "unveil: gone no longer ships; wild is taken, which does better on what gone never saw"
    assert not any("UnveilWarning" in line for line in said)
