"""``raynef spectral localize``: a box around the main object of each image, and CorLoc."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raynef.assign.localization import CORRECT, corloc, corloc_of_centers, overlaps
from raynef.cluster.progress import Progress
from raynef.cluster.session import ray_session
from raynef.cluster.stream import Unit, stream
from raynef.images.datasets.boxes import has_boxes, read_boxes, require_boxes
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.images.fitted import to_image_box, to_whole_image
from raynef.io.files import write_json, write_text
from raynef.io.holds import holds
from raynef.jobs.report import spread
from raynef.jobs.spectral.eigen import EigenStore, Solved, open_solved
from raynef.jobs.spectral.features import WholeFeatures
from raynef.report.spectral_page import (
    Picture,
    SpectralRow,
    dimmed,
    painted_vector,
    render_spectral,
    with_boxes,
)
from raynef.report.words import percent
from raynef.segment.boxes import Box, box_around, foreground, largest_component
from raynef.segment.lost import lost_mask

Method = Literal["fiedler", "lost"]
_BATCH = 32  # images of a unit
_SHOWN = 12  # images of the gallery


@dataclass(frozen=True)
class Located:
    """What was found in one image.

    Attributes:
        image: its index.
        size: (H, W).
        boxes: by method, in pixels of the image.
        best: largest IoU of each method's box; empty where the image has no box of people's.
        truth: people's boxes, [m, 4].
    """

    image: int
    size: tuple[int, int]
    boxes: dict[str, Box]
    best: dict[str, float]
    truth: np.ndarray

    def shares(self) -> np.ndarray:
        """(height, width) of people's boxes as shares of the image's, [m, 2]."""
        sides = self.truth[:, [3, 2]] - self.truth[:, [1, 0]]
        return sides / np.array(self.size)

    def largest_share(self) -> np.ndarray:
        """That of the largest box, [2]."""
        shares = self.shares()
        return shares[shares.prod(axis=1).argmax()]


@holds("store")
def localize(
    store: str | Path,
    *,
    lost: bool = True,
    difficult: bool = True,
    root: str | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Boxes of every image of a STORE, scored where the data set has boxes.

    The box goes around the largest connected part of the Fiedler vector's smaller side
    (arXiv:2205.07839, Sec. 3.3). Writes STORE/localize.json, with every box, and
    STORE/localize.html.

    Args:
        store: of ``raynef spectral eigen``.
        lost: also LOST's box from the same features.
        difficult: count the objects that VOC marks as difficult.
        root: of the data set, where it has moved.
        address: of a Ray cluster.

    Returns:
        CorLoc of each method and of content-independent baselines, over the images with at least
        one object; None where the data set has no boxes.

    Raises:
        UserError: no such store, or a damaged annotation.
    """
    started = time.monotonic()
    solved = open_solved(store, root=root)
    scored = has_boxes(solved.images)
    if scored:
        require_boxes(solved.images)
    indices = solved.pairs.images()
    units: list[Unit] = [
        {"images": indices[start : start + _BATCH]} for start in range(0, len(indices), _BATCH)
    ]
    for unit in units:
        unit["files"] = [solved.images.files[index] for index in unit["images"]]
    found: list[Located] = []
    progress = Progress("localize", len(indices), "images")
    prepare = partial(
        locate_unit,
        pairs=str(solved.pairs.folder),
        features=str(solved.features) if lost else None,
        scored=scored,
        difficult=difficult,
    )
    with ray_session(address):
        for part in stream(units, prepare=prepare, in_order=True):
            found += part
            progress.advance(len(part))
    progress.close()
    result = {
        "store": str(solved.folder),
        "num_images": len(found),
        **(scores(found) if scored else {"corloc": None}),
        "seconds": round(time.monotonic() - started, 2),
    }
    names = [solved.images.files[item.image].name for item in found]
    boxes = {name: item.boxes for name, item in zip(names, found, strict=True)}
    write_json(solved.folder / "localize.json", {**result, "boxes": boxes})
    page = solved.folder / "localize.html"
    write_text(page, _page(solved, found, result))
    return {**result, "report": str(page)}


