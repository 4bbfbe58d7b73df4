"""Train the network behind `--uncertainty` on the errors that a model makes on damaged photographs, and write the model with it.

    python -m recipes fit_doubt --model runs/general -o runs/general/with_doubt.safetensors

Photographs and pairs are those that the model was trained on, told their damage, restored as a user would; the ones that training kept
back are left for `benchmarks/calibration.py`, which stretches what this network says so that its intervals hold.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._sampling import source_of
from benchmarks._shared import MODEL, Clock
from unveil import degradation
from unveil.data.dataset import crops, rng
from unveil.models.spec import Spec
from unveil.models.weights_file import write
from unveil.networks.condition import vector
from unveil.networks.doubt import DoubtNetwork, likelihood
from unveil.restorer import Restorer, load
from unveil.util.devices import computes_bf16

CROP, REAL, CLEAN, UNCERTAIN = 192, 0.3, 0.08, 0.2
"""Side of a crop; shares of real pairs, of undamaged crops, and of crops whose damage is only guessed."""
SIZES: dict[str, Any] = {"width": 32, "wide": 16, "windows": [1, 5, 15], "quiet": 4}
"""Of the network (`networks.doubt.DoubtNetwork`)."""
REACH = 640
SEED = 17

Examples = tuple[Tensor, Tensor, Tensor, Tensor]
"""y, x0_hat, x0 (N, 3, CROP, CROP) uint8, and the probabilities told (N, K)."""


def made(restorer: Restorer, source: Any, count: int, seed: int) -> Examples:
    """`count` crops, damaged or real, and what the model makes of them."""
    data = restorer.model.spec.recipe["config"]["data"]
    real = [
        (found, tuple(entry.kinds)) for (_, found), entry in zip(source.pairs, source.data.pairs, strict=True) if found
    ]
    ys, outs, xs, told = [], [], [], []
    for step in range(count):
        generator = rng(seed, step)
        reach = REACH if step % 2 else 0
        if generator.random() < REAL and real:
            found, kinds = real[int(generator.integers(len(real)))]
            x, y = crops(found, 1, CROP, generator, reach)
        else:
            x, _ = crops(source.photos, 1, CROP, generator, reach)
            own = torch.Generator().manual_seed(int(generator.integers(2**62)))
            y, names, _ = degradation.mixture(
                x, own, weights=data["kinds"] or None, second=data.get("second", 0.3), clean=CLEAN
            )
            kinds = names[0]
        assert y is not None
        y = (y * 255).round() / 255
        sure = 1.0 if generator.random() >= UNCERTAIN else float(np.sqrt(generator.random()))
        said = dict.fromkeys(kinds, sure)
        out = restorer.restore(y, told=said).image
        ys.append((y[0] * 255).byte())
        outs.append((torch.from_numpy(out).permute(2, 0, 1) * 255).round().byte())
        xs.append((x[0] * 255).round().byte())
        told.append(vector(said))
        if step % 100 == 99:
            print(f"{step + 1} of {count} crops restored", flush=True)
    return torch.stack(ys), torch.stack(outs), torch.stack(xs), torch.stack(told)


def errors(x0_hat: Tensor, x0: Tensor) -> tuple[Tensor, Tensor]:
    """(local, light) absolute errors, (B, 3, H, W) and (B,): about the mean of each channel, and of those means."""
    error = x0 - x0_hat
    light = error.mean((2, 3), keepdim=True)
    return (error - light).abs(), light.abs().mean((1, 2, 3))


def trained(data: Examples, epochs: int, seed: int, batch: int = 8, side: int = 96) -> DoubtNetwork:
    """The network after `epochs` over the crops, of which it sees a random part of `side` pixels each time."""
    torch.manual_seed(seed)
    net = DoubtNetwork(**SIZES).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = epochs * (len(data[0]) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.1)
    for epoch in range(epochs):
        generator = rng(seed, epoch)
        total = 0.0
        for index in np.split(generator.permutation(len(data[0]))[: steps // epochs * batch], steps // epochs):
            flip = bool(generator.integers(2))
            y, x0_hat, x0 = (_scaled(t[index], flip) for t in data[:3])
            told = data[3][index]
            local, light = errors(x0_hat, x0)
            top, left = (2 * int(generator.integers((CROP - side) // 2 + 1)) for _ in range(2))
            here = (..., slice(top, top + side), slice(left, left + side))
            box = (top / CROP, left / CROP, (top + side) / CROP, (left + side) / CROP)
            with torch.autocast("cpu", torch.bfloat16, enabled=computes_bf16(torch.device("cpu"))):
                said = net.local(y[here], x0_hat[here], told, net.places(y, x0_hat), box)
            loss = likelihood(said.float(), local[here]).mean()
            loss = loss + 0.1 * likelihood(net.whole(y, x0_hat, told), light).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}: {total / (steps // epochs):.4f}", flush=True)
    return net.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


def _scaled(pixels: Tensor, flip: bool) -> Tensor:
    scaled = pixels.float() / 127.5 - 1
    return scaled.flip(-1) if flip else scaled


OPTIONS = {
    "--model": MODEL, "-o --output": {"type": Path, "required": True, "help": "weight file to write"},
    "--count": (1800, "crops to restore and learn from"), "--epochs": 6,
}  # fmt: skip


def main(given: Namespace) -> None:
    count, epochs = (16, 1) if given.quick else (given.count, given.epochs)
    clock, restorer = Clock(), load(given.model, "cpu")
    data = made(restorer, source_of(restorer.model, held_out=False), count, SEED)
    print(f"{count} crops: {clock.processor:.0f} s of processor time", flush=True)
    doubt = trained(data, epochs, SEED)
    model = restorer.model
    tree = model.spec.to_json()
    spec = Spec.from_json(tree)
    spec.network["doubt"] = SIZES
    digest = write(given.output, spec, model.predictor, model.head, doubt=doubt)
    print(f"{given.output}: sha256 {digest[:12]}, {clock.processor:.0f} s of processor time")
