"""Train the small priors that ship: `python -m recipes train_prior pixel|autoencoder|latent --data PHOTOS -o RUN`.

pixel: a denoiser of photographs. autoencoder: images and latents of a quarter of their size. latent: a denoiser of those latents,
which needs the autoencoder's run (--autoencoder RUN). The loop is that of `unveil train` (docs/train.md): a killed run goes on from its
newest checkpoint with the same call, torchrun shares a step among processes (--accumulate), and Ctrl-C ends it in order. The folder
becomes what diffusers and `unveil restore --prior` read; what the loop writes for itself lies in RUN/training.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks._shared import positive
from unveil.data.dataset import Photograph, crops, hold_out, load_clean, rng
from unveil.data.files import Picture, Store
from unveil.networks.diffusers_networks import (
    WEIGHTS,
    AutoencoderKL,
    DiffusersUNet,
    ResnetBlock,
    write_index,
    write_part,
)
from unveil.training.distributed import World
from unveil.training.export import written
from unveil.training.loop import run
from unveil.training.noising import normal
from unveil.training.settings import Config, Data, Stage
from unveil.training.state import State
from unveil.training.trainer import Objective, OneNetwork, Trainer, Verdict

FOLDERS = ("BSDS500", "SunHays80", "faces_ffhq6", "SRD/shadow_free")
HELD_OUT = 0.05
STEPS = {"pixel": 680, "autoencoder": 250, "latent": 450}
BATCH = {"pixel": (8, 48), "autoencoder": (8, 48), "latent": (8, 96)}
RATE = {"pixel": 2e-3, "autoencoder": 1e-3, "latent": 2e-3}
SAVE_EVERY = 250

PIXEL = {
    "_class_name": "UNet2DModel", "sample_size": 48, "in_channels": 3, "out_channels": 3, "block_out_channels": [16, 32, 64, 96],
    "layers_per_block": 1, "norm_num_groups": 8, "down_block_types": ["DownBlock2D"] * 4, "up_block_types": ["UpBlock2D"] * 4,
    "add_attention": False, "attention_head_dim": 32,
}  # fmt: skip
LATENT = PIXEL | {
    "sample_size": 24, "in_channels": 4, "out_channels": 4, "block_out_channels": [48, 64, 96],
    "down_block_types": ["DownBlock2D"] * 3, "up_block_types": ["UpBlock2D"] * 3,
}  # fmt: skip
AUTOENCODER = {
    "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [16, 32, 64],
    "layers_per_block": 1, "norm_num_groups": 1, "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3, "act_fn": "silu", "mid_block_add_attention": False, "sample_size": 48,
    "use_quant_conv": True, "use_post_quant_conv": True, "scaling_factor": 1.0,
}  # fmt: skip
SCHEDULER = {
    "_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02,
    "prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": True, "steps_offset": 0,
}  # fmt: skip
SCHEDULERS = {
    "pixel": SCHEDULER,
    "latent": SCHEDULER | {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
}

Loss = Callable[[nn.Module, Tensor, torch.Generator], Tensor]


def abar(scheduler: dict) -> Tensor:
    power = 2 if scheduler["beta_schedule"] == "scaled_linear" else 1
    ends = (scheduler["beta_start"] ** (1 / power), scheduler["beta_end"] ** (1 / power))
    return (1 - torch.linspace(*ends, scheduler["num_train_timesteps"], dtype=torch.float64) ** power).cumprod(0)


def diffusion_loss(scheduler: dict, lean: float) -> Loss:
    """Squared error of v = a eps - s x0 (Salimans and Ho 2022). lean: 1 draws steps evenly, more leans to the clean end."""
    table = abar(scheduler)

    def loss(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
        u = (torch.arange(len(x0)) + torch.rand(len(x0), generator=generator)) / len(x0)  # stratified
        t = (len(table) * u**lean).long().clamp(max=len(table) - 1)
        a, s = (c.sqrt().float()[:, None, None, None].to(x0.device) for c in (table[t], 1 - table[t]))
        eps = normal(x0, generator)
        return ((network(a * x0 + s * eps, t.to(x0.device)) - (a * eps - s * x0)) ** 2).mean()

    return loss


def reconstruction_loss(network: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """Squared and absolute error of the image and of its differences between neighbours; the encoder is fixed."""
    error = network.decode(network.encode(x)[0]) - x  # type: ignore[operator]
    edges = (error.diff(dim=-1)).abs().mean() + (error.diff(dim=-2)).abs().mean()
    return 2 * (error**2).mean() + 0.5 * error.abs().mean() + 0.25 * edges


def opponent(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 4, H / 4, W / 4): means of 4 x 4 pixels as lightness, red-green and yellow-blue, and lightness's slope."""
    half = nn.functional.avg_pool2d(x, 2)
    r, g, b = nn.functional.avg_pool2d(half, 2).unbind(1)
    light = half.mean(1)
    slope = (light[:, 1::2, 1::2] - light[:, ::2, ::2]) / 2
    return torch.stack([(r + g + b) / 3, r - g, (r + g) / 2 - b, slope], 1)


