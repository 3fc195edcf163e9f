"""A result as a table: every command's, from the record of parity."""

import io
import json
from typing import Any

import pytest

from raynef.report.result_table import print_result
from tests.places import ROOT

RESULTS = {
    name: step["line"]
    for name, step in json.loads((ROOT / "tests/parity/record.json").read_text("utf-8"))[
        "steps"
    ].items()
    if isinstance(step.get("line"), dict) and step["line"]
}


def table(result: dict[str, Any], monkeypatch: pytest.MonkeyPatch, columns: int = 100) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    print_result(result, stream)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("name", RESULTS)
def test_a_commands_result_is_a_short_table(name, monkeypatch):
    lines = table(RESULTS[name], monkeypatch)
    assert 1 <= len(lines) <= 40
    assert max(map(len, lines)) <= 100
    for value in RESULTS[name].values():
        if isinstance(value, str) and value.startswith("./"):
            assert any(line.endswith(f" {value}") for line in lines)
    assert not any(sign in line for line in lines for sign in "{}")


def test_shares_are_percent_and_empty_entries_are_left_out(monkeypatch):
    result = {
        "miou": 0.6795911,
        "accuracy_sd": 0.01,
        "per_class_iou": {f"class {number}": number / 23 for number in range(23)} | {"x": None},
        "num_images": 12148,
        "labels_leaked": False,
        "ok": True,
        "class_names": None,
        "skipped": {"a.jpg": "empty file", "b.jpg": "empty file"},
        "failed": {},
        "objective": {"loss": 1.5656, "clusters_in_use": 27.375},
        "run": "/a/[red]run",
    }
    lines = table(result, monkeypatch)
    text = "\n".join(lines)
    heads = {line.partition("  ")[0] for line in lines if not line.startswith(" ")}
    expected = {"mIoU", "accuracy sd", "IoU by class", "images", "ok", "skipped files", "objective"}
    assert heads == {*expected, "run"}
    assert "68.0 %" in text
    assert "1.0 %" in text
    assert "class 11 47.8 %" in text
    assert "12 148" in text
    assert "loss 1.566, clusters in use 27.38" in text
    assert "/a/[red]run" in text
    assert "skipped files  2" in text


def test_what_is_long_is_cut_and_says_so(monkeypatch):
    result = {
        "names": {str(number): "sky" for number in range(500)},
        "rows": [{"trial": number, "cells": {}} for number in range(40)],
        "cells": {"a": {"b": {}}},
    }
    lines = table(result, monkeypatch)
    assert len(lines) < 40
    assert "… 440 more" in "\n".join(lines)
    assert "… 28 more" in "\n".join(lines)
    assert lines[-1].split() == ["cells", "1", "entries"]


def test_a_narrow_terminal_folds_paths(monkeypatch):
    lines = table({"run": "/a" * 40}, monkeypatch, columns=30)
    assert max(map(len, lines)) <= 30
    assert "".join(line.replace("run", "").strip() for line in lines) == "/a" * 40
