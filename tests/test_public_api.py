"""The public names and signatures are those that were frozen; CONTRIBUTING says how one is changed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_public_names_and_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    api = importlib.import_module("api")
    now, then = api.frozen(), api.FROZEN.read_text(encoding="utf-8").splitlines()
    gone, new = sorted(set(then) - set(now)), sorted(set(now) - set(then))
    assert not gone, f"public, and gone or changed (keep the old for a release and warn, see CONTRIBUTING): {gone}"
    assert not new, f"new in public: run python benchmarks/api.py --freeze, and name it in CHANGELOG.md: {new}"