@torch.no_grad()
def linear_start(network: AutoencoderKL, spread: Tensor) -> AutoencoderKL:
    """Weights with which the encoder is `opponent` over `spread` (4,) exactly, and the decoder its smooth enlargement.

    Signals go through the linear short cuts (blocks begin as the identity) in pairs of opposite sign, since silu(u) - silu(-u) = u, and
    beside constant channels so large that the last norm divides by nearly the same number in every image. A training of minutes
    then starts from right colours, which the norms would else have to be taught to let through.
    """
    constant, colours = 4.0, torch.eye(3)
    back = torch.linalg.inv(torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0.5, 0.5, -1]])) * spread[:3]
    for name, parameter in quiet_start(network).named_parameters():
        if any(part in name for part in ("conv_in", "conv_out", "shortcut", "samplers", "quant_conv")):
            nn.init.zeros_(parameter)
    encoder, decoder = network.encoder, network.decoder

    def carried(block: ResnetBlock, count: int) -> None:
        block.conv_shortcut.weight[range(count), range(count), 0, 0] = 1.0  # type: ignore[union-attr]

    def ended(shortcut: nn.Conv2d, out: nn.Conv2d, mix: Tensor, power: float) -> None:
        n = len(mix)
        shortcut.weight[:n, : mix.shape[1], 0, 0], shortcut.weight[n : 2 * n, : mix.shape[1], 0, 0] = mix, -mix
        rest = shortcut.weight.shape[0] - 2 * n
        shortcut.bias[2 * n :] = constant * (1 - 2 * (torch.arange(rest) % 2))  # type: ignore[index]
        size = ((2 * n * power + rest * constant**2) / (2 * n + rest)) ** 0.5
        out.weight[range(n), range(n), 1, 1], out.weight[range(n), range(n, 2 * n), 1, 1] = size, -size

    encoder.conv_in.weight[:3, :, 1, 1] = colours
    first, second = (encoder.down_blocks[i].downsamplers[0].conv.weight for i in (0, 1))  # type: ignore[index,union-attr]
    for weight in (first, second):
        weight[:3, :3, :2, :2] = colours[:, :, None, None] / 4
    carried(encoder.down_blocks[1].resnets[0], 3)  # type: ignore[index,union-attr]
    second[3, :3, 1, 1], second[3, :3, 0, 0] = 1 / 6, -1 / 6
    forth = torch.eye(4)
    forth[:3, :3] = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0.5, 0.5, -1]])
    ended(encoder.down_blocks[2].resnets[0].conv_shortcut, encoder.conv_out, forth / spread[:, None], 1.0)  # type: ignore[index,union-attr]
    encoder.conv_out.bias[4:] = -10.0  # type: ignore[index]
    network.quant_conv.weight[range(8), range(8), 0, 0] = 1.0  # type: ignore[union-attr]
    network.post_quant_conv.weight[range(4), range(4), 0, 0] = 1.0  # type: ignore[union-attr]
    decoder.conv_in.weight[range(4), range(4), 1, 1] = 1.0
    smooth = torch.tensor([0.2, 0.6, 0.2])
    for i in (0, 1):
        decoder.up_blocks[i].upsamplers[0].conv.weight[range(4), range(4)] = smooth[:, None] * smooth  # type: ignore[index,union-attr]
    carried(decoder.up_blocks[1].resnets[0], 4)  # type: ignore[index,union-attr]
    ended(decoder.up_blocks[2].resnets[0].conv_shortcut, decoder.conv_out, back, 0.3)  # type: ignore[index,union-attr]
    for part in (network.encoder, network.quant_conv):
        part.requires_grad_(False)  # type: ignore[union-attr]
    return network


