"""Recipe presets: YAML files, in the package or the user's own, laid over one another."""

import dataclasses
import difflib
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from raynef.config.recipe import Recipe, from_dict, to_dict
from raynef.config.yaml_file import parse_yaml, read_yaml
from raynef.core.errors import UserError


def preset_names() -> list[str]:
    """The presets of data sets that come with the package."""
    return list(_files("config/recipes"))


def backbone_names() -> list[str]:
    """The presets of backbones that come with the package: a ``backbone:`` section each."""
    return list(_files("config/recipes/backbones"))


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
    return _laid_over(Recipe(), names)


def with_presets(recipe: Recipe, names: Sequence[str], *, sections: Sequence[str]) -> Recipe:
    """A recipe with some sections of presets and .yaml files laid over it, such as a protocol.

    Args:
        recipe: what lies below; a field that no name gives stays.
        names: in order, the later over the earlier; may be none.
        sections: that are laid over; what else the names hold is checked and left aside.

    Raises:
        UserError: as ``load_presets``.
    """
    whole = _laid_over(recipe, names)
    return dataclasses.replace(recipe, **{name: getattr(whole, name) for name in sections})


def preset_values(name: str) -> dict[str, Any]:
    """The sections of a preset or of a .yaml file as written there, without any default.

    Raises UserError where there is no such preset or file, or it holds no mapping; keys and values
    are checked by ``from_dict``, once the mapping is complete.
    """
    source = f"recipe {name}"
    files = _files("config/recipes") | _files("config/recipes/backbones")
    if name in files:
        values = parse_yaml(files[name].read_text(encoding="utf-8"), source=source)
    elif name.endswith((".yaml", ".yml")):
        values = read_yaml(name, source=source)
    else:
        near = difflib.get_close_matches(name, files, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UserError(
            f"--recipe {name!r} is neither a .yaml file nor one of {', '.join(preset_names())}, "
            f"nor a backbone: {', '.join(backbone_names())}{hint}"
        )
    if not isinstance(values, dict | None):
        raise UserError(f"{source}: the recipe must be a mapping, got {values!r}")
    return values or {}  # of an empty file, or comments alone


def _files(folder: str) -> dict[str, Traversable]:
    """The .yaml files of a folder of the package by their names, sorted."""
    found = {p.name: p for p in (resources.files("raynef") / folder).iterdir()}
    return {n.removesuffix(".yaml"): found[n] for n in sorted(found) if n.endswith(".yaml")}


def _laid_over(recipe: Recipe, names: Sequence[str]) -> Recipe:
    for name in names:  # one by one, so that a mistake is blamed on the file that brings it
        merged = _merged(to_dict(recipe), preset_values(name))
        recipe = from_dict(merged, source=f"recipe {name}")
    return recipe


def _merged(below: Any, above: Any) -> Any:
    """Nested mappings merged key by key; of any other two values the upper one."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: _merged(below.get(key), value) for key, value in above.items()}
