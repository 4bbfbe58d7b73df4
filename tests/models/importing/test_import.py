from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unveil.cli import main
from unveil.diffusion import GaussianPath, sample
from unveil.errors import ModelError
from unveil.models.importing import describe, import_file
from unveil.models.model import Model
from unveil.models.network_registry import build
from unveil.models.weights_file import read, sha256_of
from unveil.networks.clip import CLIP, VisionTower
from unveil.networks.conditional_unet import ConditionalUNet
from unveil.networks.daclip import DACLIP
from unveil.networks.rddm_unet import UNet
from unveil.restorer import Restorer

State = dict[str, Tensor]
Save = Callable[[str, Any], Path]
Golden = Callable[[str], State]

CASES = {
    "resfusion": ("rddm_unet_resfusion_dim8", "lightning", "Resfusion"),
    "rddm": ("rddm_unetres_share0_dim8", "rddm", "RDDM, two networks"),
    "rddm-single": ("rddm_unetres_share-1_dim8", "rddm", "RDDM, one network"),
    "rddm-shared": ("rddm_unetres_share1_dim8", "rddm", "RDDM, one encoder and two decoders"),
    "irsde": ("irsde_unet_nf8_depth3", "bare", "IR-SDE"),
    "irsde-module": ("irsde_unet_nf8_depth3", "module", "IR-SDE"),
    "irsde-ema": ("irsde_unet_nf8_depth3", "ema", "IR-SDE"),
    "refusion": ("irsde_nafnet_w8", "params", "Refusion"),
    "daclip-unet": ("daclip_unet_nf32", "bare", "DA-CLIP's U-Net"),
    "wild": ("wildir_unet_nf32", "bare", "wild-IR"),
    "daclip": ("daclip_tiny", "open_clip", "DA-CLIP"),
}


def picture(size: tuple[int, int] = (24, 17)) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_every_family_is_recognised_and_converted_whole(
    golden: Golden, save: Save, case: str, files: SimpleNamespace
) -> None:
    name, pack, family = CASES[case]
    state = golden(name)
    made = import_file(save("x.pth", getattr(files, pack)(state)))
    assert made.family == family
    assert not made.unexpected
    told = json.loads(made.description.read_text())
    assert told["description"] == json.loads(made.spec.to_json())
    assert told["sha256"] == made.sha256 == sha256_of(made.weights)
    assert told["missing"] == told["unexpected"] == []
    from safetensors.torch import load_file

    kept = {k.removeprefix("predictor."): v for k, v in load_file(made.weights).items()}
    if case == "rddm-single":
        state = {k.removeprefix("unet0."): v for k, v in state.items()}
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[k], state[k]) for k in state)
    assert build(made.spec.network).state_dict().keys() == state.keys()


@pytest.mark.shared
@pytest.mark.parametrize("case", ["resfusion", "rddm", "rddm-single", "rddm-shared", "irsde", "refusion"])
def test_imported_networks_restore(golden: Golden, save: Save, case: str, files: SimpleNamespace) -> None:
    name, pack, _ = CASES[case]
    made = import_file(save("x.ckpt", getattr(files, pack)(golden(name))))
    restorer = Restorer(read(made.weights, made.sha256), "cpu")
    steps = min(4, made.spec.defaults.steps)
    out = restorer.restore(picture()[0], steps=steps, seed=3)
    assert out.image.shape == (24, 17, 3)
    assert out.protocol["steps"] == steps
    assert out.protocol["sha256"] == made.sha256
    again = restorer.restore(picture()[0], steps=steps, seed=3)
    assert (out.image == again.image).all()


