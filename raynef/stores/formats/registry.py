"""The formats that ``raynef predict`` writes: a module of this package each, by name."""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from raynef.stores.formats.base import Format

FormatName = Literal[
    "png",
    "ids",
    "coco-panoptic",
    "coco-rle",
    "cvat",
    "fiftyone",
    "label-studio",
    "parquet",
]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)


def format_of(name: FormatName) -> "Format":
    """The record of a format."""
    return import_module(f"raynef.stores.formats.{name.replace('-', '_')}").FORMAT


def documents_of(names: Iterable[str]) -> list[str]:
    """Paths of the documents of some formats; names that are none are left out."""
    known = [format_of(name) for name in FORMATS if name in set(names)]
    return [path for found in known for path in found.documents]
