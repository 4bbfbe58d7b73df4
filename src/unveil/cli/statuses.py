"""Exit statuses, and the one that a run over many files ends with."""

from __future__ import annotations

NOTHING_DONE = 1
"""Nothing could be done: every file failed, or a reason outside the call (disk full, permission)."""
USAGE = 2
"""The call or its input was wrong; the message says how."""
SOME_FAILED = 3
"""Some files failed (each named with its reason), the others were done."""
INTERRUPTED = 130
"""Stopped by the user (128 + SIGINT, as shells have it)."""


def of_files(failed: int, done: int) -> int:
    """The status after `failed` files failed and `done` were done, or were there already."""
    if not failed:
        return 0
    return SOME_FAILED if done else NOTHING_DONE
