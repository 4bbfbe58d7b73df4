"""What other people's programs write: which of the tables is taken, what stands beside it, and what is no file of weights at all.

The wrappers are torch's own where torch has them; Lightning's, BasicSR's and latent diffusion's files are built in their layout.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unveil.cli import main
from unveil.errors import ModelError
from unveil.models.importing import describe, import_file
from unveil.models.importing.containers import load
from unveil.networks.conditional_unet import ConditionalUNet

State = dict[str, Tensor]
Save = Callable[[str, Any], Path]


def network(seed: int = 0) -> ConditionalUNet:
    torch.manual_seed(seed)
    return ConditionalUNet(nf=4, mults=(1, 2))


RAW, AVERAGED = network(1).state_dict(), network(2).state_dict()


def prefixed(state: State, prefix: str) -> State:
    return {prefix + k: v for k, v in state.items()}


def lit_ema() -> State:
    """Latent diffusion's: beside the raw weights under `model.`, the averaged ones with the dots of their keys taken out."""
    averaged = {"model_ema." + k.replace(".", ""): v for k, v in AVERAGED.items()}
    return prefixed(RAW, "model.") | averaged | {"model_ema.decay": torch.tensor(0.999)}


BOTH: dict[str, Any] = {
    "model_ema": {"model": RAW, "model_ema": AVERAGED},
    "ema_state_dict": {"state_dict": RAW, "ema_state_dict": AVERAGED, "epoch": 3},
    "state_dict_ema": {"state_dict": RAW, "state_dict_ema": AVERAGED},
    "model_state_dict": {"model_state_dict": RAW, "ema_model_state_dict": AVERAGED, "optimizer_state_dict": {}},
    "params_ema": {"params": RAW, "params_ema": AVERAGED},
    "g_ema": {"g": RAW, "d": {"w": torch.zeros(3)}, "g_ema": AVERAGED, "d_ema": {"w": torch.zeros(3)}},
    "modelEMA": {"model": RAW, "modelEMA": AVERAGED},
    "nested": {"checkpoint": {"model": RAW, "ema": {"state_dict": AVERAGED, "decay": 0.999}}},
    "shadow_params": {"model": RAW, "ema": {"decay": 0.99, "shadow_params": list(AVERAGED.values())}},
    "prefixes": prefixed(RAW, "model.") | prefixed(AVERAGED, "ema_model."),
    "lit_ema": {"state_dict": lit_ema(), "pytorch-lightning_version": "1.4.2"},
    # Lightning's WeightAveraging puts the averaged weights where the raw ones were.
    "weight averaging": {
        "state_dict": AVERAGED,
        "current_model_state": RAW,
        "averaging_state": {"n_averaged": torch.tensor(9)},
        "pytorch-lightning_version": "2.6.0",
    },
    "swa callback": {
        "state_dict": RAW,
        "callbacks": {"StochasticWeightAveraging": {"n_averaged": 3, "average_model_state": AVERAGED}},
    },
}


@pytest.mark.parametrize("name", BOTH)
def test_the_averaged_weights_come_first_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    torch.save(BOTH[name], tmp_path / "x.pt")
    flat = load(tmp_path / "x.pt")
    got = {k.removeprefix("model."): v for k, v in flat.tensors.items()}
    assert all(torch.equal(got[k], v) for k, v in AVERAGED.items())
    if name != "weight averaging":
        assert flat.averaged is not None


def test_which_weights_were_taken_is_said(save: Save) -> None:
    made = import_file(save("x.pt", BOTH["model_ema"]))
    assert made.averaged == "model_ema"
    assert "  taken: the averaged weights (model_ema)" in describe(made)
    assert json.loads(made.description.read_text())["averaged"] == "model_ema"
    plain = import_file(save("y.pt", {"model": RAW}))
    assert plain.averaged is None
    assert not any("  taken:" in line for line in describe(plain))


