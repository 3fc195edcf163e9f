"""The recipe: every choice of a run in frozen dataclasses, checked once, saved with the result.

A preset (YAML in ``raynef/config/recipes``) fills the fields, flags override them, and ``check``
names what is impossible.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from raynef.config.fields import FREE, check_fields, settings
from raynef.config.reading import read_fields
from raynef.config.sections import BUNDLED_BACKBONE as BUNDLED_BACKBONE
from raynef.config.sections import (
    Backbone,
    Data,
    Eigen,
    Evaluate,
    Graph,
    KMeans,
    Nystrom,
    Probe,
    Teachers,
    Train,
)
from raynef.config.sections import Tap as Tap
from raynef.config.spectral import SelfTrain, Spectral


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on."""

    data: Data = field(default_factory=Data)
    backbone: Backbone = field(default_factory=Backbone)
    graph: Graph = field(default_factory=Graph)
    eigen: Eigen = field(default_factory=Eigen)
    teachers: Teachers = field(default_factory=Teachers)
    train: Train = field(default_factory=Train)
    kmeans: KMeans = field(default_factory=KMeans)
    nystrom: Nystrom = field(default_factory=Nystrom)
    probe: Probe = field(default_factory=Probe)
    evaluate: Evaluate = field(default_factory=Evaluate)
    spectral: Spectral = field(default_factory=Spectral)
    selftrain: SelfTrain = field(default_factory=SelfTrain)


NEVER_SHAPES = frozenset(s.name for s in settings(Recipe) if FREE in s.notes)
"""Fields that a command may change on a run's folder that is there; any other is fixed when the
folder is begun. ``evaluate.short_side`` is no such field: the segmenter segments at that size."""

_OF_OTHER_METHODS = ("kmeans", "nystrom", "probe", "spectral", "selftrain")
"""Sections that a run of another kind does not see."""
_KNOWN_KINDS = ("ours", *_OF_OTHER_METHODS)


def may_change(kind: str, recipe: Recipe) -> frozenset[str]:
    """Fields that may change in the folder of a run that ``kind`` makes of a recipe.

    The sections of other methods, besides ``NEVER_SHAPES``; and how labels lie, unless it is
    trained on them. A kind that is not known here may read them all, and the labels.
    """
    if not kind.startswith(_KNOWN_KINDS):
        return NEVER_SHAPES
    own = {name for name in _OF_OTHER_METHODS if kind.startswith(name)}
    if (
        kind == "nystrom"
        or recipe.eigen.head == "kmeans"
        or recipe.eigen.objective == "clusterings"
    ):
        own.add("kmeans")  # K-means has a part in what is made
    others = tuple(f"{name}." for name in _OF_OTHER_METHODS if name not in own)
    fields = {setting.name for setting in settings(Recipe) if setting.name.startswith(others)}
    if not (recipe.train.leak_labels or kind.startswith("probe")):
        fields.add("data.label_orientation")
    return NEVER_SHAPES | fields


def check(recipe: Recipe) -> Recipe:
    """Return the recipe, or raise UserError that names the field, the rule and the value."""
    check_fields(recipe)
    return recipe


def to_dict(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Plain nested values, as saved with every run."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def from_dict(values: dict[str, Any], *, source: str = "recipe") -> Recipe:
    """A recipe from nested values; missing fields keep their defaults.

    Raises:
        UserError: an unknown section or key (named with what is allowed), or a value of the wrong
            type.
    """
    return check(read_fields(Recipe, values, source=source))


def fingerprint(values: Any) -> str:
    """A short content hash of plain nested values, the same on every machine."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
