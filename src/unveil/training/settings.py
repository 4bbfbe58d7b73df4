"""What a training run is, as one typed value. Read, checked and written by `config`."""

from __future__ import annotations

from dataclasses import dataclass, field

OWN_HELD_OUT = 0.06
"""Default share of one's own photographs that is kept for validation."""


@dataclass(frozen=True)
class Pairs:
    """Real pairs: two folders, or one published benchmark. What each field means stands below it."""

    degraded: str = ""
    clean: str = ""
    """Two folders whose files match by name."""

    suffix: str = ""
    """Short for clean_name "*SUFFIX"."""

    weight: float = 0.2
    """Share of the batch."""

    degraded_name: str = "*"
    clean_name: str = "*"
    """Patterns of the two folders' names; `*` stands for the part that partners have in common."""

    match: str = "stem"
    """"stem": by names without their suffix. "order": by position, for folders that are known to correspond."""

    folder: str = ""
    """Instead of the two folders, that of a published benchmark."""

    layout: str = "auto"
    """The benchmark's name, or "auto" to recognise it."""

    split: str = "train"
    """The authors' split."""

    scene: str = ""
    """A regular expression; photographs in whose names it matches the same text stay on one side of the validation split."""

    unpaired: str = "error"
    """"error" lists all files without a partner and stops, "skip" goes on without them."""

    kinds: list[str] = field(default_factory=list)
    """The kinds of damage that these pairs have, for networks conditioned on them; DA-CLIP learns to name them."""

    mild: float = 0.0
    """Share of these samples whose degraded side is also reduced or enlarged, made noisy and compressed a little
    (`degradation.wild.mild`), so that what is learned from benchmarks holds for files from elsewhere."""


@dataclass(frozen=True)
class Data:
    """What is trained on. Paths are relative to `root`. What each field means stands below it."""

    root: str = "."
    photos: list[str] = field(default_factory=list)
    """Folders of clean photographs for the simulators."""

    pairs: list[Pairs] = field(default_factory=list)
    """Real pairs."""

    kinds: dict[str, float] = field(default_factory=dict)
    """Weights of the simulators, by kind of damage."""

    second: float = 0.35
    """Probability of another kind of damage beside the first."""

    clean: float = 0.08
    """Share of simulated samples that are left undamaged."""

    strong: dict[str, float] = field(default_factory=dict)
    """Of some kinds of damage, the share of their samples drawn from the upper third of the severities instead of from all; so heavy
    noise, rare where levels are spread evenly in the logarithm, is met more often."""

    exposure: float = 0.0
    """Share of the clean photographs that are darkened before they are damaged and stay dark in the target, so that darkness alone is
    no damage."""

    reach: int = 0
    """Reduced views show up to so many pixels of a photograph along one side (0: twice their own size)."""

    margin: int = 0
    """Pixels around a simulated crop that are damaged with it and then cut off, so that blur finds beyond the edge what a photograph
    has there."""

    held_out: float | None = None
    """Share of the photographs kept for validation, by scene; by default 0.06 of your own, and none of a published benchmark's
    training pairs, since papers train on all of them."""

    cache: int = 2048
    """MiB of decoded photographs kept in memory, by each process that prepares batches where not all of them fit."""

    captions: str = ""
    """A table of what the photographs show (`training.daclip`), from which DA-CLIP's content embeddings are learned; without one, from
    CLIP's embedding of the clean photograph."""

    tokenizer: str = ""
    """The folder of CLIP's vocabulary for the captions."""

    def kept(self, pairs: Pairs | None = None) -> float:
        """Which share of these pairs, or of the clean photographs, is kept for validation."""
        if self.held_out is not None:
            return self.held_out
        return 0.0 if pairs is not None and pairs.folder else OWN_HELD_OUT


@dataclass(frozen=True)
class Sizes:
    """Of one compact network; up_blocks: blocks per level of the decoder."""

    base: int = 48
    mults: list[int] = field(default_factory=lambda: [1, 2, 4])
    blocks: int = 2
    bottom: int = 0
    up_blocks: int = 2
    log_light: bool = False
    """Whether it sees the damaged picture by the logarithm of its light too."""

    pooled: bool = False
    """Whether what the picture as a whole says modulates it: of the expert for the light alone, which is shown whole photographs."""


@dataclass(frozen=True)
class Correction:
    """A correction that is a U-Net of its own (`networks.rddm_unet`): its first width and the widths of its levels in it.

    base: 0 for none; a compact predictor then has its light head, of width `network.head`.
    """

    base: int = 0
    mults: list[int] = field(default_factory=lambda: [1, 2, 4])


