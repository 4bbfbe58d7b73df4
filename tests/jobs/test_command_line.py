from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.cli import main
from unveil.models.weights_file import write
from unveil.options import command_line
from unveil.restorer import Options, load
from unveil.testing import tiny_experts


@pytest.mark.parametrize(
    ("options", "settings", "expected"),
    [
        (Options(), {}, "unveil restore a.jpg --seed 0"),
        (
            Options(fix="light,noise", seed=7, fidelity=0.5),
            {},
            "unveil restore a.jpg --fix light,noise --seed 7 --fidelity 0.5",
        ),
        (Options(keep=("light",)), {"model": "wild"}, "unveil restore a.jpg -n wild --keep haze,shadow,lowlight --seed 0"),
        (Options(fix="all", keep=("haze",)), {"model": "wild"}, "unveil restore a.jpg -n wild --fix all --keep haze --seed 0"),
        (Options(steps=3), {"method": "gdp", "output": "b c"}, "unveil restore a.jpg -o 'b c' --method gdp --seed 0 --steps 3"),
        (Options(), {"method": "tao", "preset": "paper"}, "unveil restore a.jpg --method tao --preset paper --seed 0"),
        (Options(uncertainty=True), {}, "unveil restore a.jpg --seed 0 --uncertainty"),
        (Options(), {"protocol": {"tile": 96, "dtype": "fp32"}}, "unveil restore a.jpg --seed 0 --tile 96 --dtype fp32"),
    ],
)  # fmt: skip
def test_only_what_differs_is_named(options: Options, settings: dict, expected: str) -> None:
    assert command_line(["a.jpg"], options, **settings) == expected


def test_names_stand_a_shell() -> None:
    assert shlex.split(command_line(["-a b'c.jpg"], Options()))[2] == "./-a b'c.jpg"


def test_the_line_gives_the_same_pixels(tmp_path: Path) -> None:
    made = tiny_experts()
    write(model := tmp_path / "told.safetensors", made.spec, made.predictor, made.head)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    options = Options(fix=("haze", "noise"), seed=11, strength=0.75, tile=32)
    out = load(model, "cpu").restore(tmp_path / "a.png", options)
    out.save(tmp_path / "expected.png")
    line = command_line(
        [str(tmp_path / "a.png")], options, model=str(model), output=str(tmp_path / "b.png"), protocol=out.protocol
    )
    assert main([*shlex.split(line)[1:], "--device", "cpu"]) == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "expected.png").read_bytes()
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)