def test_averaged_weights_without_names_that_do_not_fit_are_not_guessed(save: Save) -> None:
    shadow = list(AVERAGED.values())[1:]
    with pytest.raises(ModelError, match="bear no names"):
        load(save("x.pt", {"model": RAW, "ema": {"shadow_params": shadow}}))


def test_torchs_averaged_model(save: Save) -> None:
    net = network(1)
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    averaged.update_parameters(net)
    net.load_state_dict(AVERAGED)
    averaged.update_parameters(net)
    flat = load(save("x.pt", {"model": net.state_dict(), "ema": averaged.state_dict()}))
    assert flat.tensors.keys() == RAW.keys()
    for k in RAW:
        torch.testing.assert_close(flat.tensors[k], (RAW[k] + AVERAGED[k]) / 2)
    alone = load(save("y.pt", averaged.state_dict()))
    assert alone.averaged == "AveragedModel"
    assert alone.tensors.keys() == RAW.keys()


def test_what_wrappers_write_into_keys_is_taken_out_at_any_depth(save: Save) -> None:
    class Lit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.compile(network(1), backend="eager")

    for name, tree in {
        "compiled": torch.compile(network(1), backend="eager").state_dict(),  # type: ignore[union-attr]
        "in a module": Lit().state_dict(),
        "distributed": prefixed(RAW, "module._orig_mod."),
        "inner": {k.replace("downs.", "downs._orig_mod."): v for k, v in RAW.items()},
        "fsdp": prefixed(RAW, "_fsdp_wrapped_module."),
    }.items():
        made = import_file(save(f"{name}.pt", {"state_dict": tree}))
        assert (made.family, made.unexpected) == ("IR-SDE", ()), name


@pytest.mark.parametrize(
    "name", ["model_state_dict", "net_g", "netG", "generator", "network", "params", "weights", "mine"]
)
def test_tables_by_other_names_are_found(save: Save, name: str) -> None:
    tree = {name: RAW, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}, "discriminator": {"w": torch.zeros(2)}}
    made = import_file(save("x.pt", tree))
    assert (made.family, made.unexpected) == ("IR-SDE", ())


def test_a_network_inside_a_bigger_module_is_taken_and_the_rest_told(save: Save) -> None:
    made = import_file(save("x.pt", prefixed(RAW, "generator.") | {"perceptual.w": torch.zeros(2)}))
    assert (made.family, made.unexpected) == ("IR-SDE", ("perceptual.w",))


def test_hyperparameters_that_lightning_saves_and_cannot_load(save: Save) -> None:
    settings = argparse.Namespace(root=pathlib.Path("data") / "train", lr=np.float64(1e-4), steps=np.int64(3))
    tree = {
        "state_dict": RAW,
        "hyper_parameters": {"args": settings, "root": pathlib.PurePosixPath("x"), "betas": np.array([0.1, 0.2])},
    }
    source = save("x.ckpt", tree)
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        torch.load(source, weights_only=True)
    assert import_file(source).family == "IR-SDE"
    torch.save(tree, source, _use_new_zipfile_serialization=False)
    assert load(source).tensors.keys() == RAW.keys()


def test_settings_of_other_packages_are_read_without_running_them(tmp_path: Path) -> None:
    """A configuration whose class would leave a trace when it is built, under a package's name that is let through."""
    trace: list[str] = []
    module = types.ModuleType("omegaconf")

    class DictConfig(dict):
        def __init__(self, *args: object) -> None:
            super().__init__()

        def __reduce__(self) -> tuple:
            return (make, ("it ran",), {"a": 1})

    def make(word: str) -> DictConfig:
        trace.append(word)
        return DictConfig()

    make.__module__, make.__qualname__, make.__name__ = "omegaconf", "make", "make"
    module.make = make  # type: ignore[attr-defined]
    sys.modules["omegaconf"], before = module, sys.modules.get("omegaconf")
    try:
        torch.save({"state_dict": RAW, "config": DictConfig()}, tmp_path / "x.ckpt")
        assert load(tmp_path / "x.ckpt").tensors.keys() == RAW.keys()
    finally:
        del sys.modules["omegaconf"]
        if before is not None:
            sys.modules["omegaconf"] = before
    assert trace == []