@dataclass(frozen=True)
class Network:
    """The predictor and its correction. What each field means stands below it."""

    base: int = 48
    mults: list[int] = field(default_factory=lambda: [1, 2, 4, 4])
    """First width, and the widths of the levels in it."""

    blocks: int = 2
    """Of a compact network, residual blocks per level."""

    head: int = 32
    """Of a compact network, the width of its light correction."""

    bottom: int = 0
    """Residual blocks on the coarsest level beyond `blocks`."""

    up_blocks: int = 0
    """Of a compact network, residual blocks per level of its decoder; 0 for as many as `blocks`."""

    log_light: bool = False
    """Whether a compact network sees the damaged picture by the logarithm of its light too."""

    conditioned: bool = False
    """Whether a compact network is conditioned on the kinds of damage and the fidelity, as two experts always are: a rollout stage trains
    it, and it needs no head."""

    fixes: list[str] = field(default_factory=list)
    """Kinds of damage that a conditioned network is for, none for all: what else a photograph has is left alone."""

    experts: list[Sizes] = field(default_factory=list)
    """None, or the sizes of two compact networks in place of the one: for the first steps, on the reduced photograph, and for the last, at
    its own size (`networks.compact.TimestepExperts`). They are conditioned on the kinds of damage and the fidelity, and need no head."""

    kind: str = "compact"
    """"compact", "rddm" (the U-Net that LearnIR, Resfusion and RDDM use), "conditional" (IR-SDE's), or "init": the network of a
    published checkpoint that the run starts from, as it is."""

    predicts: str = "residual"
    """"residual", y - x0, from the noise level; or from the index of the step, as published: "residual_noise" (Eq. 5 of LearnIR) with an
    rddm or conditional network, "epsilon" (the noise, as IR-SDE's code) with a conditional one on path mean_reverting."""

    guide: str = ""
    """File of a DA-CLIP that conditions a conditional network on what it sees, by cross-attention to the embedding of the content and a
    learned prompt for that of the degradation (DA-CLIP's U-Net). It is frozen, and copied beside the model that comes out."""

    context: int = 0
    """Length of the guide's embeddings; filled in."""

    degradation: bool = True
    """Whether a guided network is given the embedding of the degradation too (DA-CLIP's), or that of the content alone (wild-IR's)."""

    half_size: bool = False
    """Whether a conditional network works at half size inside, between an additional down- and upsampling layer (wild-IR's)."""

    correction: Correction = field(default_factory=Correction)
    """A correction that is a network of its own."""

    def __post_init__(self) -> None:
        if self.predicts == "noise":  # its name in 0.1, which configurations and checkpoints of that time have
            object.__setattr__(self, "predicts", "epsilon")


@dataclass(frozen=True)
class Stage:
    """One stage of training. What each field means stands below it."""

    kind: str = "predictor"
    """"predictor": forward states. "joint": likewise, and the correction with it, as LearnIR's Algorithm 1. "rollout": an expert, or a
    conditioned network, on the states that the sampler meets. "correction": the correction alone, on the sampler's own states. "adapter":
    likewise, for pairs the predictor never saw. "regression": the one-shot baseline. "matching": IR-SDE's loss on its own path, where
    correction, reduced views, switch and start have no place. "contrastive": DA-CLIP's."""

    steps: int = 1000
    """Optimiser steps; where the run has `minutes`, the stage's share of them."""

    lr: float = 5e-4
    """Peak learning rate."""

    batch: int = 32
    """Samples per step, over all processes."""

    crop: int = 64
    """Side of the crops in pixels."""

    low: float = 0.0
    """Share of batches at reduced resolution (DRM)."""

    switch: float = 0.0
    """Share of native states rebuilt as after the change of resolution (mathematics, equation 5)."""

    balance: float = 0.0
    """c > 0 weights each sample by c / (c + its input's own squared error), so that photographs with little wrong count as much as ruined
    ones: the prior over pairs, not the estimator, is what changes. 0 leaves all samples equal."""

    start: float = 0.0
    """Share of the states that sampling from coarse to fine meets first at their resolution: for reduced views the very start, where x0 has
    no weight and exposure, airlight and colour are decided; for native ones what the change of resolution leaves."""

    horizon: int = 0
    """Length of the cosine of the learning rate, 0 for the stage's own steps; a longer one leaves the rate high at its end."""

    target: str = "on_policy"
    """Of a correction: "on_policy", "posterior", "forward" or "eq51"; of a joint stage one of the last three."""

    warmup: int = 200
    """Steps over which the rate rises from nothing."""

    accumulate: int = 1
    """Parts a batch is drawn and computed in; processes share the parts, so their number must divide it."""

    view: int = 0
    """Side of the reduced views in pixels, 0 for twice the crop but no more than 128; a step has as many pixels either way, so smaller
    views are more photographs."""

    low_balance: float = 0.0
    """As `balance`, of reduced views, where the light is decided (0: as `balance`); native ones may so have a smaller one."""

    states: int = 1
    """Of a predictor stage: states with noise levels and noises of their own drawn of each sample, where the device computes faster than
    photographs are damaged."""

    expert: str = ""
    """Of a network of two, which one a rollout stage trains: "low", on reduced views alone, or "native"."""

    forward: float = 0.35
    """Share of a rollout stage's steps spent on states of the forward path at fidelity 0, as the posterior has them."""

    quiet: float = 0.5
    """Share of a rollout stage's other steps at fidelity 1, where nothing is drawn; the rest is spread evenly over the fidelities below."""

    first: float = 0.0
    """Share of a rollout stage's other steps that end after the first evaluation: the native expert's only one where light stays."""

    told: float = 0.5
    """Share of a rollout stage's samples for which the network is given the true kinds of damage; of the others one half is given an
    uncertain guess, as a describer makes it, and one half nothing."""

    optimiser: str = "adamw"
    """"adamw" or "muon" (`training.optimiser`)."""

    betas: list[float] = field(default_factory=list)
    """Of AdamW, how slowly its two moments follow the gradient; none for what is usual: 0.9 and 0.99, of a contrastive stage 0.9 and
    0.98."""

    decay: float = -1.0
    """Weight decay of AdamW; below 0 for what is usual: 1e-4, of a contrastive stage 0.05."""

    clip: float = 1.0
    """Norm at which the gradient is cut."""

    schedule: str = "cosine"
    """How the rate falls after the warm-up: "cosine", to a fiftieth, or "level" for three quarters and then straight to a hundredth."""

    loss: str = "squared"
    """"squared", "l1", "charbonnier" or "psnr" (`training.losses`)."""

    error: str = "x0"
    """Of a predictor stage, what the loss is of: "x0", weighted by noise level, or "residual_noise", on the steps of the grid alone, as
    LearnIR's Algorithm 1, line 11; a joint stage has that one."""

    floor: float = 2e-4
    """Squared error, on [-1, 1], below which the loss "psnr" no longer counts a gain."""


