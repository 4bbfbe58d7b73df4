"""What other packages print for the same pair of pictures, version by version: metrics, resizing, JPEG decoding. For developers.

    python -m benchmarks metrics_elsewhere                     # the tables of docs/metrics.md; needs a package index, minutes

What stands in results/metrics_elsewhere.json is not asked again: delete the file, or a row, to measure anew.
Each version is installed into a folder of its own that is removed afterwards, without its dependencies (torch, NumPy, SciPy and Pillow are
this environment's), and asked in a process of its own. Where torchvision is missing, an empty stand-in takes its
place: nothing measured here calls it. The pair is one of the example photographs and the same with white noise of 15 levels (seed 0).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from benchmarks._shared import HERE, RESULTS, table
from unveil.evaluation import evaluate_pair
from unveil.evaluation.metrics.elsewhere import LIBRARIES
from unveil.evaluation.protocols import get_protocol
from unveil.evaluation.resize import imresize
from unveil.util.tensors import batch_of, pixels_of

PHOTO = HERE.parent / "src/unveil/examples/coffee.jpg"
METRICS = ("psnr", "ssim", "ms_ssim", "mae_lab", "ciede2000")
VERSIONS = {
    "scikit-image": ("0.26.0",), "torchmetrics": ("1.4.1", "1.9.0"), "kornia": ("0.9.0",), "piq": ("0.8.0",),
    "pytorch-msssim": ("1.0.0",), "sewar": ("0.4.10",), "deepinv": ("0.5.0",), "opencv": ("5.0.0.93",),
}  # fmt: skip
BESIDE = {"torchmetrics": ["lightning-utilities"], "kornia": ["kornia_rs"], "deepinv": ["einops"]}
NOT_CALLED = ("torchvision", "natsort", "h5py")  # what piq and deepinv import, and do not need for what is asked here
PYIQA = {
    "pyiqa 0.1.16": {"psnr": "psnr", "ssim": "ssimc"},
    "pyiqa 0.1.16, brightness (its default)": {"psnr": "psnry", "ssim": "ssim", "ms_ssim": "ms_ssim"},
}
"""Row -> metric -> its name there. What it imports beside: BESIDE_PYIQA."""
BESIDE_PYIQA = ["openai-clip", "facexlib", "timm", "einops", "opencv-python-headless==5.0.0.93"]
OTHERS = {
    "decoders": ["opencv-python-headless==5.0.0.93", "simplejpeg==1.9.0"],
    "resizing": ["opencv-python-headless==5.0.0.93", "kornia==0.9.0", "kornia_rs"],
}
HEADS = {
    "metrics": ["", "PSNR", "SSIM", "MS-SSIM", "MAE Lab", "CIEDE2000"],
    "resizing": ["bicubic to a quarter", "PSNR to MATLAB's rule", "largest difference", "without the border"],
    "decoders": ["decoder", "4:4:4, largest and mean", "4:2:0, largest and mean"],
}


def pair() -> tuple[np.ndarray, np.ndarray]:
    """(noisy, clean) in [0, 1], both on 8 bits."""
    with Image.open(PHOTO) as image:
        clean = np.asarray(image.convert("RGB"), dtype=np.float64)
    noisy = np.rint(clean + np.random.default_rng(0).normal(0, 15, clean.shape)).clip(0, 255)
    return noisy / 255, clean / 255


def of_library(name: str) -> dict[str, float]:
    noisy, clean = pair()
    return {metric: measure(noisy, clean) for metric, measure in LIBRARIES[name].measures.items()}


def of_pyiqa() -> dict[str, dict[str, float]]:
    """Row -> metric -> number. Not among `LIBRARIES`, since it does not run without torchvision; an empty one stands here."""
    stand_in({name for name in ("torchvision", "bitsandbytes", "icecream", "datasets") if find_spec(name) is None})
    import pyiqa  # type: ignore[import-not-found]

    noisy, clean = (batch_of(x).float() for x in pair())
    return {
        row: {metric: float(pyiqa.create_metric(name, device="cpu")(noisy, clean)) for metric, name in names.items()}
        for row, names in PYIQA.items()
    }


def of_resizing() -> dict[str, list[float]]:
    """Bicubic reduction to a quarter: name -> PSNR against MATLAB's rule, and the largest difference in levels, everywhere and inside."""
    import cv2
    import kornia
    from skimage.transform import resize

    clean = pair()[1]
    height, width = (side // 4 for side in clean.shape[:2])
    clean = clean[: height * 4, : width * 4]
    tensor = batch_of(clean)
    true = imresize(clean, size=(height, width)).clip(0, 1)

    def interpolate(**how: bool) -> np.ndarray:
        found = torch.nn.functional.interpolate(tensor, (height, width), mode="bicubic", align_corners=False, **how)
        return pixels_of(found)

    def pillow(values: np.ndarray) -> np.ndarray:
        small = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(small, dtype=np.float64)

    floats = [pillow(clean[..., c].astype(np.float32)) for c in range(3)]
    by_kornia = kornia.geometry.transform.resize(tensor.float(), (height, width), "bicubic", antialias=True)
    made = {
        "Pillow BICUBIC, 8 bits": pillow(np.rint(clean * 255).astype(np.uint8)) / 255,
        "Pillow BICUBIC, floats (each channel)": np.stack(floats, axis=2),
        "torch interpolate, antialias=True": interpolate(antialias=True),
        "torch interpolate, default": interpolate(),
        "OpenCV INTER_CUBIC": cv2.resize(clean, (width, height), interpolation=cv2.INTER_CUBIC),
        "OpenCV INTER_AREA": cv2.resize(clean, (width, height), interpolation=cv2.INTER_AREA),
        "scikit-image resize, order 3, anti-aliased": resize(clean, (height, width), order=3, anti_aliasing=True),
        "kornia resize, bicubic, antialias=True": pixels_of(by_kornia),
    }
    rows = {}
    for name, image in made.items():
        off = image.clip(0, 1) - true
        inside = off[4:-4, 4:-4]
        rows[name] = [-10 * float(np.log10((off**2).mean())), *(float(np.abs(x).max() * 255) for x in (off, inside))]
    return rows


def of_decoders() -> dict[str, list[float]]:
    """Name -> largest and mean difference from Pillow in levels, on a 4:4:4 and a 4:2:0 JPEG of quality 85 of the photograph."""
    import cv2
    import imagecodecs
    import simplejpeg

    stored = np.rint(pair()[1] * 255).astype(np.uint8)
    rows: dict[str, list[float]] = {}
    fast = {"fastdct": True, "fastupsample": True}
    for sampling in (0, 2):
        memory = io.BytesIO()
        Image.fromarray(stored).save(memory, "JPEG", quality=85, subsampling=sampling)
        data = memory.getvalue()
        with Image.open(io.BytesIO(data)) as image:
            true = np.asarray(image).astype(int)
        calls: dict[str, Callable[[], np.ndarray]] = {
            "OpenCV imdecode": lambda data=data: cv2.imdecode(np.frombuffer(data, np.uint8), 1)[..., ::-1],
            "imagecodecs jpeg8_decode": lambda data=data: imagecodecs.jpeg8_decode(data),
            "simplejpeg decode_jpeg": lambda data=data: simplejpeg.decode_jpeg(data),
            "simplejpeg, fastdct and fastupsample": lambda data=data: simplejpeg.decode_jpeg(data, **fast),
        }
        for name, call in calls.items():
            off = np.abs(call().astype(int) - true)
            rows.setdefault(name, []).extend((float(off.max()), float(off.mean())))
    return rows


def ours() -> dict[str, dict[str, float]]:
    noisy, clean = pair()
    uniform: Any = get_protocol("native").changed(ssim_window="uniform7")
    return {
        "ours, `native`": evaluate_pair(noisy, clean, protocol="native", metrics=METRICS)[0],
        "ours, window `uniform7` (as `lol256`)": evaluate_pair(noisy, clean, protocol=uniform, metrics=["ssim"])[0],
    }


def asked(what: str, packages: list[str]) -> dict[str, Any]:
    """The answer of this script in a process of its own, with these packages (pip's words) first on its path."""
    with tempfile.TemporaryDirectory() as folder:
        if packages:
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
            done = subprocess.run([*pip, "--target", folder, *packages], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{packages}: {done.stderr.strip().splitlines()[-1]}")
        path = os.pathsep.join([folder, *filter(None, sys.path)])
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks", "metrics_elsewhere", what], cwd=HERE.parent,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def answer(what: str) -> dict[str, Any]:
    if what == "resizing":
        return of_resizing()
    if what == "decoders":
        return of_decoders()
    if what == "pyiqa":
        return of_pyiqa()
    if what in ("piq", "deepinv"):
        stand_in({name for name in NOT_CALLED if find_spec(name) is None})
    return of_library(what)


def stand_in(packages: set[str]) -> None:
    """Empty packages, whatever is imported from them."""

    class Finder:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            from importlib.machinery import ModuleSpec

            return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in packages else None  # type: ignore[arg-type]

        def create_module(self, spec: Any) -> Any:
            made = mock.MagicMock(name=spec.name)
            made.__path__, made.__spec__, made.__version__ = [], spec, "0.28.0"
            return made

        def exec_module(self, module: Any) -> None:
            pass

    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]


def show(result: dict[str, Any]) -> str:
    """The three tables of docs/metrics.md."""
    cells: dict[str, Callable[[Any], list[str]]] = {
        "metrics": lambda row: [f"{row[m]:.{4 if 'ssim' in m else 3}f}" if m in row else "" for m in METRICS],
        "resizing": lambda row: [f"{x:.2f}" for x in row],
        "decoders": lambda row: [f"{row[i]:.0f}, {row[i + 1]:.3f}" for i in (0, 2)],
    }
    made = []
    for what, head in HEADS.items():
        failed = [f"{name}: {row}" for name, row in result[what].items() if "failed" in (name, *row)]
        rows = [[name, *cells[what](row)] for name, row in result[what].items() if "failed" not in (name, *row)]
        made += [table(head, rows), *failed, ""]
    return "\n".join(made)


OPTIONS = {"what": {"nargs": "?", "help": "(internal) one answer as JSON"}}


def main(given: Namespace) -> None:
    if given.what:
        print(json.dumps(answer(given.what)))
        return
    place = RESULTS / "metrics_elsewhere.json"
    result = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    metrics = result["metrics"] = ours() | result.get("metrics", {})
    wanted = [
        (metrics, f"{name} {version}", name, [f"{LIBRARIES[name].package}=={version}", *BESIDE.get(name, [])])
        for name, versions in VERSIONS.items()
        for version in versions
    ]
    wanted += [(result, what, what, packages) for what, packages in OTHERS.items()]
    for where, key, what, packages in wanted:
        if "failed" in where.get(key, {"failed": "not asked yet"}):
            where[key] = asked(what, packages if what != "scikit-image" else [])  # which is this environment's
            place.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not PYIQA.keys() <= metrics.keys():
        metrics |= asked("pyiqa", [next(iter(PYIQA)).replace(" ", "=="), *BESIDE_PYIQA])
        place.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(show(result))