def photographs(root: Path) -> tuple[list[Photograph], list[Photograph]]:
    """(to train on, held out), split by photograph."""
    return hold_out(load_clean([root / f for f in FOLDERS], Store()), HELD_OUT)


def quiet_start(network: nn.Module) -> nn.Module:
    """Blocks begin as the identity: a short training then learns from the first step."""
    for name, parameter in network.named_parameters():
        if ".conv2." in name or name.startswith("conv_out."):
            nn.init.zeros_(parameter)
    return network


@dataclass(frozen=True)
class Crops:
    """x: (B, 3, h, w) in [-1, 1]."""

    x: Tensor

    @property
    def count(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> Crops:
        return Crops(self.x.to(device, non_blocking=True))

    def pin_memory(self) -> Crops:
        return Crops(self.x.pin_memory())


@dataclass(frozen=True)
class CropSource:
    photos: list[Photograph]
    store: Store

    @property
    def pictures(self) -> set[Picture]:
        return {photo.clean for photo in self.photos}

    def stage_batch(self, stage: Stage, seed: int, step: int, part: int = 0) -> Crops:
        generator = rng(seed, step) if part == 0 else rng(seed, step, 2, part)
        return Crops(crops(self.photos, stage.batch // stage.accumulate, stage.crop, generator)[0] * 2 - 1)


class Prior(Trainer):
    """A network on crops of photographs. write: puts it, with its averaged weights, into the folder that `--prior` reads."""

    def __init__(
        self, kind: str, network: nn.Module, loss: Loss, args: Namespace, put: Callable[[], None],
        prepare: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:  # fmt: skip
        batch, size = args.batch or BATCH[kind][0], BATCH[kind][1]
        stage = Stage(
            kind="prior", steps=args.steps, lr=RATE[kind], batch=batch, crop=size, warmup=20, accumulate=args.accumulate,
            schedule="level",
        )  # fmt: skip
        super().__init__(
            Config(
                name=kind, seed=args.seed, path="prior", ema=0.995, save_every=SAVE_EVERY, device=args.device, workers=args.workers,
                minutes=args.minutes, data=Data(photos=list(FOLDERS), held_out=HELD_OUT), stages=[stage],
            )
        )  # fmt: skip
        self.fixed = tuple(name for name, p in network.named_parameters() if not p.requires_grad)
        self._network, self._loss, self._prepare, self._put, self._root = network, loss, prepare, put, args.data

    def learner(self, device: torch.device) -> OneNetwork:
        return OneNetwork(self._network.to(device), nullcontext)  # type: ignore[arg-type]

    def material(self, world: World, say: Callable[[str], None]) -> CropSource:
        found, held = photographs(self._root)
        say(f"{len(found)} photographs to train on, {len(held)} held out")
        return CropSource(found, found[0].clean.store)

    def objective(self, stage: Stage) -> Objective:
        def goal(
            learner: OneNetwork, batch: Crops, stage: Stage, generator: torch.Generator, _: torch.Generator
        ) -> float:
            value = self._loss(learner.network, self._prepare(batch.x), generator)
            value.backward()
            return float(value.detach())

        return goal

    def write(self, state: State, path: Path, verdict: Verdict | None = None) -> str:
        with written(path):  # the loop names a file for programs that want one; a prior is a folder
            self._put()
            path.write_text(f"{state.counters.done} steps\n")
        return ""

    def finish(self, state: State, folder: Path, verdict: Verdict | None) -> str:
        with written(folder / "config.yaml"):
            self._put()
        return f"wrote {folder.parent}; use it with: unveil restore PHOTO -o OUT --prior {folder.parent}"


def pixel(args: Namespace) -> Prior:
    network = quiet_start(DiffusersUNet(PIXEL))

    def put() -> None:
        write_part(args.output, "unet", PIXEL, network)
        write_part(args.output, "scheduler", SCHEDULERS["pixel"])
        write_index(args.output, "DDIMPipeline", {"unet": "UNet2DModel", "scheduler": "DDIMScheduler"})

    return Prior("pixel", network, diffusion_loss(SCHEDULERS["pixel"], 1.7), args, put)


def autoencoder(args: Namespace) -> Prior:
    found, _ = photographs(args.data)
    x = crops(found, 64, 64, rng(args.seed, 2**31))[0] * 2 - 1
    network = linear_start(AutoencoderKL(AUTOENCODER), opponent(x).std((0, 2, 3)))
    put = partial(write_part, args.output, "vae", AUTOENCODER, network)
    return Prior("autoencoder", network, reconstruction_loss, args, put)


def latent(args: Namespace) -> Prior:
    config = json.loads((args.autoencoder / "vae" / "config.json").read_text())
    vae = AutoencoderKL(config).eval().requires_grad_(False)
    vae.load_state_dict({k: v.float() for k, v in load_file(args.autoencoder / "vae" / WEIGHTS).items()})

    def encoded(x: Tensor) -> Tensor:
        vae.to(x.device)
        with torch.no_grad():
            return config["scaling_factor"] * vae.encode(x)[0]

    network = quiet_start(DiffusersUNet(LATENT))

    def put() -> None:
        write_part(args.output, "vae", config, vae)
        write_part(args.output, "unet", LATENT, network)
        write_part(args.output, "scheduler", SCHEDULERS["latent"])
        parts = {"vqvae": "AutoencoderKL", "unet": "UNet2DModel", "scheduler": "DDIMScheduler"}
        write_index(args.output, "LDMPipeline", parts)

    return Prior("latent", network, diffusion_loss(SCHEDULERS["latent"], 1.2), args, put, encoded)


OPTIONS = {
    "kind": {"choices": STEPS},
    "--data": {"type": Path, "required": True, "help": "folder that holds " + ", ".join(FOLDERS)},
    "-o --output": {"type": Path, "required": True},
    "--autoencoder": {"type": Path, "help": "run of the autoencoder, for latent"},
    "--steps": {"type": positive},
    "--minutes": {"type": float, "default": 0.0, "help": "end after so long instead of after --steps, the rate falling by then"},
    "--batch": {"type": positive, "help": f"crops a step (default {', '.join(f'{k} {v[0]}' for k, v in BATCH.items())})"},
    "--accumulate": (1, "parts of a step, a multiple of torchrun's processes"),
    "--device": "cpu",
    "--workers": {"type": int, "default": 1, "help": "processes that cut crops, 0 for none"},
    "--seed": {"type": int, "default": 1},
}  # fmt: skip


def main(args: Namespace) -> None:
    args.steps = args.steps or STEPS[args.kind]
    torch.manual_seed(args.seed)
    trainer = {"pixel": pixel, "autoencoder": autoencoder, "latent": latent}[args.kind](args)
    run(trainer, args.output / "training", report=lambda line: print(line, flush=True))
