"""DA-CLIP's controller trained from a CLIP of a few hundred weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unveil.cli import main
from unveil.errors import InputError, ModelError
from unveil.models import describer
from unveil.models.importing import import_file
from unveil.models.weights_file import read_guide
from unveil.networks.clip import CLIP, VisionTower
from unveil.networks.daclip import DACLIP
from unveil.networks.daclip_words import OF_KINDS
from unveil.networks.daclip_words import rows as rows_of
from unveil.training import checkpoint, daclip
from unveil.training import config as configuration
from unveil.training.batches import Source
from unveil.training.loop import train
from unveil.training.settings import Config
from unveil.training.stage import rate


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained DA-CLIP, imported from a checkpoint of CLIP alone as open_clip writes it."""
    torch.manual_seed(0)
    network = CLIP(VisionTower(16, 32, 8, 32, 2, 2), 16, 49408, 16, 1, 1)
    folder = tmp_path_factory.mktemp("clip")
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, folder / "clip.pt")
    import_file(folder / "clip.pt")
    return folder / "clip.safetensors"


def settings(pairs: Path, clip: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "tiny", "seed": 1, "path": "daclip", "init": str(clip), "save_every": 1000,
        "data": {
            "root": str(pairs), "photos": ["clean"], "kinds": {"lowlight": 1, "noise": 1}, "second": 0.3, "clean": 0.2,
            "held_out": 0.3,
        },
        "stages": [{"kind": "contrastive", "steps": 30, "lr": 2e-3, "batch": 12, "crop": 32, "warmup": 5}],
        **changes,
    }  # fmt: skip


def source(config: Config) -> daclip.NamedSource:
    return daclip.named_source(Source(config.data), {})


def test_clip_alone_becomes_a_da_clip_that_sees_as_clip_does(clip: Path) -> None:
    network, _, _ = read_guide(clip)
    assert isinstance(network, DACLIP)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    content, degradation = network.encode_image(x)
    alone = network.clip.visual(x)
    assert torch.equal(content, alone)
    assert torch.equal(degradation, alone)


def test_training_lowers_the_losses_and_leaves_clip_as_it_is(pairs: Path, clip: Path, tmp_path: Path) -> None:
    said: list[str] = []
    config = configuration.parse(settings(pairs, clip))
    trained = train(config, tmp_path / "run", report=said.append).network
    start, _, _ = read_guide(clip)
    assert isinstance(start, DACLIP)
    for name, value in start.clip.state_dict().items():
        assert torch.equal(trained.clip.state_dict()[name], value), name
    names = daclip.Names(start, torch.device("cpu"))
    batch = source(config).stage_batch(config.stages[0], config.seed, 7)

    def total(network: DACLIP) -> float:
        with torch.no_grad():
            return float(torch.stack(daclip.losses(network, batch.clean, batch.damaged, *names(batch.words))).sum())

    assert total(trained) < total(start) - 0.3
    back, _, _ = read_guide(tmp_path / "run" / "model.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(back.state_dict().values(), trained.state_dict().values(), strict=True)
    )
    assert any(line.startswith("held out: the kind of damage is named rightly") for line in said)
    described = describer.load(tmp_path / "run" / "model.safetensors").describe(np.zeros((40, 40, 3), np.float32))
    assert described.speaker.startswith("DA-CLIP from model.safetensors")


def test_batches_are_functions_of_seed_and_step_and_named_by_what_was_done(pairs: Path, clip: Path) -> None:
    config = configuration.parse(settings(pairs, clip))
    one, two, other = (source(config).stage_batch(config.stages[0], config.seed, step) for step in (3, 3, 4))
    assert torch.equal(one.damaged, two.damaged)
    assert one.words == two.words
    assert not torch.equal(one.damaged, other.damaged)
    for clean, damaged, words in zip(one.clean, one.damaged, one.words, strict=True):
        assert set(words) <= {"lowlight", "noise"}
        assert torch.equal(clean, damaged) == (words == ())


def paired(pairs: Path, clip: Path, **more: Any) -> Config:
    """Half of each batch real pairs, of low light."""
    entry = {"degraded": "degraded", "clean": "clean", "weight": 0.5, "kinds": ["lowlight"], **more}
    tree = settings(pairs, clip)
    return configuration.parse({**tree, "data": {**tree["data"], "kinds": {"noise": 1}, "pairs": [entry]}})


