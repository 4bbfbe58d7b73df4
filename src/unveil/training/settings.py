"""What a training run is, as one typed value. Read, checked and written by `parsing`."""

from __future__ import annotations

from dataclasses import dataclass, field

OWN_HELD_OUT = 0.06
"""Share of one's own photographs that is kept for validation where nothing is said."""


@dataclass(frozen=True)
class Pairs:
    """Real pairs: two folders, or one published benchmark.

    degraded, clean: folders whose files match by name. match: "stem" (names equal but for the suffix, `*` in degraded_name
    and clean_name standing for the common part) or "order" (by position, only on request). suffix: short for clean_name
    "*SUFFIX". folder, layout: instead of the two, the folder of a benchmark and its name, or "auto" to recognise it; split:
    the authors' split. scene: regular expression whose match in a name is kept on one side of the validation split. unpaired:
    "error" lists all files that do not fit and stops, "skip" goes on with the rest. weight: share of the batch. kinds: the damage that
    these pairs have, for networks that are told it, and by whose words DA-CLIP learns to name it. mild: share of these samples whose
    degraded side is reduced or enlarged, made noisy and compressed a little on top (`degradation.wild.mild`), so that what is learned
    of benchmarks holds for files from elsewhere.
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
    kinds: list[str] = field(default_factory=list)
    mild: float = 0.0


@dataclass(frozen=True)
class Data:
    """photos: folders of clean photographs for the simulators. kinds: simulator weights. pairs: real pairs.

    Paths are relative to `root`, which --data.root replaces. second: probability of another kind of damage beside the first.
    clean: share of simulated samples left undamaged. exposure: share of the clean photographs that are darkened before anything is
    done to them and stay dark in the target, so that darkness alone is no damage. reach: reduced views show up to so many pixels of
    a photograph along one side (0: twice their own size). margin: pixels around a simulated crop that are damaged with it and then
    cut off, so that blur finds beyond the edge what a photograph has there. held_out: share of the photographs kept for validation,
    by scene; by default 0.06 of your own, and none of a published benchmark's training pairs, on all of which papers train.
    cache: MiB of decoded photographs kept in memory, by each process that prepares batches where not all of them fit.
    captions: a table of what the photographs show (`training.captions`), which DA-CLIP's content embeddings are then drawn to; none:
    to CLIP's embedding of the clean photograph. tokenizer: the folder of CLIP's vocabulary for them.
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
    held_out: float | None = None
    cache: int = 2048
    captions: str = ""
    tokenizer: str = ""

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


@dataclass(frozen=True)
class Correction:
    """A correction that is a U-Net of its own (`networks.rddm_unet`): its first width and the widths of its levels in it.

    base: 0 for none; a compact predictor then has its light head, of width `network.head`.
    """

    base: int = 0
    mults: list[int] = field(default_factory=lambda: [1, 2, 4])


@dataclass(frozen=True)
class Network:
    """The predictor and its correction. base, mults: first width and widths of the levels; blocks, bottom, head: of compact ones.

    kind: "compact", "rddm" (the U-Net that LearnIR, Resfusion and RDDM use), "conditional" (IR-SDE's), or "init", the network of a
    published checkpoint that the run starts from, as it is. predicts: "residual" (y - x0, told the noise level), or with an rddm or
    conditional network "residual_noise" (Eq. 5 of LearnIR, told the index of the step, as published), or with a conditional one on path
    mean_reverting "noise", as IR-SDE's own code does. guide: file of a DA-CLIP that tells a conditional network what it sees, by
    cross-attention to the content's embedding and a learned prompt for the degradation's (DA-CLIP's U-Net); it is frozen, and copied beside
    the model that comes out. context: length of those embeddings, filled in. degradation: whether a guided network is told what damaged the
    photograph too (DA-CLIP's), or what it shows alone (wild-IR's). half_size: whether a conditional network works at half size inside,
    between an additional down- and upsampling layer (wild-IR's). bottom: residual blocks on the coarsest level beyond `blocks`.

    experts: none, or the sizes of two networks in place of the one: for the first steps, on the reduced photograph, and for the last, at
    its own size (`networks.compact.TimestepExperts`). They are told the kinds of damage and the fidelity, and need no head.
    """

    base: int = 48
    mults: list[int] = field(default_factory=lambda: [1, 2, 4, 4])
    blocks: int = 2
    head: int = 32
    bottom: int = 0
    experts: list[Sizes] = field(default_factory=list)
    kind: str = "compact"
    predicts: str = "residual"
    guide: str = ""
    context: int = 0
    degradation: bool = True
    half_size: bool = False
    correction: Correction = field(default_factory=Correction)


@dataclass(frozen=True)
class Stage:
    """One stage of training. What each field means stands below it."""

    kind: str = "predictor"
    """"predictor": forward states. "joint": likewise, and the correction with it, as LearnIR's Algorithm 1. "rollout": an expert, on the
    states that the sampler meets. "correction": the correction alone, on the sampler's own states. "adapter": likewise, for pairs the
    predictor never saw. "regression": the one-shot baseline. "matching": IR-SDE's loss on its own path, where correction, reduced views,
    switch and start have no place. "contrastive": DA-CLIP's."""

    steps: int = 1000
    """Optimiser steps; where the run has `minutes`, the stage's share of them."""

    lr: float = 5e-4
    """Peak learning rate."""

    batch: int = 32
    """Samples per step, over all processes."""

    crop: int = 64
    """Side of the crops in pixels."""

    low: float = 0.0
    """Share of batches seen at reduced resolution (DRM)."""

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
    """Share of a rollout stage's samples for which the network is told the true kinds of damage; of the others one half is told an
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
    """A whole run.

    path: "linear_pro" (the residual path), "mean_reverting" (IR-SDE's), or "daclip": none, DA-CLIP's controller is trained
    (`training.daclip`), for which network and steps mean nothing and of validation only `every`. steps: T of the path's schedule.
    precision: "fp32" or "bf16" (autocast). ema: decay of the averaged weights that ship. init: a model on the shelf, a weight file or
    a run to start from; the network is then that model's, with network.bottom blocks on its coarsest level if it has fewer. device:
    "auto" is CUDA where there is one. workers: how many processes prepare batches, 0 for the training one itself; results do not
    depend on it. They share the decoded photographs where all fit into data.cache, and have a cache each where not. loader: where
    batches are made, "processes" or "device", by the device that trains (`training.on_device`), for networks that restore where all
    photographs fit into data.cache; "auto" is that on CUDA and processes elsewhere. Their batches differ. "threads" is what older
    configurations say and is read as "processes".
    checkpointing: recompute activations in the backward pass, for memory. sharded: several processes hold a part each of parameters,
    gradients, moments and averages (FSDP2) in place of all of them each; for networks of kind rddm and conditional.
    minutes: 0, or how long the run may take, validation included;
    the stages then share that time as their steps say, and learning rates follow the clock (such a run repeats in its batches,
    not bit for bit). weights_every: minutes between two files of the averaged weights.
    carry: "weights" or "moments" writes a small state beside them, to go on from on another machine; "none" does not.
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
    loader: str = "auto"
    checkpointing: bool = False
    sharded: bool = False
    minutes: float = 0.0
    weights_every: float = 10.0
    carry: str = "none"
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
