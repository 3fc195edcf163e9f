"""Recipe presets: YAML files, in the package or the user's own."""

from importlib import resources
from pathlib import Path

import yaml

from raynef.core.errors import UserError
from raynef.core.recipe import Recipe, from_dict


def preset_names() -> list[str]:
    """The presets that come with the package."""
    folder = resources.files("raynef") / "recipes"
    return sorted(
        p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")
    )


def load_preset(name: str) -> Recipe:
    """A preset by name, or a recipe from a .yaml file. Raises UserError, naming what is allowed."""
    if name in preset_names():
        text = (resources.files("raynef") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    elif name.endswith((".yaml", ".yml")):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"recipe {name} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"recipe {name} is not YAML: {error}") from error
    else:
        raise UserError(
            f"--recipe {name!r} is neither a .yaml file nor one of {', '.join(preset_names())}"
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"recipe {name} is not YAML: {error}") from error
    return from_dict(values or {}, source=f"recipe {name}")
