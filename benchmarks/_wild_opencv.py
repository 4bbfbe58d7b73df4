"""The wild pipeline as such pipelines are usually written: one picture at a time, in numpy and OpenCV.

Carries out the same plan as `unveil.degradation.wild`, operation for operation; only the pixel noise differs in its draws.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from scipy.special import j1

from unveil.degradation.wild.kernels import shake, under_display

WAYS = {"area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}


def quantised(x: np.ndarray) -> np.ndarray:
    return np.clip((x * 255).round(), 0, 255).astype(np.uint8)


def kernel_of(event: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    family, n = event["family"], event["size"]
    r = n // 2
    down, right = np.mgrid[-r : r + 1, -r : r + 1].astype(np.float64)
    if family == "sinc":
        w, d = event["cutoff"], np.hypot(down, right)
        with np.errstate(invalid="ignore", divide="ignore"):
            kernel = w * j1(w * d) / (2 * np.pi * d)
        kernel[r, r] = w * w / (4 * np.pi)
    elif family == "defocus":
        kernel = (np.hypot(down, right) < r + 1).astype(np.float64)
        if n <= 5:
            kernel[[0, 0, -1, -1], [0, -1, 0, -1]] = 0
    elif family == "box":
        kernel = np.ones((n, n))
    elif family == "line":
        kernel = np.zeros((n, n))
        angle = math.pi * event["direction"] / (4 * r)
        reach = r / max(abs(math.cos(angle)), abs(math.sin(angle)))
        x, y = round(reach * math.cos(angle)), round(reach * math.sin(angle))
        cv2.line(kernel, (r - x, r + y), (r + x, r - y), 1.0)
    elif family == "shake":
        return shake(n, event["seed"]).numpy()
    else:
        c, s = math.cos(event["angle"]), math.sin(event["angle"])
        squared = ((c * right + s * down) / event["sigma_x"]) ** 2 + ((c * down - s * right) / event["sigma_y"]) ** 2
        shaped = squared ** event["beta"]
        kernel = 1 / (1 + shaped) if family.startswith("plateau") else np.exp(-0.5 * shaped)
        if not family.startswith("plateau"):
            kernel = kernel * rng.uniform(0.9, 1.1, kernel.shape)
    return kernel / kernel.sum()


def wiener(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((20, 20), (20, 20), (0, 0)), mode="symmetric")
    h, w = padded.shape[:2]
    at = np.arange(len(kernel)) - len(kernel) // 2
    around = np.zeros((h, w))
    np.add.at(around, (at[:, None] % h, at[None, :] % w), kernel)
    transfer = np.fft.fft2(around)
    inverse = np.conj(transfer) / (np.abs(transfer) ** 2 + 0.006)
    out = np.stack([np.fft.ifft2(np.fft.fft2(padded[..., c]) * inverse).real for c in range(3)], -1)
    return out[20:-20, 20:-20].astype(np.float32)


def through_display(x: np.ndarray, event: dict[str, Any]) -> np.ndarray:
    kernels = under_display(event["size"], event["seed"]).numpy()
    seen = np.stack([cv2.filter2D(x[..., c], -1, kernels[2 - c]) for c in range(3)], -1)
    return event["blend"] * seen + (1 - event["blend"]) * x


def noisy(x: np.ndarray, event: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    if "gaussian" in event:
        shape = (*x.shape[:2], 1) if event["gaussian_grey"] else x.shape
        x = np.clip(x + rng.normal(0, event["gaussian"], shape), 0, 1).astype(np.float32)
    if "poisson" in event:
        base = cv2.cvtColor(x, cv2.COLOR_BGR2GRAY) if event["poisson_grey"] else x
        base = quantised(base) / 255.0
        photons = 2 ** np.ceil(np.log2(len(np.unique(base))))
        noise = rng.poisson(base * photons) / photons - base
        noise = noise[..., None] if event["poisson_grey"] else noise
        x = np.clip(x + event["poisson"] * noise, 0, 1)
    return (quantised(x) / 255.0).astype(np.float32)


def degrade(x: np.ndarray, events: list[dict[str, Any]], seed: int) -> np.ndarray:
    """x: (H, W, 3) float32 in [0, 1], blue first. Returns the same damaged."""
    rng = np.random.default_rng(seed)
    height, width = x.shape[:2]
    for event in events:
        operation = event["operation"]
        if operation == "blur":
            kernel = kernel_of(event, rng)
            x = cv2.filter2D(x, -1, kernel)
            if event["wiener"]:
                blend = event.get("blend", 0.0)
                x = blend * x + (1 - blend) * wiener(x, kernel)
        elif operation == "under_display":
            x = through_display(x, event)
        elif operation == "resize":
            scale = event.get("scale")
            size = (int(x.shape[1] / scale), int(x.shape[0] / scale)) if scale else (width, height)
            x = cv2.resize(x, size, interpolation=WAYS[event["interpolation"]])
        elif operation == "noise":
            x = noisy(x, event, rng)
        else:
            _, stored = cv2.imencode(".jpg", quantised(x), [cv2.IMWRITE_JPEG_QUALITY, event["quality"]])
            x = cv2.imdecode(stored, cv2.IMREAD_COLOR).astype(np.float32) / 255
    return quantised(x) / 255.0
