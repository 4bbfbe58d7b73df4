"""Fixtures for the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

# Two busy processes slow each other six-fold when OpenMP spins; must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import settings

# The same examples on every run and machine, and no failure because a machine was busy.
settings.register_profile("unveil", derandomize=True, deadline=None, database=None)
settings.load_profile("unveil")

SHARED = Path(os.environ.get("UNVEIL_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with golden numbers and photographs that are not part of the project; tests that need it skip without it.

    With UNVEIL_REQUIRE_SHARED=1 (set by CI) its absence is a failure instead.
    """
    if not (SHARED / "golden").is_dir():
        if os.environ.get("UNVEIL_REQUIRE_SHARED") == "1":
            pytest.fail(f"golden numbers and photographs expected at {SHARED}")
        pytest.skip("needs the golden numbers, which are not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model."""
    from unveil.models.weights_file import write
    from unveil.testing import tiny_model

    path, made = tmp_path_factory.mktemp("model") / "tiny.safetensors", tiny_model()
    write(path, made.spec, made.predictor, made.head)
    return path


@pytest.fixture
def model(model_file: Path) -> str:
    """The same, as commands take it."""
    return str(model_file)
