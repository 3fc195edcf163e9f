"""``raynef spectral localize``: a box around the main object of each image, and CorLoc."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raynef.assign.localization import CORRECT, corloc, corloc_of_centers, overlaps
from raynef.cluster.session import ray_session
from raynef.images.datasets.boxes import has_boxes, read_boxes, require_boxes
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.images.fitted import to_image_box, to_whole_image
from raynef.io.holds import holds
from raynef.jobs.report import spread
from raynef.jobs.spectral.eigen import EigenStore, Solved, open_solved
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.walk import SHOWN, publish, units_of, walk
from raynef.report.spectral_page import (
    Picture,
    SpectralRow,
    dimmed,
    painted_vector,
    with_boxes,
)
from raynef.report.words import percent
from raynef.segment.boxes import Box, box_around, fiedler_foreground, largest_component
from raynef.segment.lost import lost_mask
from raynef.work.units import ImageUnit

Method = Literal["fiedler", "lost"]
_BATCH = 32  # images of a unit


@dataclass(frozen=True)
class Located:
    """What was found in one image.

    Attributes:
        image: its index.
        size: (H, W).
        boxes: by method, in pixels of the image.
        best: largest IoU of each method's box; empty where the image has no ground-truth box.
        truth: ground-truth boxes, [m, 4].
    """

    image: int
    size: tuple[int, int]
    boxes: dict[str, Box]
    best: dict[str, float]
    truth: np.ndarray

    def shares(self) -> np.ndarray:
        """(height, width) of ground-truth boxes as shares of the image's, [m, 2]."""
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
    locate = Locate(solved.pairs.folder, solved.features if lost else None, scored, difficult)
    with ray_session(address, images=len(solved.images.files)):
        parts = walk("localize", units_of(solved, _BATCH), prepare=locate)
        found = [located for part in parts for located in part]
    result = {
        "store": str(solved.folder),
        "num_images": len(found),
        **(scores(found) if scored else {"corloc": None}),
        "seconds": round(time.monotonic() - started, 2),
    }
    names = [solved.images.files[item.image].name for item in found]
    return publish(
        solved.folder,
        "localize",
        result,
        title=f"Objects of {solved.images.name}",
        about="The first eigenvectors besides the constant one (orange above 0, blue below), the "
        "foreground, and the boxes: green the one found, red where it misses, yellow people's.",
        summary=[name for name in result if name not in ("store", "seconds")],
        rows=[_row(solved, item) for item in spread(found, SHOWN)],
        boxes={name: item.boxes for name, item in zip(names, found, strict=True)},
    )


@dataclass(frozen=True)
class Locate:
    """Task: the boxes of a unit's images, from stores in two folders; of LOST's if ``features``."""

    pairs: Path
    features: Path | None
    scored: bool
    difficult: bool

    def __call__(self, unit: ImageUnit) -> list[Located]:
        pairs = EigenStore(self.pairs)
        features = WholeFeatures(self.features) if self.features else None
        images = zip(unit.images, unit.files, strict=True)
        return [self._locate(index, file, pairs, features) for index, file in images]

    def _locate(
        self, index: int, file: ImageFile, store: EigenStore, features: WholeFeatures | None
    ) -> Located:
        pairs = store.read(index)
        masks = {"fiedler": largest_component(fiedler_foreground(pairs.vectors))}
        if features is not None:
            masks["lost"] = lost_mask(features.read(index).numpy())
        boxes = {
            name: to_image_box(box_around(mask), mask.shape, pairs.frame)
            for name, mask in masks.items()
        }
        truth, best = np.zeros((0, 4)), {}
        if self.scored:
            truth = read_boxes(file, difficult=self.difficult)
        if len(truth):
            best = {name: float(overlaps(box, truth).max()) for name, box in boxes.items()}
        return Located(index, pairs.frame.size, boxes, best, truth)


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


def _row(solved: Solved, item: Located) -> SpectralRow:
    file = solved.images.files[item.image]
    image, pairs = read_image(file.path), solved.pairs.read(item.image)
    best = item.best.get("fiedler")
    mask = to_whole_image(fiedler_foreground(pairs.vectors), pairs.frame)
    right = None if best is None else best >= CORRECT
    pictures = [Picture("image", "the photograph", image)]
    for k in range(1, min(4, pairs.vectors.shape[-1])):
        painted = painted_vector(pairs.vectors[..., k], item.size)
        pictures.append(Picture(f"y{k}", f"λ = {pairs.values[k]:.3f}", painted))
    drawn = with_boxes(image, item.boxes["fiedler"], item.truth, right=right)
    pictures += [
        Picture("foreground", "the smaller side of y1", dimmed(image, mask)),
        Picture("box", "around its largest part", drawn),
    ]
    facts = "" if best is None else f"IoU {percent(best)}"
    return SpectralRow(file.name, facts, tuple(pictures))
