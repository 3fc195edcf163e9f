"""What ``import raynef`` offers for notebooks and scripts: the commands as functions.

    run = raynef.train("photos", out="runs/photos", train={"epochs": 3})
    run.segmenter("a.jpg").show()
    raynef.predict(run, "new photos", out="segments")

What happens is said on stderr, as the commands say it, with a bar in a notebook, unless the logger
``raynef`` has a handler.
"""

import contextlib
import html
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from operator import index
from pathlib import Path
from typing import Any

from raynef.cli.commands import parse
from raynef.cli.paths import absolute_paths
from raynef.config.overrides import override
from raynef.config.presets import load_presets
from raynef.config.recipe import Recipe, check
from raynef.core.errors import UserError
from raynef.images.geotiff import Colors
from raynef.io.loggers.choice import LoggerName, loggers
from raynef.jobs.evaluate import evaluate as evaluate_run
from raynef.jobs.export import Format
from raynef.jobs.export import export as export_segmenter
from raynef.jobs.naming import name_clusters
from raynef.jobs.predict import Options
from raynef.jobs.predict import predict as predict_images
from raynef.jobs.report import write_report
from raynef.jobs.train import train as train_run
from raynef.models.segmenter import Segmenter
from raynef.report.screen import heard_on, progress_on, screen
from raynef.stores.formats.registry import FormatName
from raynef.stores.run import RunFolder
from raynef.work.segmenting import Overlay

logger = logging.getLogger("raynef")

Fields = Mapping[str, Any]
"""Of one section of a recipe, by name: ``{"epochs": 3}``."""


class Run(os.PathLike[str]):
    """A finished run. It stands wherever the path of one does.

    Attributes:
        path: its folder.
        result: what ``raynef train`` says of it.
    """

    def __init__(self, path: str | Path, result: Mapping[str, Any] | None = None) -> None:
        """Raises UserError where ``path`` is no run; ``result`` is read from it if not given."""
        self.path = Path(path).absolute()
        self.result = dict(result or RunFolder(self.path).finished() or {})
        RunFolder(self.path).record()

    @cached_property
    def segmenter(self) -> Segmenter:
        """Its product, opened when it is first asked for."""
        return Segmenter.load(self.path)

    @property
    def recipe(self) -> Recipe:
        """What it was trained by."""
        return RunFolder(self.path).recipe()

    @property
    def report(self) -> Path:
        """Its page, written where it is not there yet."""
        page = RunFolder(self.path).report_file
        return page if page.is_file() else Path(write_report(self.path)["report"])

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        shown = ("num_images", "epochs", "steps", "seconds", "images_per_second")
        rows = [(name, self.result[name]) for name in shown if name in self.result]
        cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
        return f"<table><caption>{html.escape(str(self.path))}</caption>{cells}</table>"


def recipe_of(
    images: str | Path | None = None, recipe: str | Sequence[str] = "folder", **sections: Fields
) -> Recipe:
    """A recipe: presets, and fields over them.

    Args:
        images: their folder or address; ``data.root``.
        recipe: presets or .yaml files, the later over the earlier.
        sections: fields of sections, such as ``train={"epochs": 3}, eigen={...}``.

    Raises:
        UserError: a name or a value that does not fit, named.
    """
    found = load_presets([recipe] if isinstance(recipe, str) else recipe)
    fields = {
        f"{section}.{name}": value for section, of in sections.items() for name, value in of.items()
    }
    found = override(found, fields, source="keyword arguments")
    if images is not None:
        found = replace(found, data=replace(found.data, root=os.fspath(images)))
    return absolute_paths(check(found))


def train(
    images: str | Path | Recipe,
    out: str | Path,
    *,
    recipe: str | Sequence[str] = "folder",
    init_from: str | Path | Run | None = None,
    address: str | None = None,
    logger: LoggerName | Sequence[LoggerName] = "tensorboard",
    mlflow: str | None = None,
    wandb: str | None = None,
    **sections: Fields,
) -> Run:
    """Train a segmenter without labels, as ``raynef train``; the same call again resumes.

    Args:
        images: their folder or address, or a whole recipe.
        out: folder of the run.
        recipe: presets; see ``recipe_of``, also for ``sections``.
        init_from: a run whose weights it starts from.
        address: of a Ray cluster; without one, up to 256 images are trained on in this process, on
            few cores without a GPU up to 1,024.
        logger: where every epoch is logged, one or several; "none": nowhere.
        mlflow: log to MLflow too, at this tracking address.
        wandb: log to this project of Weights & Biases too.

    Raises:
        UserError: the user's mistake, named.
    """
    made = images if isinstance(images, Recipe) else recipe_of(images, recipe, **sections)
    with _heard():
        start = None if init_from is None else os.fspath(init_from)
        logged_by = loggers(logger, mlflow=mlflow, wandb=wandb)
        options = {"init_from": start, "address": address, "logged_by": logged_by}
        return Run(out, train_run(made, out, **options))