def shards(folder: Path, ending: str = "safetensors") -> Path:
    """RAW in two files and an index, as save_pretrained writes them."""
    keys, where = sorted(RAW), {}
    for i, part in enumerate((keys[::2], keys[1::2]), 1):
        name = f"diffusion_pytorch_model-{i:05}-of-00002.{ending}"
        tensors = {k: RAW[k] for k in part}
        if ending == "safetensors":
            save_file(tensors, folder / name)
        else:
            torch.save(tensors, folder / name)
        where |= dict.fromkeys(part, name)
    index = folder / f"diffusion_pytorch_model.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return index


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_sharded_files_are_read_through_their_index(tmp_path: Path, ending: str) -> None:
    index = shards(tmp_path, ending)
    for source in (index, tmp_path / f"diffusion_pytorch_model-00002-of-00002.{ending}"):
        got = load(source).tensors
        assert got.keys() == RAW.keys()
        assert all(torch.equal(got[k], RAW[k]) for k in RAW)
    (tmp_path / f"diffusion_pytorch_model-00001-of-00002.{ending}").unlink()
    with pytest.raises(ModelError, match=r"00001-of-00002.*does not lie beside it"):
        load(index)
    index.unlink()
    with pytest.raises(ModelError, match=r"one shard of several, and .*index.json"):
        load(tmp_path / f"diffusion_pytorch_model-00002-of-00002.{ending}")


def test_a_file_is_what_it_holds_and_not_what_it_is_called(tmp_path: Path) -> None:
    save_file(RAW, tmp_path / "x.pth")
    torch.save(RAW, tmp_path / "y.safetensors")
    for name in ("x.pth", "y.safetensors"):
        assert load(tmp_path / name).tensors.keys() == RAW.keys()


def scripted(path: Path) -> None:
    """The parts by which TorchScript's archives differ from weights."""
    with zipfile.ZipFile(path, "w") as file:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            file.writestr(f"x/{name}", b"")


def arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (scripted, "is TorchScript, a program with its weights"),
        (lambda p: p.write_text("\n<!DOCTYPE html><html>Sign in</html>"), "is a web page, not weights"),
        (lambda p: p.write_text('{"_class_name": "UNet2DModel"}'), "no index of shards"),
        (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "pointer of Git LFS"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "is an HDF5 file"),
        (lambda p: p.write_bytes(b"\x1f\x8b" + bytes(99)), "gzip archive; unpack it"),
        (arrays, "archive of NumPy arrays"),
        (
            lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)),
            "damaged, or no file of weights; give a .safetensors",
        ),
        (lambda p: p.write_text("an essay"), "damaged, or no file of weights; give a .safetensors"),
        (lambda p: p.mkdir(), "a folder without weights in it"),
        (lambda p: [p.mkdir(), save_file(RAW, p / "m.safetensors")], "a folder; give one file of it: m.safetensors"),
        (lambda p: [p.mkdir(), (p / "model_index.json").write_text("{}")], "a folder of diffusers.*--prior"),
        (lambda p: [p.mkdir(), (p / "__0_0.distcp").touch()], "distributed checkpoint of torch.*dcp_to_torch"),
        (
            lambda p: torch.save({"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)}}, p),
            "a whole latent diffusion model in one file",
        ),
    ],
)
def test_what_is_no_file_of_weights_is_called_what_it_is(
    tmp_path: Path, make: Callable[[Path], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "given.pth"
    make(source)
    with pytest.raises(ModelError, match=message):
        import_file(source)
    assert main(["models", "import", str(source)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
