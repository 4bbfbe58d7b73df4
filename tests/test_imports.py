"""What `import unveil` and `unveil --help` may cost: processor time, and no torch before something is computed."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unveil

IMPORT = "import unveil"
HELP = "import unveil.cli, sys; status = unveil.cli.main(['--help'])"

MOST_MODULES = 70
"""Of this package, for `unveil restore` of one small photograph."""


BARE = "import cyclopts; app = cyclopts.App(name='bare'); app.command(lambda path: None, name='one'); app(['--help'])"
"""A program of the same command library with one command: what `--help` costs on this machine whoever wrote the program."""


def processor_time(code: str) -> float:
    """Seconds of user and system time that a fresh interpreter spends on `code`, start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def modules_after(code: str) -> set[str]:
    """Names in `sys.modules` of a fresh interpreter once `code` has run."""
    tell = "import sys; print('\\n' + '\\n'.join(sys.modules), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", f"{code}\n{tell}"], check=True, capture_output=True, text=True)
    return set(ran.stderr.split())


@pytest.mark.parametrize(("code", "limit"), [(IMPORT, 0.35), (HELP, 1.15)], ids=["import", "help"])
def test_processor_time_beside_a_bare_program(code: str, limit: float) -> None:
    """A share, and turn about, since seconds say as much of the processor and of what else runs there."""
    processor_time(code)  # once before, so that byte-compiling is not counted
    times = [(processor_time(code), processor_time(BARE)) for _ in range(4)]
    ours, bare = (min(each) for each in zip(*times, strict=True))
    assert ours < limit * bare


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import", "help"])
def test_nothing_heavy_is_imported(code: str) -> None:
    loaded = modules_after(code)
    assert "unveil" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "PIL", "scipy", "huggingface_hub"})


def test_public_names_are_there_before_and_after_they_are_loaded() -> None:
    names = {"load", "restore", "Restorer", "Restoration"}
    assert names <= set(dir(unveil))
    assert names <= set(unveil.__all__)
    assert all(callable(getattr(unveil, name)) for name in names)
    assert all(name in vars(unveil) for name in names), "the second use must not search again"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'unveil' has no attribute 'lode'"):
        unveil.lode  # noqa: B018


@pytest.fixture
def command(tmp_path: Path) -> str:
    """Code that restores a small JPEG, as a camera writes it: with EXIF."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "in.jpg", exif=exif.tobytes())
    arguments = ["restore", str(tmp_path / "in.jpg"), "-o", str(tmp_path / "out.jpg")]
    return f"import sys, unveil.cli; status = unveil.cli.main({arguments!r}); assert status == 0"


def test_restoring_one_small_photograph_loads_few_modules(command: str) -> None:
    loaded = modules_after(command)
    ours = sorted(name for name in loaded if name.split(".")[0] == "unveil")
    assert "unveil.tiling" in ours
    assert len(ours) <= MOST_MODULES, ours
    assert loaded.isdisjoint(
        {"unveil.zeroshot", "unveil.training", "tifffile", "imagecodecs", "rich.progress", "huggingface_hub"}
    )
    assert loaded.isdisjoint({"torch._dynamo", "torch._inductor"})


def test_torch_is_whole_for_who_asks(command: str) -> None:
    after = (
        "import torch, gc; assert gc.isenabled(); assert torch.Generator().manual_seed(0).initial_seed() == 0; "
        "from torch._subclasses import FakeTensorMode; "
        "mode = FakeTensorMode(); mode.__enter__(); x = torch.nn.functional.conv2d(torch.ones(1, 3, 8, 8), torch.ones(2, 3, 3, 3)); "
        "assert x.shape == (1, 2, 6, 6)"
    )
    assert "torch" in modules_after(f"{command}\n{after}")
