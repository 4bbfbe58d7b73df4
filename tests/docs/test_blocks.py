"""Every python block runs and prints what its page shows; every command of the pages is one that exists, and the short ones run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from page_blocks import ALL, PYTHON, ROOT, Block, commands
from PIL import Image

from unveil import cli

COMMANDS = [(block, call) for block in ALL for call in commands(block, "unveil")]
NOT_RUN = {
    "train": "takes hours, or pairs of the reader's; tests/training runs it",
    "bench": "takes test sets; tests/cli/test_bench.py runs it",
    "web": "serves until it is stopped; tests/web runs it",
    "serve": "serves until it is stopped",
    "data": "takes photographs of faces or DIV2K; tests/data runs it",
    "describe": "tests/cli runs it",
}
"""Commands that are only parsed, and why."""
ELSEWHERE = {"serve.md": "tests/web/test_docs.py runs it against a server"}
"""Pages whose python blocks another test runs."""


def pairs() -> dict[str, Any]:
    """A restorer and twelve pairs (degraded, clean)."""
    from unveil.restorer import Restorer
    from unveil.testing import tiny_model

    made = [np.random.default_rng(i).random((16, 24, 3), dtype=np.float32) for i in range(20)]
    return {"restorer": Restorer(tiny_model(), "cpu"), "pairs": [(x / 2, x) for x in made]}


def prior() -> dict[str, Any]:
    """A prior of pixels whose clean images are white Gaussian noise."""
    import torch

    from unveil.diffusion import variance_preserving

    class White:
        name, sha256, prompted = "white", "0" * 64, False
        channels, factor, multiple_of, native = 3, 1, 1, 64
        device = torch.device("cpu")
        process = variance_preserving(torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0))

        def denoise(self, z_t: torch.Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> torch.Tensor:
            a, s = float(self.process.alpha[t]), float(self.process.sigma[t])
            return a * 0.04 / (a * a * 0.04 + s * s) * z_t

        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x

        decode = encode

    return {"prior": White()}


SETUPS: dict[str, Callable[[], dict[str, Any]]] = {"pairs": pairs, "prior": prior}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: photo.jpg, and small photographs in folders under the names that they use."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8))
    photo = photo.resize((6, 5)).resize((48, 40), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "photo.jpg")
    for folder in ("album", "trip", "exported", "restored", "clean", "ours", "theirs"):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            photo.save(tmp_path / folder / name)
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.pad(np.full((20, 20), 255, np.uint8), ((0, 20), (0, 28)))).save(tmp_path / "masks" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", PYTHON, ids=lambda b: b.id)
def test_python_compiles(block: Block) -> None:
    compile(block.body, block.id, "exec")


def run_python(block: Block, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if block.not_run or block.page in ELSEWHERE:
        pytest.skip(block.not_run or ELSEWHERE[block.page])
    module = ModuleType("documented")
    monkeypatch.setitem(sys.modules, "documented", module)
    module.__dict__.update(SETUPS[block.setup]() if block.setup else {})
    exec(compile(block.body, block.id, "exec"), module.__dict__)
    if block.shown is not None:
        assert capsys.readouterr().out == block.shown


@pytest.mark.parametrize("block", [b for b in PYTHON if b.page == "extend.md"], ids=lambda b: b.id)
def test_the_worked_examples_run(
    block: Block, desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unveil import degradation
    from unveil.models.network_registry import KINDS
    from unveil.zeroshot.methods import METHODS

    for table in (KINDS, METHODS, degradation.KINDS):  # what an example adds is taken out again
        for name, value in dict(table).items():
            monkeypatch.setitem(table, name, value)  # type: ignore[arg-type]
    before = [set(table) for table in (KINDS, METHODS, degradation.KINDS)]
    try:
        run_python(block, capsys, monkeypatch)
    finally:
        for table, names in zip((KINDS, METHODS, degradation.KINDS), before, strict=True):
            for name in set(table) - names:
                del table[name]  # type: ignore[arg-type]
    assert block.shown, "an example shows what it prints"
    assert block.body.count("\n") < 40, "an example has less than 40 lines"


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in PYTHON if b.page != "extend.md"], ids=lambda b: b.id)
def test_python_runs(
    block: Block, desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_python(block, capsys, monkeypatch)


@pytest.mark.parametrize(("block", "call"), COMMANDS, ids=lambda v: v.id if isinstance(v, Block) else " ".join(v)[:40])
def test_commands_exist_with_their_options(block: Block, call: list[str]) -> None:
    if any(word in ("...", "|") or word.startswith("[") for word in call):
        pytest.skip("a line that explains what may be written")
    _, bound, _ = cli.build(call[0]).parse_args(call, print_error=False, exit_on_error=False)
    assert bound is not None


@pytest.mark.slow
@pytest.mark.parametrize(("block", "call"), COMMANDS, ids=lambda v: v.id if isinstance(v, Block) else " ".join(v)[:40])
def test_commands_run(block: Block, call: list[str], desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if block.not_run or call[0] in NOT_RUN or "--method" in call or "FILE" in call:
        pytest.skip(block.not_run or NOT_RUN.get(call[0], "tests/zeroshot runs it"))
    if any(word in ("...", "|") or word.startswith("[") or re.fullmatch(r"[A-Z]{3,}", word) for word in call):
        pytest.skip("a line that explains what may be written")
    if any("$" in word for word in call):
        pytest.skip("a line of a script, which test_scripts_run runs")
    assert cli.main(call) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in ALL if b.body.startswith("#!") and '"$@"' in b.body], ids=lambda b: b.id)
def test_scripts_run(block: Block, desk: Path) -> None:
    """A script with `unveil` on the path changes the photographs that it is given, and stops at one that is none."""
    command = desk / "bin" / "unveil"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m unveil.cli "$@"\n')
    command.chmod(0o755)
    (desk / "script").write_text(block.body)
    before = [(desk / "album" / name).read_bytes() for name in ("a.png", "b.png")]
    call = ["/bin/sh", str(desk / "script")]
    env = {**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run([*call, "album/a.png", "album/b.png"], capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr
    after = [(desk / "album" / name).read_bytes() for name in ("a.png", "b.png")]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert sorted(p.name for p in (desk / "album").iterdir()) == ["a.png", "b.png"]
    assert subprocess.run([*call, "script"], capture_output=True, env=env).returncode == 1


def test_every_make_target_of_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {call[0] for block in ALL for call in commands(block, "make")}
    assert {"demo", "test"} <= named <= targets
