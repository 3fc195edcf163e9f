"""Prediction on Ray: new images in, cluster maps and overlays out."""

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raynef.cluster.progress import Progress
from raynef.cluster.session import feature_actors, ray_session
from raynef.cluster.stream import Unit, stream
from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.folder import open_folder
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.io.files import within, write_atomic, write_json
from raynef.io.holds import holds
from raynef.io.storage import (
    absolute,
    is_file,
    is_folder,
    local_path,
    name_of,
    without_secrets,
)
from raynef.jobs.extract import describe_skipped
from raynef.models.segmenter import Segmenter, segmenter_folder
from raynef.report.palette import overlay, palette
from raynef.stores.label_files import UNLABELED, legend, write_labels
from raynef.stores.run import git_commit

logger = logging.getLogger("raynef")

MANIFEST = "manifest.json"
_BATCH = 4  # images of a unit; they may be large


def predict(
    run: str | Path, source: str | Path, out: str | Path, *, address: str | None = None
) -> dict[str, Any]:
    """Segment an image or a folder of images without labels; the result of ``raynef predict``.

    Writes, with the images' relative names, ``clusters/*.png`` (cluster ids in the colors of the
    overlays, 16-bit gray when K ≥ 256), ``overlays/*.png`` and, where a mapping was fitted,
    ``classes/*.png`` (255 where a cluster has no class) with ``classes.json``. ``legend.json`` says
    what ids and colors mean; ``manifest.json``, written last, what was made of which image.

    Args:
        run: its folder, or a segmenter's.
        source: a path or an address.
        out: a local folder.
        address: of a Ray cluster.

    Raises:
        UserError: no segmenter, no image, not one that can be read, or images and results in one
            folder.
    """
    require_apart(absolute(source), out)
    return _predict(run, source, out, address=address)


@holds(made=("out",))
def _predict(
    run: str | Path, source: str | Path, out: str | Path, *, address: str | None
) -> dict[str, Any]:
    folder = segmenter_folder(run)
    segmenter = Segmenter.load(folder)
    out = Path(out).absolute()
    files = image_files(absolute(source))
    (out / MANIFEST).unlink(missing_ok=True)  # of an earlier prediction: it says that this is done
    write_json(out / "legend.json", _legend(segmenter))
    if segmenter.mapping is not None:
        names = segmenter.mapping.class_names
        write_json(out / "classes.json", {str(i): name for i, name in enumerate(names)})
    pairs = list(zip(files, output_names(files), strict=True))
    units: list[Unit] = [
        {"files": pairs[start : start + _BATCH], "out": str(out)}
        for start in range(0, len(pairs), _BATCH)
    ]
    skipped: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    progress = Progress("predict", len(files), "images")
    with ray_session(address):
        results = stream(
            units,
            prepare=read_images,
            actor=PredictActor,
            actor_kwargs={"segmenter": str(folder.absolute())},
            actors=feature_actors(),
            finish=write_maps,
        )
        for made, bad in results:
            sizes.update(made)
            skipped.update(bad)
            progress.advance(len(made) + len(bad))
    progress.close()
    if len(skipped) == len(files):
        raise UserError(f"not one image could be read: {describe_skipped(skipped)}")
    if skipped:
        logger.warning("%s", describe_skipped(skipped))
    kinds = ("clusters", "overlays", "classes")[: 2 if segmenter.mapping is None else 3]
    write_json(
        out / MANIFEST,
        {
            "run": str(Path(run).absolute()),
            "commit": git_commit(),
            "num_clusters": segmenter.num_clusters,
            "images": [
                _entry(file, name, kinds, *sizes[name]) for file, name in pairs if name in sizes
            ],
            "skipped": skipped,
        },
    )
    return {
        "out": str(out),
        "num_images": len(files) - len(skipped),
        "num_clusters": segmenter.num_clusters,
        "class_names": list(segmenter.mapping.class_names) if segmenter.mapping else None,
        "skipped": skipped,
    }


