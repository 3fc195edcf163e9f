"""Recipes: what is named when a value is impossible, and round trips."""

import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynef.config.fields import Rule, settings
from raynef.config.recipe import Recipe, check, fingerprint, from_dict, to_dict
from raynef.core.errors import UserError


def is_between(note: object) -> bool:
    return isinstance(note, Rule) and bool(note.other)


def changed(name: str, value: object) -> Recipe:
    section, field = name.split(".")
    part = dataclasses.replace(getattr(Recipe(), section), **{field: value})
    return dataclasses.replace(Recipe(), **{section: part})


def test_the_defaults_are_possible_and_the_papers():
    recipe = check(Recipe())
    assert recipe == from_dict({})
    assert recipe.graph.num_neighbors == recipe.eigen.num_eigenfunctions == 256
    assert recipe.graph.alpha == 0.3
    assert recipe.graph.pixel_neighbors == ((10, 2.0), (5, 0.1))
    assert (recipe.eigen.tau_start, recipe.eigen.tau_end) == (1.0, 0.3)
    assert (recipe.train.lr, recipe.train.lr_end, recipe.train.epochs) == (1e-3, 1e-5, 40)
    assert recipe.data.scale == (0.5, 2.0)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"grpah": {}}, ["unknown key grpah", "did you mean graph?", "eigen", "evaluate"]),
        ({"graph": {"num_neighbours": 3}}, ["graph.num_neighbours", "mean graph.num_neighbors?"]),
        ({"graph": {"beta": 3}}, ["unknown key graph.beta", "Allowed: num_neighbors, search"]),
        ({"xyzzy": 1}, ["unknown key xyzzy. Allowed: data, backbone"]),
        ({3: 1}, ["unknown key 3"]),
        ({"graph": 5}, ["graph. must be a mapping, got 5"]),
        ({"graph": None}, ["must be a mapping, got None"]),
        ([], ["the recipe must be a mapping, got []"]),
    ],
)
def test_unknown_keys_are_named_with_what_is_allowed(values, parts):
    with pytest.raises(UserError) as caught:
        from_dict(values, source="mine.yaml")
    message = str(caught.value)
    assert message.startswith("mine.yaml: ")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("train.epochs", "3", "of type int, got '3'"),
        ("train.epochs", 3.0, "of type int"),
        ("train.epochs", True, "of type int, got True"),
        ("train.epochs", None, "of type int"),
        ("train.lr", "fast", "of type float"),
        ("train.lr", False, "of type float"),
        ("data.photometric", 1, "of type bool"),
        ("data.root", 3, "of type str"),
        ("data.scale", [1.0], "of type tuple"),
        ("data.scale", [1.0, 2.0, 3.0], "of type tuple"),
        ("data.scale", 1.0, "of type tuple"),
        ("data.scale", ["a", 1], "of type float, got 'a'"),
        ("graph.pixel_neighbors", [10, 2.0], "of type tuple"),
        ("graph.pixel_neighbors", [[10.5, 2.0]], "of type int, got 10.5"),
        ("backbone.tap", "values", "one of norm, keys, neighborhood, got 'values'"),
        ("evaluate.match", ["iou"], "one of iou, count, hungarian"),
    ],
)
def test_wrong_types(name, value, wanted):
    section, field = name.split(".")
    with pytest.raises(UserError) as caught:
        from_dict({section: {field: value}}, source="mine.yaml")
    assert f"mine.yaml: {name} must be {wanted}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("data.scale", [1, 1], (1.0, 1.0)),
        ("graph.alpha", 1, 1.0),
        ("graph.pixel_neighbors", [[4, 1]], ((4, 1.0),)),
        ("graph.pixel_neighbors", [], ()),
        ("eigen.beta", None, None),
        ("eigen.beta", 2, 2.0),
        ("data.root", None, None),
    ],
)
def test_plain_values_become_the_fields_type(name, value, expected):
    section, field = name.split(".")
    found = getattr(getattr(from_dict({section: {field: value}}), section), field)
    assert found == expected
    assert type(found) is type(expected)


