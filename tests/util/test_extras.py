"""The command that installs an extra is one that works where it is said."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from unveil.util.extras import ROOT, installing


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("constraints.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    return tmp_path


def test_in_a_clone_its_own_pip_its_constraints_and_its_sources(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    said = installing("heic,raw", clone, clone / ".venv")
    assert said == ".venv/bin/pip install -c constraints.txt -e '.[heic,raw]' (in the clone)"
    assert installing("raw", clone, Path("/usr")) == "pip install -c constraints.txt -e '.[raw]' (in the clone)"


def test_elsewhere_the_package_by_its_name(tmp_path: Path) -> None:
    assert installing("raw", tmp_path, tmp_path) == "pip install 'unveil[raw]'"


def test_nobody_is_told_where_the_server_lies(clone: Path) -> None:
    assert str(clone) not in installing("raw", clone, clone / "env")


def test_every_extra_that_is_named_exists() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for path in (ROOT / "src").rglob("*.py"):
        for found in re.findall(r"""installing\(["']([a-z,]+)["']\)""", path.read_text()):
            assert set(found.split(",")) <= known.keys(), path
