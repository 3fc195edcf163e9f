"""Recipe presets: YAML files, in the package or the user's own, laid over one another."""

import copy
import dataclasses
import difflib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from raynef.config.recipe import Recipe, from_dict, to_dict
from raynef.config.yaml_file import parse_yaml, read_yaml
from raynef.core.errors import UserError


def preset_names() -> list[str]:
    """The presets of data sets that come with the package."""
    return _names_in("config/recipes")


def backbone_names() -> list[str]:
    """The presets of backbones that come with the package: a ``backbone:`` section each."""
    return _names_in("config/recipes/backbones")


def load_preset(name: str) -> Recipe:
    """A preset by name, or a recipe from a .yaml file. Raises UserError, naming what is allowed."""
    return load_presets([name])


def load_presets(names: Sequence[str]) -> Recipe:
    """Presets and .yaml files laid over one another, such as a data set's and a backbone's.

    Args:
        names: in order; a field that two of them give is the later one's.

    Raises:
        UserError: no name, a name that is neither a preset nor a .yaml file, or a file with an
            unknown key or an impossible value, named.
    """
    if not names:
        raise UserError(f"--recipe needs a .yaml file or one of {', '.join(preset_names())}")
    merged: dict[str, Any] = {}
    recipe = Recipe()
    for name in names:  # one by one, so that a mistake is blamed on the file that brings it
        merged = _laid_over(merged, preset_values(name))
        recipe = from_dict(merged, source=f"recipe {name}")
    return recipe


def preset_values(name: str) -> dict[str, Any]:
    """The sections of a preset or of a .yaml file as written there, without any default.

    Raises UserError where there is no such preset or file, or it holds no mapping; keys and values
    are checked by ``from_dict``, once the mapping is complete.
    """
    if name in preset_names():
        text = _text_of(f"config/recipes/{name}.yaml")
    elif name in backbone_names():
        text = _text_of(f"config/recipes/backbones/{name}.yaml")
    elif name.endswith((".yaml", ".yml")):
        return _mapping(read_yaml(name, source=f"recipe {name}"), name)
    else:
        near = difflib.get_close_matches(name, [*preset_names(), *backbone_names()], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UserError(
            f"--recipe {name!r} is neither a .yaml file nor one of {', '.join(preset_names())}, "
            f"nor a backbone: {', '.join(backbone_names())}{hint}"
        )
    return _mapping(parse_yaml(text, source=f"recipe {name}"), name)


def _mapping(values: Any, name: str) -> dict[str, Any]:
    values = {} if values is None else values  # an empty file, or comments alone
    if not isinstance(values, dict):
        raise UserError(f"recipe {name}: the recipe must be a mapping, got {values!r}")
    return values


def with_presets(recipe: Recipe, names: Sequence[str], *, sections: Sequence[str]) -> Recipe:
    """A recipe with some sections of presets and .yaml files laid over it, such as a protocol.

    Args:
        recipe: what lies below; a field that no name gives stays.
        names: in order, the later over the earlier; may be none.
        sections: that are laid over; what else the names hold is checked and left aside.

    Raises:
        UserError: as ``load_presets``.
    """
    whole = recipe
    for name in names:
        merged = _laid_over(to_dict(whole), preset_values(name))
        whole = from_dict(merged, source=f"recipe {name}")
    return dataclasses.replace(recipe, **{name: getattr(whole, name) for name in sections})


def _names_in(folder: str) -> list[str]:
    files = (resources.files("raynef") / folder).iterdir()
    return sorted(p.name.removesuffix(".yaml") for p in files if p.name.endswith(".yaml"))


def _text_of(file: str) -> str:
    return (resources.files("raynef") / file).read_text(encoding="utf-8")


def _laid_over(below: Any, above: Any) -> Any:
    """Nested mappings merged key by key; of any other two values the upper one."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return copy.deepcopy(above)
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _laid_over(below[key], value) if key in below else copy.deepcopy(value)
    return merged
