"""The numbers of docs/priors.md are those of the manifest."""

from __future__ import annotations

import json
import re
from pathlib import Path

from unveil.models import shelf

PAGE = (Path(__file__).parents[2] / "docs" / "priors.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """First cell -> the others, of every row of every table."""
    found = re.findall(r"^\| (.+?) \|$", text, re.M)
    return {cells[0]: cells[1:] for cells in (row.split(" | ") for row in found)}


def test_sizes_steps_and_parameters() -> None:
    table, entries = rows(PAGE), [shelf.priors()[n] for n in ("small-pixel", "small-latent")]
    assert table["parameters"] == [f"{e['parameters'] / 1e6:.2f} million" for e in entries]
    assert table["size in fp16"] == [f"{e['bytes'] / 1e6:.1f} MB" for e in entries]
    assert table["optimiser steps"] == [str(e["steps"]) for e in entries]


def test_denoising() -> None:
    table, measured = rows(PAGE), shelf.priors()["small-pixel"]["denoising"]
    for level in (10, 25, 50):
        expected = [f"{measured[f'sigma {level}'][who]:.2f}" for who in ("noisy", "prior", "NLM")]
        assert table[f"{level} of 255"] == expected


def test_what_the_autoencoder_costs() -> None:
    assert f"{shelf.priors()['small-latent']['denoising']['autoencoder alone']:.2f} dB" in PAGE


def test_the_memory_of_a_step_is_what_was_measured() -> None:
    result = json.loads(
        (Path(__file__).parents[2] / "benchmarks/results/zeroshot_memory.json").read_text(encoding="utf-8")
    )
    assert len(result["rows"]) == 6
    for row in result["rows"]:
        assert f"{row['peak_bytes'] / 2**20:,.0f} MiB" in PAGE, row
    peaks = {(row["part"], row["side"]): row["peak_bytes"] for row in result["rows"]}
    assert peaks["guidance", 512] < 0.6 * peaks["guidance, everything kept", 512]
