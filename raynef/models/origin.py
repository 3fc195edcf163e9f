"""What a segmenter was made of: it stays with the segmenter wherever that goes.

SEGMENTER/origin.json    method, data and versions of its training, and its scores if any; no paths
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raynef.core.errors import UserError
from raynef.io.files import read_json, write_json

ORIGIN = "origin.json"


@dataclass(frozen=True)
class Evaluated:
    """Scores on labeled images of the data that it was trained on."""

    miou: float
    accuracy: float
    num_images: int
    split: str | None
    protocol: str  # in words
    matching: str  # how clusters got their classes, in words


@dataclass(frozen=True)
class Origin:
    """How a segmenter came about."""

    method: str  # what was trained, or the kind of a baseline
    data: str  # name of the data set; 'folder' for images of one's own
    num_images: int
    made: str  # when, as run.json has it
    versions: Mapping[str, str]  # of Python and packages
    git_commit: str | None
    evaluated: Evaluated | None = None


def save_origin(folder: Path, origin: Origin | None) -> None:
    """Set the origin in a segmenter's folder, or that it has none."""
    if origin is None:
        (folder / ORIGIN).unlink(missing_ok=True)
    else:
        write_json(folder / ORIGIN, dataclasses.asdict(origin))


def read_origin(folder: Path) -> Origin | None:
    """The origin in a segmenter's folder; None where there is none. Raises UserError: damaged."""
    path = folder / ORIGIN
    if not path.is_file():
        return None
    try:
        values = read_json(path)
        scores = values.pop("evaluated")
        return Origin(**values, evaluated=Evaluated(**scores) if scores else None)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error!r}") from error
