"""A published checkpoint made into a model file of this project, with a description of everything that was found.

The unconditional networks of guided-diffusion (ADM, Dhariwal and Nichol 2021) become priors: a folder that diffusers reads too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.prediction import KINDS, current_name
from unveil.errors import ModelError
from unveil.models.importing.containers import load
from unveil.models.importing.recognise import Found, recognise
from unveil.models.network_registry import build
from unveil.models.path_config import name_of, path
from unveil.models.spec import Defaults, Spec
from unveil.models.weights_file import sha256_of, write
from unveil.networks.diffusers_networks import DiffusersUNet, write_index, write_part

PREDICTIONS = (*KINDS, "residual_and_noise")
_NAMED = 5
"""How many keys a message names."""


@dataclass(frozen=True)
class Imported:
    """What an import made: the files written, what the weights were recognised as, and what they did not say.

    averaged: the name under which averaged weights were found and taken; None where the file has none.
    """

    weights: Path
    description: Path
    sha256: str
    family: str
    parameters: int
    assumed: tuple[str, ...]
    unexpected: tuple[str, ...]
    spec: Spec
    averaged: str | None = None


def import_file(
    source: str | Path,
    output: str | Path | None = None,
    *,
    schedule: str | None = None,
    prediction: str | None = None,
    guide: str | Path | None = None,
    half: bool = False,
) -> Imported:
    """Convert a published checkpoint to OUTPUT (default: beside it, .safetensors), with OUTPUT's name + .json beside it.

    schedule, prediction: how the network was trained, where it is not the published default (see `models.path_config` and
    `diffusion.prediction`). guide: an imported DA-CLIP in the same folder, for networks conditioned on its embeddings. half: store 16 bits;
    half the size, and outputs that differ in the fourth digit.
    Raises ModelError: a file that cannot be read, holds code, is none of the known networks, lacks tensors, or needs
    what was not given.
    """
    source = Path(source)
    flat = load(source)
    try:
        found = recognise(flat)
        unexpected = _fitted(found)
        if schedule is not None:
            path(schedule, found.time)
        if prediction is not None and current_name(prediction) not in PREDICTIONS:
            raise ModelError(f"unknown prediction {prediction!r}; known are {', '.join(PREDICTIONS)}")
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    target = source.with_suffix(".safetensors") if output is None else Path(output)
    if target.resolve() == source.resolve():
        raise ModelError(f"{source}: would be overwritten by what is made of it; name another file with -o")
    network = {"kind": found.kind, **found.network, **_guided(found, target, guide)}
    digest = sha256_of(source)
    spec = _spec(target.stem, found, network, schedule, prediction, {"source": source.name, "sha256": digest})
    module = _module(found, network)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        written = write(target, spec, module, None, torch.float16 if half else torch.float32)
        beside = target.with_name(target.name + ".json")
        parameters = sum(p.numel() for p in module.parameters())
        account: dict[str, Any] = {
            "family": found.family,
            "source": source.name,
            "source_sha256": digest,
            "packed_in": list(flat.where),
            "averaged": flat.averaged,
            "sha256": written,
            "parameters": parameters,
            "tensors": len(found.tensors),
            "precision": "fp16" if half else "fp32",
            "missing": [],
            "unexpected": list(unexpected),
            "assumed": list(found.assumed if schedule is None and prediction is None else ()),
            "licence": "that of the published weights; see where they come from",
            "description": json.loads(spec.to_json()),
        }
        beside.write_text(json.dumps(account, indent=1) + "\n")
    except OSError as error:
        raise ModelError(f"{target}: cannot be written ({error.strerror or error}); choose another -o") from error
    assumed = tuple(account["assumed"])
    return Imported(target, beside, written, found.family, parameters, assumed, unexpected, spec, flat.averaged)


def _fitted(found: Found) -> tuple[str, ...]:
    """Keys that the network does not have. Raises ModelError for missing tensors, wrong shapes and values not finite."""
    with torch.device("meta"):
        expected = build({"kind": found.kind, **found.network}).state_dict()
    missing = [k for k in expected if k not in found.tensors]
    if missing:
        raise ModelError(
            f"recognised as {found.family}, but {len(missing)} of {len(expected)} tensors are missing: {_some(missing)}"
        )
    wrong = [
        f"{k} {tuple(found.tensors[k].shape)} instead of {tuple(v.shape)}"
        for k, v in expected.items()
        if found.tensors[k].shape != v.shape
    ]
    if wrong:
        raise ModelError(f"recognised as {found.family}, but {len(wrong)} tensors have another shape: {_some(wrong)}")
    broken = [k for k in expected if not bool(found.tensors[k].isfinite().all())]
    if broken:
        raise ModelError(
            f"recognised as {found.family}, but {len(broken)} tensors hold values that are no numbers: {_some(broken)}"
        )
    return (*(k for k in found.tensors if k not in expected), *found.left)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _guided(found: Found, target: Path, guide: str | Path | None) -> dict[str, Any]:
    """The entry of the description that names the DA-CLIP file, {} where there is none."""
    if guide is None:
        return {}
    if not found.network.get("context_dim"):
        raise ModelError(f"{found.family} takes no guide; leave --guide out")
    guide = Path(guide)
    if not guide.is_file():
        raise ModelError(f"{guide}: no such file; import the DA-CLIP first")
    if guide.resolve().parent != target.resolve().parent:
        raise ModelError(f"{guide}: must lie in the folder of {target}, so that the two are found and moved together")
    return {"guide": {"file": guide.name, "sha256": sha256_of(guide)}}


def _spec(
    name: str,
    found: Found,
    network: dict[str, Any],
    schedule: str | None,
    prediction: str | None,
    origin: dict[str, str],
) -> Spec:
    trained = schedule or found.schedule or "linear_pro(12)"
    available = path(trained, found.time).steps
    defaults = Defaults(
        grid=name_of(trained),
        steps=min(found.steps, available),
        solver=found.solver,
        resolution="off",
    )
    with torch.device("meta"):
        multiple = getattr(build(network), "multiple_of", 1)
    return Spec(
        name=name,
        network=network,
        schedule=trained,
        sampler="diffusion" if found.schedule else "guide",
        value_range=found.value_range,
        prediction=prediction or found.prediction,
        multiple_of=multiple,
        receptive_field=512,  # attention sees everything; tiles of less differ
        dtypes=("fp32", "bf16"),
        defaults=defaults,
        recipe={"imported": origin, "family": found.family},
        time=found.time,
    )


def _module(found: Found, network: dict[str, Any]) -> torch.nn.Module:
    with torch.device("meta"):
        module = build(network)
        keys = module.state_dict().keys()
    module.load_state_dict({k: found.tensors[k].float() for k in keys}, assign=True)
    return module


def describe(made: Imported) -> list[str]:
    """Lines of text: what was recognised, what was assumed, what was left over, and what to do with it."""
    lines = [f"{made.weights}: {made.family}, {made.parameters:,} parameters"]
    if made.averaged is not None:
        lines.append(f"  taken: the averaged weights ({made.averaged})")
    lines += [f"  assumed: {text}" for text in made.assumed]
    if made.unexpected:
        lines.append(f"  left out, since the network has no such part: {_some(list(made.unexpected))}")
    if made.spec.sampler == "guide":
        lines.append(
            "  restores nothing by itself; give it as --guide when a network of DA-CLIP or wild-IR is imported"
        )
    elif made.spec.network.get("context_dim") and "guide" not in made.spec.network:
        lines.append("  cannot restore yet: it needs a DA-CLIP; import that one too, then this one again with --guide")
    else:
        shown = " --mask MASK" if made.spec.network.get("mask_channels") else ""
        lines.append(f"  run it with: unveil restore PHOTO -o OUT -n {made.weights}{shown}")
    return lines


KEYS = ("input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight", "out.2.weight", "time_embed.0.weight")
"""A key that only files of ADM have."""
HEAD = 64
SCHEDULER = {
    "_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02,
    "prediction_type": "epsilon", "clip_sample": True,
}  # fmt: skip
_ASSUMED = f"1000 linear steps from 1e-4 to 0.02, noise predicted, attention heads of {HEAD} channels in the old order (q, k, v per head)"
_RES = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2", "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}  # fmt: skip


def import_prior(source: Path, output: Path | None = None, *, half: bool = False) -> list[str] | None:
    """Convert a checkpoint of ADM to the folder OUTPUT (default: beside it, without suffix); lines about it, None for another network.

    Raises ModelError: a class-conditional network (a prior must not ask which), or tensors that do not fit together.
    """
    source = Path(source)
    tensors = load(source).tensors
    if not all(key in tensors for key in KEYS):
        return None
    try:
        config, state = convert_adm(tensors)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    with torch.device("meta"):
        network = DiffusersUNet(config)
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ModelError(
            f"{source}: looks like ADM, but its tensors do not fit together ({str(error).splitlines()[-1].strip()})"
        ) from error
    target = source.with_suffix("") if output is None else Path(output)
    write_part(target, "unet", config, network, torch.float16 if half else torch.float32)
    write_part(target, "scheduler", SCHEDULER)
    write_index(target, "DDIMPipeline", {"unet": "UNet2DModel", "scheduler": "DDIMScheduler"})
    return [
        f"{target}: ADM (guided-diffusion), unconditional, {sum(t.numel() for t in state.values()):,} parameters",
        f"  assumed: trained at {config['sample_size']} pixels; {_ASSUMED}",
        f"  use it as a prior: unveil restore PHOTO -o OUT --method diffpir --operator blur:sigma=2 --prior {target}",
    ]


def convert_adm(tensors: dict[str, Tensor], head: int = HEAD) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config of diffusers' UNet2DModel for a table of ADM's weights, and the weights under its names.

    The number of blocks per level is read from where the decoder's first change of size stands; widths by the convolutions.
    """
    if "label_emb.weight" in tensors:
        raise ModelError(
            "a class-conditional network of guided-diffusion; as a prior give the unconditional one (256x256_diffusion_uncond)"
        )
    last_out = 1 + max(int(k.split(".")[1]) for k in tensors if k.startswith("output_blocks."))
    ups = [i for i in range(last_out) if _up(tensors, i) is not None]
    layers, levels = (ups[0] if ups else last_out - 1), len(ups) + 1
    if levels * (layers + 1) != last_out:
        raise ModelError(f"looks like ADM, but {last_out} blocks of its decoder are no {levels} levels of {layers + 1}")
    starts = [1 + level * (layers + 1) for level in range(levels)]
    try:
        widths = [int(tensors[f"input_blocks.{i}.0.out_layers.3.weight"].shape[0]) for i in starts]
        attends = [f"input_blocks.{i}.1.qkv.weight" in tensors for i in starts]
        scale_shift = tensors[f"input_blocks.{starts[0]}.0.emb_layers.1.weight"].shape[0] == 2 * widths[0]
        resnet = f"input_blocks.{starts[1] - 1}.0.op.weight" not in tensors if levels > 1 else True
        state = dict(_renamed(tensors, layers, levels, head))
    except KeyError as error:
        raise ModelError(f"looks like ADM, but {error} is missing") from error
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if resnet else ("DownBlock2D", "UpBlock2D")
    change = "resnet" if resnet else "conv"
    config = {
        "_class_name": "UNet2DModel",
        "sample_size": 2 ** (levels + 2),
        "in_channels": int(tensors["input_blocks.0.0.weight"].shape[1]),
        "out_channels": int(tensors["out.2.weight"].shape[0]),
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["AttnDownBlock2D" if a else plain[0] for a in attends],
        "up_block_types": ["AttnUpBlock2D" if a else plain[1] for a in attends[::-1]],
        "attention_head_dim": head,
        "attn_norm_num_groups": 32,
        "norm_num_groups": 32,
        "resnet_time_scale_shift": "scale_shift" if scale_shift else "default",
        "downsample_type": change,
        "upsample_type": change,
    }
    return config, state


