"""The command `unveil`: the application, its commands by name, and how each failure ends.

A command is one function in one file of this folder. It returns its exit status (None means 0) and raises `UnveilError` for what the user
can correct. Its module is imported only when the command is called, so that `unveil --help` stays fast.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, Token, UnusedCliTokensError, convert

from unveil import __version__
from unveil.errors import Cancelled, InputError, UnveilError, UnveilWarning
from unveil.util.words import nearest, shown

COMMANDS: dict[str, tuple[str, str]] = {
    "restore": ("unveil.cli.restore:restore", "Restore photographs."),
    "describe": ("unveil.cli.describe:describe", "Name the damage in photographs, with probabilities."),
    "degrade": ("unveil.cli.degrade:degrade", "Damage photographs by a simulator."),
    "models": ("unveil.cli.models:app", "List, show and verify the models on the shelf."),
    "train": ("unveil.cli.train:train", "Train a model on your own photographs."),
    "data": ("unveil.cli.data:app", "Make training pairs: face shadows, super-resolution."),
    "bench": ("unveil.cli.bench:bench", "Measure models on test sets beside what papers print; speed; memory."),
    "web": ("unveil.cli.web:web", "Serve the page and the HTTP interface."),
    "evaluate": ("unveil.cli.evaluate:evaluate", "Score restored images against their targets."),
}
"""name -> ("module:function", one line for `unveil --help`), in the order of the help page."""

NOTHING_DONE = 1
"""Nothing could be done: every file failed, or a reason outside the call (disk full, permission)."""
USAGE = 2
"""The call or its input was wrong; the message says how."""
SOME_FAILED = 3
"""Some files failed (each named with its reason), the others were done."""
INTERRUPTED = 130
"""Stopped by the user (128 + SIGINT, as shells have it)."""

_HELP = "Restore real photographs: haze, shadow, low light, noise, blur, compression and their mixtures."
_EPILOGUE = "Exit status: 0 all done, 1 nothing could be done, 2 wrong usage or input, 3 some files failed (named)."


def build(called: str | None = None) -> App:
    """Return the application with every command of `COMMANDS` registered by name and none imported.

    `called` names the command about to run, which is described by its own docstring; the others by their one line.
    """
    app = App(
        name="unveil",
        help=_HELP,
        help_format="plaintext",
        help_epilogue=_EPILOGUE,
        default_parameter=Parameter(converter=_converted),
        version=f"unveil {__version__}",
        version_flags=["--version"],
        result_action="return_int_as_exit_code_else_zero",
        suppress_keyboard_interrupt=False,
        exit_on_error=False,
        print_error=False,
    )
    for name, (path, summary) in COMMANDS.items():
        app.command(path, name=name, help=None if name == called else summary)
    return app


def main(tokens: Sequence[str] | None = None) -> int:
    """Run `unveil` with `tokens` (default: the command line) and return the exit status.

    Messages go to standard error, one line each. Errors that are ours alone (bugs) pass through with their traceback.
    """
    # Read when torch is loaded, which is later: threads that spin while they wait slow two busy processes down six-fold.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be valid text, and must not stop the command
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if tokens is None else tokens)
    called = arguments[0] if arguments else None
    try:
        with _plain_warnings():
            status = build(called)(arguments)
        sys.stdout.flush()
        return status
    except MissingArgumentError as error:
        place = f"unveil {called}" if called in COMMANDS else "unveil"
        return _fail(f"{_missing(error)}. See `{place} --help`.", USAGE)
    except UnusedCliTokensError as error:
        return _fail(f"{_unused(error, called)} See `unveil {called} --help`.", USAGE)
    except CycloptsError as error:
        place = f"unveil {called}" if called in COMMANDS else "unveil"
        return _fail(f"{error} See `{place} --help`.", USAGE)
    except UnveilError as error:
        return _fail(str(error), USAGE)
    except (KeyboardInterrupt, Cancelled):
        return _fail("stopped.", INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) went away. Python would complain once more when it closes standard output on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOTHING_DONE
    except OSError as error:
        return _fail(str(error), NOTHING_DONE)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Within this context our own warnings are messages like all others, without the line of code that issued them."""
    usual = warnings.showwarning

    def told(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, UnveilWarning):
            say(message)
        else:
            usual(message, category, *where, **more)

    warnings.showwarning = told
    try:
        yield
    finally:
        warnings.showwarning = usual


def _converted(kind: Any, tokens: Sequence[Token]) -> Any:
    """The value of an option. The parser itself would round 1.5 to a whole number."""
    for token in tokens if kind is int else ():
        if re.fullmatch(r"[+-]?\d*\.\d*[1-9]\d*", token.value):
            raise ValueError(f"{token.value} is no whole number.")
    return convert(kind, tokens)


def _unused(error: UnusedCliTokensError, called: str | None) -> str:
    """What was given that the command does not take."""
    left = list(error.unused_tokens or ())
    known = [name for name in error.app or () if not name.startswith("-")]
    if known:
        near = nearest(left[0], known)
        return f"unveil {called} knows no {left[0]}. " + (
            f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
        )
    return f"unveil {called} takes options alone, and no {', '.join(left)}."


def _missing(error: MissingArgumentError) -> str:
    """Which option is missing, or has no value."""
    if error.keyword:
        return f"{error.keyword} needs a value behind it"
    return f"{' or '.join(error.argument.names if error.argument else ())} is missing"


def say(text: object) -> None:
    """Print one line on standard error."""
    print(f"unveil: {shown(text)}", file=sys.stderr, flush=True)


def _fail(message: str, status: int) -> int:
    say(" ".join(message.split()))
    return status


def check_hyphens(inputs: Sequence[Path], command: str, options: Iterable[str]) -> None:
    """Raise InputError for an unknown option: where `-` is a name, the parser takes all of them for names. options: of the command."""
    for given in inputs:
        if str(given).startswith("-") and str(given) != "-":
            near = nearest(given, options)
            hint = f' Did you mean "{near[0]}"?' if near else f" Write ./{given} for a file of that name."
            raise InputError(f'Unknown option: "{given}".{hint} See `unveil {command} --help`.')


def exit_status(failed: int, done: int) -> int:
    """The status after `failed` files failed and `done` were done, or were there already."""
    if not failed:
        return 0
    return SOME_FAILED if done else NOTHING_DONE


def print_failed(source: object, reason: object, as_json: bool = False) -> None:
    """One line on standard error, or with `as_json` one row on standard output. The file is named once, though the reason may name it."""
    if as_json:
        print(json.dumps({"input": str(source), "status": "failed", "reason": str(reason)}), flush=True)
        return
    # As a whole word: a pair called 1 is not named by "10x10". Reasons may come with each blank for several.
    plain, told = (" ".join(str(text).split()) for text in (source, reason))
    plain = "<stdin>" if plain == "-" else plain
    named, known = re.subn(rf"(?<!\w){re.escape(plain)}(?!\w)", lambda _: str(source), told, count=1)
    say(named if known else f"{source}: {told}")
