"""``raynef spectral object``: the foreground of each image, and mean IoU where there are masks.

STORE/object.json, STORE/object.html
STORE/object/*.png      the mask of each image: 255 the foreground, 0 the rest
"""

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raynef.cluster.progress import Progress
from raynef.cluster.session import ray_session
from raynef.cluster.stream import Unit, stream
from raynef.core import IGNORE
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.decode import read_image
from raynef.images.fitted import to_whole_image
from raynef.images.oriented import read_truth
from raynef.io.files import write_atomic, write_json, write_text
from raynef.io.holds import holds
from raynef.io.storage import is_address
from raynef.jobs.predict import output_names, require_apart
from raynef.jobs.report import spread
from raynef.jobs.spectral.eigen import EigenStore, Solved, open_solved
from raynef.jobs.spectral.localize import fiedler_foreground
from raynef.report.spectral_page import (
    Picture,
    SpectralRow,
    dimmed,
    painted_vector,
    render_spectral,
)
from raynef.report.words import percent
from raynef.segment.crf import Potentials, dense_crf

POTENTIALS = Potentials(
    gaussian_sxy=3,
    gaussian_weight=3,
    bilateral_sxy=80,
    bilateral_srgb=13,
    bilateral_weight=10,
    iterations=5,
)
"""The defaults of the published CRF."""
_CERTAINTY = 0.99
"""Probability of the label that the eigenvector gives: the published CRF library clips a hard
mask's probabilities to [0.01, 0.99]. Nearer to 1, the unary term outweighs both kernels and no
pixel changes."""
_BATCH = 8  # images of a unit: a CRF takes half a second
_SHOWN = 12  # images of the gallery


@dataclass(frozen=True)
class Overlap:
    """How well one mask fits its truth: shares of 1; None where there is no truth."""

    iou: float | None
    accuracy: float | None


@holds("store", made=("out",))
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
    started = time.monotonic()
    solved = open_solved(store, root=root)
    if out is not None:
        require_apart(folder_of(solved.images), out)
    scored = has_masks(solved.images)
    indices = solved.pairs.images()
    names = output_names(solved.images.files)
    masks = solved.folder / "object" if out is None else Path(out).absolute()
    units: list[Unit] = [
        {
            "images": indices[start : start + _BATCH],
            "files": [solved.images.files[index] for index in indices[start : start + _BATCH]],
            "names": [names[index] for index in indices[start : start + _BATCH]],
        }
        for start in range(0, len(indices), _BATCH)
    ]
    prepare = partial(
        segment_unit,
        pairs=str(solved.pairs.folder),
        codes=solved.images.label_codes,
        scored=scored,
        crf=crf,
        out=str(masks),
    )
    found: list[dict[str, Overlap]] = []
    progress = Progress("object", len(indices), "images")
    with ray_session(address):
        for part in stream(units, prepare=prepare, in_order=True):
            found += part
            progress.advance(len(part))
    progress.close()
    result = {
        "store": str(solved.folder),
        "masks": str(masks),
        "num_images": len(found),
        "crf": crf,
        **(_means(found, crf) if scored else {"miou": None}),
        "seconds": round(time.monotonic() - started, 2),
    }
    write_json(solved.folder / "object.json", result)
    page = solved.folder / "object.html"
    write_text(page, _page(solved, result, crf=crf, scored=scored))
    return {**result, "report": str(page)}


def folder_of(images: ImageSet) -> str:
    """The folder that all images of a data set lie below; of addresses its root."""
    folders = {os.path.dirname(file.path) for file in images.files}
    if any(is_address(folder) for folder in folders):
        return images.root
    return os.path.commonpath(folders)


def has_masks(images: ImageSet) -> bool:
    """Whether a data set has labels of background and foreground."""
    return len(images.class_names) == 2 and all(file.label for file in images.files)


def segment_unit(
    unit: Unit,
    *,
    pairs: str,
    codes: Any,
    scored: bool,
    crf: bool,
    out: str,
) -> list[dict[str, Overlap]]:
    """Task: the masks of a unit's images, scored and written."""
    store = EigenStore(pairs)
    found = []
    for index, file, name in zip(unit["images"], unit["files"], unit["names"], strict=True):
        masks = masks_of(store, index, file, crf=crf)
        truth = read_truth(file, codes) if scored else None
        found.append({kind: _overlap(mask, truth, file) for kind, mask in masks.items()})
        _write(Path(out) / name, masks["crf" if crf else "plain"])
    return found


def masks_of(store: EigenStore, index: int, file: ImageFile, *, crf: bool) -> dict[str, np.ndarray]:
    """The foreground of one image, bool [H, W]: ``plain``, and ``crf`` where asked for."""
    pairs = store.read(index)
    plain = to_whole_image(fiedler_foreground(pairs.vectors), pairs.frame)
    if not crf:
        return {"plain": plain}
    return {"plain": plain, "crf": refined(read_image(file.path), plain)}


def refined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A mask, bool [H, W], moved to the edges of its image, uint8 [H, W, 3], by a dense CRF."""
    certain = np.where(np.stack([~mask, mask]), _CERTAINTY, 1 - _CERTAINTY)
    return dense_crf(image, np.log(certain), POTENTIALS).argmax(axis=0).astype(bool)


def _overlap(mask: np.ndarray, truth: np.ndarray | None, file: ImageFile) -> Overlap:
    if truth is None:
        return Overlap(None, None)
    if truth.shape != mask.shape:
        raise UserError(
            f"the mask of {file.name} is {truth.shape[1]}x{truth.shape[0]} pixels, but its image "
            f"is {mask.shape[1]}x{mask.shape[0]}"
        )
    known, right = truth != IGNORE, mask == (truth == 1)
    wanted = (truth == 1) & known
    union = ((mask & known) | wanted).sum()
    return Overlap(
        iou=float((mask & wanted).sum() / union) if union else 1.0,
        accuracy=float(right[known].mean()) if known.any() else 1.0,
    )


def _means(found: list[dict[str, Overlap]], crf: bool) -> dict[str, float]:
    def mean(kind: str, field: str) -> float:
        return float(np.mean([getattr(item[kind], field) for item in found]))

    best = "crf" if crf else "plain"
    result = {"miou": mean(best, "iou"), "accuracy": mean(best, "accuracy")}
    if crf:
        result |= {
            "miou_without_crf": mean("plain", "iou"),
            "accuracy_without_crf": mean("plain", "accuracy"),
        }
    return result


def _write(path: Path, mask: np.ndarray) -> None:
    pixels = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    write_atomic(path, lambda temporary: pixels.save(temporary, format="PNG"))


def _page(solved: Solved, result: dict[str, Any], *, crf: bool, scored: bool) -> str:
    shown = ("num_images", "miou", "accuracy", "miou_without_crf")
    rows = [
        _row(solved, index, crf=crf, scored=scored)
        for index in spread(solved.pairs.images(), _SHOWN)
    ]
    return render_spectral(
        "raynef spectral object",
        f"Objects of {solved.images.name}",
        about="The first eigenvector besides the constant one, its smaller side, the same after "
        "the CRF, and what a person drew.",
        summary={name: result[name] for name in shown if result.get(name) is not None},
        rows=rows,
        command="raynef spectral object",
    )


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
        facts = f"IoU {percent(iou or 0.0)}"
    return SpectralRow(file.name, facts, tuple(pictures))
