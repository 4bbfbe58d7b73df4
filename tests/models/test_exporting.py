"""Exported models against ours, each in its format's own runtime, and darktable's package as darktable uses it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.cli import main
from unveil.diffusion.resolution import OFF, Resolution, resize
from unveil.diffusion.sampling import sample
from unveil.errors import InputError, ModelError
from unveil.models import exporting, shelf
from unveil.models.exporting import Unrolled, resized
from unveil.models.model import Model
from unveil.models.treatment import first_evaluation, steps_of, treatment
from unveil.models.weights_file import write
from unveil.photo.srgb import decode, encode
from unveil.testing import tiny_experts, tiny_model

PARITY = 1e-3
"""Of the range, as promised; measured differences are a thousand times smaller."""
SIZES = ((48, 36), (33, 70), (9, 17))


def photograph(height: int, width: int, seed: int = 0) -> Tensor:
    """(1, 3, height, width) in [0, 1]: smooth with noise."""
    generator = torch.Generator().manual_seed(seed)
    smooth = resize(torch.rand(1, 3, 5, 5, generator=generator), (height, width))
    return (smooth + 0.1 * torch.randn(1, 3, height, width, generator=generator)).clamp(0, 1)


def ours(model: Model, x: Tensor, fix: str | None, resolution: Resolution = OFF) -> Tensor:
    """The sampling loop at fidelity 1 on the whole photograph."""
    treat = treatment(None, fix) if fix else None
    process = model.spec.process(steps=steps_of(treat, model.spec))
    y = 2 * x - 1
    x0 = sample(
        model.conditioned_on(treat).denoiser(process, 1.0),
        y,
        process,
        lambda _, like: torch.randn_like(like),
        solver=model.spec.defaults.solver,
        fidelity=1.0,
        resolution=resolution,
        begin=first_evaluation(treat, process, model.spec),
    )
    return (x0 + 1) / 2


@pytest.mark.parametrize("fix", ["noise", "blur,jpeg"])
@pytest.mark.parametrize("size", [*SIZES, (1, 1), (2, 40)])
def test_unrolled_is_the_sampler(fix: str, size: tuple[int, int]) -> None:
    model = tiny_experts()
    network = exporting.unrolled(model, fix)
    assert not network.takes_the_whole_image
    assert len(network.levels) == 1
    x = photograph(*size)
    got = network(x)
    assert (got - ours(model, x, fix)).abs().max() < 1e-6
    assert (got - x).abs().max() > 1e-3, "it does something"


@pytest.mark.parametrize("make", [tiny_experts, tiny_model])
def test_unrolled_decides_light_on_the_reduced_photograph(make: Callable[[], Model]) -> None:
    model = make()
    fix = "haze" if model.spec.conditioned else None
    network = exporting.unrolled(model, fix, (32, 24))
    assert network.takes_the_whole_image
    x = photograph(64, 48)
    assert (network(x) - ours(model, x, fix, Resolution("coarse_to_fine", 32))).abs().max() < 1e-5


def with_views(model: Model, views: int) -> Model:
    return replace(model, spec=replace(model.spec, defaults=replace(model.spec.defaults, views=views)))


def test_unrolled_averages_the_views_by_which_light_is_decided() -> None:
    model, x = with_views(tiny_experts(), 4), photograph(64, 48)
    got = exporting.unrolled(model, "haze", (32, 24))(x)
    reduced = Resolution("coarse_to_fine", 32)
    assert (got - ours(model, x, "haze", reduced)).abs().max() < 1e-5
    assert (got - ours(tiny_experts(), x, "haze", reduced)).abs().max() > 1e-3
    off = replace(model.spec, defaults=replace(model.spec.defaults, resolution="off"))
    whole = exporting.unrolled(replace(model, spec=off), "haze")(x)
    assert (whole - ours(tiny_experts(), x, "haze")).abs().max() < 1e-5, "one view where nothing is reduced"


def test_one_conditioned_network_is_told_in_every_evaluation() -> None:
    model = tiny_model(conditioned=True)
    model = replace(
        model, spec=replace(model.spec, defaults=replace(model.spec.defaults, resolution="off"), fixes=("noise",))
    )
    network = exporting.unrolled(model, "noise")
    assert (len(network.levels), network.takes_the_whole_image) == (5, False)
    x = photograph(40, 33)
    assert (network(x) - ours(model, x, "noise")).abs().max() < 1e-5
    with pytest.raises(InputError, match="does not fix haze, only noise"):
        exporting.unrolled(model, "haze")


def test_only_experts_that_are_asked_are_carried_along() -> None:
    model = tiny_experts()
    native = sum(p.numel() for p in model.predictor.native.parameters())
    assert sum(p.numel() for p in exporting.unrolled(model, "noise").parameters()) == native
    assert sum(p.numel() for p in exporting.unrolled(model, "haze").parameters()) == 2 * native


@pytest.mark.parametrize("sizes", [((40, 60), (32, 32)), ((32, 32), (40, 61)), ((100, 40), (7, 4)), ((1, 1), (5, 7))])
def test_resizing_by_products_is_the_antialiased_one(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    x = photograph(*sizes[0])
    assert (resized(x, sizes[1]) - resize(x, sizes[1])).abs().max() < 1e-6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.safetensors, a model of experts, and noise.onnx made of it by the command."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="comes with the extra `export`")
    folder = tmp_path_factory.mktemp("made")
    model = tiny_experts()
    write(folder / "tiny.safetensors", model.spec, model.predictor, None, torch.float32)
    call = ["models", "export", str(folder / "tiny.safetensors"), "-o", str(folder / "noise.onnx"), "--fix", "noise"]
    assert main(call) == 0
    return folder


def in_onnxruntime(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["input"]
    assert [o.name for o in session.get_outputs()] == ["output"]
    assert session.get_inputs()[0].shape == session.get_outputs()[0].shape == [1, 3, "height", "width"]
    assert session.get_inputs()[0].type == session.get_outputs()[0].type == "tensor(float)"
    return lambda x: torch.from_numpy(session.run(None, {"input": x.numpy()})[0])


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (3, 2)])
def test_onnx_in_onnxruntime(made: Path, size: tuple[int, int]) -> None:
    x = photograph(*size)
    assert (in_onnxruntime(made / "noise.onnx")(x) - ours(tiny_experts(), x, "noise")).abs().max() < PARITY


@pytest.mark.slow
@pytest.mark.parametrize("name", ["haze", "guided", "views", "compact"])
def test_onnx_of_the_whole_sampler_in_onnxruntime(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxruntime", reason="comes with the extra `export`")
    model, fix = (tiny_model(), None) if name == "compact" else (tiny_experts(), "haze")
    if name == "guided":  # as `general` carries light to full size
        defaults = replace(model.spec.defaults, switch="guided")
        model = replace(model, spec=replace(model.spec, defaults=defaults))
    if name == "views":
        model = with_views(model, 4)
    network = exporting.unrolled(model, fix, (32, 24))
    run = in_onnxruntime(exporting.onnx(network, tmp_path / "a.onnx", exporting.About("tiny", fix or "", "")))
    for size in ((64, 48), (128, 96)):
        x = photograph(*size)
        resolution = Resolution("coarse_to_fine", 32, model.spec.defaults.switch)
        assert (run(x) - ours(model, x, fix, resolution)).abs().max() < PARITY


def test_integers_are_not_clipped_which_opencv_does_not_run(made: Path) -> None:
    import onnx

    proto = onnx.shape_inference.infer_shapes(onnx.load(made / "noise.onnx"))
    types = {value.name: value.type.tensor_type.elem_type for value in proto.graph.value_info}
    clipped = [node.input[0] for node in proto.graph.node if node.op_type == "Clip"]
    assert clipped
    assert {types[name] for name in clipped} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("size", SIZES)
def test_onnx_in_opencv(made: Path, size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2", minversion="5", reason="OpenCV 5 is no part of any extra")
    network = cv2.dnn.readNetFromONNX(str(made / "noise.onnx"))
    x = photograph(*size)
    network.setInput(x.numpy())
    assert (torch.from_numpy(network.forward()) - ours(tiny_experts(), x, "noise")).abs().max() < PARITY


def test_an_onnx_file_says_what_it_is_and_nothing_of_where_it_was_made(made: Path) -> None:
    import onnx

    proto = onnx.load(made / "noise.onnx")
    onnx.checker.check_model(proto, full_check=True)
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    assert (facts["model"], facts["fix"], facts["range"]) == ("tiny", "noise", "sRGB in [0, 1]")
    data = (made / "noise.onnx").read_bytes()
    assert b"exporting.py" not in data
    assert b"/src/" not in data


@pytest.mark.slow
def test_pt2_in_torch(tmp_path: Path) -> None:
    model = tiny_experts()
    path = exporting.pt2(exporting.unrolled(model, "noise"), tmp_path / "a.pt2", exporting.About("tiny", "noise", ""))
    run = torch.export.load(path).module()
    for size in SIZES:
        x = photograph(*size)
        assert (run(x) - ours(model, x, "noise")).abs().max() < PARITY


@pytest.mark.slow
@pytest.mark.parametrize("fix", ["noise", "haze"])
def test_openvino_in_its_runtime(tmp_path: Path, fix: str) -> None:
    openvino = pytest.importorskip("openvino", reason="comes with the extra `openvino`")
    model = tiny_experts()
    network = exporting.unrolled(model, fix, (32, 24))
    path = exporting.openvino(network, tmp_path / "tiny.xml", exporting.About("tiny", fix, ""))
    assert path.with_suffix(".bin").is_file()
    run = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in ((64, 48), (128, 96)):
        x = photograph(*size)
        resolution = OFF if fix == "noise" else Resolution("coarse_to_fine", 32)
        assert np.abs(run(x.numpy())[0] - ours(model, x, fix, resolution).numpy()).max() < PARITY


def as_darktable(run: Callable[[Tensor], Tensor], linear: np.ndarray, tile: int, overlap: int = 64) -> np.ndarray:
    """What darktable's documentation says it does with (3, H, W) linear light: sRGB, mirrored borders, tiles, linear light again."""
    height, width = linear.shape[1:]
    core = tile - 2 * overlap
    down, right = -height % core, -width % core
    padded = np.pad(
        encode(linear.clip(0, 1)), ((0, 0), (overlap, overlap + down), (overlap, overlap + right)), mode="reflect"
    )
    out = np.empty((3, height + down, width + right), np.float32)
    for top in range(0, height, core):
        for left in range(0, width, core):
            part = padded[None, :, top : top + tile, left : left + tile]
            said = run(torch.from_numpy(np.ascontiguousarray(part)))[0].numpy()
            out[:, top : top + core, left : left + core] = said[:, overlap:-overlap, overlap:-overlap]
    return decode(out[:, :height, :width])


