from __future__ import annotations

import json
from math import inf, nan

import pytest

from unveil.errors import InputError
from unveil.evaluation.protocols import Protocol
from unveil.evaluation.table import ProtocolMismatch, Score, Table, json_number, number

LOL = Protocol(name="lol", dataset="LOL")


def test_a_column_holds_one_protocol_and_says_what_differs() -> None:
    table = Table("Low light")
    table.put("input", "LOL", Score("psnr", 7.77, LOL, 15))
    table.put("ours", "LOL", Score("psnr", 20.0, LOL.changed(name="the same by another name"), 15))
    with pytest.raises(ProtocolMismatch, match=r"'theirs'.*'LOL'.*border: 0 in the column, 4 here.*put_apart"):
        table.put("theirs", "LOL", Score("psnr", 30.0, LOL.changed(border=4)))
    with pytest.raises(ProtocolMismatch, match="draws"):
        table.put("mean of 8", "LOL", Score("psnr", 30.0, LOL.changed(draws=8)))
    with pytest.raises(ProtocolMismatch, match="holds psnr; 'ours' brings ssim"):
        table.put("ours", "LOL", Score("ssim", 0.9, LOL))
    assert list(table.rows) == ["input", "ours"], "what was refused must leave no trace"
    with pytest.raises(InputError, match="already has a number"):
        table.put("ours", "LOL", Score("psnr", 21.0, LOL))


def test_the_page_states_each_protocol_and_keeps_the_others_apart() -> None:
    table = Table("Low light")
    table.put("input", "LOL PSNR", Score("psnr", 7.766, LOL, 15, 6.5, 9.0))
    table.put("input", "LOL SSIM", Score("ssim", 0.1949, LOL, 15))
    table.put("perfect", "LOL PSNR", Score("psnr", inf, LOL, 15))
    table.put_apart("paper", "LOL", Score("psnr", 18.21, LOL.changed(border=4, name="theirs"), note="table 3"))
    table.put_apart("summary", "LOL", "17.4 (table 1)")
    table.put_apart("other", "LOL", "17.5", "the resize rule is not printed")
    page = table.to_markdown()
    assert "| input | 7.77 [6.50, 9.00] | 0.195 |" in page
    assert "| perfect | inf |  |" in page
    assert f"- LOL PSNR: psnr, 15 images. {LOL.describe()}" in page
    above, below = page.split("Not comparable")
    assert "18.21" not in above
    assert "| paper | LOL | 18.21 (table 3) | theirs: LOL;" in below
    assert "border 4" in below
    assert "| summary | LOL | 17.4 (table 1) | not stated |" in below
    assert "| other | LOL | 17.5 | the resize rule is not printed |" in below


def test_every_number_in_json_carries_its_protocol() -> None:
    table = Table()
    table.put("input", "LOL", Score("psnr", inf, LOL, 15))
    table.put_apart("paper", "LOL", Score("psnr", 18.21, LOL.changed(border=4)))
    content = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    entry = content["rows"]["input"]["LOL"]
    assert entry["value"] == "inf"
    assert entry["low"] is None
    assert Protocol.from_dict(entry["protocol"]) == LOL
    assert content["apart"][0]["score"]["protocol"]["border"] == 4


def test_numbers_for_people_and_machines() -> None:
    assert [number(x, 2) for x in (1.005, inf, -inf, nan)] == ["1.00", "inf", "-inf", "undefined"]
    assert [json_number(x) for x in (1.5, inf, -inf, nan)] == [1.5, "inf", "-inf", None]
