"""What the C library is told about freed memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys
from unveil.util.allocator import keep_freed_memory

done = keep_freed_memory() if sys.argv[1] == "kept" else None
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
SIZE = 12 << 20

def layer():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [ctypes.c_void_p(libc.malloc(ctypes.c_size_t(SIZE))) for _ in range(3)]
    for block in blocks:
        ctypes.memset(block, 1, SIZE)
    for block in blocks:
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

layer()
layer()
print(done, sum(layer() for _ in range(5)))
"""


def _run(mode: str, **more: str) -> tuple[str, int]:
    """What the program printed in a process of its own, since the setting stays: whether it was done, and page faults."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], env=bare | more, capture_output=True, text=True, check=True
    )
    done, faults = shown.stdout.split()
    return done, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_blocks_that_were_freed_are_there_again_without_the_system() -> None:
    done, kept = _run("kept")
    if done == "False":
        pytest.skip("another C library")
    _, usual = _run("usual")
    pages = 3 * (12 << 20) // 4096
    assert kept < pages < usual  # not once in five times; otherwise each time


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
@pytest.mark.parametrize(
    "setting", [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}]
)
def test_what_the_environment_says_stays(setting: dict[str, str]) -> None:
    assert _run("kept", **setting)[0] == "False"


def test_the_command_does_it_in_a_process_of_its_own_alone() -> None:
    program = """
import sys
from unveil import cli
from unveil.cli import restore
restore.keep_freed_memory = lambda: print("kept")
if sys.argv[1] == "guest":
    sys.modules["torch"] = None
cli.main(["restore", "missing.jpg"])
"""
    shown = {}
    for mode in ("own", "guest"):
        done = subprocess.run([sys.executable, "-c", program, mode], capture_output=True, text=True, check=False)
        shown[mode] = done.stdout
    assert shown["own"] == "kept\n"
    assert "kept" not in shown["guest"]