def package(network: Unrolled, folder: Path, name: str) -> tuple[Callable[[Tensor], Tensor], str]:
    """A .dtmodel written, unpacked and opened as darktable would; and its id."""
    path = exporting.dtmodel(network, folder / "model.dtmodel", exporting.About(name, "noise", ""))
    with zipfile.ZipFile(path) as file:
        inside = file.namelist()
        file.extractall(folder)
    config = next(folder.glob("*/config.json"))
    tree = json.loads(config.read_text())
    assert config.parent.name == tree["id"]
    assert sorted(inside) == sorted([f"{tree['id']}/config.json", f"{tree['id']}/model.onnx"])
    assert (tree["task"], tree["backend"], tree["num_inputs"]) == ("denoise", "onnx", 1)
    assert all(tree[key] for key in ("name", "description", "version"))
    return in_onnxruntime(config.parent / "model.onnx"), tree["id"]


def test_the_package_of_darktable(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "onnx_bytes", lambda network, about: (made / "noise.onnx").read_bytes())
    run, called = package(exporting.unrolled(tiny_experts(), "noise"), tmp_path, "tiny")
    assert called == "denoise-unveil-tiny-noise"
    linear = decode(photograph(150, 170)[0].numpy())
    tiles, whole = as_darktable(run, linear, 256), as_darktable(run, linear, 512)
    assert np.abs(encode(tiles) - encode(whole)).max() * 255 < 1
    # Away from the mirrored borders it is what restoring the photograph gives.
    reference = ours(tiny_experts(), torch.from_numpy(encode(linear))[None], "noise")[0].numpy()
    assert np.abs(encode(whole) - reference)[:, 44:-44, 44:-44].max() < PARITY


