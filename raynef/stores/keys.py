"""What a store depends on, compared in words: recipe fields by name, files by number."""

from pathlib import Path
from typing import Any

from raynef.config.fields import settings
from raynef.config.recipe import Recipe
from raynef.core.errors import UserError

_FORMATS = ("format", "eigen_format", "hue_degrees")
_UNSAID = {"feature_precision": "float32", "stored_bits": 16}
"""What a key means where it says nothing."""


def require_same_key(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise UserError that names what differs, unless a store holds what is wanted."""
    differing = differences(found, wanted)
    if differing:
        raise UserError(
            f"{folder} holds features of another recipe or other images: {'; '.join(differing)}. "
            "Give another folder, or delete this one"
        )


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs between the key of a store and the one that is wanted, one phrase each."""
    names = [name for name in wanted | found if found.get(name) != wanted.get(name)]
    phrases = []
    if "files" in names or "num_images" in names:
        phrases.append(_images(found.get("num_images"), wanted.get("num_images")))
    for name in names:
        if name in ("files", "num_images"):
            continue
        if name == "hue_degrees" and "photometric" in names:  # follows from it
            continue
        if name == "weights":
            phrases.append("the backbone's weights differ (backbone.weights)")
        elif name in _FORMATS:
            phrases.append("it was made by another version of raynef")
        else:
            there, here = (key.get(name, _UNSAID.get(name)) for key in (found, wanted))
            phrases.append(f"{_field(name)} is {there!r} there, {here!r} here")
    return phrases


def _images(there: Any, here: Any) -> str:
    if there == here:
        return f"the image files: {here} there and here, but names or sizes differ"
    return f"the image files: {there} there, {here} here"


def _field(name: str) -> str:
    """The recipe field that a part of a key comes from; the part's own name where it is none."""
    for setting in settings(Recipe):
        if name in setting.in_keys().values():
            return setting.name
    other = {"precision": "train.precision", "feature_precision": "backbone.precision"}
    return other.get(name) or f"the {name.replace('_', ' ')}"
