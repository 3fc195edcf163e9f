"""Fields by dotted names."""

import pytest

from raynef.config.overrides import override
from raynef.config.recipe import Recipe
from raynef.core.errors import UserError


def test_fields_are_replaced_and_the_recipe_stays():
    before = Recipe()
    after = override(before, {"train.epochs": 3, "data.scale": [1, 1]}, source="x.yaml")
    assert (after.train.epochs, after.data.scale) == (3, (1.0, 1.0))
    assert before == Recipe()
    assert override(before, {}, source="x.yaml") == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train.epoch": 3}, "x.yaml: unknown key train.epoch; did you mean train.epochs?"),
        ({"trian.epochs": 3}, "x.yaml: unknown key trian; did you mean train?"),
        ({"epochs": 3}, "x.yaml: 'epochs' must be a field of a section"),
        ({"train.epochs": "three"}, "train.epochs must be of type int, got 'three'"),
        ({"train.epochs": 0}, "train.epochs must be >= 1, got 0"),
    ],
)
def test_a_mistake_is_named(fields, message):
    with pytest.raises(UserError) as caught:
        override(Recipe(), fields, source="x.yaml")
    assert message in str(caught.value)