def locate_unit(
    unit: Unit, *, pairs: str, features: str | None, scored: bool, difficult: bool
) -> list[Located]:
    """Task: the boxes of a unit's images."""
    store = EigenStore(pairs)
    patches = None if features is None else WholeFeatures(features)
    return [
        _locate(index, file, store, patches, scored=scored, difficult=difficult)
        for index, file in zip(unit["images"], unit["files"], strict=True)
    ]


def _locate(
    index: int,
    file: ImageFile,
    store: EigenStore,
    patches: WholeFeatures | None,
    *,
    scored: bool,
    difficult: bool,
) -> Located:
    pairs = store.read(index)
    masks = {"fiedler": largest_component(fiedler_foreground(pairs.vectors))}
    if patches is not None:
        masks["lost"] = lost_mask(patches.read(index).numpy())
    boxes = {
        name: to_image_box(box_around(mask), mask.shape, pairs.frame)
        for name, mask in masks.items()
    }
    truth = read_boxes(file, difficult=difficult) if scored else np.zeros((0, 4))
    best = {}
    if len(truth):
        best = {name: float(overlaps(box, truth).max()) for name, box in boxes.items()}
    return Located(index, pairs.frame.size, boxes, best, truth)


def fiedler_foreground(vectors: np.ndarray) -> np.ndarray:
    """The foreground of the first vector that is not constant, bool [h, w]; all of one node."""
    if vectors.shape[-1] < 2:
        return np.ones(vectors.shape[:2], dtype=bool)
    return foreground(vectors[..., 1])


def scores(found: list[Located]) -> dict[str, Any]:
    """CorLoc of every method, and of content-independent baselines.

    These lie at the center: of the mean size of all objects, of the mean size of each image's
    largest object, and the whole image. Their sizes come from people's boxes.
    """
    scored = [item for item in found if len(item.truth)]
    baselines = {
        "corloc_centre_box": [box for item in scored for box in item.shares()],
        "corloc_centre_box_largest": [item.largest_share() for item in scored],
        "corloc_whole_image": [np.ones(2)],
    }
    sizes, truths = [item.size for item in scored], [item.truth for item in scored]
    blind = {name: corloc_of_centers(shares, sizes, truths) for name, shares in baselines.items()}
    by_method = {
        name: corloc(np.array([item.best[name] for item in scored]))
        for name in (scored[0].best if scored else ())
    }
    return {
        "corloc": by_method.pop("fiedler", None),
        **{f"corloc_{name}": value for name, value in by_method.items()},
        **blind,
        "num_scored": len(scored),
        "num_boxes": sum(len(item.truth) for item in scored),
    }


def _page(solved: Solved, found: list[Located], result: dict[str, Any]) -> str:
    summary = {
        name: value
        for name, value in result.items()
        if name not in ("store", "seconds") and value is not None
    }
    return render_spectral(
        "raynef spectral localize",
        f"Objects of {solved.images.name}",
        about="The first eigenvectors besides the constant one (orange above 0, blue below), the "
        "foreground, and the boxes: green the one found, red where it misses, yellow people's.",
        summary=summary,
        rows=[_row(solved, item) for item in spread(found, _SHOWN)],
        command="raynef spectral localize",
    )


def _row(solved: Solved, item: Located) -> SpectralRow:
    file = solved.images.files[item.image]
    image, pairs = read_image(file.path), solved.pairs.read(item.image)
    best = item.best.get("fiedler")
    mask = to_whole_image(fiedler_foreground(pairs.vectors), pairs.frame)
    drawn = with_boxes(
        image,
        item.boxes["fiedler"],
        item.truth,
        right=None if best is None else best >= CORRECT,
    )
    vectors = [
        Picture(
            f"y{k}", f"λ = {pairs.values[k]:.3f}", painted_vector(pairs.vectors[..., k], item.size)
        )
        for k in range(1, min(4, pairs.vectors.shape[-1]))
    ]
    pictures = (
        Picture("image", "the photograph", image),
        *vectors,
        Picture("foreground", "the smaller side of y1", dimmed(image, mask)),
        Picture("box", "around its largest part", drawn),
    )
    return SpectralRow(file.name, "" if best is None else f"IoU {percent(best)}", pictures)