def require_apart(source: str, out: str | Path) -> None:
    """Raise UserError where a folder of images and that of the results lie within one another.

    Results would count as images the next time. An image alone may lie anywhere.
    """
    folder = local_path(source)
    if folder is None or not os.path.isdir(folder):
        return
    images, results = os.path.realpath(folder), os.path.realpath(out)
    common = os.path.commonpath([images, results])
    if common not in (images, results):
        return
    lies = "is" if images == results else "lies in" if common == images else "holds"
    raise UserError(
        f"--out {out} {lies} the folder of images {without_secrets(source)}, whose images the "
        "results would become; give a folder beside it"
    )


def _legend(segmenter: Segmenter) -> dict[str, Any]:
    mapping = segmenter.mapping
    if mapping is None:
        return legend(segmenter.num_clusters)
    return legend(segmenter.num_clusters, mapping.classes, mapping.class_names)


def _entry(
    file: ImageFile, name: str, kinds: tuple[str, ...], width: int, height: int
) -> dict[str, Any]:
    """An image in the manifest; its results' names are relative to the folder."""
    return {
        "name": file.name,
        "source": without_secrets(file.path),
        "width": width,
        "height": height,
        **{kind: f"{kind}/{name}" for kind in kinds},
    }


def image_files(source: str) -> tuple[ImageFile, ...]:
    """The images of a folder, or the one image. Raises UserError where it is neither."""
    if is_file(source):
        return (ImageFile(name=name_of(source), path=source),)
    if not is_folder(source):
        raise UserError(f"{without_secrets(source)} is neither an image nor a folder")
    return open_folder(source, None).files


def output_names(files: tuple[ImageFile, ...]) -> list[str]:
    """``a/b.jpg`` becomes ``a/b.png``, or ``a/b.jpg.png`` where two images share a stem.

    Raises UserError: an image whose name would lead out of a folder of outputs.
    """
    for file in files:
        within(Path("the output folder"), file.name)
    stems = [Path(file.name).with_suffix(".png").as_posix() for file in files]
    times = Counter(stems)
    names = [
        stem if times[stem] == 1 else f"{file.name}.png"
        for stem, file in zip(stems, files, strict=True)
    ]
    if len(set(names)) < len(names):  # as with b.jpg, b.png and b.jpg.png
        return [f"{file.name}.png" for file in files]
    return names


def read_images(unit: Unit) -> Unit:
    """Task: decode the images of a unit."""
    images, skipped = [], {}
    for file, target in unit["files"]:
        try:
            images.append((target, read_image(file.path)))
        except BadImageError as error:
            skipped[file.name] = str(error)
    return {**unit, "images": images, "skipped": skipped}


class PredictActor:
    """Actor: a segmenter; adds the maps of a unit's images."""

    def __init__(self, segmenter: str, device: str) -> None:
        self.segmenter = Segmenter.load(segmenter, device=device)

    def __call__(self, unit: Unit) -> Unit:
        unit["segmentations"] = [self.segmenter(image) for _, image in unit["images"]]
        unit["num_clusters"] = self.segmenter.num_clusters
        return unit


def write_maps(unit: Unit) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Task: write the PNGs of a unit. Returns {name of a result: (width, height)}, and the skipped
    files with their reasons.
    """
    out = Path(unit["out"])
    wide = unit["num_clusters"] >= 256
    colors = palette(unit["num_clusters"])
    sizes = {}
    for (target, image), segments in zip(unit["images"], unit["segmentations"], strict=True):
        write_labels(out / "clusters" / target, segments.clusters, wide=wide)
        _write_png(out / "overlays" / target, overlay(image, segments.clusters, colors))
        if segments.classes is not None:
            classes = np.where(segments.classes < 0, UNLABELED, segments.classes)
            write_labels(out / "classes" / target, classes, wide=False, unlabeled=UNLABELED)
        sizes[target] = (image.shape[1], image.shape[0])
    return sizes, unit["skipped"]


def _write_png(path: Path, pixels: np.ndarray) -> None:
    write_atomic(path, lambda temporary: Image.fromarray(pixels).save(temporary, format="PNG"))
