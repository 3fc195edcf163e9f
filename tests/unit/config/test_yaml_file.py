"""YAML that people write, by mistake or in malice."""

import pytest

from raynef.config.presets import load_presets
from raynef.config.yaml_file import parse_yaml, read_yaml
from raynef.core.errors import UserError

BILLIONS = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGED = "m0: &m0 {k: 1}\n" + "".join(
    f"m{i}: &m{i}\n  <<: [{', '.join([f'*m{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize("text", [BILLIONS, MERGED, "a: &a [*a]", "a: &a {b: *a}"])
def test_few_lines_that_stand_for_very_much_are_refused(text, tmp_path):
    with pytest.raises(UserError, match="stands for more than"):
        parse_yaml(text, source="recipe x")
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="stands for more than"):
        load_presets([str(path)])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "{a: " * 5000,
        "a: 2026-99-99",
        "!!python/object/apply:os.system ['true']",
        "!!int x",
        "!!int ''",
        "!!float x",
        "!!timestamp x",
        "!!binary é",
        "? [1]\n: 2\n? {a: b}\n: 3",
        "a: \0",
        "a: '\ud800'",
        "--- 1\n--- 2",
        "*a",
        "a: 1:99999999999999999999:x\nb: [",
    ],
)
def test_what_is_no_yaml_is_one_line_of_the_users(text):
    with pytest.raises(UserError, match="recipe x is not YAML"):
        parse_yaml(text, source="recipe x")


def test_an_alias_is_allowed():
    assert parse_yaml("a: &a [1, 2]\nb: *a", source="x") == {"a": [1, 2], "b": [1, 2]}
    assert parse_yaml("# nothing", source="x") is None


def test_a_file_that_no_person_wrote(tmp_path):
    path = tmp_path / "x.yaml"
    with path.open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(UserError, match="larger than"):
        read_yaml(path, source="x")
