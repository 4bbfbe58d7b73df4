"""`unveil models import`: a published checkpoint made into a model that `unveil restore -n` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def import_model(
    file: Path,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    schedule: str | None = None,
    prediction: str | None = None,
    guide: Path | None = None,
    half: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Convert a published checkpoint: of Resfusion, RDDM, IR-SDE, Refusion, DA-CLIP or wild-IR to a model file, of ADM to a prior.

    The network is recognised by the names of its weights. Files that would run code when they are read are refused. A
    description (FILE.safetensors.json) says what was found, what the file left open, and what was assumed for it.

    Args:
        file: The checkpoint: .ckpt, .pt, .pth or .safetensors.
        output: Model file to write, a folder for a prior. Default: beside the checkpoint, with .safetensors.
        schedule: How it was trained, if not as published: linear_pro(12), cosine_pro(10),
            mean_reverting(cosine, 100, 0.005, 50) or rddm(decreased, increased, 1000, 0.01).
        prediction: What it predicts, if not as published: noise, score, residual, residual_noise, x0, v or flow.
        guide: An imported DA-CLIP in the same folder, which DA-CLIP's and wild-IR's networks need.
        half: Store 16 bits instead of 32: half the size, results that differ in the fourth digit.

    """
    from unveil.models.importing import describe, import_file
    from unveil.models.importing.adm import import_prior

    lines = import_prior(file, output, half=half)
    if lines is not None:
        print("\n".join(lines))
        return
    made = import_file(file, output, schedule=schedule, prediction=prediction, guide=guide, half=half)
    print("\n".join(describe(made)))
