"""What `import unveil` and `unveil --help` may cost: processor time, and no torch before something is computed."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

import unveil

IMPORT = "import unveil"
HELP = "import unveil.cli, sys; status = unveil.cli.main(['--help'])"


def processor_time(code: str) -> float:
    """Seconds of user and system time that a fresh interpreter spends on `code`, start included; best of three."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    return min(once() for _ in range(3))


def modules_after(code: str) -> set[str]:
    """Names in `sys.modules` of a fresh interpreter once `code` has run."""
    tell = "import sys; print('\\n' + '\\n'.join(sys.modules), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", f"{code}\n{tell}"], check=True, capture_output=True, text=True)
    return set(ran.stderr.split())


@pytest.mark.parametrize(("code", "limit"), [(IMPORT, 0.2), (HELP, 0.3)], ids=["import", "help"])
def test_processor_time_net_of_the_interpreter(code: str, limit: float) -> None:
    processor_time(code)  # once before, so that byte-compiling is not counted
    assert processor_time(code) - processor_time("pass") < limit


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import", "help"])
def test_nothing_heavy_is_imported(code: str) -> None:
    loaded = modules_after(code)
    assert "unveil" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "PIL", "scipy", "huggingface_hub"})


def test_public_names_are_there_before_and_after_they_are_loaded() -> None:
    names = {"load", "restore", "Restorer", "Restoration"}
    assert names <= set(dir(unveil))
    assert names <= set(unveil.__all__)
    assert all(callable(getattr(unveil, name)) for name in names)
    assert all(name in vars(unveil) for name in names), "the second use must not search again"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'unveil' has no attribute 'lode'"):
        unveil.lode  # noqa: B018
