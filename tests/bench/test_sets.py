from __future__ import annotations

from pathlib import Path

import pytest

from unveil.bench.sets import KNOWN, PUBLISHED, find
from unveil.data.benchmarks import names
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


def test_nothing_known_says_what_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no known test set; expected folders such as LOL_eval15/low beside"):
        find(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find(tmp_path / "none")


def test_every_protocol_exists() -> None:
    for protocol in [known.protocol for known in KNOWN.values()] + list(PUBLISHED.values()):
        assert get_protocol(protocol).name == protocol
    assert set(PUBLISHED) <= set(names())
