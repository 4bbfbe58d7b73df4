"""Put a finished run on the shelf: its weights, with the defaults that were chosen for it, and its manifest entry.

    python -m recipes shelve runs/general --summary "..." --set fidelity=0.5 low=160 --before SHA256 16200
    python -m recipes shelve --numbers general     copy the measured numbers of results/quality.json into the entry
    python -m recipes shelve --numbers wild        the same of results/wild_model.json
    python -m recipes shelve --reach general       the reach of results/reach.json, by which tiles overlap
    python -m recipes shelve --calibration         the factors of results/calibration.json, by which uncertainty is stretched
    python -m recipes shelve --describer runs/describe/describe.safetensors   the classifier of `unveil describe`

The numbers are only taken over from results that were measured with these very weights (same sha256).
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from argparse import Namespace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml

import unveil.models
from benchmarks._shared import RESULTS, average
from benchmarks.quality import SETS
from recipes._damaged_crops import PHOTOS
from unveil.degradation import ORDER
from unveil.models import weights_file

WEIGHTS = Path(unveil.models.__file__).parent / "weights"
MANIFEST = WEIGHTS.parent / "manifest.json"
METHODS = {"residual": "LearnIR", "mean_reverting": "IR-SDE"}
LICENCE = "Apache-2.0 for the weights; the training photographs keep their own terms (research and non-commercial use)"


def copied(target: Path, digest: str, summary: str, *networks: torch.nn.Module | None, **about: Any) -> dict[str, Any]:
    """The entry of a weight file that lies on the shelf now, with these networks in it."""
    target.chmod(0o644)
    own = {"file": target.name, "sha256": digest, "bytes": target.stat().st_size}
    parameters = sum(p.numel() for network in networks if network is not None for p in network.parameters())
    return {**own, "summary": summary, "licence": LICENCE, **about, "parameters": parameters}


def shelve(path: Path, summary: str, settings: dict[str, Any], before: tuple[str, int] | None = None) -> None:
    """Copy the model with new defaults and write its entry. before: sha256 and steps of the weights that its run started from."""
    model = weights_file.read(path)
    spec = dataclasses.replace(model.spec, defaults=dataclasses.replace(model.spec.defaults, **settings))
    target = WEIGHTS / f"{spec.name}.safetensors"
    target.parent.mkdir(exist_ok=True)
    digest = weights_file.write(target, spec, model.predictor, model.head, doubt=model.doubt)
    data = spec.recipe["config"]["data"]
    pairs = [p["degraded"] for p in data["pairs"]]
    entry = copied(
        target, digest, summary, model.predictor, model.head, model.doubt,
        training_data={"photographs": data["photos"], "pairs": pairs, "simulators": data["kinds"]},
        method=METHODS[spec.process().name.split("/")[0]], recipe=f"unveil train {spec.name}",
        seed=spec.recipe["seed"], steps=spec.recipe["steps_done"], machine=spec.recipe["machine"],
    )  # fmt: skip
    if before:
        entry["started_from"] = {"sha256": before[0], "steps": before[1]}
    added(spec.name, entry)


def describer(path: Path) -> None:
    """Copy the classifier and write its entry, with what `fit_classifier` measured."""
    network, _, digest = weights_file.read_guide(path)
    result = measured("fit_classifier", "recipes", digest)
    target = WEIGHTS / "describe.safetensors"
    shutil.copyfile(path, target)
    found, own = result["simulated"], result["protocol"]
    accuracy = {
        "protocol": own["simulated"], "kinds": round(found["accuracy"], 3), "likeliest": round(found["likeliest_is_right"], 3),
        "calibration error": round(found["calibration_error"], 3),
    }  # fmt: skip
    entry = copied(
        target, digest, "Names the damage in a photograph: haze, shadow, low light, noise, blur, JPEG, rain, or none.", network,
        task="describe", training_data={"photographs": list(PHOTOS), "pairs": [], "simulators": dict.fromkeys(ORDER, 1)},
        recipe="python -m recipes fit_classifier", seed=own["recipe"]["seed"],
        steps=own["recipe"]["epochs"] * (own["recipe"]["crops"] // 16), machine=own["machine"], accuracy=accuracy,
    )  # fmt: skip
    added("describe", entry)


def measured(name: str, package: str, sha256: str, of: str = "") -> dict[str, Any]:
    """A result, with these very weights. of: the name of the weights in it, where it is of several. Ends the program for other weights."""
    result = json.loads((RESULTS / f"{name}.json").read_text())
    known = result["protocol"]["sha256"]
    if (known[of] if of else known) != sha256:
        raise SystemExit(f"results/{name}.json was measured with other weights; run python -m {package} {name} again")
    return result


def wild_numbers(name: str) -> None:
    """PSNR of one draw of the model whose sampler was measured by `wild_model`."""
    manifest = load()
    result = measured("wild_model", "benchmarks", manifest[name]["sha256"], name)
    manifest[name]["psnr"] = {"protocol": result["protocol"]["numbers"]} | {
        of_set: {
            "one draw": round(fmean(rows[f"{name}, as shipped"]["psnr"]), 2),
            "input": round(fmean(rows["input"]["psnr"]), 2),
            "images": len(rows["input"]["psnr"]),
        }
        for of_set, rows in result["sets"].items()
        if f"{name}, as shipped" in rows
    }
    save(manifest)


def numbers(name: str) -> None:
    """Add PSNR of one draw and of the mean of draws for every set, with their protocol."""
    manifest, result = load(), json.loads((RESULTS / "quality.json").read_text())
    found: dict[str, Any] = {"protocol": result["protocol"]["numbers"]}
    for of_set in SETS:
        row = result["sets"][of_set]["default"]
        if row["run"]["sha256"] != manifest[name]["sha256"]:
            raise SystemExit(f"{of_set}: measured with other weights; run python -m benchmarks quality again")
        found[of_set] = {"one draw": round(average(row["one draw"]), 2), "images": len(row["one draw"])}
        if "mean of draws" in row:
            found[of_set][f"mean of {row['draws']} draws"] = round(average(row["mean of draws"]), 2)
    manifest[name]["psnr"] = found
    save(manifest)


def calibrations(result: dict[str, Any]) -> None:
    """Put every row of a calibration into the entry of the model it was measured with."""
    manifest, own = load(), result["protocol"]
    if own["quick"]:
        raise SystemExit("a quick run calibrates nothing; leave --quick out")
    if manifest.get(own["model"], {}).get("sha256") != own["sha256"]:
        raise SystemExit(f"{own['model']}: measured with other weights than those on the shelf")
    manifest[own["model"]]["calibration"] = [row["calibration"] for row in result["rows"].values()]
    save(manifest)


def reach(name: str) -> None:
    """How far the network was measured to look (results/reach.json), which is half of what neighbouring tiles share."""
    manifest = load()
    manifest[name]["reach"] = measured("reach", "benchmarks", manifest[name]["sha256"])["reach"]
    save(manifest)


def load() -> dict[str, Any]:
    return json.loads(MANIFEST.read_text())


def added(name: str, entry: dict[str, Any]) -> None:
    """Put an entry into the manifest, in the place of an older one of its name, whose specialists stay: they are no matter of weights."""
    before = load()
    stays = {k: v for k, v in before.get(name, {}).items() if k == "specialists"}
    save({**before, name: {**entry, **stays}})
    print(f"{entry['file']}: {entry['bytes']} bytes, sha256 {entry['sha256']}")


def save(manifest: dict[str, Any]) -> None:
    MANIFEST.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


OPTIONS = {
    "model": {"nargs": "?", "type": Path, "help": "weight file, or folder of a run"},
    "--summary": "",
    "--set": {"nargs": "*", "default": [], "metavar": "KEY=VALUE", "help": "defaults of this model"},
    "--before": {"nargs": 2, "metavar": ("SHA256", "STEPS"), "help": "weights that the run started from, and their steps"},
    "--numbers": {"metavar": "NAME", "help": "take over the measured numbers"},
    "--reach": {"metavar": "NAME", "help": "take over how far the network looks"},
    "--calibration": (False, "take over the fitted uncertainty"),
    "--describer": {"type": Path, "metavar": "FILE", "help": "put the classifier on the shelf"},
}  # fmt: skip


def main(args: Namespace) -> None:
    if args.model:
        path = args.model / "model.safetensors" if args.model.is_dir() else args.model
        settings = {k: yaml.safe_load(v) for k, v in (item.split("=", 1) for item in args.set)}
        shelve(path, args.summary, settings, (args.before[0], int(args.before[1])) if args.before else None)
    if args.describer:
        describer(args.describer)
    if args.numbers:
        (wild_numbers if args.numbers == "wild" else numbers)(args.numbers)
    if args.reach:
        reach(args.reach)
    if args.calibration:
        calibrations(json.loads((RESULTS / "calibration.json").read_text()))