AT_LEAST_ONE = [
    "data.short_side",
    "data.crop",
    "data.num_views",
    "backbone.batch_size",
    "graph.num_neighbors",
    "eigen.num_blocks",
    "train.batch_size",
    "train.num_workers",
    "train.epochs",
    "evaluate.short_side",
    "evaluate.crop",
    "evaluate.batch_size",
]
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in AT_LEAST_ONE),
        *((name, -3) for name in AT_LEAST_ONE),
        ("data.scale", (0.0, 1.0)),
        ("data.scale", (2.0, 1.0)),
        ("data.scale", (NAN, 1.0)),
        ("data.scale", (0.5, INF)),
        ("data.flip", -0.1),
        ("data.flip", 1.1),
        ("data.max_bad_fraction", 1.5),
        ("data.max_bad_fraction", -1.0),
        ("graph.pixel_neighbors", ((0, 1.0),)),
        ("graph.pixel_neighbors", ((5, -1.0),)),
        ("graph.pixel_neighbors", ((5, INF),)),
        ("graph.alpha", -0.1),
        ("graph.alpha", NAN),
        ("graph.alpha", INF),
        ("eigen.num_eigenfunctions", 1),
        ("eigen.num_eigenfunctions", 4097),
        ("eigen.beta", -1.0),
        ("eigen.beta", NAN),
        ("eigen.beta", INF),
        ("eigen.tau_start", 0.0),
        ("eigen.tau_start", INF),
        ("eigen.tau_end", 0.0),
        ("train.lr", 0.0),
        ("train.lr", INF),
        ("train.lr_end", 0.0),
        ("train.lr_end", 0.1),
        ("train.max_failures", -1),
        ("train.num_workers", 17),
    ],
)
def test_impossible_values_are_named(name, value):
    with pytest.raises(UserError) as caught:
        check(changed(name, value))
    assert f"parameter {name} must be " in str(caught.value)
    assert f"got {value!r}" in str(caught.value)


def test_a_fields_own_rule_comes_before_one_between_two_fields():
    with pytest.raises(UserError, match=r"train.batch_size must be >= 1, got 0"):
        check(changed("train.batch_size", 0))  # fewer than num_workers, too


@pytest.mark.parametrize(
    ("name", "other"),
    [(s.name, rule.other) for s in settings(Recipe) for rule in s.notes if is_between(rule)],
)
def test_rules_between_fields_name_fields(name, other):
    assert {name, other} <= {setting.name for setting in settings(Recipe)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 1) for name in AT_LEAST_ONE),
        ("data.scale", (1.0, 1.0)),
        ("data.flip", 0.0),
        ("data.flip", 1.0),
        ("data.max_bad_fraction", 0.0),
        ("graph.pixel_neighbors", ()),
        ("graph.pixel_neighbors", ((1, 0.0),)),
        ("graph.alpha", 0.0),
        ("eigen.num_eigenfunctions", 2),
        ("eigen.num_eigenfunctions", 4096),
        ("eigen.beta", 0.0),
        ("train.lr_end", 1e-3),
        ("train.max_failures", 0),
        ("train.num_workers", 16),
    ],
)
def test_the_last_possible_values_are_possible(name, value):
    assert check(changed(name, value)) == changed(name, value)


def test_round_trip():
    recipe = from_dict(
        {
            "data": {"root": "x", "scale": [0.75, 1.5]},
            "graph": {"pixel_neighbors": [[3, 1.5], [2, 0.0]]},
            "eigen": {"beta": 0.08},
            "train": {"features": "streamed"},
        }
    )
    plain = to_dict(recipe)
    assert json.loads(json.dumps(plain)) == plain
    assert from_dict(plain) == recipe
    assert plain["graph"]["pixel_neighbors"] == [[3, 1.5], [2, 0.0]]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "graph": st.fixed_dictionaries(
                {"alpha": st.floats(0, 1e6), "num_neighbors": st.integers(1, 10**6)}
            ),
            "train": st.fixed_dictionaries({"seed": st.integers(-(2**63), 2**63)}),
            "data": st.fixed_dictionaries({"root": st.one_of(st.none(), st.text())}),
        },
    )
)
def test_any_possible_recipe_survives_a_file(values):
    recipe = from_dict(values)
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe


def test_fingerprints():
    """Order does not count, values do; the golden one holds on every machine."""
    assert fingerprint({"a": 1, "b": [1.5, None]}) == fingerprint({"b": [1.5, None], "a": 1})
    assert fingerprint({"a": 1}) == "015abd7f5cc57a2d"
    plain = to_dict(Recipe())
    prints = {fingerprint(plain)}
    for section, fields in plain.items():
        for name in fields:
            prints.add(fingerprint({**plain, section: {**fields, name: "another"}}))
    assert len(prints) == 1 + sum(len(fields) for fields in plain.values())


def test_a_fingerprint_is_the_same_in_another_process():
    code = "from raynef.config.recipe import *; print(fingerprint(to_dict(Recipe())), end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == fingerprint(to_dict(Recipe()))


def test_recipes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().graph.alpha = 1.0  # type: ignore[misc]
