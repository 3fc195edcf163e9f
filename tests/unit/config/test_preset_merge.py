"""Presets laid over one another: a data set's, a backbone's, and files of one's own."""

import dataclasses
from importlib import resources

import pytest
import timm
import yaml

from raynef.config.presets import (
    backbone_names,
    load_preset,
    load_presets,
    preset_names,
    preset_values,
    with_presets,
)
from raynef.config.recipe import Backbone, Recipe
from raynef.core.errors import UserError
from raynef.features.clip import PREFIX, ClipName
from tests.known import present

BACKBONES = {
    "vit_s_384", "vit_b_384", "vit_l_384", "dino_s16", "dino_b16", "dino_s8", "dino_b8",
    "clip_b16", "clip_l14", "clip_l14_336", "dinov2_s", "dinov2_b", "dinov3_s", "dinov3_b",
    "deit_s", "deit_b", "maskclip_b16", "resnet_50", "convnext_t", "xcit_s",
}  # fmt: skip


def test_there_are_backbones_apart_from_data_sets():
    assert set(backbone_names()) >= BACKBONES
    assert not set(backbone_names()) & set(preset_names())


@pytest.mark.parametrize("name", backbone_names())
def test_a_backbone_is_a_backbone_section_only(name):
    recipe = load_preset(name)
    assert dataclasses.replace(recipe, backbone=Backbone()) == Recipe()
    text = (resources.files("raynef") / f"config/recipes/backbones/{name}.yaml").read_text("utf-8")
    assert text.startswith("# ")  # with its source
    assert list(yaml.safe_load(text)) == ["backbone"]


@pytest.mark.parametrize("name", backbone_names())
def test_a_backbone_has_weights_on_the_hub_and_its_native_size(name):
    backbone = load_preset(name).backbone
    if backbone.name.startswith(PREFIX):
        open_clip = pytest.importorskip("open_clip")
        which = ClipName.of_backbone(backbone.name)
        assert (which.name, which.weights) in open_clip.list_pretrained()
        return
    assert backbone.name in timm.list_models(pretrained=True)
    native = present(timm.get_pretrained_cfg(backbone.name)).input_size[1]
    # CLIP and DINOv2 see images at the size of their training, the others crops as they are.
    resized = name.startswith(("clip_", "dinov2_"))
    assert backbone.input_size == (native if resized else None)
    assert backbone.tap == ("keys" if name.startswith(("dino_", "xcit_")) else "norm")


def test_a_backbone_over_a_data_set():
    recipe = load_presets(["pascal_context", "dino_s16"])
    below, above = load_preset("pascal_context"), load_preset("dino_s16")
    assert recipe == dataclasses.replace(below, backbone=above.backbone)


def test_one_name_is_that_preset():
    assert load_presets(["folder"]) == load_presets(("folder",)) == load_preset("folder")


