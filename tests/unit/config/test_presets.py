"""Presets in the package and recipes of the user's own."""

import dataclasses

import pytest

from raynef.config.presets import load_preset, load_presets, preset_names
from raynef.config.recipe import BUNDLED_BACKBONE, Recipe, check
from raynef.core.errors import UserError
from raynef.images.datasets.registry import dataset_names

BENCHMARKS = {  # short side and crop, K, batch and epochs: as read in the paper
    "pascal_context": (520, 480, 256, 16, 40),
    "cityscapes": (1024, 768, 256, 8, 40),
    "ade20k": (512, 512, 512, 16, 20),
    "voc2012": (520, 480, 256, 16, 40),
    "coco_stuff_27": (320, 320, 256, 16, 10),
    "imagenet": (520, 480, 256, 16, 5),
}
SLIDING = {  # short side, window, stride
    "sliding_pascal_context": (520, 480, 320),
    "sliding_cityscapes": (1024, 768, 512),
    "ade20k": (512, 512, 512),
    "voc2012": (520, 480, 320),
}


def test_there_are_presets():
    assert {"folder", "demo", *BENCHMARKS, *SLIDING} <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_is_possible(name):
    recipe = load_preset(name)
    assert check(recipe) == recipe
    assert recipe.data.root is None  # a preset names nobody's folder
    assert recipe.data.name in dataset_names()
    assert recipe.data.crop % 16 == 0
    assert recipe.evaluate.window % 16 == 0


@pytest.mark.parametrize("name", ["folder", "demo"])
def test_what_needs_no_download_has_the_bundled_backbone(name):
    assert load_preset(name).backbone.name == BUNDLED_BACKBONE


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks(name):
    recipe = load_preset(name)
    assert recipe.data.name == name
    assert recipe.backbone.name == "vit_small_patch16_384.augreg_in21k_ft_in1k"
    sizes = (recipe.data.short_side, recipe.data.crop, recipe.eigen.num_eigenfunctions)
    assert (*sizes, recipe.train.batch_size, recipe.train.epochs) == BENCHMARKS[name]
    # The paper's graph is the default; labels stay out.
    assert (recipe.graph, recipe.train.leak_labels) == (Recipe().graph, False)


@pytest.mark.parametrize("name", sorted({*BENCHMARKS, *SLIDING}))
def test_protocols(name):
    """Tables 1 and 2 center crop at 320, Tables 3 and 4 slide."""
    evaluate = load_preset(name).evaluate
    if name in SLIDING:
        assert evaluate.protocol == "sliding"
        assert (evaluate.short_side, evaluate.window, evaluate.stride) == SLIDING[name]
    else:
        assert (evaluate.protocol, evaluate.short_side, evaluate.crop) == ("reco", 320, 320)
    assert evaluate.match == "iou"


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("sliding_")])
def test_what_is_laid_over_a_benchmark_is_about_evaluation(name):
    """Training, and so the run, stays that of the preset below."""
    recipe, plain = load_preset(name), Recipe()
    assert dataclasses.replace(recipe, data=plain.data, evaluate=plain.evaluate) == plain
    assert dataclasses.replace(recipe.data, name=plain.data.name) == plain.data
    assert recipe.data.name.startswith(name.removeprefix("sliding_"))


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
    with pytest.raises(UserError, match=r"neither a .yaml file nor one of ade20k, .*demo, .*fold"):
        load_preset(name)


def test_a_preset_of_a_method_is_laid_over_any_data():
    """``folder`` learns clusterings; the defaults, and so the benchmarks, are the paper's."""
    assert load_presets(["folder", "clusterings"]) == load_presets(["folder"])
    paper = load_presets(["folder", "paper"])
    assert paper.eigen == dataclasses.replace(Recipe().eigen, num_eigenfunctions=0)  # by the images
    for section in ("train", "teachers"):
        assert getattr(paper, section) == getattr(Recipe(), section)
    assert paper.data == dataclasses.replace(Recipe().data, name="folder")
    benchmark = load_presets(["pascal_context"])
    assert load_presets(["pascal_context", "paper"]) == benchmark
    learned = load_presets(["pascal_context", "clusterings"])
    assert learned.data.crop == benchmark.data.crop
    assert learned.eigen.objective == "clusterings"
