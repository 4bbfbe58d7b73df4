"""Batches that are made where the network is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from unveil.data.dataset import _reduced, cut, to_tensor
from unveil.data.files import Picture, Store
from unveil.errors import InputError
from unveil.training import config as configuration
from unveil.training.batches import Batch, Source
from unveil.training.distributed import World
from unveil.training.loop import train
from unveil.training.noising import normal
from unveil.training.on_device import Album, OnDevice, Places
from unveil.training.settings import Data, Pairs, Stage
from unveil.training.trainer import Restoring

Tree = Callable[..., dict[str, Any]]
CPU, META = torch.device("cpu"), torch.device("meta")


def sources(root: Path, **changes: Any) -> tuple[Source, OnDevice]:
    pairs = [Pairs("degraded", "clean", weight=0.4, mild=0.5, kinds=["lowlight"])]
    settings = {"photos": ["clean"], "pairs": pairs, "held_out": 0.0, "exposure": 0.3, "reach": 44, "margin": 2}
    source = Source(Data(root=str(root), **settings | changes))
    return source, OnDevice(source, CPU)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in ((one.x0, other.x0), (one.y, other.y), (one.kinds, other.kinds)))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [0, 1])
def test_crops_are_cut_as_by_the_loader(pairs: Path, turns: int, flip: int) -> None:
    store = Store()
    pictures = [Picture(store, pairs / "clean" / f"scene{i}.png", (48, 56)) for i in range(3)]
    # As large as the crop, larger and reduced, smaller than it and mirrored: sides of one batch may differ.
    for sides in ([20, 20, 20], [20, 37, 44], [60, 60, 60]):
        size = min(sides)
        places = Places(*torch.tensor([[0, 4, 1], [0, 9, 2], sides, [turns] * 3, [flip] * 3]))
        if size == 60:
            places = places._replace(top=torch.zeros(3).long(), left=torch.zeros(3).long())
        found = Album(pictures, CPU).cut(torch.arange(3), places, size)
        for i, side in enumerate(sides):
            piece = np.rot90(cut(pictures[i].pixels(), int(places.top[i]), int(places.left[i]), side), turns)
            wanted = _reduced(to_tensor(piece[:, ::-1] if flip else piece), size)
            torch.testing.assert_close(found[i], wanted, rtol=0, atol=0 if sides[-1] == size else 1e-5)


def test_a_batch_is_a_function_of_seed_step_and_part(pairs: Path) -> None:
    source, placed = sources(pairs)
    for low in (False, True):
        keys = [(seed, step, part) for seed in (0, 1) for step in (0, 1) for part in (0, 1)]
        seen = [placed.draw(seed, step, 6, 16, low, part) for seed, step, part in keys]
        assert all(not torch.equal(a.x0, b.x0) for i, a in enumerate(seen) for b in seen[:i])
        assert same(OnDevice(source, CPU).draw(1, 0, 6, 16, low, 1), seen[5])
        assert {one.x0.shape for one in seen} == {(6, 3, 16, 16)}


def test_parts_of_a_step_are_the_samples_of_the_whole(pairs: Path) -> None:
    _, placed = sources(pairs, pairs=[], exposure=0.0, kinds={"noise": 1.0, "blur": 1.0})
    stage = Stage(batch=8, crop=16)
    whole = placed.stage_batch(stage, 3, 4)
    parts = [placed.stage_batch(replace(stage, accumulate=2), 3, 4, part) for part in (0, 1)]
    torch.testing.assert_close(whole.y, torch.cat([part.y for part in parts]), rtol=0, atol=1e-5)
    assert torch.equal(whole.x0, torch.cat([part.x0 for part in parts]))


def test_batches_hold_what_those_of_processes_do(pairs: Path) -> None:
    """The shares of pairs and kinds, and how much is wrong, over many samples."""
    told = []
    for one in sources(pairs):
        batches = [one.draw(2, step, 32, 16, False) for step in range(12)]
        kinds = torch.cat([b.kinds for b in batches]).mean(0)
        error = torch.cat([(b.y - b.x0).abs().mean((1, 2, 3)) for b in batches])
        light = torch.cat([b.x0.mean((1, 2, 3)) for b in batches])
        told.append(torch.cat([kinds, torch.stack([error.mean(), light.mean(), (error == 0).float().mean()])]))
    # Five standard deviations of a share of 384 samples; errors and light vary by less than a half.
    assert (told[0] - told[1]).abs().max() < 5 * 0.5 * (2 / 384) ** 0.5


class Uploads(TorchDispatchMode):
    """Bytes that were brought to the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[0] if func is torch.ops.aten._to_copy.default else args[1]
            if out.device.type == "meta" and source.device.type == "cpu":
                self.bytes += source.numel() * source.element_size()
        return out


