"""What is asked for, what was tested, and what the wheel says it was tested with, agree."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("packaging", reason="packaging comes with the extra `dev`")

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
UNTESTED = ("iqa", "docs")
"""Extras that are not part of the test environment, so that nothing of them can be pinned."""


def pins() -> dict[str, str]:
    """name -> version of constraints.txt."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        text for name, texts in project["optional-dependencies"].items() if name not in UNTESTED for text in texts
    ]
    return [Requirement(text) for text in (*project["dependencies"], *extras) if not text.startswith("unveil[")]


def test_everything_that_is_asked_for_is_pinned_to_a_version_that_it_allows() -> None:
    known = pins()
    for wanted in asked():
        assert known[canonicalize_name(wanted.name)] in wanted.specifier, wanted


def test_everything_has_a_floor() -> None:
    assert [
        str(wanted) for wanted in asked() if not any(s.operator in (">=", "==", "~=") for s in wanted.specifier)
    ] == []


def test_the_bill_of_materials_lists_what_was_tested() -> None:
    told = json.loads((ROOT / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert told["bomFormat"] == "CycloneDX"
    listed = {canonicalize_name(c["name"]): c["version"] for c in told["components"]}
    assert listed == pins(), "renew it as CONTRIBUTING.md says"
    assert not re.search(r"/(?:home|tmp|work|root)/", json.dumps(told))


def test_the_wheel_carries_it() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert built["wheel"]["sbom-files"] == ["sbom.cdx.json"]