@dataclass(frozen=True)
class Validation:
    """On the held-out photographs: every so many steps (0: only at the end), on so many of them, central crops of `size`."""

    every: int = 0
    count: int = 16
    size: int = 128


@dataclass(frozen=True)
class Config:
    """A whole run. What each field means stands below it."""

    name: str = "run"
    seed: int = 0
    path: str = "linear_pro"
    """"linear_pro" (the residual path), "mean_reverting" (IR-SDE's), or "daclip": no path, DA-CLIP's controller is trained
    (`training.daclip`), which takes nothing from network and steps, and of validation only `every`."""

    steps: int = 12
    """T of the path's schedule."""

    precision: str = "fp32"
    """"fp32" or "bf16" (autocast)."""

    ema: float = 0.999
    """Decay of the averaged weights, which are those that are exported."""

    save_every: int = 500
    """Steps between two checkpoints."""

    init: str = ""
    """A model on the shelf, a weight file or a run to start from. The network is then that model's, with network.bottom blocks on its
    coarsest level if it has fewer; of two experts, where one conditioned network is asked for, the one for detail."""

    device: str = "auto"
    """"auto" is CUDA where there is one."""

    workers: int = 2
    """How many processes prepare batches, 0 for the training one itself; results do not depend on it. They share the decoded photographs
    where all fit into data.cache, and have a cache each where not."""

    loader: str = "auto"
    """Where batches are made: "processes", or "device", by the device that trains (`training.on_device`), for networks that restore and
    where all photographs fit into data.cache; "auto" is the latter on CUDA. Their batches differ. Older configurations say "threads",
    which is read as "processes"."""

    checkpointing: bool = False
    """Recompute activations in the backward pass, to save memory."""

    sharded: bool = False
    """Whether each of several processes holds a part of parameters, gradients, moments and averages (FSDP2) and not all of them; for
    networks of kind rddm and conditional."""

    minutes: float = 0.0
    """0, or how long the run may take, validation included. The stages then share that time in proportion to their steps, and learning
    rates follow the clock: such a run repeats in its batches, not bit for bit."""

    weights_every: float = 10.0
    """Minutes between two files of the averaged weights."""

    carry: str = "none"
    """"weights" or "moments" writes a small state beside the averaged weights, to go on from on another machine; "none" does not."""

    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    stages: list[Stage] = field(default_factory=list)
    validation: Validation = field(default_factory=Validation)


HARMLESS = (
    "device",
    "workers",
    "checkpointing",
    "sharded",
    "save_every",
    "weights_every",
    "carry",
    "minutes",
    "data.root",
    "data.cache",
    "validation",
)
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