@pytest.mark.shared
@pytest.mark.parametrize("case", ["resfusion", "rddm", "rddm-shared", "irsde", "refusion"])
def test_imported_networks_run_in_bf16(golden: Golden, save: Save, case: str, files: SimpleNamespace) -> None:
    """Half a level of 255 from fp32 on the mean (measured, random weights: 0.04 to 0.41), and asked for, not by default on a processor."""
    name, pack, _ = CASES[case]
    made = import_file(save("x.ckpt", getattr(files, pack)(golden(name))))
    full, half = (Restorer(read(made.weights), "cpu", dtype=d) for d in ("auto", "bf16"))
    steps = min(5, made.spec.defaults.steps)
    first, second = (r.restore(picture()[0], steps=steps, seed=3).image for r in (full, half))
    assert 0 < abs(first - second).mean() < 0.5 / 255


def whole(model: Model, y: Tensor, process: GaussianPath, draws: Tensor, solver: str) -> Tensor:
    return sample(model.denoiser(process, 0.0), y, process, lambda i, like: draws[i].to(like), solver=solver)


@pytest.mark.shared
@torch.no_grad()
def test_resfusion_runs_as_its_own_sampler(golden: Golden, save: Save, files: SimpleNamespace) -> None:
    """x <- (x - beta / sqrt(1 - abar) net) / sqrt(alpha) + sqrt(beta_hat) z, with the network told 0 ... T' - 1."""
    made = import_file(save("x.ckpt", files.lightning(golden("rddm_unet_resfusion_dim8"))))
    model = read(made.weights)
    net = UNet(8).eval()
    net.load_state_dict(golden("rddm_unet_resfusion_dim8"))
    y = 2 * picture((16, 16)) - 1
    draws = torch.randn(6, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    beta = torch.tensor([0.0083333, 0.1590909, 0.3098485, 0.4606061, 0.0], dtype=torch.float64)
    abar = torch.cumprod(1 - beta, 0)
    abar[4] = 0.25
    beta[4] = 1 - 0.25 / abar[3]
    before = torch.cat([abar[:1], abar[:-1]])
    x = 0.5 * y + 0.75**0.5 * draws[0]
    for i, t in enumerate(range(4, -1, -1)):
        e = net(x, y, torch.tensor([t]))
        x = (x - float(beta[t] / (1 - abar[t]).sqrt()) * e) / float((1 - beta[t]).sqrt())
        if t:
            x = x + float(((1 - before[t]) / (1 - abar[t]) * beta[t]).sqrt()) * draws[i + 1]
    got = whole(model, y, model.spec.process(), draws, "ancestral")
    torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)


