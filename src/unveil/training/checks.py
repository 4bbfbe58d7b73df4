"""Whether the values of a configuration make sense, alone (`CHOICES`, `RANGES`) and together, before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from typing import Any

from unveil.data.pairs import RULES
from unveil.degradation.registry import KINDS, ORDER, spelled
from unveil.diffusion.correction import TARGETS
from unveil.errors import InputError, ModelError
from unveil.models.network_registry import Weightless
from unveil.models.path_config import path
from unveil.networks import condition
from unveil.networks.conditional_unet import ConditionalUNet
from unveil.networks.rddm_unet import CorrectionUNet, UNet
from unveil.training.objectives import LOSSES
from unveil.training.settings import Config, Correction, Data, Network, Pairs, Stage, Validation, schedule
from unveil.util.words import did_you_mean

STAGE_KINDS = ("predictor", "correction", "regression", "adapter", "rollout", "joint", "matching", "contrastive")
PATHS = {
    "linear_pro": STAGE_KINDS[:6],
    "mean_reverting": ("predictor", "regression", "rollout", "matching"),
    "daclip": ("contrastive",),
}
"""The paths that can be trained on, and the kinds of stages on each."""
CHOICES: dict[type, dict[str, Collection[str]]] = {
    Config: {
        "precision": ("fp32", "bf16"), "path": PATHS, "carry": ("none", "weights", "moments"),
        "loader": ("auto", "processes", "device", "threads"),
    },
    Network: {
        "kind": ("compact", "rddm", "conditional", "init"), "predicts": ("residual", "residual_noise", "epsilon"),
        "fixes": condition.KINDS,
    },
    Stage: {
        "kind": STAGE_KINDS, "target": TARGETS, "optimiser": ("adamw", "muon"), "loss": LOSSES, "schedule": ("cosine", "level"),
        "error": ("x0", "residual_noise"), "expert": ("", "low", "native"),
    },
    Data: {"kinds": KINDS, "strong": KINDS},
    Pairs: {"kinds": condition.KINDS, "match": RULES, "unpaired": ("error", "skip")},
}  # fmt: skip
"""What a setting, each entry of a list or each key of a mapping may be."""
_FROM_0, _FROM_1, _SHARE = (0, math.inf), (1, math.inf), (0, 1)
RANGES: dict[type, dict[str, tuple[float, float]]] = {
    Config: {
        "ema": _SHARE, "save_every": _FROM_1, "workers": (0, 256), "minutes": _FROM_0, "weights_every": (0.1, math.inf),
        "seed": (1 - 2**53, 2**53 - 1),
    },
    Validation: {"every": _FROM_0, "count": _FROM_1, "size": (16, math.inf)},
    Network: dict.fromkeys(("base", "blocks", "head"), _FROM_1),
    Correction: {"base": _FROM_0},
    Stage: {
        "betas": (0, 0.9999999), "decay": (-1, 1), "clip": (1e-9, math.inf),
        **dict.fromkeys(("steps", "batch", "crop", "accumulate", "states"), _FROM_1),
        **dict.fromkeys(("warmup", "view", "lr", "balance", "low_balance", "floor"), _FROM_0),
        **dict.fromkeys(("low", "switch", "start", "forward", "quiet", "first", "told"), _SHARE),
    },
    Data: {
        "held_out": (0, 0.5), "strong": _SHARE, **dict.fromkeys(("kinds", "reach", "margin", "cache"), _FROM_0),
        **dict.fromkeys(("second", "clean", "exposure"), _SHARE),
    },
    Pairs: {"weight": _FROM_0, "mild": _SHARE},
}  # fmt: skip
"""The least and the largest value of a setting, of each entry of a list or each value of a mapping."""


def _alone(where: str, settings: Any) -> None:
    """Raise InputError for the first of some settings, or of those within them, that is none of its choices or out of its range."""
    choices, ranges = CHOICES.get(type(settings), {}), RANGES.get(type(settings), {})
    for field in fields(settings):
        name, value = f"{where}{field.name}", getattr(settings, field.name)
        if isinstance(value, dict):
            entries = [(f"{name}.{key}", key, number) for key, number in value.items()]
        else:
            entries = [(name, entry, entry) for entry in (value if isinstance(value, list) else [value])]
        for number, (place, choice, entry) in enumerate(entries):
            if field.name in choices:
                _one_of(name, choice, choices[field.name])
            if field.name in ranges and entry is not None:
                _within(place, entry, *ranges[field.name])
            if is_dataclass(entry):
                _alone(f"{name}.{number}." if isinstance(value, list) else f"{name}.", entry)


def _one_of(where: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise InputError(f"{where}: {value!r} is not known; {did_you_mean(value, known)}")


def _within(where: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise InputError(f"{where} must be {bounds}, got {value:g}")


def check(config: Config) -> None:
    """Raise InputError for the first setting that cannot be trained with, naming it and the values it may have."""
    _alone("", config)
    net = config.network
    if len(net.experts) not in (0, 2):
        raise InputError(
            f"network.experts must be none or two, for the reduced photograph and its own size; got {len(net.experts)}"
        )
    if net.experts and net.experts[1].pooled:
        raise InputError(
            "network.experts: pooled is for the first, which sees the whole photograph; the second works by tiles, and tiles would differ"
        )
    _network(net)
    if config.path != "daclip" and net.kind != "init":
        try:
            path(schedule(config))
        except ModelError as error:
            raise InputError(f"steps: {error}") from error
    if net.guide and config.path != "mean_reverting":
        raise InputError(f"network.guide belongs to path mean_reverting, DA-CLIP's; this run is on {config.path}")
    if net.predicts == "epsilon" and (net.kind not in ("conditional", "init") or config.path != "mean_reverting"):
        raise InputError(
            f"network.predicts: epsilon is for kind conditional on path mean_reverting, not {net.kind} on {config.path}"
        )
    for number, stage in enumerate(config.stages):
        _stage(f"stages.{number}", stage)
        _on_path(f"stages.{number}", stage, config.path)
    for number, stage in enumerate(config.stages):
        if stage.kind == "regression" and net.predicts == "epsilon":
            raise InputError(f"stages.{number}: a regression is no prediction of noise; set network.predicts: residual")
    if config.loader == "device" and config.path == "daclip":
        raise InputError("loader: device makes batches of networks that restore; DA-CLIP's are made by processes")
    if config.path == "daclip" and not config.init:
        raise InputError("path daclip trains the controller of an imported DA-CLIP; name its file with init")
    if not config.init:
        check_crops(config)
    _corrections(config)
    _sharding(config)
    if config.stages and not config.init and config.stages[0].kind in ("correction", "adapter"):
        raise InputError(
            f"stages.0 is a {config.stages[0].kind} of an untrained predictor; name trained weights with init"
        )
    _data(config.data)
    met = {k for pair in config.data.pairs if pair.weight > 0 for k in pair.kinds}
    met |= {
        k
        for kind, weight in (config.data.kinds or dict.fromkeys(ORDER, 1)).items()
        if weight > 0
        for k in spelled(kind)
    }
    unmet = [kind for kind in net.fixes if kind not in met]
    if unmet:
        raise InputError(
            f"network.fixes: nothing in data has {' or '.join(unmet)}; name a simulator in data.kinds or pairs whose kinds say so"
        )
    _named(config)


def _network(net: Network) -> None:
    if net.kind == "compact" and len(net.mults) < 3 and not (net.conditioned or net.experts):
        raise InputError(f"network.mults needs three levels or more (the correction head reads three), got {net.mults}")
    if net.kind == "compact" and net.predicts != "residual":
        raise InputError(
            f"network.predicts: a compact network predicts the residual, {net.predicts} is for kind rddm or conditional"
        )
    if net.conditioned and (net.kind != "compact" or net.experts):
        raise InputError(
            "network.conditioned is of one compact network; two experts are conditioned anyway, other kinds are not"
        )
    if net.fixes and not (net.conditioned or net.experts):
        raise InputError(
            "network.fixes is of networks that can be told what to fix: network.conditioned, or two experts"
        )
    if net.kind != "compact" and net.experts:
        raise InputError(f"network.experts are two compact networks; leave network.kind ({net.kind}) out")
    if net.guide and net.kind not in ("conditional", "init"):
        raise InputError(
            f"network.guide tells networks of kind conditional what they see, and this one is of kind {net.kind}: set network.kind so"
        )
    if net.half_size and net.kind not in ("conditional", "init"):
        raise InputError(
            f"network.half_size is wild-IR's, of networks of kind conditional; this one is of kind {net.kind}"
        )
    if net.context and not net.guide:
        raise InputError("network.context is the length of a guide's embeddings; name its file with network.guide")
    if net.correction.base:
        _within("network.correction.mults", len(net.correction.mults), 1, math.inf)
    if net.kind in ("rddm", "conditional") or net.correction.base:
        try:
            with Weightless():
                if net.kind == "rddm":
                    UNet(net.base, net.mults)
                elif net.kind == "conditional":
                    guided = (
                        {"context_dim": net.context or 1, "degradation": net.degradation}
                        if net.guide or net.context
                        else {}
                    )
                    ConditionalUNet(net.base, net.mults, half_size=net.half_size, **guided)
                if net.correction.base:
                    CorrectionUNet(net.correction.base, net.correction.mults)
        except ModelError as error:
            raise InputError(f"network: {error}") from error


def _corrections(config: Config) -> None:
    """Raise InputError for stages that train a part that the network lacks."""
    net = config.network
    for number, stage in enumerate(config.stages):
        where = f"stages.{number}"
        if (
            stage.kind in ("correction", "adapter", "joint")
            and net.kind in ("rddm", "conditional")
            and not net.correction.base
        ):
            raise InputError(
                f"{where}: a network of kind {net.kind} has no light head; give its correction a U-Net with network.correction.base"
            )
        if net.predicts != "residual" and (stage.switch or stage.start):
            raise InputError(
                f"{where}: switch and start need a network that is told the noise level (network.predicts: residual)"
            )


def _sharding(config: Config) -> None:
    """Raise InputError for what cannot be split over processes: each must run its networks equally often, through `forward` alone."""
    if not config.sharded:
        return
    if config.network.kind not in ("rddm", "conditional"):
        raise InputError(
            f"sharded is for networks of kind rddm or conditional; one of kind {config.network.kind} fits every device: leave sharded out"
        )
    for number, stage in enumerate(config.stages):
        if stage.kind in ("correction", "adapter"):
            raise InputError(
                f"stages.{number}: a {stage.kind} runs the sampler for as many steps as it draws, which sharded processes cannot share; "
                "train it with stage kind joint, or leave sharded out"
            )
        if stage.optimiser == "muon":
            raise InputError(f"stages.{number}.optimiser: Muon needs whole matrices; with sharded take adamw")


def check_crops(config: Config, multiple_of: int | None = None) -> None:
    """Raise InputError where the network cannot take the crops of a stage; to be called once the network is known.

    multiple_of: what a published network's sizes must be multiples of.
    """
    for number, stage in enumerate(config.stages):
        if bool(config.network.experts) != bool(stage.expert):
            raise InputError(
                f"stages.{number}: a rollout of two experts says which of them it trains (expert: low or native), one of another network "
                "does not; other stages do not train two experts"
            )
        if (stage.kind == "rollout") != (bool(stage.expert) or config.network.conditioned):
            raise InputError(
                f"stages.{number}: a network that is conditioned on the fidelity (network.conditioned, or two experts) is trained by "
                "rollout stages, others are not"
            )
        sizes = config.network.experts[stage.expert == "native"] if stage.expert else config.network
        multiple = multiple_of or 2 ** len(sizes.mults)
        if stage.kind in ("correction", "adapter") and stage.target == "on_policy":
            multiple *= 4  # its rollouts begin at a half or a quarter of the crop
        if stage.crop % multiple:
            raise InputError(
                f"stages.{number}.crop must be a multiple of {multiple} for this network and kind, got {stage.crop}"
            )
        if stage.view % multiple:
            raise InputError(
                f"stages.{number}.view must be a multiple of {multiple} for this network and kind, or 0, got {stage.view}"
            )


def _stage(where: str, stage: Stage) -> None:
    if len(stage.betas) not in (0, 2):
        raise InputError(f"{where}.betas are none or two numbers, got {stage.betas}")
    if stage.error != "x0" and stage.kind not in ("predictor", "joint"):
        raise InputError(f"{where}.error belongs to predictor stages; a {stage.kind} has its own")
    if stage.error != "x0" and stage.loss == "psnr":
        raise InputError(f"{where}: loss psnr is of the clean image; the residual noise has squared, l1 or charbonnier")
    if stage.kind == "joint" and stage.target == "on_policy":
        raise InputError(
            f"{where}.target: a joint stage sees states of the forward path; posterior, forward or eq51 are its targets"
        )
    if stage.expert and stage.kind != "rollout":
        raise InputError(f"{where}: expert belongs to stages of kind rollout; this one is a {stage.kind}")
    if stage.states > 1 and stage.kind != "predictor":
        raise InputError(f"{where}.states belongs to predictor stages; a {stage.kind} draws its own")
    if stage.horizon and stage.horizon < stage.steps:
        raise InputError(f"{where}.horizon ({stage.horizon}) must be 0 or at least its steps ({stage.steps})")
    if stage.batch % stage.accumulate:
        raise InputError(f"{where}.batch ({stage.batch}) must be a multiple of {where}.accumulate ({stage.accumulate})")


def _on_path(where: str, stage: Stage, path: str) -> None:
    if stage.kind not in PATHS[path]:
        raise InputError(
            f"{where}.kind: {stage.kind} does not train on path {path}; there are {', '.join(PATHS[path])}"
        )
    for name in ("low", "switch", "start"):
        if path != "linear_pro" and getattr(stage, name) > 0:
            raise InputError(f"{where}.{name} belongs to the residual path; on path {path} it must be 0")


def _named(config: Config) -> None:
    """Raise InputError for data that DA-CLIP cannot learn from, and for captions in a run that does not use them."""
    data = config.data
    if data.captions and config.path != "daclip":
        raise InputError("data.captions are what DA-CLIP's content is drawn to; they belong to path daclip")
    if bool(data.captions) != bool(data.tokenizer):
        raise InputError("data.captions (the table) and data.tokenizer (CLIP's vocabulary) go together; name both")
    for number, pair in enumerate(data.pairs):
        if config.path == "daclip" and pair.weight > 0 and not pair.kinds:
            raise InputError(
                f"data.pairs.{number}.kinds is empty: DA-CLIP learns to name the damage of real pairs, say which they have"
            )


def _data(data: Data) -> None:
    if data.photos and data.kinds and not any(data.kinds.values()):
        raise InputError("the weights of data.kinds are all zero: nothing would damage data.photos")
    if not data.photos and not data.pairs:
        raise InputError("data names neither photos nor pairs: there is nothing to train on")
    for number, pair in enumerate(data.pairs):
        where = f"data.pairs.{number}"
        if bool(pair.folder) == bool(pair.degraded and pair.clean):
            raise InputError(f"{where} needs either degraded and clean, two folders, or folder, that of a benchmark")
        if pair.suffix and pair.clean_name != "*":
            raise InputError(f"{where}: suffix is short for clean_name '*{pair.suffix}'; give one of the two")
    share = sum(pair.weight for pair in data.pairs)
    if data.photos and share >= 1:
        raise InputError(
            f"the weights of data.pairs sum to {share:g}, which leaves nothing for data.photos; the rest of 1 is theirs"
        )
    if data.pairs and not data.photos and share == 0:
        raise InputError("the weights of data.pairs are all zero")
