"""What can go wrong on a user's side, as exceptions whose message is the whole explanation."""

from __future__ import annotations


class UnveilError(ValueError):
    """Base of every error that a user can cause and mend. The message says what was wrong, with which value, and what to do."""


class InputError(UnveilError):
    """A photograph, folder or tensor that cannot be restored as given."""


class ModelError(UnveilError):
    """A model name, weight file or configuration that cannot be used."""


class UnveilWarning(UserWarning):
    """What was put right on the way and is worth knowing: a tile computed again in fp32, smaller tiles after memory ran out."""


class Cancelled(Exception):
    """Raised inside a sampling loop when the caller asked it to stop; nothing was written."""
