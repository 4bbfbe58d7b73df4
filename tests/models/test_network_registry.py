from __future__ import annotations

import inspect

import pytest

from unveil.models.network_registry import KINDS


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"experts", "daclip"}))
def test_whatever_a_network_can_be_made_with_is_taken_from_its_description(name: str) -> None:
    """A setting that were left out would be lost as a file is read. (Experts and DA-CLIP hold descriptions of parts.)"""
    kind = KINDS[name]
    taken = set(inspect.signature(kind.maker).parameters) - {"out_channels"}  # of what restores: as many as it sees
    assert taken == {*kind.sizes, *kind.also}
