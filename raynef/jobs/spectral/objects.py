"""``raynef spectral object``: the foreground of each image, and mean IoU where there are masks.

STORE/object.json, STORE/object.html
STORE/object/*.png      the mask of each image: 255 the foreground, 0 the rest
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raynef.assign.overlap import Overlap, mask_overlap
from raynef.cluster.session import ray_session
from raynef.images.datasets.imageset import ImageFile, ImageSet, LabelCodes
from raynef.images.decode import read_image
from raynef.images.fitted import to_whole_image
from raynef.images.geometry import require_size
from raynef.images.oriented import read_truth
from raynef.io.holds import holds
from raynef.io.storage import is_address
from raynef.jobs.spectral.eigen import EigenStore, Solved, open_solved
from raynef.jobs.spectral.walk import publish, shown_of, units_of, walk
from raynef.report.spectral_page import Picture, SpectralRow, dimmed, painted_vector
from raynef.report.words import percent
from raynef.segment.boxes import fiedler_foreground
from raynef.segment.crf import require_crf
from raynef.segment.refine import refined
from raynef.stores.label_files import write_png
from raynef.work.sources import require_apart
from raynef.work.units import ImageUnit

_BATCH = 8  # images of a unit: a CRF takes half a second


def segment_objects(
    store: str | Path,
    *,
    out: str | Path | None = None,
    crf: bool = True,
    root: str | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Foreground masks of every image of a STORE (arXiv:2205.07839, Sec. 3.4).

    The Fiedler vector's smaller side at the size of the image, then a dense CRF on it. Writes
    the masks, STORE/object.json and STORE/object.html.

    Args:
        store: of ``raynef spectral eigen``.
        out: folder for the masks, PNGs of 0 and 255; STORE/object if None.
        crf: refine the masks.
        root: of the data set, where it has moved.
        address: of a Ray cluster.

    Returns:
        Mean over images of the foreground's IoU and of the pixel accuracy, after and before the
        CRF; None where the data set has no masks of two classes.

    Raises:
        UserError: no such store, ``out`` lies among the images, or a mask that cannot be read.
    """
    if crf:
        require_crf()
    if out is not None:  # before the folder is held, which would leave a lock among the images
        require_apart(folder_of(open_solved(store, root=root).images), out)
    return _segment_objects(store, out=out, crf=crf, root=root, address=address)


@holds("store", made=("out",))
def _segment_objects(
    store: str | Path,
    *,
    out: str | Path | None,
    crf: bool,
    root: str | None,
    address: str | None,
) -> dict[str, Any]:
    started = time.monotonic()
    solved = open_solved(store, root=root)
    scored = has_masks(solved.images)
    masks = solved.folder / "object" if out is None else Path(out).absolute()
    codes = solved.images.label_codes
    segment = SegmentObjects(solved.pairs.folder, codes, scored, crf, masks)
    with ray_session(address, images=len(solved.images.files)):
        parts = walk("object", units_of(solved, _BATCH), prepare=segment)
        found = [overlaps for part in parts for overlaps in part]
    result = {
        "store": str(solved.folder),
        "masks": str(masks),
        "num_images": len(found),
        "crf": crf,
        **(_means(found, crf) if scored else {"miou": None}),
        "seconds": round(time.monotonic() - started, 2),
    }
    return publish(
        solved.folder,
        "object",
        result,
        title=f"Objects of {solved.images.name}",
        about="The first eigenvector besides the constant one, its smaller side, the same after "
        "the CRF, and what a person drew.",
        summary=("num_images", "miou", "accuracy", "miou_without_crf"),
        rows=[_row(solved, index, crf=crf, scored=scored) for index in shown_of(solved)],
    )


def folder_of(images: ImageSet) -> str:
    """The folder that all images of a data set lie below; of addresses its root."""
    folders = {os.path.dirname(file.path) for file in images.files}
    if any(is_address(folder) for folder in folders):
        return images.root
    return os.path.commonpath(folders)


def has_masks(images: ImageSet) -> bool:
    """Whether a data set has labels of background and foreground."""
    return len(images.class_names) == 2 and all(file.label for file in images.files)


@dataclass(frozen=True)
class SegmentObjects:
    """Task: the masks of a unit's images, written; {"plain" or "crf": how well each fits}."""

    pairs: Path
    codes: LabelCodes
    scored: bool
    crf: bool
    out: Path

    def __call__(self, unit: ImageUnit) -> list[dict[str, Overlap]]:
        store, found = EigenStore(self.pairs), []
        for index, file, name in zip(unit.images, unit.files, unit.outputs, strict=True):
            masks = masks_of(store, index, file, crf=self.crf)
            fits: dict[str, Overlap] = {}
            if self.scored:
                truth = read_truth(file, self.codes)
                fits = {kind: _overlap(mask, truth, file) for kind, mask in masks.items()}
            found.append(fits)
            best = masks["crf" if self.crf else "plain"]
            write_png(self.out / name, np.where(best, 255, 0).astype(np.uint8))
        return found


def masks_of(store: EigenStore, index: int, file: ImageFile, *, crf: bool) -> dict[str, np.ndarray]:
    """The foreground of one image, bool [H, W]: ``plain``, and ``crf`` where asked for."""
    pairs = store.read(index)
    plain = to_whole_image(fiedler_foreground(pairs.vectors), pairs.frame)
    return {"plain": plain} | ({"crf": refined(read_image(file.path), plain)} if crf else {})


def _overlap(mask: np.ndarray, truth: np.ndarray, file: ImageFile) -> Overlap:
    require_size("mask", file.name, truth, mask)
    return mask_overlap(mask, truth)


def _means(found: list[dict[str, Overlap]], crf: bool) -> dict[str, float]:
    def mean(kind: str, field: str) -> float:
        return float(np.mean([getattr(item[kind], field) for item in found]))

    best = "crf" if crf else "plain"
    result = {"miou": mean(best, "iou"), "accuracy": mean(best, "accuracy")}
    if crf:
        result["miou_without_crf"] = mean("plain", "iou")
        result["accuracy_without_crf"] = mean("plain", "accuracy")
    return result


def _row(solved: Solved, index: int, *, crf: bool, scored: bool) -> SpectralRow:
    file = solved.images.files[index]
    image, pairs = read_image(file.path), solved.pairs.read(index)
    masks = masks_of(solved.pairs, index, file, crf=crf)
    vector = pairs.vectors[..., min(1, pairs.vectors.shape[-1] - 1)]
    about = {"plain": "the smaller side", "crf": "moved to the image's edges"}
    pictures = [
        Picture("image", "the photograph", image),
        Picture("y1", "orange above 0", painted_vector(vector, image.shape[:2])),
        *(Picture(kind, about[kind], dimmed(image, mask)) for kind, mask in masks.items()),
    ]
    facts = ""
    if scored:
        truth = read_truth(file, solved.images.label_codes)
        pictures.append(Picture("mask", "what a person drew", dimmed(image, truth == 1)))
        iou = _overlap(masks["crf" if crf else "plain"], truth, file).iou
        facts = f"IoU {percent(iou)}"
    return SpectralRow(file.name, facts, tuple(pictures))
