"""Small networks trained in branches from one base, for the ablations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._sampling import PRECISION, TestSet, simulated
from benchmarks._shared import shared_folder
from unveil.diffusion import GaussianPath, linear_pro, residual, sample
from unveil.diffusion.resolution import OFF
from unveil.models.model import Model
from unveil.training import config as configuration
from unveil.training import loop, objectives, trainer
from unveil.training.batches import Source
from unveil.training.export import spec
from unveil.training.loop import build, train
from unveil.training.objectives import Learner, objective
from unveil.training.settings import Config, Stage

KINDS = ("haze", "shadow", "lowlight", "noise")
PHOTOS = ["BSDS500", "SunHays80"]


def base_config(data: Path, seed: int) -> Config:
    """The configuration of all rows but for its stages. Averages over ~100 steps: the branches are a few hundred steps long."""
    return configuration.parse(
        {
            "name": "ablation", "seed": seed, "precision": PRECISION, "ema": 0.99, "save_every": 10**9, "device": "cpu",
            "workers": 0,  # all in this process, whose time is taken
            "validation": {"count": 1, "size": 32},  # at the end of every run; the benchmark measures itself
            "network": {"base": 24, "mults": [1, 2, 2], "blocks": 2, "head": 16},
            "data": {
                "root": str(data), "photos": PHOTOS, "kinds": dict.fromkeys(KINDS, 1.0), "second": 0.0, "clean": 0.0, "held_out": 0.06,
            },
        }
    )  # fmt: skip


def described(config: Config) -> dict[str, Any]:
    """What of the configuration decides the outcome, but for seed and stages; without where the data lay."""
    tree = {k: v for k, v in asdict(config).items() if k in ("steps", "precision", "ema", "network", "data")}
    tree["data"]["root"] = "train"
    return tree


@contextlib.contextmanager
def narrowed() -> Iterator[None]:
    """Rollouts of training as the benchmark samples: the paper's grid, ancestral, native resolution.

    The shipped objective draws grid, solver and resolution at random, so that one head serves them all; the other targets
    know one grid and native states, and a comparison of targets must not be one of tasks.
    """

    def one_grid(*args: Any, **settings: Any) -> Learner:
        learner = build(*args, **settings)
        learner.processes = learner.processes[:1]
        return learner

    def plain(*args: Any, **settings: Any) -> Any:
        return sample(*args, **{**settings, "solver": "ancestral", "resolution": OFF})

    with mock.patch.object(trainer, "build", one_grid), mock.patch.object(objectives, "sample", plain):
        yield


def prepared(
    seed: int, each: int, size: int, evaluation_seed: int, *, large: bool = False
) -> tuple[Config, GaussianPath, Source, TestSet]:
    """(configuration, path, what training holds out, the crops that all rows are measured on).

    Args:
        seed: Of training.
        each: Crops of each kind of damage.
        size: Their side in pixels.
        evaluation_seed: Of the crops and their damage.
        large: Whether only photographs that fill a crop without a mirrored edge count.

    """
    config = base_config(shared_folder() / "data" / "train", seed)
    held_out = Source(config.data, held_out=True)
    photographs = [p for p in held_out.photos if not large or min(p.clean.shape[:2]) >= size]
    test = simulated(photographs, KINDS, each, size, evaluation_seed)
    return config, residual(linear_pro(config.steps)), held_out, test


def measured_on(each: int, size: int, evaluation_seed: int, draws: int, kinds: bool) -> dict[str, str]:
    """What protocols say of photographs and numbers. kinds: whether the numbers of one kind are pooled."""
    return {
        "photographs": "crops of held-out photographs of BSDS500 and SunHays80 (every 17th name), "
        f"{each} crops of {size} px for each of {', '.join(KINDS)} at random severity, rounded to 8 bits; seed {evaluation_seed}",
        "psnr": "dB, RGB, float against 8-bit target, full frame, clipped to [0, 1]. one, mean: averaged over images, of one draw "
        f"(mean over {draws}) and of the mean of {draws} draws. pooled_one, pooled_mean{', kinds' * kinds}: of the squared error over all "
        f"images{' (of all kinds, of one kind)' * kinds}",
        "spread": "root mean square over images and pixels of the draws' unbiased standard deviation, full range = 1",
    }


class Branches:
    """Trains rows from scratch, or from the averaged weights of another row."""

    def __init__(self, config: Config, work: Path) -> None:
        self.config, self.work = config, work
        self.seconds: dict[str, float] = {}

    def train(self, name: str, stages: Sequence[Stage], after: str = "") -> Learner:
        """The learner of row `name` with averaged weights, after these stages. after: the row to start from."""
        config = replace(self.config, stages=list(stages))
        if after:  # and with other crops and noise than it has seen
            config = replace(config, init=str(self.work / after / "model.safetensors"), seed=self.config.seed + 1000)
        started = time.process_time()
        learner = train(config, self.work / name, report=lambda _: None)
        self.seconds[name] = time.process_time() - started
        steps = sum(stage.steps for stage in stages)
        print(f"  {name}: {steps} steps, {self.seconds[name]:.0f} s of processor time", flush=True)
        return learner


def model(learner: Learner, config: Config, *, head: bool, unbounded: bool = False) -> Model:
    """The learner as a model. unbounded: without the clamp of x0_hat to the range of images."""
    made = spec(config, learner.predictor.multiple_of, 0, head=head)
    if unbounded:
        made = replace(made, value_range=(-100.0, 100.0))
    for module in (learner.predictor, learner.head):
        module.eval().requires_grad_(False)
    return Model(made, learner.predictor, learner.head if head else None)


def multiply_adds(config: Config, stage: Stage, source: Source, calls: int = 32) -> float:
    """Multiply-adds of one training step of a stage, forward and backward, counted; the mean of `calls` seeded steps."""
    learner = loop.build(config)
    trained = learner.head if stage.kind in ("correction", "adapter") else learner.predictor
    for module in (learner.predictor, learner.head):
        module.requires_grad_(module is trained)
    few = 2  # arithmetic is proportional to the batch
    drawn = stage.kind == "correction" and stage.target == "on_policy"  # its grid and sizes are
    rounds = calls if drawn else 1
    total = 0.0
    for i in range(rounds):
        batch = source.draw(0, i, few, stage.crop, low=False)
        with FlopCounterMode(display=False) as counter:
            objective(stage)(learner, batch, stage, torch.Generator().manual_seed(i))
        total += counter.get_total_flops() / 2
    return total / rounds * stage.batch / few


def parameters(learner: Learner) -> dict[str, int]:
    return {
        "predictor": sum(p.numel() for p in learner.predictor.parameters()),
        "head": sum(p.numel() for p in learner.head.parameters()),
    }
