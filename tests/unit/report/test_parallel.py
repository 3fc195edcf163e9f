"""Parallel coordinates: places by size, words in their order, the best on top."""

import re

import pytest

from raynef.report.parallel import BOTTOM, TOP, Column, Parallel, parallel
from raynef.report.sweep_page import render_sweep
from tests.unit.report.pages import a_sweep
from tests.unit.report.test_page import parse


def heights(drawn: Parallel, title: str) -> list[float]:
    (path,) = [strand.path for strand in drawn.strands if strand.title == title]
    return [float(y) for y in re.findall(r" ([\d.]+)", path)]


def test_values_have_their_places() -> None:
    columns = [
        Column("K", (1.0, 10.0, 100.0), log=True),
        Column("α", (0.0, 0.1, 1.0)),
        Column("net", ("b", "a", "b")),
        Column("mIoU", (30.0, 50.0, 40.0)),
    ]
    drawn = parallel(columns, ("x", "y", "z"), (False, True, False))
    span = BOTTOM - TOP
    middle = BOTTOM - span / 2
    assert heights(drawn, "x") == pytest.approx([BOTTOM, BOTTOM, TOP, BOTTOM])
    assert heights(drawn, "y") == pytest.approx([middle, BOTTOM - span / 10, BOTTOM, TOP])
    assert heights(drawn, "z") == pytest.approx([TOP, TOP, TOP, middle])
    assert [strand.title for strand in drawn.strands] == ["x", "z", "y"]
    assert [text for _, text in drawn.rails[0].ticks] == ["100", "10", "1"]
    assert [text for _, text in drawn.rails[2].ticks] == ["b", "a"]


def test_one_value_and_many_have_ticks_with_room() -> None:
    values = tuple(float(i) for i in range(50))
    drawn = parallel([Column("one", (3.0,) * 50), Column("x", values)], ("t",) * 50, (False,) * 50)
    assert drawn.rails[0].ticks == ((TOP + (BOTTOM - TOP) / 2, "3"),)
    assert [text for _, text in drawn.rails[1].ticks] == ["49", "0"]


def test_infinity_is_a_word_among_numbers() -> None:
    drawn = parallel([Column("x", ("∞", 1.0)), Column("y", (1.0, 2.0))], ("a", "b"), (False, False))
    assert heights(drawn, "a")[0] != heights(drawn, "b")[0]


def test_the_page_marks_the_best_first() -> None:
    page = render_sweep(a_sweep())
    parse(page)
    assert page.count('<g class="hit best">') == 1
    rows = page[page.index('id="trials"') :]
    assert rows.index("★ best</b> α = 0, K = 128") < rows.index("α = 0, K = 64")
    assert "the labels chose it" in page
