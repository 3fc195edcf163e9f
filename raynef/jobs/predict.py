"""Prediction on Ray: new images in, cluster maps and overlays out."""

import logging
import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from raynef.cluster.session import feature_actors, ray_session
from raynef.cluster.stream import stream
from raynef.core.errors import UserError
from raynef.images.datasets.folder import open_folder
from raynef.images.datasets.imageset import ImageFile
from raynef.io.files import within, write_json
from raynef.io.holds import holds
from raynef.io.storage import absolute, is_file, is_folder, local_path, name_of, without_secrets
from raynef.jobs.work import Carried, ImageUnit, describe_skipped, image_units, read_images, watched
from raynef.models.segmenter import Segmentation, Segmenter, segmenter_folder
from raynef.report.palette import overlay, palette
from raynef.stores.label_files import UNLABELED, legend, write_labels, write_png
from raynef.stores.run import git_commit

logger = logging.getLogger("raynef")

MANIFEST = "manifest.json"
_BATCH = 4  # images of a unit; they may be large
Segmented = tuple[np.ndarray, Segmentation]
"""An image and its maps."""


def predict(
    run: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    cut: int | None = None,
    address: str | None = None,
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
        cut: groups that the clusters are merged into by their tree, whose ids then take the place
            of the clusters'; None for the clusters themselves.
        address: of a Ray cluster.

    Raises:
        UserError: no segmenter, no image, not one that can be read, images and results in one
            folder, or a cut that the tree does not have.
    """
    require_apart(absolute(source), out)
    return _predict(run, source, out, cut=cut, address=address)


@holds(made=("out",))
def _predict(
    run: str | Path, source: str | Path, out: str | Path, *, cut: int | None, address: str | None
) -> dict[str, Any]:
    folder = segmenter_folder(run)
    segmenter = Segmenter.load(folder)
    out = Path(out).absolute()
    files = image_files(absolute(source))
    (out / MANIFEST).unlink(missing_ok=True)  # of an earlier prediction: it says that this is done
    mapping = segmenter.classes
    groups = None if cut is None else segmenter.cut(cut)
    num_clusters = cut or segmenter.num_clusters
    described = legend(num_clusters)
    if mapping is not None:
        named = legend(segmenter.num_clusters, mapping.classes, mapping.class_names)
        described = named if groups is None else {**described, "classes": named["classes"]}
    write_json(out / "legend.json", described)
    if mapping is not None:
        classes = {str(i): name for i, name in enumerate(mapping.class_names)}
        write_json(out / "classes.json", classes)
    names = output_names(files)
    units = [
        replace(unit, outputs=tuple(names[index] for index in unit.images))
        for unit in image_units(files, _BATCH)
    ]
    skipped: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    with ray_session(address, images=len(files)):
        results = stream(
            units,
            prepare=read_images,
            actor=PredictActor,
            actor_kwargs={"segmenter": str(folder.absolute()), "groups": groups},
            actors=feature_actors(),
            finish=partial(write_maps, out=out, num_clusters=num_clusters),
        )
        for part in watched(results, "predict", len(files)):
            sizes.update(part.sizes)
            skipped.update(part.skipped)
    if len(skipped) == len(files):
        raise UserError(f"not one image could be read: {describe_skipped(skipped)}")
    if skipped:
        logger.warning("%s", describe_skipped(skipped))
    kinds = ("clusters", "overlays", "classes")[: 3 if mapping else 2]
    entries = [
        {
            "name": file.name,
            "source": without_secrets(file.path),
            "width": sizes[name][0],
            "height": sizes[name][1],
            **{kind: f"{kind}/{name}" for kind in kinds},  # relative to the folder
        }
        for file, name in zip(files, names, strict=True)
        if name in sizes
    ]
    write_json(
        out / MANIFEST,
        {
            "run": str(Path(run).absolute()),
            "commit": git_commit(),
            "num_clusters": num_clusters,
            **({} if groups is None else {"groups": groups.tolist()}),  # of each cluster
            "images": entries,
            "skipped": skipped,
        },
    )
    return {
        "out": str(out),
        "num_images": len(files) - len(skipped),
        "num_clusters": num_clusters,
        "class_names": list(mapping.class_names) if mapping else None,
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


@dataclass(frozen=True)
class Written:
    """(width, height) of a unit's images, by the name of their results."""

    sizes: dict[str, tuple[int, int]]
    skipped: dict[str, str]

    @property
    def num_images(self) -> int:
        return len(self.sizes) + len(self.skipped)


class PredictActor:
    """Actor: a segmenter; each image with its maps, of groups [K] of clusters if they are given."""

    def __init__(self, segmenter: str, groups: np.ndarray | None, device: str) -> None:
        self.segmenter, self.groups = Segmenter.load(segmenter, device=device), groups

    def __call__(self, read: Carried[ImageUnit, np.ndarray]) -> Carried[ImageUnit, Segmented]:
        maps = {index: (image, self._segment(image)) for index, image in read.values.items()}
        return Carried(read.unit, maps, read.skipped)

    def _segment(self, image: np.ndarray) -> Segmentation:
        found = replace(self.segmenter(image), image=None)  # which goes along by itself
        if self.groups is None:
            return found
        return replace(found, clusters=self.groups[found.clusters].astype(np.uint16))


def write_maps(found: Carried[ImageUnit, Segmented], *, out: Path, num_clusters: int) -> Written:
    """Task: write the PNGs of a unit."""
    colors = palette(max(2, num_clusters))
    names = dict(zip(found.unit.images, found.unit.outputs, strict=True))
    sizes = {}
    for index, (image, maps) in found.values.items():
        name = names[index]
        write_labels(out / "clusters" / name, maps.clusters, wide=num_clusters >= 256)
        write_png(out / "overlays" / name, overlay(image, maps.clusters, colors))
        if maps.classes is not None:
            classes = np.where(maps.classes < 0, UNLABELED, maps.classes)
            write_labels(out / "classes" / name, classes, wide=False, unlabeled=UNLABELED)
        sizes[name] = (image.shape[1], image.shape[0])
    return Written(sizes, found.skipped)
