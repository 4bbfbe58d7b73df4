"""The wheel and the source archive, installed apart from this checkout, restore a photograph without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
MOST = 80 * 10**6
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "UNVEIL", "HF_"))}
"""Without what could lead back to this checkout."""

RESTORE = """
import socket, sys

def refuse(*_): raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse

import unveil
from pathlib import Path
from unveil.cli import main

assert Path(unveil.__file__).is_relative_to(sys.prefix), unveil.__file__
example = Path(unveil.__file__).parent / "examples" / "coffee.jpg"
from PIL import Image
Image.open(example).resize((60, 40)).save("photo.jpg")
for model in ("general", "wild"):
    assert main(["restore", "photo.jpg", "-o", f"{model}.jpg", "-n", model, "--steps", "2", "--device", "cpu"]) == 0
diffpir = ["--method", "diffpir", "--operator", "identity", "--steps", "2"]
assert main(["restore", "photo.jpg", "-o", "diffpir.jpg", *diffpir, "--device", "cpu"]) == 0
assert main(["describe", "photo.jpg"]) == 0
sys.exit(main(["models", "verify"]))
"""


def build(kind: str, source: Path, target: Path) -> Path:
    """The wheel or sdist of a source tree, by the package's own build backend."""
    code = f"import hatchling.build as b, sys; print(b.build_{kind}(sys.argv[1]))"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=source, env=CLEAN, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return target / ran.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of this checkout."""
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def needed(wheel: Path) -> set[str]:
    """What the wheel's own metadata asks for without extras, and what that asks for in turn, as far as it is installed here."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        asked = re.findall(r"^Requires-Dist: (.+)$", archive.read(metadata).decode(), re.M)
    found: set[str] = set()
    while asked:
        wanted = Requirement(asked.pop())
        if wanted.name in found or not (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            continue
        assert wanted.specifier.contains(distribution(wanted.name).version, prereleases=True), wanted
        found.add(wanted.name)
        asked += distribution(wanted.name).requires or []
    return found


def lend(names: set[str], folder: Path) -> None:
    """Links in `folder` to what these distributions installed, and to nothing else of this environment."""
    folder.mkdir()
    for name in names:
        there = distribution(name)
        for part in {path.parts[0] for path in there.files or () if path.parts[0] not in ("..", "__pycache__")}:
            link = folder / part
            if not link.exists():
                link.symlink_to(Path(str(there.locate_file(part))).resolve())


@pytest.mark.slow
def test_the_archives_hold_the_weights_and_are_small(wheel: Path, source: Path) -> None:
    assert wheel.stat().st_size < MOST
    assert source.stat().st_size < MOST
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
    weights = sorted((ROOT / "src/unveil/models/weights").rglob("*.safetensors"))
    for path in [*weights, *(ROOT / "src/unveil/examples").iterdir(), ROOT / "src/unveil/models/manifest.json"]:
        if path.is_file():
            assert path.relative_to(ROOT / "src").as_posix() in inside
    assert all(name.startswith(("unveil/", "unveil-")) for name in inside)
    with tarfile.open(source) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "Makefile", "constraints.txt"} <= names
    assert not any(name.startswith((".venv", "site/", ".ci", "runs")) for name in names)


@pytest.mark.slow
def test_the_source_archive_builds_the_same_wheel(wheel: Path, source: Path, tmp_path: Path) -> None:
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    again = build("wheel", next((tmp_path / "unpacked").iterdir()), tmp_path)
    assert again.read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_an_installed_wheel_restores_a_photograph_offline(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "clean"
    venv.create(place, with_pip=False)
    python = str(place / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, env=CLEAN)
    # The packages that it asks for are lent by this environment, those alone: what is used but not asked for is missed.
    lend(needed(wheel), tmp_path / "lent")
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True, capture_output=True, text=True, env=CLEAN,
    ).stdout.strip()  # fmt: skip
    (Path(where) / "lent.pth").write_text(f"{tmp_path / 'lent'}\n")
    for absent in ("pytest", "hatchling", "scipy"):
        assert subprocess.run([python, "-c", f"import {absent}"], env=CLEAN, capture_output=True).returncode, absent
    ran = subprocess.run([python, "-c", RESTORE], cwd=tmp_path, capture_output=True, text=True, env=CLEAN)
    assert ran.returncode == 0, ran.stderr
    for name in ("general.jpg", "wild.jpg", "diffpir.jpg"):
        assert (tmp_path / name).stat().st_size > 500
    assert "general" in ran.stdout
    version = subprocess.run([place / "bin" / "unveil", "--version"], capture_output=True, text=True, env=CLEAN)
    assert version.stdout.startswith("unveil "), version.stderr