@pytest.mark.shared
@pytest.mark.parametrize("case", ["irsde", "refusion"])
@torch.no_grad()
def test_irsde_runs_as_its_own_posterior_sampler(golden: Golden, save: Save, case: str, files: SimpleNamespace) -> None:
    name, pack, _ = CASES[case]
    made = import_file(
        save("x.pth", getattr(files, pack)(golden(name))), schedule="mean_reverting(cosine, 8, 0.005, 10)"
    )
    model = read(made.weights)
    net, process = model.predictor, model.spec.process(steps=8)
    y = picture((16, 16))
    draws = torch.randn(9, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    theta = -process.decay.log()
    x = y + float(process.sigma[-1]) * draws[0]
    for i, t in enumerate(range(8, 0, -1)):
        eps = net(x, y, torch.tensor([t]))
        a, b, c = (torch.exp(-v).item() for v in (theta[t] - theta[t - 1], theta[t], theta[t - 1]))
        x0 = (x - y - float(process.sigma[t]) * eps) / b + y
        mean = a * (1 - c * c) / (1 - b * b) * (x - y) + c * (1 - a * a) / (1 - b * b) * (x0 - y) + y
        std = 10 / 255 * ((1 - a * a) * (1 - c * c) / (1 - b * b)) ** 0.5
        x = mean + std * draws[i + 1]
    got = whole(model, y, process, draws, "ancestral")
    # The prediction's error is amplified 200 times at the start, and with it rounding.
    torch.testing.assert_close(got, x, rtol=1e-3, atol=1e-3 * float(x.abs().max()))


@pytest.mark.shared
@torch.no_grad()
def test_rddm_runs_as_its_own_sampler(golden: Golden, save: Save, files: SimpleNamespace) -> None:
    """x <- x - (abar_t - abar_u) residual - (bbar_t - bbar_u) noise, with the averaged weights and the file's tables."""
    made = import_file(save("x.pt", files.rddm(golden("rddm_unetres_share0_dim8"), steps=100, total=1.0)))
    assert made.spec.schedule == "rddm(decreased, increased, 100, 1)"
    model = read(made.weights)
    process = model.spec.process(steps=5)
    y = 2 * picture((16, 16)) - 1
    draws = torch.randn(6, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x = y + float(process.sigma[-1]) * draws[0]
    for t in range(5, 0, -1):
        residual, noise = model.predictor(x, y, torch.tensor([int(process.timestep[t])])).split(3, dim=1)
        residual = residual.clamp(-1, 1)
        db, ds = (float(v[t] - v[t - 1]) for v in (process.beta, process.sigma))
        last = x - float(process.beta[t]) * residual - float(process.sigma[t]) * noise
        x = x - db * residual - ds * noise if t > 1 else last
    assert model.spec.defaults.solver == "ddim"
    torch.testing.assert_close(whole(model, y, process, draws, "ddim"), x, rtol=1e-4, atol=1e-4)


@pytest.mark.shared
def test_a_guided_network_needs_its_guide_and_hears_it(
    golden: Golden, save: Save, tmp_path: Path, files: SimpleNamespace
) -> None:
    source = save("universal-ir.pth", golden("daclip_unet_nf32"))
    alone = import_file(source)
    assert "cannot restore yet" in describe(alone)[-1]
    with pytest.raises(ModelError, match="import both"):
        read(alone.weights)
    guide = import_file(save("daclip.pt", files.open_clip(golden("daclip_tiny"))))
    assert "restores nothing by itself" in describe(guide)[-1]
    with pytest.raises(ModelError, match="restores none"):
        read(guide.weights)
    made = import_file(source, tmp_path / "guided.safetensors", guide=guide.weights)
    model = read(made.weights)
    content, degradation = model.contexts(picture())
    assert content.shape == degradation.shape == (1, 16)
    other = model.contexts(1 - picture())
    assert not torch.equal(content, other[0])
    out = Restorer(model, "cpu").restore(picture()[0], steps=3)
    assert out.image.shape == (24, 17, 3)
    assert "run it with" in describe(made)[-1]
    guide.weights.unlink()
    with pytest.raises(ModelError, match=r"daclip.safetensors: no such model file"):
        read(made.weights)


@pytest.mark.shared
def test_a_wild_network_takes_the_content_alone(golden: Golden, save: Save, tmp_path: Path) -> None:
    torch.manual_seed(0)
    clip = DACLIP(CLIP(VisionTower(24, 32, 8, 32, 2, 2), 12, 64, 16, 1, 1))
    guide = import_file(save("clip.pt", clip.state_dict()))
    made = import_file(save("wild-ir.pth", golden("wildir_unet_nf32")), guide=guide.weights, half=True)
    model = read(made.weights)
    assert [c.shape for c in model.contexts(picture())] == [(1, 24)]
    assert Restorer(model, "cpu").restore(picture()[0], steps=2).image.shape == (24, 17, 3)
    assert made.weights.stat().st_size < 0.6 * (tmp_path / "wild-ir.pth").stat().st_size


def small() -> nn.Module:
    torch.manual_seed(0)
    return ConditionalUNet(nf=4, mults=(1, 2))


def test_keys_that_are_missing_or_too_many_are_told(save: Save) -> None:
    state = small().state_dict()
    made = import_file(save("more.pth", state | {"extra.weight": torch.zeros(1)}))
    assert made.unexpected == ("extra.weight",)
    assert any("extra.weight" in line for line in describe(made))
    for name in ("mid_block1.block1.proj.weight", "final_conv.weight"):
        with pytest.raises(ModelError, match=f"1 of {len(state)} tensors are missing: {name}"):
            import_file(save("less.pth", {k: v for k, v in state.items() if k != name}))
    wrong = state | {"final_conv.weight": torch.zeros(3, 4, 5, 5)}
    with pytest.raises(ModelError, match=r"final_conv.weight \(3, 4, 5, 5\) instead of \(3, 4, 3, 3\)"):
        import_file(save("wrong.pth", wrong))
    nan = state | {"final_conv.bias": torch.full((3,), float("nan"))}
    with pytest.raises(ModelError, match=r"no numbers: final_conv.bias"):
        import_file(save("nan.pth", nan))


@pytest.mark.parametrize("case", ["resfusion", "rddm", "irsde", "daclip"])
@pytest.mark.shared
def test_cut_files_are_refused_with_the_reason(golden: Golden, save: Save, case: str, files: SimpleNamespace) -> None:
    name, pack, _ = CASES[case]
    source = save("x.ckpt", getattr(files, pack)(golden(name)))
    data = source.read_bytes()
    for share in (0.0, 0.001, 0.3, 0.9, 0.999):
        source.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ModelError, match=r"x.ckpt: .*(damaged|refused)"):
            import_file(source)
        assert not source.with_suffix(".safetensors").exists()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.shared
def test_corrupted_files_are_refused_with_the_reason(
    golden: Golden, save: Save, case: str, files: SimpleNamespace
) -> None:
    name, pack, _ = CASES[case]
    source = save("x.pth", getattr(files, pack)(golden(name)))
    data = source.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        at = int(torch.randint(len(data) // 10, 9 * len(data) // 10, (1,), generator=generator))
        source.write_bytes(data[:at] + bytes(b ^ 0x5A for b in data[at : at + 64]) + data[at + 64 :])
        with pytest.raises(ModelError, match="damaged"):
            import_file(source)


def test_old_files_of_torch_are_read_and_refused_when_cut(save: Save, tmp_path: Path) -> None:
    source = tmp_path / "old.pth"
    torch.save(small().state_dict(), source, _use_new_zipfile_serialization=False)
    assert import_file(source).family == "IR-SDE"
    data = source.read_bytes()
    for share in (0.02, 0.5, 0.99):
        source.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ModelError, match="damaged"):
            import_file(source, tmp_path / "out.safetensors")


class Code:
    """Unpickled, it would call a function."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_hold_code_are_refused_and_it_does_not_run(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "it_ran"
    source = tmp_path / "evil.ckpt"
    torch.save({"state_dict": small().state_dict(), "x": Code(trace)}, source, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"refused, because reading it would run code \(.*open\)"):
        import_file(source)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": torch.zeros(2)}, "no published network .* \\(1 tensors: a, ...\\)"),
        ({"epoch": 3}, "holds no table of weights"),
        ([1, 2, 3], "holds no table of weights"),
        (torch.zeros(3), "holds no table of weights"),
    ],
)
def test_other_things_are_named(save: Save, tree: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_file(save("other.pt", tree))


def test_a_naked_unet_could_be_two_things(save: Save) -> None:
    with torch.device("cpu"):
        state = UNet(8, (1, 2)).state_dict()
    with pytest.raises(ModelError, match="which of the two it is"):
        import_file(save("u.pth", state))


def test_networks_with_a_mask_say_that_they_want_one(save: Save, files: SimpleNamespace) -> None:
    made = import_file(save("m.ckpt", files.lightning(UNet(8, (1, 2), mask_channels=2).state_dict())))
    assert made.spec.network["mask_channels"] == 2
    assert any(line.endswith("-n " + str(made.weights) + " --mask MASK") for line in describe(made))
    with pytest.raises(ModelError, match="5 channels beside the photograph"):
        import_file(save("m.ckpt", files.lightning(UNet(8, (1, 2), mask_channels=5).state_dict())))


def test_an_unknown_schedule_of_rddm_is_not_guessed(save: Save, files: SimpleNamespace) -> None:
    state = files.rddm(files.prefixed(UNet(8, (1, 2)).state_dict(), "unet0."))
    state["ema"]["ema_model.alphas_cumsum"] = torch.linspace(0, 1, 1000) ** 3
    with pytest.raises(ModelError, match="none of RDDM's"):
        import_file(save("r.pt", state))


def test_what_the_caller_knows_replaces_what_is_assumed(save: Save) -> None:
    source = save("derain.pth", small().state_dict())
    assert "noise level 50" in import_file(source).assumed[0]
    made = import_file(source, schedule="mean_reverting(cosine, 100, 0.005, 10)", prediction="score")
    assert made.assumed == ()
    assert float(made.spec.process().sigma[-1]) == pytest.approx(10 / 255, rel=1e-4)
    assert made.spec.prediction == "score"
    with pytest.raises(ModelError, match=r"derain.pth: 'mean_reverting\(square"):
        import_file(source, schedule="mean_reverting(square, 100, 0.005, 10)")
    with pytest.raises(ModelError, match="unknown schedule"):
        import_file(source, schedule="os.system(1)")
    with pytest.raises(ModelError, match="unknown prediction 'v2'"):
        import_file(source, prediction="v2")


def test_a_guide_where_none_is_heard_and_one_elsewhere(save: Save, tmp_path: Path) -> None:
    source = save("plain.pth", small().state_dict())
    with pytest.raises(ModelError, match="takes no guide"):
        import_file(source, guide=source)
    torch.manual_seed(0)
    guided = save("g.pth", ConditionalUNet(32, (1, 1), context_dim=8, half_size=True).state_dict())
    with pytest.raises(ModelError, match="no such file"):
        import_file(guided, guide=tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="must lie in the folder"):
        import_file(guided, tmp_path / "elsewhere" / "g.safetensors", guide=source)


def test_the_command(save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save("irsde.pth", small().state_dict())
    out = tmp_path / "models" / "irsde.safetensors"
    assert main(["models", "import", str(source), "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert "IR-SDE" in told
    assert "assumed: theta follows the cosine schedule" in told
    assert f"-n {out}" in told
    assert (out.parent / "irsde.safetensors.json").is_file()
    source.write_bytes(b"PK\x03\x04 nothing")
    assert main(["models", "import", str(source), "-o", str(out)]) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_file_is_never_overwritten_by_what_is_made_of_it(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(small().state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="would be overwritten"):
        import_file(tmp_path / "x.safetensors")
    assert import_file(tmp_path / "x.safetensors", tmp_path / "y.safetensors").family == "IR-SDE"


@pytest.mark.shared
@torch.no_grad()
def test_rddm_with_one_network_derives_the_noise_before_anything_is_clamped(
    golden: Golden, save: Save, files: SimpleNamespace
) -> None:
    """Its objective pred_res: noise from the residual as it is, x <- x - (abar_t - abar_u) residual - (bbar_t - bbar_u) noise."""
    made = import_file(save("x.pt", files.rddm(golden("rddm_unetres_share-1_dim8"), steps=100, total=1.0)))
    model = read(made.weights)
    process = model.spec.process(steps=5)
    y = 2 * picture((16, 16)) - 1
    draws = torch.randn(6, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x = y + float(process.sigma[-1]) * draws[0]
    beyond = 0.0
    for t in range(5, 0, -1):
        residual = model.predictor(x, y, torch.tensor([int(process.timestep[t])]))[:, :3]
        beyond = max(beyond, float((y - residual).abs().max()))
        noise = (x - y - (float(process.beta[t]) - 1) * residual) / float(process.sigma[t])
        db, ds = (float(v[t] - v[t - 1]) for v in (process.beta, process.sigma))
        x = x - db * residual - ds * noise if t > 1 else y - residual
    assert beyond > 1.05  # the case is one: clamping would have changed it
    torch.testing.assert_close(whole(model, y, process, draws, "ddim"), x, rtol=1e-5, atol=1e-5)
