"""Presets in the package and recipes of the user's own."""

import pytest

from raynef.core.errors import UserError
from raynef.core.presets import load_preset, preset_names
from raynef.core.recipe import BUNDLED_BACKBONE, Recipe, check


def test_there_are_presets():
    assert {"folder", "demo"} <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_is_possible(name):
    recipe = load_preset(name)
    assert check(recipe) == recipe
    assert recipe.data.root is None  # a preset names nobody's folder
    assert recipe.backbone.name == BUNDLED_BACKBONE
    assert recipe.data.crop % 16 == 0


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_file_of_ones_own(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    path.write_text("graph:\n  alpha: 0.5\ntrain: {epochs: 3}\n", encoding="utf-8")
    recipe = load_preset(str(path))
    assert recipe.graph.alpha == 0.5
    assert recipe.train.epochs == 3
    assert recipe.eigen == Recipe().eigen


def test_an_empty_file_is_the_defaults(tmp_path):
    (tmp_path / "mine.yaml").write_text("# nothing\n", encoding="utf-8")
    assert load_preset(str(tmp_path / "mine.yaml")) == Recipe()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"graph: [1, 2\n", "mine.yaml is not YAML"),
        (b"- 1\n- 2\n", r"mine.yaml: the recipe must be a mapping, got \[1, 2\]"),
        (b"- 1\n- !!python/object/apply:os.getcwd []\n", "mine.yaml is not YAML"),
        (b"graph: {alfa: 1}\n", r"mine.yaml: unknown key graph.alfa; did you mean graph.alpha\?"),
        (b"train: {epochs: 0}\n", r"train.epochs must be >= 1, got 0"),
        (b"\xff\xfe\x00binary", "mine.yaml (cannot be read|is not YAML)"),
        (None, "mine.yaml cannot be read: No such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_preset(str(path))


@pytest.mark.parametrize("name", ["floder", "", "../recipes/folder", "folder.json"])
def test_unknown_names_come_with_the_known(name):
    with pytest.raises(UserError, match=r"neither a .yaml file nor one of demo, folder"):
        load_preset(name)