@pytest.mark.parametrize("low", [False, True])
def test_nothing_is_fetched_and_little_is_sent(pairs: Path, low: bool) -> None:
    """The meta device holds no numbers: whatever reads one, or decides by one, raises there."""
    source, _ = sources(pairs)
    placed = OnDevice(source, META)
    with Uploads() as sent:
        batch = placed.draw(0, 1, 24, 64, low)
    assert {batch.x0.device, batch.y.device} == {META}
    assert batch.to(META).kinds.device == CPU  # what a network is told of them is drawn there
    assert batch.x0.shape == (24, 3, 64, 64)
    plain = batch.x0.numel() * batch.x0.element_size()
    # Places, and tables of the mild damage on top of pairs, whose kernels and sizes are each picture's own.
    assert 0 < sent.bytes < plain / 4


def test_noise_of_states_is_made_on_the_device() -> None:
    generator = torch.Generator().manual_seed(0)
    eps = normal(torch.empty(4, 3, 8, 8, device=META), generator)
    assert (eps.device, eps.shape) == (META, (4, 3, 8, 8))


def test_a_run_repeats_and_goes_on(tree: Tree, tmp_path: Path) -> None:
    settings = tree(loader="device", device="cpu")
    settings["data"] |= {"photos": ["clean"], "kinds": {"noise": 1.0, "jpeg": 1.0}}
    settings["data"]["pairs"][0]["weight"] = 0.5
    config, said = configuration.parse(settings), []
    for name, stops in (("whole", (None,)), ("stopped", (3, None))):
        for stop in stops:
            train(config, tmp_path / name, report=said.append, stop_at=stop)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert "resumed at step 3 of 6" in " ".join(said)
    assert configuration.same_run(config, replace(config, loader="processes")) == ["loader"]
    assert configuration.same_run(replace(config, loader="auto"), replace(config, loader="threads")) == []


def test_what_does_not_fit_is_made_by_processes(tree: Tree) -> None:
    settings = tree(loader="device", device="cpu")
    settings["data"]["cache"] = 0
    with pytest.raises(InputError, match=r"raise --data\.cache"):
        Restoring(configuration.parse(settings)).material(World(), print)
    said: list[str] = []
    trainer = Restoring(configuration.parse(settings | {"loader": "auto"}))
    assert not isinstance(trainer.material(World(device=torch.device("cuda")), said.append), OnDevice)
    assert "batches are made by processes" in said[-1]
    with pytest.raises(InputError, match="networks that restore"):
        configuration.parse(
            tree(loader="device", path="daclip", init="x", stages=[{"kind": "contrastive", "steps": 1}])
        )


def test_files_that_cannot_be_read_are_left_out(pairs: Path, tmp_path: Path) -> None:
    for i in range(3):
        Image.open(pairs / "clean" / f"scene{i}.png").save(tmp_path / f"{i}.png")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    source = Source(Data(root=str(tmp_path.parent), photos=[tmp_path.name], held_out=0.0))
    source.store.counted = 1000
    placed = OnDevice(source, CPU)
    assert [len(rows) for rows in placed.rows] == [2]
    assert placed.draw(0, 0, 4, 16, False).x0.isfinite().all()
    for i in (0, 2):
        (tmp_path / f"{i}.png").write_bytes(b"")
        (tmp_path / f"{i}.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="can be read"):
        OnDevice(source, CPU)
