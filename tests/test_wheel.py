"""The wheel and the source archive, installed apart from this checkout, restore a photograph without a network."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST = 80 * 10**6

RESTORE = """
import socket, sys

def refuse(*_): raise OSError("no network here")
socket.socket.connect = refuse

import unveil
from pathlib import Path
from unveil.cli import main

assert Path(unveil.__file__).is_relative_to(sys.prefix), unveil.__file__
example = Path(unveil.__file__).parent / "examples" / "coffee.jpg"
from PIL import Image
Image.open(example).resize((60, 40)).save("photo.jpg")
sys.exit(main(["restore", "photo.jpg", "-o", "clean.jpg", "--steps", "2", "--device", "cpu"]) or main(["models", "verify"]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built by the package's own build backend."""
    folder = tmp_path_factory.mktemp("dist")
    code = "import hatchling.build as b, sys; b.build_wheel(sys.argv[1]); b.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_archives_hold_the_weights_and_are_small(built: Path) -> None:
    wheel, source = next(built.glob("*.whl")), next(built.glob("*.tar.gz"))
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
def test_an_installed_wheel_restores_a_photograph_offline(built: Path, tmp_path: Path) -> None:
    place = tmp_path / "clean"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(next(built.glob("*.whl")))], check=True)
    # What it depends on comes from this environment; a .pth file adds the folder, and does not follow the .pth files in it.
    (Path(own) / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    ran = subprocess.run([python, "-c", RESTORE], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "clean.jpg").stat().st_size > 500
    assert "general" in ran.stdout
    version = subprocess.run([place / "bin" / "unveil", "--version"], capture_output=True, text=True)
    assert version.stdout.startswith("unveil "), version.stderr
