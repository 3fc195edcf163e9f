"""Spaces: what a file may say, and that every mistake in it is named."""

import pytest
import yaml

from raynef.config.recipe import Recipe
from raynef.core.errors import UserError
from raynef.sweeps.space import INCOMPARABLE, Axis, Search, with_point
from raynef.sweeps.space_file import read_space, space_names

SHIPPED = (
    "ade20k",
    "alpha",
    "backbone",
    "beta",
    "dsm_architecture",
    "dsm_block",
    "dsm_clusters",
    "dsm_color",
    "dsm_convnets",
    "dsm_eigenvectors",
    "dsm_features",
    "dsm_localization",
    "dsm_object",
    "dsm_semantic",
    "matching",
    "objective",
    "output_dim",
    "protocol",
    "search",
    "zero_shot",
)


def written(tmp_path, **values):
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump({"title": "t", **values}), encoding="utf-8")
    return str(path)


def test_every_table_of_the_paper_has_a_space():
    assert tuple(space_names()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_are_whole(name):
    space = read_space(name)
    assert space.title
    assert bool(space.paper) == bool(space.values)
    if space.values:
        assert set(space.data) >= {entry["data"] for entry in space.values}
    # Only Table 8 and the K-means rows were free of labels, and Deep Spectral Methods.
    assert space.is_spectral == name.startswith("dsm_")
    free = name == "zero_shot" or space.is_spectral
    assert space.paper_leaked == (bool(space.values) and not free)


@pytest.mark.parametrize("name", [name for name in SHIPPED if not name.startswith("dsm_")])
def test_shipped_spaces_say_whether_a_crf_comes_before_the_score(name):
    """The published evaluation of arXiv:2304.02841 scores after one."""
    space = read_space(name)
    assert space.fields["evaluate.crf"] in (True, False)
    assert space.paper_crf == bool(space.values)


def test_the_shipped_search_reads_no_label_and_compares_what_can_be_compared():
    space = read_space("search")
    assert space.search is not None
    assert space.search.metric == "agreement"
    assert not {axis.key for axis in space.axes} & set(INCOMPARABLE)


def test_values_of_table_6():
    space = read_space("alpha")
    assert space.axes == (Axis("graph.alpha", "grid", (0, 0.1, 0.3, 0.5, 0.7)),)
    assert [entry["miou"][2] for entry in space.values] == [38.8, 28.2]
    assert read_space("tune_spaces/alpha.yaml").axes == space.axes


def test_values_of_deep_spectral_methods():
    color = read_space("dsm_color")
    assert color.axes == (Axis("spectral.color_weight", "grid", (0, 1, 8, 10, float("inf"))),)
    assert color.values[0]["corloc"] == [57.7, 59.5, 61.1, 61.2, 24.2]
    (clusters,) = read_space("dsm_clusters").values
    assert (clusters["miou"][0], clusters["miou_majority"][1:]) == (33.3, [38.5, 42.8])
    assert read_space("dsm_semantic").seeds == (0, 1, 2, 3)


def test_what_the_captions_of_deep_spectral_methods_leave_open():
    """The notes on Tables 1, 7 and 11 follow from the numbers of the paper's other tables."""
    spaces = ("dsm_localization", "dsm_architecture", "dsm_color", "dsm_clusters")
    boxes, models, color, clusters = (read_space(name) for name in spaces)

    def corloc(space, **where):
        (entry,) = (e for e in space.values if where.items() <= e.items())
        return entry["corloc"]

    ours = corloc(boxes, data="voc2007_boxes", method="localize")
    assert ours == corloc(models, backbone="dino_b8", method="localize")
    assert ours != corloc(models, backbone="dino_b16", method="localize")
    assert "62.7 is ViT-B/8's" in (boxes.paper or "")

    largest = max(color.values[0]["corloc"])
    assert largest <= ours < corloc(boxes, data="voc2012_boxes", method="localize")
    assert "VOC 2012 by its caption" in (color.paper or "")

    eigenvectors = read_space("dsm_eigenvectors")
    by_number = dict(zip(eigenvectors.axes[0].values, eigenvectors.values[0]["miou"], strict=True))
    assert clusters.values[0]["miou"][0] == by_number[5] != by_number[15]
    assert "Table 10's at m = 5" in (clusters.paper or "")


def test_metrics_are_by_default_what_all_methods_give(tmp_path):
    assert read_space(written(tmp_path)).metrics == ("accuracy", "miou")
    found = {
        method: read_space(written(tmp_path, methods=[method])).metrics
        for method in ("localize", "object", "semantic")
    }
    assert found["localize"] == ("corloc",)
    assert found["object"] == ("accuracy", "miou")
    assert found["semantic"] == ("accuracy", "miou", "miou_majority")


def test_a_search_has_defaults_where_an_axis_is_drawn(tmp_path):
    space = read_space(written(tmp_path, axes={"train.lr": {"loguniform": ["1e-4", "1e-2"]}}))
    assert space.search == Search()
    assert space.axes[0].values == (1e-4, 1e-2)
    assert read_space("alpha").search is None


def test_a_point_makes_a_recipe():
    point = {"graph.alpha": 0.7, "backbone": "dino_s16"}
    recipe = with_point(Recipe(), point, source="x")
    assert (recipe.graph.alpha, recipe.backbone.tap) == (0.7, "keys")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"axis": {}}, r"unknown key axis; did you mean axes\?"),
        ({"axes": {"graph.alpha": {"grid": []}}}, r"axis graph\.alpha is empty"),
        ({"axes": {"graph.alpha": [0, 1]}}, r"must be a word and its values"),
        ({"axes": {"graph.alpha": {"grids": [0]}}}, r"'grids' is none of grid, choice"),
        ({"axes": {"graph.alfa": {"grid": [0]}}}, r"unknown key graph\.alfa; did you mean"),
        ({"axes": {"alpha": {"grid": [0]}}}, r"must be a field of a section"),
        ({"axes": {"graph.alpha": {"grid": [-1]}}}, r"graph\.alpha must be >= 0, got -1"),
        ({"axes": {"graph.alpha": {"grid": ["x"]}}}, r"graph\.alpha must be of type float"),
        ({"axes": {"graph.alpha": {"grid": [0, 0]}}}, r"a value stands twice"),
        ({"axes": {"graph.alpha": {"uniform": [1]}}}, r"uniform takes 2 numbers"),
        ({"axes": {"graph.alpha": {"uniform": [1, 0]}}}, r"must go from low to high"),
        ({"axes": {"train.lr": {"loguniform": [0, 1]}}}, r"must start above 0"),
        ({"axes": {"backbone": {"grid": ["vit_huge"]}}}, r"'vit_huge' is neither"),
        ({"axes": {"train.seed": {"grid": [0, 1]}}}, r"train\.seed is no axis"),
        (
            {"set": {"graph.alpha": 1}, "axes": {"graph.alpha": {"grid": [0]}}},
            r"both an axis and set",
        ),
        ({"set": {"graph.alfa": 1}}, r"unknown key graph\.alfa"),
        ({"methods": ["magic"]}, r"'magic' is none of kmeans, kmeans_context"),
        ({"methods": []}, r"methods is empty"),
        ({"metrics": ["f1"]}, r"'f1' is none of accuracy, miou"),
        ({"metrics": ["corloc"]}, r"metrics: ours gives accuracy, miou, not corloc"),
        (
            {"methods": ["semantic"], "metrics": ["corloc"]},
            r"semantic gives accuracy, miou, miou_majority, not corloc",
        ),
        ({"methods": ["localize", "object"]}, r"localize, object have no metric in common"),
        (
            {"methods": ["ours", "lost", "localize"]},
            r"lost, localize train nothing and share no trial with ours",
        ),
        (
            {"methods": ["localize"], "axes": {"graph.alpha": {"grid": [0]}}},
            r"see nothing of graph\.alpha; they see fields of data, backbone, spectral",
        ),
        (
            {"methods": ["localize"], "axes": {"spectral.block": {"choice": [1]}}},
            r"search is not for spectral methods",
        ),
        ({"methods": ["semantic"], "targets": ["cityscapes"]}, r"targets is not for spectral"),
        ({"methods": ["semantic"], "clusters": "classes"}, r"clusters is not for spectral"),
        ({"data": ["cityscape"]}, r"'cityscape' is none of"),
        ({"rows": ["graph.alpha"]}, r"told apart by data, method, metric, target; got 'graph"),
        ({"rows": ["metric"], "columns": "metric"}, r"in rows and in columns"),
        ({"seeds": [0.5]}, r"seeds must be a list of whole numbers"),
        ({"search": {"num_samples": 2}}, r"no axis is drawn"),
        (
            {"axes": {"graph.alpha": {"uniform": [0, 1]}}, "search": {"metric": "loss"}},
            r"search\.metric must be one of agreement, objective, miou",
        ),
        (
            {"axes": {"graph.alpha": {"uniform": [0, 1]}}, "search": {"samples": 3}},
            r"search: unknown key samples",
        ),
        (
            {
                "axes": {"graph.alpha": {"grid": [0, 1]}},
                "columns": "graph.alpha",
                "values": [{"miou": [1, 2, 3]}],
            },
            r"miou must be 2 numbers",
        ),
        ({"values": [{"datas": "x", "miou": 1}]}, r"values: unknown key datas"),
        ({"title": ""}, r"title must be a text"),
        ({"clusters": "many"}, r"clusters must be classes"),
    ],
)
def test_mistakes_are_named(tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        read_space(written(tmp_path, **values))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alfa", r"neither a \.yaml file nor a space of raynef; did you mean alpha\?"),
        ("missing.yaml", r"cannot be read"),
    ],
)
def test_a_space_that_is_not_there(name, message):
    with pytest.raises(UserError, match=message):
        read_space(name)


@pytest.mark.parametrize("text", ["- a\n", "title: [\n"])
def test_a_file_that_is_no_space(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"must be a mapping|is not YAML"):
        read_space(str(tmp_path / "x.yaml"))


@pytest.mark.parametrize(
    ("name", "held"),
    [("alpha", True), ("output_dim", True), ("search", True), ("dsm_color", False)],
)
def test_spaces_of_eigenfunctions_are_told_apart(name, held):
    assert read_space(name).is_of_eigenfunctions == held


def test_a_space_of_ones_own_is_of_eigenfunctions_by_what_it_varies(tmp_path):
    for key, values, held in (
        ("graph.num_neighbors", [8, 16], True),
        ("eigen.gumbel", ["soft", "hard"], True),
        ("eigen.num_eigenfunctions", [8, 16], False),
    ):
        file = tmp_path / "space.yaml"
        axes = {key: {"grid": values}}
        file.write_text(yaml.safe_dump({"title": "x", "axes": axes, "methods": ["ours"]}))
        assert read_space(str(file)).is_of_eigenfunctions == held
