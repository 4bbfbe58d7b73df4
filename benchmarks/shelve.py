"""Put a finished run on the shelf: its weights, with the defaults that were chosen for it, and its manifest entry.

    python benchmarks/shelve.py runs/general --summary "..." --set fidelity=0.5 low=160
    python benchmarks/shelve.py --numbers general     copy the measured numbers of results/quality.json into the entry

The numbers are only taken over from results that were measured with these very weights (same sha256).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml

import unveil.models
from _shared import RESULTS
from quality import SETS, average
from unveil.models import weights_file

SHELF = Path(unveil.models.__file__).parent
MANIFEST = SHELF / "manifest.json"
LICENCE = "Apache-2.0 for the weights; the training photographs keep their own terms (research and non-commercial use)"


def shelve(path: Path, summary: str, settings: dict[str, Any]) -> None:
    """Copy the model with new defaults and write its entry."""
    model = weights_file.read(path)
    spec = dataclasses.replace(model.spec, defaults=dataclasses.replace(model.spec.defaults, **settings))
    target = SHELF / "weights" / f"{spec.name}.safetensors"
    target.parent.mkdir(exist_ok=True)
    digest = weights_file.write(target, spec, model.predictor, model.head)
    target.chmod(0o644)
    config = spec.recipe["config"]
    entry = {
        "file": target.name,
        "sha256": digest,
        "bytes": target.stat().st_size,
        "summary": summary,
        "licence": LICENCE,
        "training_data": {
            "photographs": config["data"]["photos"],
            "pairs": [p["degraded"] for p in config["data"]["pairs"]],
            "simulators": config["data"]["kinds"],
        },
        "recipe": f"unveil train {spec.name}",
        "seed": spec.recipe["seed"],
        "steps": spec.recipe["steps_done"],
        "machine": spec.recipe["machine"],
        "parameters": sum(p.numel() for m in (model.predictor, model.head) if m is not None for p in m.parameters()),
    }
    save({**load(), spec.name: entry})
    print(f"{target.name}: {entry['bytes']} bytes, sha256 {digest}")


def numbers(name: str) -> None:
    """Add PSNR of one draw and of the mean of draws for every set, with their protocol."""
    manifest, result = load(), json.loads((RESULTS / "quality.json").read_text())
    measured: dict[str, Any] = {"protocol": result["protocol"]["numbers"]}
    for of_set in SETS:
        row = result["sets"][of_set]["default"]
        if row["run"]["sha256"] != manifest[name]["sha256"]:
            raise SystemExit(f"{of_set}: measured with other weights; run quality.py again")
        measured[of_set] = {"one draw": round(average(row["one draw"], "psnr"), 2), "images": len(row["one draw"])}
        if "mean of draws" in row:
            measured[of_set][f"mean of {row['draws']} draws"] = round(average(row["mean of draws"], "psnr"), 2)
    manifest[name]["psnr"] = measured
    save(manifest)


def load() -> dict[str, Any]:
    return json.loads(MANIFEST.read_text())


def save(manifest: dict[str, Any]) -> None:
    MANIFEST.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("model", nargs="?", type=Path, help="weight file, or folder of a run")
    command.add_argument("--summary", default="")
    command.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="defaults of this model")
    command.add_argument("--numbers", metavar="NAME", help="take over the measured numbers")
    args = command.parse_args()
    if args.model:
        path = args.model / "model.safetensors" if args.model.is_dir() else args.model
        settings = {k: yaml.safe_load(v) for k, v in (item.split("=", 1) for item in args.set)}
        shelve(path, args.summary, settings)
    if args.numbers:
        numbers(args.numbers)


if __name__ == "__main__":
    main()
