"""The lists of ``tests/mutants`` against the source: a fault that cannot be planted is no test."""

import ast
from collections import Counter

import pytest

from tests.mutants import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutate import ROOT, Outcome, first_failure, report


def test_names_are_unique():
    repeated = [name for name, count in Counter(m.name for m in MUTANTS).items() if count > 1]
    assert repeated == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_planted_and_its_tests_are_there(mutant):
    assert mutant.file.startswith("raynef/")
    spoiled = mutant.applied(ROOT)  # raises unless its text occurs exactly once
    assert ast.dump(ast.parse(spoiled)) != ast.dump(ast.parse((ROOT / mutant.file).read_text()))
    assert mutant.tests
    for node in mutant.tests:
        path, _, name = node.partition("::")
        assert (ROOT / path).exists()
        assert not name or f"def {name}(" in (ROOT / path).read_text()


def test_text_that_is_gone_or_ambiguous_is_refused(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ny = 1\n")
    for old, count in (("z", 0), (" = 1", 2)):
        mutant = Mutant("m", "a.py", old, "new", ("tests",), "why")
        with pytest.raises(ValueError, match=rf"mutant m: .* exactly once in a.py, found {count}"):
            mutant.applied(tmp_path)
    assert Mutant("m", "a.py", "x = 1", "x = 2", (), "").applied(tmp_path) == "x = 2\ny = 1\n"


def test_the_first_failure_is_read_off_pytests_summary():
    output = "..F\n\nFAILED tests/a.py::test_b[1-x y] - assert 1 == 2\nFAILED tests/a.py::test_c\n"
    assert first_failure(output) == "tests/a.py::test_b"
    assert first_failure("ERROR tests/a.py::test_d - OSError: [Errno 2]\n") == "tests/a.py::test_d"
    assert first_failure("3 passed\n") is None


def test_the_table_tells_survivors_apart():
    mutant = Mutant("m", "raynef/a.py", "x | y", "x\n  & y", ("tests",), "why")
    result = {"commit": "abc", "killed": 1, "mutants": 2}
    table = report([Outcome(mutant, "tests/a.py::test_b"), Outcome(mutant, None)], result)
    killed, survived = table.splitlines()[-2:]
    assert killed == (r"| m | `raynef/a.py` | `x \| y` → `x & y` | why | `tests/a.py::test_b` |")
    assert survived.endswith("| **survived** |")