def test_the_later_wins_field_by_field(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yml"
    one.write_text("graph: {alpha: 0.5, num_neighbors: 9}\ndata: {crop: 96}\n", encoding="utf-8")
    two.write_text("graph: {alpha: 0.7}\ndata: {scale: [1, 1]}\n", encoding="utf-8")
    recipe = load_presets([str(one), str(two)])
    assert (recipe.graph.alpha, recipe.graph.num_neighbors) == (0.7, 9)
    assert (recipe.data.crop, recipe.data.scale) == (96, (1.0, 1.0))
    assert load_presets([str(two), str(one)]).graph.alpha == 0.5


def test_what_is_not_said_is_not_laid_over(tmp_path):
    """A later file's defaults are no values: only what it names counts."""
    (tmp_path / "empty.yaml").write_text("# nothing\n", encoding="utf-8")
    names = ["cityscapes", "clip_b16", str(tmp_path / "empty.yaml")]
    assert load_presets(names) == load_presets(["cityscapes", "clip_b16"])
    assert load_presets(names).data == load_preset("cityscapes").data


def test_a_section_of_nothing_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("graph:\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine.yaml: graph.* must be a mapping, got None"):
        load_presets(["folder", str(tmp_path / "mine.yaml")])


def test_values_that_fit_only_together(tmp_path):
    """A preset's stride fits its own window, so that a file may give one of them."""
    (tmp_path / "mine.yaml").write_text("evaluate: {stride: 600}\n", encoding="utf-8")
    recipe = load_presets(["sliding_cityscapes", str(tmp_path / "mine.yaml")])
    assert (recipe.evaluate.window, recipe.evaluate.stride) == (768, 600)


@pytest.mark.parametrize("names", [["nope"], ["folder", "nope"], ["nope", "dino_s16"]])
def test_unknown_names_come_with_the_known(names):
    with pytest.raises(UserError, match=r"'nope' is neither a .yaml file nor one of .*demo") as e:
        load_presets(names)
    assert "dino_s16" in str(e.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("graph: {alfa: 1}\n", r"two.yaml: unknown key graph.alfa; did you mean graph.alpha\?"),
        ("graph: 3\n", r"two.yaml: graph.* must be a mapping, got 3"),
        ("- 1\n", r"two.yaml: the recipe must be a mapping, got \[1\]"),
        ("graph: [1, 2\n", "two.yaml is not YAML"),
        ("train: {epochs: many}\n", r"two.yaml: train.epochs must be of type int, got 'many'"),
        ("train: {epochs: 0}\n", r"train.epochs must be >= 1, got 0"),
    ],
)
def test_a_mistake_is_blamed_on_its_file(tmp_path, content, message):
    (tmp_path / "two.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        load_presets(["folder", str(tmp_path / "two.yaml")])
    assert "recipe folder" not in str(caught.value)


@pytest.mark.parametrize(("name", "near"), [("dino_s61", "dino_s16"), ("cityscape", "cityscapes")])
def test_a_slip_comes_with_what_is_near(name, near):
    with pytest.raises(UserError, match=rf"did you mean .*{near}.*\?$"):
        load_presets(["folder", name])


def test_no_name_at_all():
    with pytest.raises(UserError, match=r"--recipe needs a .yaml file or one of .*folder"):
        load_presets([])


def test_presets_share_nothing():
    """What is laid over does not change what lies below."""
    before = load_preset("folder")
    load_presets(["folder", "dino_s16"])
    assert load_preset("folder") == before


def test_values_are_those_of_the_file(tmp_path):
    assert preset_values("dino_s16") == {
        "backbone": {"name": "vit_small_patch16_224.dino", "tap": "keys"}
    }
    path = tmp_path / "mine.yaml"
    path.write_text("# nothing\n", encoding="utf-8")
    assert preset_values(str(path)) == {}
    path.write_text("evaluate: {stride: 600}\n", encoding="utf-8")
    assert preset_values(str(path)) == {"evaluate": {"stride": 600}}  # though it alone is too large


def test_a_protocol_over_the_recipe_of_a_run():
    run = load_presets(["pascal_context", "dino_s16"])
    run = dataclasses.replace(run, data=dataclasses.replace(run.data, root="/images"))
    found = with_presets(run, ["sliding_pascal_context", "clip_b16"], sections=["data", "evaluate"])
    assert (found.data.name, found.data.root) == ("pascal_context_60", "/images")
    assert found.evaluate.protocol == "sliding"
    assert (found.evaluate.window, found.evaluate.match) == (480, run.evaluate.match)
    kept = dataclasses.replace(found, data=run.data, evaluate=run.evaluate)
    assert kept == run  # CLIP's backbone is left aside
    assert with_presets(run, [], sections=["data"]) == run


def test_a_section_fits_the_recipe_below_it(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("evaluate: {stride: 600}\n", encoding="utf-8")
    run = load_preset("sliding_cityscapes")
    assert with_presets(run, [str(path)], sections=["evaluate"]).evaluate.stride == 600
    with pytest.raises(UserError, match=r"evaluate.stride must be <= evaluate.window = 480"):
        with_presets(Recipe(), [str(path)], sections=["evaluate"])


@pytest.mark.parametrize("content", ["graph: {alfa: 1}\n", "train: {epochs: 0}\n", "- 1\n"])
def test_what_is_left_aside_is_checked_too(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"graph.alfa|train.epochs|must be a mapping"):
        with_presets(Recipe(), [str(path)], sections=["evaluate"])