def test_real_pairs_are_named_by_their_kinds_and_may_be_mildly_damaged(pairs: Path, clip: Path) -> None:
    plain, mild = paired(pairs, clip), paired(pairs, clip, mild=1.0)
    one, two = (source(config).stage_batch(config.stages[0], 1, 5) for config in (plain, mild))
    real = [words == ("lowlight",) for words in one.words]
    assert 0 < sum(real) < len(real) == 12
    assert one.words[: sum(real)] == two.words[: sum(real)]  # it is to be seen through, not named
    assert torch.equal(one.clean[: sum(real)], two.clean[: sum(real)])
    changed = (one.damaged != two.damaged).flatten(1).any(1)[: sum(real)]
    assert changed.any()
    again = source(mild).stage_batch(mild.stages[0], 1, 5)
    assert torch.equal(again.damaged, two.damaged)
    with pytest.raises(InputError, match=r"data\.pairs\.0\.kinds is empty: DA-CLIP learns to name"):
        paired(pairs, clip, kinds=[])
    with pytest.raises(InputError, match=r"data\.pairs\.0\.mild must be between 0 and 1"):
        paired(pairs, clip, mild=2)


def test_pairs_alone_train_it(pairs: Path, clip: Path, tmp_path: Path) -> None:
    tree = settings(pairs, clip)
    entry = {"degraded": "degraded", "clean": "clean", "weight": 1.0, "kinds": ["lowlight"], "mild": 0.5}
    tree["data"] = {"root": str(pairs), "pairs": [entry], "held_out": 0}
    tree["stages"][0] |= {"steps": 2, "batch": 4}
    said: list[str] = []
    train(configuration.parse(tree), tmp_path / "run", report=said.append)
    assert any(line.startswith("0 photographs and 6 pairs to train on") for line in said)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokeniser of CLIP's kind that knows letters alone."""
    pytest.importorskip("transformers", reason="captions become tokens by transformers (the extra latent)")
    folder = tmp_path_factory.mktemp("tokens")
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
    entries = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({entry: i for i, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def captioned(pairs: Path, clip: Path, table: Path, vocabulary: Path) -> Config:
    tree = settings(pairs, clip)
    tree["data"] |= {"captions": str(table), "tokenizer": str(vocabulary)}
    tree["stages"][0] |= {"steps": 2, "batch": 4}
    return configuration.parse(tree)


def test_content_is_drawn_to_captions_where_there_are_some(
    pairs: Path, clip: Path, vocabulary: Path, tmp_path: Path
) -> None:
    """The same run with other captions gives other weights; without, the clean photograph is what counts."""
    networks = []
    for name, shown in (("one", "house {}"), ("two", "{} boats")):
        table = tmp_path / f"{name}.tsv"
        rows = [f"clean/scene{i}.png\t{shown.format('abcdef'[i])}: hazy" for i in range(6)]
        table.write_text("\n".join(["filepath\ttitle", *rows]) + "\n")
        networks.append(
            train(captioned(pairs, clip, table, vocabulary), tmp_path / name, report=lambda _: None).network
        )
    one, two = (network.visual_control.state_dict() for network in networks)
    assert any(not torch.equal(one[name], two[name]) for name in one)
    found = daclip.read_captions(tmp_path / "one.tsv", pairs)
    assert found[(pairs / "clean/scene0.png").resolve()] == "house a"  # the damage behind it is not of the photograph
    tokens = daclip.tokeniser(vocabulary)("ab")
    network, _, _ = read_guide(clip)
    assert isinstance(network, DACLIP)
    texts, group = daclip.Names(network, torch.device("cpu"), vocabulary).captions(["ab", "ba", "ab", "a" * 90])
    assert group.tolist() == [0, 1, 0, 2]
    assert torch.equal(texts[0], network.clip.encode_text(rows_of([tokens], 16))[0])


def test_captions_that_are_missing_or_wrong_are_named(
    pairs: Path, clip: Path, vocabulary: Path, tmp_path: Path
) -> None:
    table = tmp_path / "captions.tsv"
    table.write_text("clean/scene0.png\ta house\n")
    with pytest.raises(
        InputError, match=r"5 of 6 photographs have no caption in .*captions\.tsv; the first is .*scene1\.png"
    ):
        train(captioned(pairs, clip, table, vocabulary), tmp_path / "run", report=lambda _: None)
    table.write_text("clean/scene0.png a house\n")
    with pytest.raises(InputError, match="line 1: write a path, a tab and what the photograph shows"):
        daclip.read_captions(table, pairs)
    with pytest.raises(InputError, match="cannot be read"):
        daclip.read_captions(tmp_path / "none.tsv", pairs)
    with pytest.raises(ModelError, match="holds no CLIP tokeniser"):
        daclip.tokeniser(tmp_path)
    tree = settings(pairs, clip)
    with pytest.raises(InputError, match="go together; name both"):
        configuration.parse({**tree, "data": {**tree["data"], "captions": "x.tsv"}})


def test_check_looks_at_captions_and_their_vocabulary(
    pairs: Path, clip: Path, vocabulary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a run would stop at, `--check` says before."""
    table, file = tmp_path / "captions.tsv", tmp_path / "eyes.yaml"
    tree = settings(pairs, clip)

    def checked(tokenizer: Path) -> tuple[int, str]:
        tree["data"] |= {"captions": str(table), "tokenizer": str(tokenizer)}
        file.write_text(json.dumps(tree))
        return main(["train", str(file), "--check"]), capsys.readouterr().err

    status, said = checked(vocabulary)
    assert (status, "cannot be read" in said) == (2, True)
    table.write_text("clean/scene0.png\ta house\n")
    status, said = checked(vocabulary)
    assert (status, "5 of 6 photographs have no caption" in said) == (2, True)
    table.write_text("".join(f"clean/scene{i}.png\ta house\n" for i in range(6)))
    assert checked(vocabulary) == (0, "")
    status, said = checked(tmp_path)
    assert (status, "holds no CLIP tokeniser" in said) == (2, True)


def test_an_init_that_is_not_there_is_named_with_what_makes_one(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors: no such file; name a DA-CLIP with --init"):
        train(
            configuration.parse(settings(pairs, tmp_path / "none.safetensors")), tmp_path / "run", report=lambda _: None
        )


def test_equal_texts_are_one_group(clip: Path) -> None:
    network, _, _ = read_guide(clip)
    assert isinstance(network, DACLIP)
    texts, group = daclip.Names(network, torch.device("cpu"))(
        [("noise",), (), ("noise",), ("blur", "ringing artifact")]
    )
    assert group.tolist() == [0, 1, 0, 2]
    assert torch.equal(texts[0], texts[2])
    assert not torch.equal(texts[0], texts[1])
    assert set(OF_KINDS) == {"haze", "shadow", "lowlight", "noise", "blur", "jpeg", "rain"}


def test_what_cannot_be_trained_is_said(pairs: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name its file with init"):
        configuration.parse(settings(pairs, clip, init=""))
    with pytest.raises(InputError, match="predictor does not train on path daclip"):
        configuration.parse(settings(pairs, clip, stages=[{"kind": "predictor"}]))


def test_without_an_average_the_weights_are_those_of_a_bare_loop(pairs: Path, clip: Path, tmp_path: Path) -> None:
    """AdamW as CLIP was trained, gradients cut at norm 1, on batches (seed, step): what trained DA-CLIP before there was one loop."""
    config = configuration.parse(settings(pairs, clip, ema=0.0))
    stage = replace(config.stages[0], steps=5)
    trained = train(replace(config, stages=[stage]), tmp_path / "run", report=lambda _: None).network
    bare, _, _ = read_guide(clip)
    assert isinstance(bare, DACLIP)
    bare.visual_control.requires_grad_(True)
    bare.logit_scale.requires_grad_(True)
    names, learned = daclip.Names(bare, torch.device("cpu")), [p for p in bare.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=stage.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05)
    for step in range(5):
        for group in optimiser.param_groups:
            group["lr"] = rate(stage, step)
        batch = source(config).stage_batch(stage, config.seed, step)
        optimiser.zero_grad()
        torch.stack(daclip.losses(bare, batch.clean, batch.damaged, *names(batch.words))).sum().backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
    for (name, one), other in zip(bare.named_parameters(), trained.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_stopped_run_goes_on_and_equals_one_that_was_not(pairs: Path, clip: Path, tmp_path: Path) -> None:
    config = configuration.parse(settings(pairs, clip, validation={"every": 2}))
    config = replace(config, stages=[replace(config.stages[0], steps=6)])
    whole = train(config, tmp_path / "whole", report=lambda _: None).network
    train(config, tmp_path / "parts", report=lambda _: None, stop_at=3)
    said: list[str] = []
    parts = train(config, tmp_path / "parts", report=said.append).network
    assert said[0] == "resumed at step 3 of 6"
    assert any("content " in line and ", degradation " in line for line in said)
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other), name
    kept = checkpoint.latest(tmp_path / "parts")
    assert kept is not None
    assert not any(".clip." in name for name in kept.tensors)  # what stays as it is is in no checkpoint


def test_the_command_trains_and_goes_on(
    pairs: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    call = [
        "train",
        "daclip",
        "-o",
        str(run),
        "--init",
        str(clip),
        "--data.root",
        str(pairs),
        "--data.photos",
        "[clean]",
    ]
    tiny = [
        "--stages.0.steps",
        "2",
        "--stages.0.batch",
        "4",
        "--stages.0.crop",
        "32",
        "--precision",
        "fp32",
        "--data.held_out",
        "0",
    ]
    assert main([*call, *tiny, "--device", "cpu"]) == 0
    assert "unveil describe PHOTO -n" in capsys.readouterr().out
    assert main(["train", "--resume", str(run)]) == 0
    assert "is finished, at step 2" in capsys.readouterr().out
