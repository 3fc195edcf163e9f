"""The commands that a run's report shows: the one that made it, and what may be next."""

import os
import shlex
from collections.abc import Sequence

from raynef.images.datasets.imageset import ImageFile
from raynef.report.records import Command
from raynef.stores.run import RunFolder, RunRecord


def commands_of(
    run: RunFolder,
    record: RunRecord,
    files: Sequence[ImageFile],
    *,
    is_named: bool,
    supervised: bool,
) -> list[Command]:
    """Of a run, with some of its images.

    What may be next has absolute paths. What made the run stands as it was given, with paths from
    the folder in which it was given.

    Args:
        is_named: its clusters have names.
        supervised: its clusters are classes, which nobody names.
    """
    path = str(run.path)
    made = record.environment.get("command")
    photos = _folder_of(files, record.recipe["data"].get("root"))
    what = "classes and clusters" if is_named else "clusters"
    to_come = {
        f"Segment photographs: {what} as PNGs": ["predict", path, photos, "--out", "segments"],
        "Score it, and name clusters by classes, where there are labels": ["evaluate", path],
        "Export it as one file for ONNX Runtime": ["export", path, "--out", "segmenter.onnx"],
        "Write this page again, with new names or scores": ["report", path],
    }
    if not supervised:
        to_come = {"Name the clusters, on a page in the browser": ["name", path], **to_come}
    found = [Command("Made this run", shlex.join(made))] if made else []
    return found + [
        Command(about, shlex.join(["raynef", *words])) for about, words in to_come.items()
    ]


def _folder_of(files: Sequence[ImageFile], root: str | None) -> str:
    """The folder with all the images, which may lie beside labels; else the data set's."""
    if not files or "://" in files[0].path:
        return root or "photos"
    return os.path.commonpath([os.path.dirname(file.path) for file in files])