@pytest.mark.slow
@pytest.mark.skipif(
    not shelf.load("general").spec.conditioned,
    reason="general is of a kind that cannot be told to leave the light alone",
)
def test_the_package_of_general_agrees_in_tiles_and_looks_no_further_than_they_overlap(tmp_path: Path) -> None:
    run, _ = package(exporting.unrolled(shelf.load("general"), "noise"), tmp_path, "general")
    x = photograph(250, 230)
    linear = decode(x[0].numpy())
    tiles, whole = as_darktable(run, linear, 256), as_darktable(run, linear, 512)
    assert np.abs(encode(tiles) - encode(whole)).max() * 255 < 1
    other = x.clone()
    other[..., :80] = photograph(250, 80, seed=5)
    assert ((run(other) - run(x))[..., 80 + 64 :].abs().max()) * 255 < 1


def test_darktable_is_not_given_what_needs_the_whole(tmp_path: Path) -> None:
    for network in (exporting.unrolled(tiny_experts(), "haze"), exporting.unrolled(tiny_model())):
        with pytest.raises(ModelError, match="--fix noise"):
            exporting.dtmodel(network, tmp_path / "a.dtmodel", exporting.About("tiny", "", ""))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="--fix noise"):
        exporting.unrolled(tiny_experts())
    with pytest.raises(InputError, match="cannot be told"):
        exporting.unrolled(tiny_model(), "noise")
    with pytest.raises(InputError, match="no kind of damage"):
        exporting.unrolled(tiny_experts(), "noize")
    with pytest.raises(InputError, match="two sides"):
        exporting.unrolled(tiny_experts(), "haze", (0, 10))
    with pytest.raises(InputError, match="unknown format"):
        exporting.export("general", tmp_path, "torchscript")
    about = exporting.About("tiny", "noise", "")
    with pytest.raises(InputError, match=r"ends with \.onnx"):
        exporting.output_path(tmp_path / "a.pth", "onnx", about)
    with pytest.raises(InputError, match="make it first"):
        exporting.output_path(tmp_path / "no" / "a.onnx", "onnx", about)
    assert exporting.output_path(tmp_path, "dtmodel", about) == tmp_path / "unveil-tiny-noise.dtmodel"
    assert main(["models", "export", "general", "-o", str(tmp_path), "--reduced", "big"]) == 2
    assert "HEIGHTxWIDTH" in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnx and onnxscript: .*pip install .*\[export\]'"):
        exporting.need("dtmodel")
    exporting.need("pt2")


def test_the_same_model_makes_the_same_package() -> None:
    one, two = (io.BytesIO() for _ in range(2))
    for file in (one, two):
        with zipfile.ZipFile(file, "w") as package:
            package.writestr(exporting._zip_entry("a/config.json"), "{}")
    assert one.getvalue() == two.getvalue()


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    about = exporting.About("general", "noise", "5" * 64)
    made = exporting.output_path(tmp_path / "new" / "folder", "pt2", about)
    assert made.parent == tmp_path / "new" / "folder"
    assert made.parent.is_dir()
    assert made.suffix == ".pt2"
    with pytest.raises(InputError, match=r"a file of the format pt2 ends with \.pt2"):
        exporting.output_path(tmp_path / "a.onnx", "pt2", about)
