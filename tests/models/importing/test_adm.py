"""guided-diffusion's network, written down again from its paper and its weights' names, against the converted one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import ModelError
from unveil.models.importing.convert import convert_adm, import_prior
from unveil.networks.diffusers_networks import DiffusersUNet

HEAD, WIDE, TIME = 32, (32, 64), 128


class Res(nn.Module):
    """Time scales and shifts the second norm's output; a change of size happens inside, between norm and convolution."""

    def __init__(self, inner: int, outer: int, change: str = "") -> None:
        super().__init__()
        self.change = change
        self.in_layers = nn.Sequential(nn.GroupNorm(32, inner), nn.SiLU(), nn.Conv2d(inner, outer, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(TIME, 2 * outer))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, outer), nn.SiLU(), nn.Identity(), nn.Conv2d(outer, outer, 3, padding=1)
        )
        if inner != outer:
            self.skip_connection = nn.Conv2d(inner, outer, 1)

    def sized(self, x: Tensor) -> Tensor:
        if self.change == "down":
            return F.avg_pool2d(x, 2)
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2) if self.change else x

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.in_layers[2](self.sized(self.in_layers[1](self.in_layers[0](x))))
        x = self.sized(x)
        scale, shift = self.emb_layers(told)[:, :, None, None].chunk(2, 1)
        h = self.out_layers[3](F.silu(self.out_layers[0](h) * (1 + scale) + shift))
        return h + (self.skip_connection(x) if hasattr(self, "skip_connection") else x)


class Look(nn.Module):
    """Attention whose rows of qkv lie head by head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.proj_out = (
            nn.GroupNorm(32, width),
            nn.Conv1d(width, 3 * width, 1),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        b, c, h, w = x.shape
        flat = x.flatten(2)
        heads = self.qkv(self.norm(flat)).chunk(c // HEAD, 1)
        seen = []
        for each in heads:
            q, k, v = each.split(HEAD, 1)
            weight = (q.transpose(1, 2) @ k / math.sqrt(HEAD)).softmax(-1)
            seen.append(v @ weight.transpose(1, 2))
        return (flat + self.proj_out(torch.cat(seen, 1))).view(b, c, h, w)


class ADM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        a, b = WIDE
        self.time_embed = nn.Sequential(nn.Linear(a, TIME), nn.SiLU(), nn.Linear(TIME, TIME))
        self.input_blocks = nn.ModuleList(
            nn.ModuleList(m)
            for m in ([nn.Conv2d(3, a, 3, padding=1)], [Res(a, a)], [Res(a, a, "down")], [Res(a, b), Look(b)])
        )
        self.middle_block = nn.ModuleList([Res(b, b), Look(b), Res(b, b)])
        self.output_blocks = nn.ModuleList(
            nn.ModuleList(m)
            for m in (
                [Res(b + b, b), Look(b)],
                [Res(b + a, b), Look(b), Res(b, b, "up")],
                [Res(b + a, a)],
                [Res(a + a, a)],
            )
        )
        self.out = nn.Sequential(nn.GroupNorm(32, a), nn.SiLU(), nn.Conv2d(a, 6, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        half = WIDE[0] // 2
        angle = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
        told = self.time_embed(torch.cat([angle.cos(), angle.sin()], 1))
        kept = []
        for members in self.input_blocks:
            for m in members:
                x = m(x) if isinstance(m, nn.Conv2d) else m(x, told)
            kept.append(x)
        for m in self.middle_block:
            x = m(x, told)
        for members in self.output_blocks:
            x = torch.cat([x, kept.pop()], 1)
            for m in members:
                x = m(x, told)
        return self.out(x)


@pytest.fixture(scope="module")
def official() -> ADM:
    torch.manual_seed(0)
    return ADM().eval()


def test_the_converted_network_says_the_same(official: ADM) -> None:
    config, state = convert_adm(official.state_dict(), head=HEAD)
    ours = DiffusersUNet(config).eval()
    ours.load_state_dict(state)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([0, 731])
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t), official(x, t), rtol=1e-4, atol=1e-5)


def test_a_checkpoint_becomes_a_folder(official: ADM, tmp_path: Path) -> None:
    torch.save(official.state_dict(), tmp_path / "256x256_diffusion_uncond.pt")
    lines = import_prior(tmp_path / "256x256_diffusion_uncond.pt", tmp_path / "adm")
    assert lines is not None
    assert "ADM (guided-diffusion), unconditional" in lines[0]
    assert (tmp_path / "adm" / "unet" / "diffusion_pytorch_model.safetensors").is_file()
    assert (tmp_path / "adm" / "scheduler" / "scheduler_config.json").is_file()


def test_other_checkpoints_are_left_to_others(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pt")
    assert import_prior(tmp_path / "other.pt") is None


def test_a_class_conditional_network_is_refused(official: ADM) -> None:
    with pytest.raises(ModelError, match="class-conditional"):
        convert_adm({**official.state_dict(), "label_emb.weight": torch.zeros(10, 4)}, head=HEAD)


def test_a_missing_tensor_is_named(official: ADM) -> None:
    state = official.state_dict()
    del state["middle_block.2.out_layers.3.weight"]
    with pytest.raises(ModelError, match=r"middle_block\.2\.out_layers\.3\.weight"):
        convert_adm(state, head=HEAD)
