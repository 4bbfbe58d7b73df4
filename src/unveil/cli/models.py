"""`unveil models`: what is on the shelf, importing published checkpoints, and writing models for other programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from unveil.errors import InputError

app = App(name="models", help="List, show and verify the models on the shelf, import published ones, and export ours.")
app.command("unveil.cli.models:import_model", name="import", help="Convert a published checkpoint to a model.")
app.command("unveil.cli.models:export_model", name="export", help="Write a model for another program.")


@app.command(name="list")
@app.default
def list_models() -> None:
    """List the models by name, size and purpose."""
    from unveil.models import shelf

    for name, entry in sorted(shelf.entries().items()):
        print(f"{name:12} {entry['bytes'] / 2**20:5.1f} MiB  {entry['summary']}")


@app.command
def show(name: str) -> None:
    """Print everything known about a model as JSON, with its parameters and multiply-adds at 512x512.

    Of a model on the shelf: training data, recipe, licence, sha256, measured numbers. Of a weight file or the folder of a run: what it is
    and how it was made. Of a training preset: the networks that it trains, and the memory that one step needs.

    Args:
        name: A name on the shelf, a weight file, the folder of a run, or the name of a preset or of a configuration in YAML.

    """
    from pathlib import Path

    from unveil.models import shelf

    if name in shelf.entries():
        shelf.place(name)
        found = {"name": name} | shelf.entries()[name] | (_sized(name) if name in shelf.names() else {})
    elif Path(name).suffix in (".yaml", ".yml") or (not Path(name).exists() and name in _presets()):
        found = _preset(name)
    elif Path(name).exists():
        model = shelf.load(name)
        found = {"name": name, "sha256": model.sha256, **json.loads(model.spec.to_json()), **_sized(name)}
    else:
        shelf.place(name)  # raises, with the nearest names
        return
    print(json.dumps(found, indent=2))


def _presets() -> list[str]:
    from unveil.training.config import presets

    return presets()


def _sized(name: str) -> dict[str, object]:
    from dataclasses import asdict

    from unveil.models import shelf
    from unveil.models.footprint import sizes

    if name in shelf.priors():
        return {}
    return {"size": {part: asdict(size) for part, size in sizes(shelf.load(name).spec.network).items()}}


def _preset(name: str) -> dict[str, object]:
    """What a configuration trains: its networks, and the bytes of one step of each stage."""
    from dataclasses import asdict

    from unveil.models.footprint import sizes
    from unveil.training.config import find, load
    from unveil.training.export import corrected
    from unveil.training.learner import described, described_head, needs

    config = load(find(name))
    found: dict[str, object] = {"preset": name, "init": config.init, "path": config.path, "steps": config.steps}
    if config.init or config.path == "daclip":
        return found | {
            "note": f"the networks are those of {config.init or 'DA-CLIP'}: unveil models show {config.init}"
        }
    network = {**described(config), **({"head": described_head(config)} if corrected(config) else {})}
    return found | {
        "network": network,
        "size": {part: asdict(size) for part, size in sizes(network).items()},
        "memory": [f"{stage.kind}: {needs(config, stage).line()}" for stage in config.stages if not stage.expert],
    }


@app.command
def verify() -> int:
    """Compare every weight file with its sha256. Exit status 1 if one differs."""
    from unveil.models import shelf
    from unveil.models.weights_file import sha256_of

    bad = 0
    for name in sorted(shelf.entries()):
        path, expected = shelf.place(name)
        good = not shelf.damaged(name) if name in shelf.priors() else path.is_file() and sha256_of(path) == expected
        bad += not good
        print(f"{name:12} {'ok' if good else 'DAMAGED: install the package again'}")
    return 1 if bad else 0


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

    The network is recognised by the names of its weights. Files that would run code when they are read are refused. A description
    (FILE.safetensors.json) says what was found, what the file does not say, and what was assumed instead.

    Args:
        file: The checkpoint: .ckpt, .pt, .pth or .safetensors.
        output: Model file to write, a folder for a prior. Default: beside the checkpoint, with .safetensors.
        schedule: How it was trained, if not as published: linear_pro(12), cosine_pro(10),
            mean_reverting(cosine, 100, 0.005, 50) or rddm(decreased, increased, 1000, 0.01).
        prediction: What it predicts, if not as published:
            epsilon, score, residual, residual_noise, sample, v_prediction or flow_prediction.
        guide: An imported DA-CLIP in the same folder, which DA-CLIP's and wild-IR's networks need.
        half: Store 16 bits instead of 32: half the size, results that differ in the fourth digit.

    """
    from unveil.models.importing import describe, import_file
    from unveil.models.importing.convert import import_prior

    lines = import_prior(file, output, half=half)
    if lines is not None:
        print("\n".join(lines))
        return
    made = import_file(file, output, schedule=schedule, prediction=prediction, guide=guide, half=half)
    print("\n".join(describe(made)))


def export_model(
    name: str,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    format: str = "onnx",
    fix: str | None = None,
    reduced: str | None = None,
) -> None:
    """Write a model for another program: its whole sampler at fidelity 1 in one file, for any height and width.

    Input and output are sRGB in [0, 1], (1, 3, height, width). docs/export.md says what each program needs.

    Args:
        name: A model on the shelf, a weight file or the folder of a run.
        output: File to write, or a folder.
        format: onnx, openvino, dtmodel (darktable) or pt2 (torch.export).
        fix: What to fix, for a model with this option (general): noise, "blur,jpeg", haze, ...
        reduced: Size of the reduced photograph on which light is decided, as HEIGHTxWIDTH: the shape of your photographs, the
            longer side the model's own (general: 112, so 75x112 for 3:2). Default: a square with that side. Without effect for kinds of
            damage that do not change the light.

    """
    size = None
    if reduced is not None:
        match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", reduced)
        if match is None:
            raise InputError(f"--reduced is written as HEIGHTxWIDTH, such as 75x112, got {reduced!r}")
        size = (int(match[1]), int(match[2]))
    from unveil.models import exporting

    path = exporting.export(name, output, format, fix, size)
    print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB")
