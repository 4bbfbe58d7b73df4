"""Checkpoints: whole or absent, checked when read, the newest two kept."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unveil.errors import InputError
from unveil.training import checkpoint


def tensors(value: float) -> dict[str, Tensor]:
    channels_last = torch.full((2, 3, 4, 4), value).to(memory_format=torch.channels_last)
    return {"a": channels_last, "step": torch.tensor(value), "half": torch.full((3,), value, dtype=torch.bfloat16)}


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_is_saved_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 12, tensors(0.1), {"note": "x"})
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert (found.path, found.step, found.meta["note"]) == (path, 12, "x")
    assert all(torch.equal(v, found.tensors[k]) for k, v in tensors(0.1).items())


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        checkpoint.save(tmp_path, step, tensors(step), {})
    assert files(tmp_path) == ["step_0000015.safetensors", "step_0000020.safetensors"]
    assert checkpoint.latest(tmp_path / "missing") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_newest_one_falls_back(tmp_path: Path, damage: str) -> None:
    checkpoint.save(tmp_path, 1, tensors(1.0), {})
    newest = checkpoint.save(tmp_path, 2, tensors(2.0), {})
    whole = newest.read_bytes()
    flipped = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]  # one bit of one weight
    newest.write_bytes({"cut": whole[:-7], "flipped": flipped, "empty": b"", "text": b"not a checkpoint"}[damage])
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 1


@pytest.mark.parametrize("where", ["save_file", "replace", "fsync"])
def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    checkpoint.save(tmp_path, 1, tensors(1.0), {})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint if where == "save_file" else os, where, full)
    with pytest.raises(InputError, match=r"step_0000002.*No space left.*last good one is untouched"):
        checkpoint.save(tmp_path, 2, tensors(2.0), {})
    monkeypatch.undo()
    assert files(tmp_path) == ["step_0000001.safetensors"]
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 1


def test_a_half_written_file_of_a_killed_process_is_no_checkpoint_and_goes_with_the_next(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, tensors(1.0), {})
    left = tmp_path / ".step_0000002.safetensors.0123456789ab.unveil-tmp"
    left.write_bytes(b"half")
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 1
    checkpoint.save(tmp_path, 2, tensors(2.0), {})
    assert not left.exists()


def test_one_of_an_earlier_version_without_a_checksum_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "step_0000004.safetensors", metadata={"step": "4"})
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 4


def test_damaged_ones_are_set_aside_and_named(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, tensors(1.0), {})
    checkpoint.save(tmp_path, 2, tensors(2.0), {}).write_bytes(b"")
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert [p.name for p in found.damaged] == ["step_0000002.safetensors.damaged"]
    checkpoint.save(tmp_path, 3, tensors(3.0), {})
    checkpoint.save(tmp_path, 4, tensors(4.0), {})
    assert files(tmp_path) == [
        "step_0000002.safetensors.damaged",
        "step_0000003.safetensors",
        "step_0000004.safetensors",
    ]


def test_a_changed_letter_of_its_text_is_damage_too(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 12, tensors(1.0), {"counters": '{"number": 1}'})
    assert checkpoint.read(path) is not None
    path.write_bytes(path.read_bytes().replace(b'number\\": 1', b'number\\": 2'))
    assert checkpoint.read(path) is None


def test_a_folder_of_damaged_ones_is_no_new_run(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 2, tensors(2.0), {}).write_bytes(b"text")
    with pytest.raises(InputError, match=r"no checkpoint can be read \(step_0000002.safetensors.damaged set aside\)"):
        checkpoint.latest(tmp_path)


def test_the_best_is_kept_beside_the_newest_two(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        checkpoint.save(tmp_path, step, tensors(step), {}, best=5)
    assert files(tmp_path) == [checkpoint.name(step) for step in (5, 15, 20)]


def test_what_does_not_fit_into_half_precision_is_carried_in_full(tmp_path: Path) -> None:
    large, tiny = torch.tensor([1e6, 1.0]), torch.tensor([1e-12, 1.0])
    checkpoint.carry(
        tmp_path, 3, {"a": large, "optimiser.a.exp_avg_sq": tiny, "optimiser.a.step": torch.tensor(3.0)}, {}
    )
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert (found.path.name, found.step) == (checkpoint.CARRIED, 3)
    assert torch.equal(found.tensors["a"], large)
    assert float(found.tensors["optimiser.a.exp_avg_sq"][0]) == pytest.approx(1e-12, rel=0.01)
    assert found.tensors["optimiser.a.step"].dtype == torch.float32
