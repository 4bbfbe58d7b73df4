"""What the public names of the room are, and that asking for none of them costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unveil import evaluation


def test_every_public_name_is_there() -> None:
    for name in evaluation.__all__:
        assert getattr(evaluation, name) is not None
    with pytest.raises(AttributeError, match="Prtocol"):
        evaluation.Prtocol  # noqa: B018


def test_importing_the_room_imports_nothing_heavy() -> None:
    code = "import unveil.evaluation, sys; sys.exit(bool({'numpy', 'torch', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_metrics_and_baselines_need_no_torch_and_no_scipy() -> None:
    code = (
        "import numpy as np, sys; from unveil.evaluation import evaluate_pair;"
        "from unveil.evaluation.baselines import BASELINES;"
        "x = np.random.default_rng(0).random((40, 40, 3));"
        "evaluate_pair(BASELINES['nlm'](x), x, metrics=['psnr', 'ssim', 'mae_lab', 'ciede2000']);"
        "sys.exit(bool({'torch', 'scipy', 'skimage'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