def predict(
    run: str | Path | Run,
    images: str | Path,
    out: str | Path,
    *,
    cut: int | None = None,
    format: FormatName | Sequence[FormatName] = "png",
    overlay: Overlay = "png",
    tile: int | None = None,
    crf: bool = False,
    bands: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    every: int | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Segment new images, as ``raynef predict``: label maps and overlays; the same call resumes.

    Args:
        run: a run, or the folder of one or of a segmenter.
        images: an image, a video, or a folder or address of some.
        out: a folder beside the images', or an address.
        cut: merge the clusters into so many groups.
        format: what to write, one or several.
        overlay: the images with their segments in color, as what.
        tile: see photographs at full resolution, in overlapping windows of so many pixels.
        crf: move the segments to the edges of the images; needs the extra ``crf``.
        bands: of TIFFs, three that are seen as colors, or one as gray; needs the extra ``geo``.
        value_range: of TIFFs, the values that are seen as black and as white; likewise.
        every: of videos, one of so many frames; one a second if None; needs the extra ``video``.
        address: of a Ray cluster.

    Raises:
        UserError: the user's mistake, named.
    """
    formats = (format,) if isinstance(format, str) else tuple(format)
    colors = Colors(None if bands is None else tuple(bands), value_range)
    options = Options(cut, formats, overlay, tile, crf, colors, every)
    with _heard():
        source = os.fspath(images)
        return predict_images(os.fspath(run), source, out, options=options, address=address)


def evaluate(
    run: str | Path | Run, recipe: Recipe | None = None, *, address: str | None = None
) -> dict[str, Any]:
    """Score a run on labeled images and name its clusters by classes, as ``raynef evaluate``.

    Args:
        run: a run, or its folder.
        recipe: whose ``data`` and ``evaluate`` sections to use; the run's own if None.
        address: of a Ray cluster.

    Raises:
        UserError: the user's mistake, named.
    """
    with _heard():
        result = evaluate_run(os.fspath(run), recipe=recipe, address=address)
    _reopen(run)
    return result


def name(
    run: str | Path | Run, names: Mapping[int, str | None], *, cut: int | None = None
) -> dict[str, Any]:
    """Name clusters without labels, as ``raynef name RUN 3=sky``: ``name(run, {3: "sky"})``.

    Args:
        run: a run, or the folder of one or of a segmenter.
        names: by cluster; clusters that share one are one class. None takes a name away; none at
            all changes nothing, and tells what there is.
        cut: the numbers are those of groups, as of ``Segmenter.cut``.

    Raises:
        UserError: no such cluster or group, or a name that cannot stand in a table.
    """
    try:
        numbered = {index(cluster): name for cluster, name in names.items()}
    except TypeError as error:
        raise UserError(f"name: clusters go by number, got {[*names]}") from error
    result = name_clusters(os.fspath(run), numbered, cut=cut)
    _reopen(run)
    return result


def export(run: str | Path | Run, out: str | Path, *, format: Format = "onnx") -> dict[str, Any]:
    """Write a segmenter as one file, as ``raynef export``; errors as there."""
    with _heard():
        return export_segmenter(os.fspath(run), out, format=format)


def tune(
    space: str | Path,
    images: str | Path | None = None,
    *,
    out: str | Path,
    recipe: str | Sequence[str] = (),
    seeds: Sequence[int] = (),
    max_concurrent: int | None = None,
    address: str | None = None,
    **sections: Fields,
) -> dict[str, Any]:
    """Sweep a space of recipes on Ray, as ``raynef tune``; table and report are in ``out``.

    Args:
        space: a .yaml file, or the name of a space that comes with raynef, such as ``alpha``.
        images: their folder or address.
        out: folder of the sweep.
        recipe: as of ``train``.
        sections: as of ``train``.
        seeds: of every point; the space's own if empty.
        max_concurrent: trials side by side.
        address: of a Ray cluster.

    Raises:
        UserError: the user's mistake, named.
    """
    presets = [recipe] if isinstance(recipe, str) else list(recipe)
    line = ["tune", os.fspath(space), "--out", os.fspath(out)]
    line += ["--data.root", os.fspath(images)] if images is not None else []
    line += ["--recipe", *presets] if presets else []
    line += ["--seeds", *map(str, seeds)] if seeds else []
    line += ["--max-concurrent", str(max_concurrent)] if max_concurrent is not None else []
    line += ["--address", address] if address is not None else []
    for section, fields in sections.items():
        for name, value in fields.items():
            flag = f"--{section}.{name.replace('_', '-')}"
            several = isinstance(value, list | tuple)
            line += [flag, *map(str, value)] if several else [f"{flag}={value}"]
    with _heard():
        result = parse(line).execute()
    assert isinstance(result, dict)
    return result


def _reopen(run: str | Path | Run) -> None:
    """The segmenter of a run has other names: it is opened anew when it is next asked for."""
    if isinstance(run, Run):
        vars(run).pop("segmenter", None)


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """What is said goes to stderr, where nobody listens to the logger yet."""
    with contextlib.ExitStack() as stack:
        if not logger.hasHandlers():
            found = screen(sys.stderr)
            stack.enter_context(heard_on(found))
            stack.enter_context(progress_on(found))
        stack.enter_context(warnings.catch_warnings())
        # Of tqdm, which a library loads in a notebook and raynef draws no bar with.
        warnings.filterwarnings("ignore", message="IProgress not found")
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        yield
