from __future__ import annotations

import json

import pytest

from unveil.cli import print_failed


@pytest.mark.parametrize(
    ("source", "reason", "said"),
    [
        ("a.png", "it is empty", "unveil: a.png: it is empty\n"),
        ("a.png", "a.png is empty", "unveil: a.png is empty\n"),
        ("1", "it is 10x10", "unveil: 1: it is 10x10\n"),
        ("a\n\x1b[1mb.png", "a \x1b[1mb.png is empty", "unveil: a\\n\\x1b[1mb.png is empty\n"),
    ],
)
def test_a_file_is_named_once(source: str, reason: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_failed(source, reason)
    assert capsys.readouterr() == ("", said)


def test_as_json_it_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_failed("a.png", "it is empty", as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"input": "a.png", "status": "failed", "reason": "it is empty"}
    assert err == ""
