"""What a training run is, as one typed value. Read, checked and written by `parsing`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pairs:
    """Real pairs: two folders, or one published benchmark.

    degraded, clean: folders whose files match by name. match: "stem" (names equal but for the suffix, `*` in degraded_name
    and clean_name standing for the common part) or "order" (by position, only on request). suffix: short for clean_name
    "*SUFFIX". folder, layout: instead of the two, the folder of a benchmark and its name, or "auto" to recognise it; split:
    the authors' split. scene: regular expression whose match in a name is kept on one side of the validation split. unpaired:
    "error" lists all files that do not fit and stops, "skip" goes on with the rest. weight: share of the batch.
    """

    degraded: str = ""
    clean: str = ""
    suffix: str = ""
    weight: float = 0.2
    degraded_name: str = "*"
    clean_name: str = "*"
    match: str = "stem"
    folder: str = ""
    layout: str = "auto"
    split: str = "train"
    scene: str = ""
    unpaired: str = "error"


@dataclass(frozen=True)
class Data:
    """photos: folders of clean photographs for the simulators. kinds: simulator weights. pairs: real pairs.

    Paths are relative to `root`, which --data.root replaces. second: probability of another kind of damage beside the first.
    clean: share of simulated samples left undamaged. exposure: share of the clean photographs that are darkened before anything is
    done to them and stay dark in the target, so that darkness alone is no damage. reach: reduced views show up to so many pixels of
    a photograph along one side (0: twice their own size). margin: pixels around a simulated crop that are damaged with it and then
    cut off, so that blur finds beyond the edge what a photograph has there. held_out: share of the photographs kept for validation,
    by scene. cache: MiB of decoded photographs kept in memory.
    """

    root: str = "."
    photos: list[str] = field(default_factory=list)
    pairs: list[Pairs] = field(default_factory=list)
    kinds: dict[str, float] = field(default_factory=dict)
    second: float = 0.35
    clean: float = 0.08
    exposure: float = 0.0
    reach: int = 0
    margin: int = 0
    held_out: float = 0.06
    cache: int = 2048


@dataclass(frozen=True)
class Network:
    """Size of the compact predictor and of its correction head. bottom: residual blocks on the coarsest level beyond `blocks`."""

    base: int = 48
    mults: list[int] = field(default_factory=lambda: [1, 2, 4, 4])
    blocks: int = 2
    head: int = 32
    bottom: int = 0


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    kind: "predictor" (forward states), "correction" (the head alone, on the sampler's own states), "regression" (one-shot
    baseline), "adapter" (the head alone, as "correction", meant for pairs the predictor never saw) or "matching" (IR-SDE's loss
    on its own path, where "correction" and "adapter", reduced views, switch and start have no place) or "contrastive" (DA-CLIP's).
    low: share of batches seen at reduced resolution (DRM). switch: share of native states rebuilt as after the switch (5).
    balance: c > 0 weights each sample by c / (c + its input's own squared error), so that photographs with little wrong count
    as much as ruined ones: the prior over pairs, not the estimator, is what changes. 0 leaves all samples equal. low_balance: c of
    reduced views, where the light is decided (0: as `balance`); native ones, where fine errors are, may so have a smaller one.
    start: share of the states that sampling from coarse to fine meets first at their resolution: for reduced views the very start,
    where x0 has no weight and exposure, airlight and colour are decided; for native ones what the change of resolution leaves.
    horizon: length of the cosine of the learning rate, 0 for the stage's own steps (a longer one leaves the rate
    high at its end). target: of the correction: "on_policy", "posterior", "forward" or "eq51". batch: samples per step, over
    all processes. states: of a predictor, how many states with noise levels and noises of their own are drawn of each sample, where
    the device computes faster than photographs are damaged.
    accumulate: number of parts a batch is drawn and computed in; processes share the parts, so their number must divide it.
    view: side of the reduced views in pixels, 0 for twice the crop but no more than 128; a step has as many pixels either way, so
    smaller views are more photographs.
    """

    kind: str = "predictor"
    steps: int = 1000
    lr: float = 5e-4
    batch: int = 32
    crop: int = 64
    low: float = 0.0
    switch: float = 0.0
    balance: float = 0.0
    start: float = 0.0
    horizon: int = 0
    target: str = "on_policy"
    warmup: int = 200
    accumulate: int = 1
    view: int = 0
    low_balance: float = 0.0
    states: int = 1


@dataclass(frozen=True)
class Validation:
    """On the held-out photographs: every so many steps (0: only at the end), on so many of them, central crops of `size`."""

    every: int = 0
    count: int = 16
    size: int = 128


@dataclass(frozen=True)
class Config:
    """A whole run.

    path: "linear_pro" (the residual path), "mean_reverting" (IR-SDE's), or "daclip": none, DA-CLIP's controller is trained
    (`training.daclip`), for which network, steps, ema and validation mean nothing. steps: T of the path's schedule. precision: "fp32"
    or "bf16" (autocast). ema: decay of the averaged weights that ship. init: a model on the shelf, a weight file or a run to start
    from; the network is then that model's, with network.bottom blocks on its coarsest level if it has fewer. device: "auto" is
    CUDA where there is one. workers: how many threads or processes (loader) prepare batches; results do not depend on either. Threads
    share one cache of decoded photographs but also the interpreter, which a GPU outruns; processes have a cache each.
    checkpointing: recompute activations in the backward pass, for memory.
    """

    name: str = "run"
    seed: int = 0
    path: str = "linear_pro"
    steps: int = 12
    precision: str = "fp32"
    ema: float = 0.999
    save_every: int = 500
    init: str = ""
    device: str = "auto"
    workers: int = 2
    loader: str = "threads"
    checkpointing: bool = False
    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    stages: list[Stage] = field(default_factory=list)
    validation: Validation = field(default_factory=Validation)


HARMLESS = ("device", "workers", "loader", "checkpointing", "save_every", "data.root", "data.cache", "validation")
"""Settings that may differ when a run is resumed: they change where and how fast it runs, not what comes out."""


def total_steps(config: Config) -> int:
    """Optimiser steps of all stages."""
    return sum(stage.steps for stage in config.stages)


def schedule(config: Config) -> str:
    """The trained path, as a model's description writes it.

    IR-SDE's settings are the published ones: theta's cosine, 0.005 of the clean image left at T, noise of 50/255 on images in
    [0, 1], which is 100/255 on the [-1, 1] that compact networks see (`diffusion.mean_reverting`).
    """
    return (
        f"mean_reverting(cosine, {config.steps}, 0.005, 100)"
        if config.path == "mean_reverting"
        else f"linear_pro({config.steps})"
    )
