"""Rooms and files stay small enough to know."""

import statistics
from collections import Counter

from tests.places import ROOT

LINES = {
    path.relative_to(ROOT / "raynef"): len(path.read_text(encoding="utf-8").splitlines())
    for path in (ROOT / "raynef").rglob("*.py")
}


def test_no_file_has_more_than_350_lines_and_half_have_less_than_130():
    assert {str(path): lines for path, lines in LINES.items() if lines > 350} == {}
    assert statistics.median(LINES.values()) < 130


def test_no_room_holds_more_than_a_fifth_of_the_code_and_core_is_small():
    rooms = Counter()
    for path, lines in LINES.items():
        rooms[path.parts[0]] += lines
    largest, lines = rooms.most_common(1)[0]
    assert lines <= rooms.total() / 5, f"{largest} holds {lines} of {rooms.total()} lines"
    assert rooms["core"] < 600
