"""Prediction: new images in, label maps in many formats out."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raynef.core.errors import UserError
from raynef.images.geotiff import Colors
from raynef.io.holds import hold_folder
from raynef.io.state import note_end, state_in
from raynef.io.storage import absolute, local_path, without_secrets
from raynef.jobs.evaluate import temperature_of
from raynef.jobs.product import tau_of
from raynef.jobs.results import told_by_captions
from raynef.jobs.segment_sources import Work, segment, told_by_clips
from raynef.models.folder import segmenter_identity
from raynef.models.segmenter import Segmenter, segmenter_folder
from raynef.segment.crf import Temperature, require_crf
from raynef.stores.documents import Documents
from raynef.stores.formats.base import Categories
from raynef.stores.formats.registry import FormatName
from raynef.stores.label_files import segmenter_legend
from raynef.stores.predictions import Predictions
from raynef.stores.run import RunFolder, git_commit
from raynef.work.clips import Clips, open_clips, require_every
from raynef.work.segmenting import Making, Overlay
from raynef.work.sources import require_apart, sources_of
from raynef.work.units import describe_skipped

logger = logging.getLogger("raynef")


_LISTED = 20  # files of images that are gone, in a line


@dataclass(frozen=True)
class Options:
    """What to make of the images.

    Attributes:
        cut: groups that the clusters are merged into by their tree, whose ids then take the place
            of the clusters'; None for the clusters themselves.
        format: what to write.
        overlay: the image with its segments in color, as what.
        tile: see photographs at full resolution, in overlapping windows of so many pixels; of
            GeoTIFFs, which are seen so in any case, the windows.
        crf: move the segments to the edges of the image by a dense CRF.
        colors: what of the bands of a GeoTIFF is shown.
        every: of so many frames of a video one is segmented; None for one a second.
    """

    cut: int | None = None
    format: Sequence[FormatName] = ("png",)
    overlay: Overlay = "png"
    tile: int | None = None
    crf: bool = False
    colors: Colors = field(default_factory=Colors)
    every: int | None = None


def predict(
    run: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    options: Options | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Segment an image, a video or a folder of some without labels; what ``raynef predict`` does.

    The same call again resumes: an image whose file, and whose results, have the content that they
    had is not segmented again. Other settings in the same folder make everything again.

    Writes, with the images' relative names, ``overlays/*.png`` and what the formats are, by default
    ``clusters/*.png`` (cluster ids in the colors of the overlays, 16-bit gray when K ≥ 256) and,
    where clusters have names, ``classes/*.png`` (255 where a cluster has no class) with
    ``classes.json``; of GeoTIFFs ``*.tif`` at their place, of videos a folder of frames each.
    ``legend.json`` says what ids and colors mean; ``manifest.json``, written
    last, what was made of which image.

    Args:
        run: its folder, or a segmenter's.
        source: a path or an address.
        out: a folder, or an address that Arrow's file systems open.
        options: the defaults if None.
        address: of a Ray cluster.

    Raises:
        UserError: no segmenter, no image, not one that can be read, images and results in one
            folder, or a cut that the tree does not have.
    """
    options = options or Options()
    options.colors.check()
    require_every(options.every)
    location = absolute(out)
    require_apart(absolute(source), location)
    here = local_path(location)
    with contextlib.ExitStack() as stack:
        if here is None:
            return _predict(run, absolute(source), location, options, address)
        stack.enter_context(hold_folder(here))
        stack.enter_context(state_in(here))
        note_end(Path(here), None)
        result = _predict(run, absolute(source), location, options, address)
        note_end(Path(here), "finished")
        return result


def _predict(
    run: str | Path, source: str, out: str, options: Options, address: str | None
) -> dict[str, Any]:
    if options.crf:
        require_crf()
    folder = segmenter_folder(run)
    segmenter = Segmenter.load(folder)
    if options.tile is not None:
        segmenter.require_tile(options.tile)
    sources = sources_of(source)
    mapping = segmenter.classes
    groups = None if options.cut is None else segmenter.cut(options.cut)
    num_clusters = options.cut or segmenter.num_clusters
    crf = _temperature(run, segmenter) if options.crf else None
    predictions = Predictions(out, {**_settings(segmenter, folder, options), "crf": crf})
    making = Making(
        out=out,
        settings=predictions.key,
        categories=Categories(num_clusters, mapping.class_names if mapping else None),
        formats=tuple(dict.fromkeys(options.format)),
        overlay=options.overlay,
        classes=mapping.classes if mapping else None,
        groups=groups,
        tile=options.tile,
        crf=crf,
    )
    predictions.begin()
    clips = open_clips(sources, options.every) if sources.videos else Clips()
    work = Work(predictions, making, folder, sources.images, clips.clips, options.colors)
    files = work.files
    kept, skipped = segment(work, address)
    skipped |= clips.skipped
    if len(skipped) == len(files) + len(clips.skipped):
        raise UserError(f"not one image could be read: {describe_skipped(skipped)}")
    if skipped:
        logger.warning("%s", describe_skipped(skipped))
    gone = predictions.gone(file.name for file in (*files, *sources.videos))
    if gone:
        logger.warning("%s", _describe_gone(gone))
    there = [file for file in files if file.name not in skipped]
    Documents(predictions, there, making.categories, making.formats).write(
        {
            **segmenter_legend(segmenter.num_clusters, mapping, options.cut),
            **told_by_captions(segmenter),
        },
        about={
            "run": str(Path(run).absolute()),
            "commit": git_commit(),
            "num_clusters": num_clusters,
            **({} if groups is None else {"groups": groups.tolist()}),  # of each cluster
            "settings": predictions.settings,
            "skipped": skipped,
            "gone": gone,
            **told_by_clips(work),
        },
    )
    return {
        "out": without_secrets(out),
        "num_images": len(there),
        "num_kept": kept,
        "num_clusters": num_clusters,
        "class_names": list(mapping.class_names) if mapping else None,
        "skipped": skipped,
        **({"num_videos": len(clips.clips)} if sources.videos else {}),
    }


def _settings(segmenter: Segmenter, folder: Path, options: Options) -> dict[str, Any]:
    """What shapes the results besides a CRF, by names that a user knows."""
    mapping = segmenter.classes
    return {
        "segmenter": segmenter_identity(folder),
        "names": None if mapping is None else [list(mapping.classes), list(mapping.class_names)],
        "cut": options.cut,
        "format": sorted(set(options.format)),
        "overlay": options.overlay,
        "tile": options.tile,
        **options.colors.asked(),
    }


def _temperature(run: str | Path, segmenter: Segmenter) -> Temperature:
    """At which the segmenter's outputs are probabilities, as far as its run tells."""
    try:
        tau = tau_of(segmenter.head, RunFolder(Path(run)).recipe())
    except UserError:  # a segmenter's folder alone
        tau = segmenter.tau
    return temperature_of(segmenter, tau)


def _describe_gone(gone: dict[str, list[str]]) -> str:
    paths = [path for paths in gone.values() for path in paths]
    shown = ", ".join(paths[:_LISTED])
    more = f" … and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    return f"{len(gone)} image(s) are gone; what was made of them is left: {shown}{more}"