def _up(tensors: dict[str, Tensor], i: int) -> str | None:
    """Where block i of the decoder doubles the size: the prefix of a residual block or a convolution, None where it does not."""
    for k in (1, 2):
        if f"output_blocks.{i}.{k}.in_layers.0.weight" in tensors or f"output_blocks.{i}.{k}.conv.weight" in tensors:
            return f"output_blocks.{i}.{k}"
    return None


def _renamed(tensors: dict[str, Tensor], layers: int, levels: int, head: int) -> list[tuple[str, Tensor]]:
    out: list[tuple[str, Tensor]] = []

    def move(old: str, new: str) -> None:
        out.extend((f"{new}.{end}", tensors[f"{old}.{end}"].float()) for end in ("weight", "bias"))

    def block(old: str, new: str) -> None:
        for end in ("op", "conv"):
            if f"{old}.{end}.weight" in tensors:
                return move(f"{old}.{end}", f"{new}.conv")
        for a, b in _RES.items():
            if a != "skip_connection" or f"{old}.{a}.weight" in tensors:
                move(f"{old}.{a}", f"{new}.{b}")
        return None

    def attention(old: str, new: str) -> None:
        if f"{old}.qkv.weight" not in tensors:
            return
        move(f"{old}.norm", f"{new}.group_norm")
        for end in ("weight", "bias"):
            table = tensors[f"{old}.qkv.{end}"].float()
            width = table.shape[0] // 3
            table = table.reshape(width // head, 3, head, *((width,) if end == "weight" else ()))
            for n, name in enumerate(("to_q", "to_k", "to_v")):
                out.append((f"{new}.{name}.{end}", table[:, n].reshape(width, *table.shape[3:]).contiguous()))
        out.append((f"{new}.to_out.0.weight", tensors[f"{old}.proj_out.weight"].float().flatten(1)))
        out.append((f"{new}.to_out.0.bias", tensors[f"{old}.proj_out.bias"].float()))

    move("time_embed.0", "time_embedding.linear_1")
    move("time_embed.2", "time_embedding.linear_2")
    move("input_blocks.0.0", "conv_in")
    for level in range(levels):
        for j in range(layers):
            old = f"input_blocks.{1 + level * (layers + 1) + j}"
            block(f"{old}.0", f"down_blocks.{level}.resnets.{j}")
            attention(f"{old}.1", f"down_blocks.{level}.attentions.{j}")
        if level < levels - 1:
            block(f"input_blocks.{(level + 1) * (layers + 1)}.0", f"down_blocks.{level}.downsamplers.0")
        for j in range(layers + 1):
            i = level * (layers + 1) + j
            block(f"output_blocks.{i}.0", f"up_blocks.{level}.resnets.{j}")
            attention(f"output_blocks.{i}.1", f"up_blocks.{level}.attentions.{j}")
            up = _up(tensors, i)
            if up is not None:
                block(up, f"up_blocks.{level}.upsamplers.0")
    block("middle_block.0", "mid_block.resnets.0")
    attention("middle_block.1", "mid_block.attentions.0")
    block("middle_block.2", "mid_block.resnets.1")
    move("out.0", "conv_norm_out")
    move("out.2", "conv_out")
    return out
