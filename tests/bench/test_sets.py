from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from unveil.bench.sets import KNOWN, PUBLISHED, _names, damaged, find
from unveil.data.pairs import names
from unveil.errors import InputError
from unveil.evaluation.protocols import get_protocol


def test_known_sets_and_published_benchmarks_are_found(data: Path) -> None:
    found = find(data)
    assert list(found) == ["LOL_eval15", "PolyU_100", "O-HAZE"]
    assert found["LOL_eval15"].protocol == "lol-native"
    assert found["O-HAZE"].protocol == "ohaze512"
    assert [name for name, _, _ in found["PolyU_100"].pairs] == ["1_real.png", "2_real.png", "41_real.png"]
    _, degraded, clean = found["PolyU_100"].pairs[0]
    assert (degraded.name, clean.name) == ("1_real.png", "1_mean.png")


def test_the_folder_of_the_sets_itself_will_do(data: Path) -> None:
    assert list(find(data / "test")) == ["LOL_eval15", "PolyU_100"]


def test_a_partner_that_is_missing_is_an_error_of_the_set(data: Path) -> None:
    (data / "test/LOL_eval15/high/2.png").unlink()
    with pytest.raises(InputError, match=r"LOL_eval15: .*low/2\.png has no partner \(1 files in all\)"):
        find(data)


def test_photographs_of_a_benchmark_have_names_of_their_own() -> None:
    frames = [Path(f"GoPro/test/{sequence}/blur/00000{i}.png") for sequence in ("GOPR01", "GOPR02") for i in (1, 2)]
    assert _names(frames[:2]) == ["blur/000001.png", "blur/000002.png"]
    assert _names(frames) == [f"{sequence}/blur/00000{i}.png" for sequence in ("GOPR01", "GOPR02") for i in (1, 2)]


def test_nothing_known_says_what_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no known test set; expected folders such as LOL_eval15/low beside"):
        find(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find(tmp_path / "none")


def test_every_protocol_exists() -> None:
    for protocol in [known.protocol for known in KNOWN.values()] + list(PUBLISHED.values()):
        assert get_protocol(protocol).name == protocol
    assert set(PUBLISHED) <= set(names())


def test_damage_of_a_set_is_a_function_of_the_file_alone() -> None:
    x = np.full((64, 64, 3), 0.5)
    noisy = damaged(x, "noise:25", "kodim01.png")
    assert np.array_equal(noisy, damaged(x, "noise:25", "kodim01.png"))
    assert not np.array_equal(noisy, damaged(x, "noise:25", "kodim02.png"))
    assert 255 * noisy.std() == pytest.approx(25, rel=0.02)
    assert np.array_equal(np.rint(noisy * 255), noisy * 255)
    ramp = np.linspace(0, 1, 64)[None, :, None].repeat(64, 0).repeat(3, 2)
    assert 0 < np.abs(damaged(ramp, "jpeg:10", "a") - ramp).max() < 0.2


def test_blur_is_scipys_and_damage_is_done_in_order() -> None:
    x = np.random.default_rng(3).random((40, 50, 3))
    blurred = damaged(x, "blur:1.5", "a")
    assert np.abs(blurred - gaussian_filter(x, (1.5, 1.5, 0), mode="reflect", truncate=4)).max() <= 0.5 / 255 + 1e-9
    joined = damaged(x, "blur:1.5+noise:10+jpeg:50", "a")
    assert np.array_equal(joined, damaged(damaged(blurred, "noise:10", "a"), "jpeg:50", "a"))
