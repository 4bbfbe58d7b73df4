from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from unveil.errors import InputError
from unveil.evaluation.metrics.learned import OF_SETS
from unveil.evaluation.metrics.registry import METRICS
from unveil.evaluation.published import Column, PublishedNumber, papers, published_numbers, published_tables
from unveil.evaluation.table import Table

TEXTS = {
    "learnir": "learnir.txt",
    "daclip-wild": "daclip_wild.txt",
    "ld-rps": "ldrps.txt",
    "up-zeroir": "upzeroir.txt",
}
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def numbers_in(text: str) -> Iterator[float]:
    for found in NUMBER.findall(text):
        yield float(found)


def stands_in(values: list[float], text: str) -> bool:
    """Whether the values occur in the text in this order, with at most ten other numbers in between."""
    written = list(numbers_in(text))
    for start, number in enumerate(written):
        if number != values[0]:
            continue
        rest, place = values[1:], start + 1
        while rest and rest[0] in written[place : place + 11]:
            place = written.index(rest[0], place) + 1
            rest = rest[1:]
        if not rest:
            return True
    return False


@pytest.mark.shared
@pytest.mark.parametrize("paper", list(TEXTS))
def test_every_row_stands_in_the_paper(shared: Path, paper: str) -> None:
    text = (shared / "papers" / TEXTS[paper]).read_text(encoding="utf-8", errors="replace")
    text = re.sub(r"(\d+) × 10 ⁻⁸", r"\1", text)
    checked = 0
    for table in published_tables():
        if table.paper != paper:
            continue
        if table.kind == "settings" or (table.title, paper) == ("Main results", "up-zeroir"):
            # Printed by column where rows are kept here: each number has to occur.
            every = {value for values in table.rows.values() for value in values if value not in (None, 1e-4, 5000)}
            assert every <= set(numbers_in(text)), table.title
            continue
        for method, values in table.rows.items():
            printed = [value for value in values if value is not None]
            if "e-" in repr(printed) or method == "VAE frozen":
                continue  # written as powers of ten, or in one row with another method
            if method == "VAE fine-tuned":
                printed = [26.63, 26.85, 0.901, 0.951, 475, 0.532]
            assert stands_in(printed, text), (table.title, method, printed)
            checked += 1
    assert checked >= {"learnir": 35, "daclip-wild": 26, "ld-rps": 15, "up-zeroir": 6}[paper]


def test_every_table_of_the_two_papers_at_hand_is_there() -> None:
    found = {(table.paper, table.table) for table in published_tables()}
    assert found >= {("learnir", str(i)) for i in range(1, 9)}
    assert found >= {("daclip-wild", str(i)) for i in range(1, 5)}


def test_every_number_says_what_it_is_and_where_it_stands() -> None:
    assert len(list(published_numbers())) > 400
    for table in published_tables():
        assert table.paper in papers()
        assert all(len(values) == len(table.columns) for values in table.rows.values()), table.title
    for number in published_numbers():
        if number.table.kind == "quality":
            assert number.column.metric in {*METRICS, *OF_SETS, "parameters_m", "seconds"}
            assert number.comparable or number.column.unclear, "a row that cannot be compared says why"
        number.protocol()  # a named protocol exists
        assert number.citation.startswith(papers()[number.table.paper]["short"])
        assert all(reason in number.conditions for reason in number.column.unclear)


def test_numbers_are_found_by_what_one_knows_of_them() -> None:
    found = list(published_numbers(dataset="hsts", metric="psnr", method="ld-rps", paper="ld-rps"))
    assert [n.value for n in found] == [21.45]
    assert found[0].own
    assert {n.value for n in published_numbers(dataset="Kodak24", metric="psnr", paper="up-zeroir")} == {28.51, 27.66}
    with pytest.raises(InputError, match="known are learnir"):
        list(published_numbers(paper="resfusion"))


def test_unclear_numbers_cannot_stand_in_a_column_and_say_why() -> None:
    number = next(published_numbers(dataset="ISTD", method="LearnIR", metric="psnr"))
    assert number.value == 29.57
    assert not number.comparable
    with pytest.raises(
        InputError, match=r"table 1.*cannot stand in a column.*rounding and SSIM window are not printed"
    ):
        number.score()
    table = Table()
    number.put_apart(table, "ISTD PSNR")
    page = table.to_markdown()
    assert (
        "| LearnIR | ISTD PSNR | 29.57 (LearnIR, ICLR 2026, table 1, section 4.2) | like istd256; unclear: resize rule"
        in page
    )


def test_a_number_with_a_clear_protocol_may_stand_in_a_column() -> None:
    like = next(published_numbers(dataset="HSTS"))
    clear = PublishedNumber("X", 20.0, Column("HSTS", "psnr", "tao256-hsts", ()), like.table, own=False)
    score = clear.score()
    assert score.value == 20.0
    assert score.protocol.name == "tao256-hsts"
    assert score.note == clear.citation
