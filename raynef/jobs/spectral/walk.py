"""The life of a command on a STORE: its images in units, a line of progress, and a page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raynef.cluster.progress import Progress
from raynef.cluster.stream import stream
from raynef.io.files import write_json, write_text
from raynef.jobs.report import spread
from raynef.jobs.spectral.eigen import Solved
from raynef.report.spectral_page import SpectralRow, render_spectral
from raynef.work.sources import output_names
from raynef.work.units import ImageUnit, chunks

SHOWN = 12  # images of the gallery


def units_of(solved: Solved, size: int) -> list[ImageUnit]:
    """The images of a STORE that have eigenpairs, ``size`` of them at a time."""
    files = solved.images.files
    names = output_names(files)
    return [
        ImageUnit(
            part,
            tuple(files[index] for index in part),
            outputs=tuple(names[index] for index in part),
        )
        for part in chunks(solved.pairs.images(), size)
    ]


def walk(job: str, units: Sequence[ImageUnit], **how: Any) -> Iterator[Any]:
    """The result of every unit, in their order, with a line of progress; ``how`` as ``stream``."""
    progress = Progress(job, sum(len(unit.images) for unit in units), "images")
    for unit, result in zip(units, stream(units, in_order=True, **how), strict=True):
        yield result
        progress.advance(len(unit.images))
    progress.close()


def shown_of(solved: Solved) -> list[int]:
    """The images of a gallery, evenly from all."""
    return spread(solved.pairs.images(), SHOWN)


def publish(
    folder: Path,
    job: str,
    result: dict[str, Any],
    *,
    title: str,
    about: str,
    summary: Sequence[str] | Mapping[str, Any],
    rows: Sequence[SpectralRow],
    **more: Any,
) -> dict[str, Any]:
    """Write FOLDER/JOB.json and FOLDER/JOB.html.

    Args:
        folder: for both.
        job: the command's last word.
        result: of the command.
        title, about, rows: of the page.
        summary: of the page, or keys of the result: those with a value.
        more: what the JSON has besides.

    Returns:
        The result with ``report``, where the page is.
    """
    write_json(folder / f"{job}.json", {**result, **more})
    if not isinstance(summary, Mapping):
        summary = {name: result[name] for name in summary if result.get(name) is not None}
    page = folder / f"{job}.html"
    text = render_spectral(
        f"raynef spectral {job}",
        title,
        about=about,
        summary=summary,
        rows=rows,
        command=f"raynef spectral {job}",
    )
    write_text(page, text)
    return {**result, "report": str(page)}
