"""From patches to pixels: upsampling guided by the image, and CRFs, chosen without a label.

A run's patch logits, over a temperature, become pixels in several ways:

    bilinear    as ``raynef evaluate`` does it
    guided      joint bilateral: of the 5×5 nearest patches, weighted by their distance and by how
                far their mean color is from the pixel's
    crf         a dense CRF from the softmax of the bilinear logits: of strength 1 (as published
                in arXiv:2304.02841's code), ¼ and 4, or (smooth) without its kernel on colors

Temperatures are multiples of the median gap between a patch's best and second logit over all
images, or (image) of one; and 1, or τ of eigenfunctions (own). What needs no label, over pixels:
``information``, the mutual one, in bits, between the map of an image and that of the same image
moved by half a patch, as in docs/research/choosing.md; ``contrast``, the mean square of the color
steps across borders of clusters over that of all neighbors.

Labels enter the score alone: mIoU over all pixels, within 8 pixels of an edge of the truth, and
beyond. Prints one JSON line for each run and way.

    python tests/benchmarks/research_edges.py RUN … [--images 64]
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from raynef.assign.contingency import contingency
from raynef.assign.information import mutual_information
from raynef.assign.matching import match, score
from raynef.core import IGNORE
from raynef.images.datasets.imageset import require_labels
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image, read_label
from raynef.images.geometry import center_crop, resize, resize_label, short_side_size
from raynef.models.segmenter import Segmenter
from raynef.segment.crf import Potentials, dense_crf
from raynef.segment.edges import near_edges
from raynef.segment.patch_map import PatchMap, cluster_maps
from raynef.segment.probabilities import top_probabilities
from raynef.segment.sharpened import gap_of
from raynef.stores.run import RunFolder

NUM_TOP, NEAR = 32, 8
REACH, COLOR = 2, 60.0  # of ``guided``: patches to either side, steps of a color channel


@dataclass(frozen=True)
class Scene:
    """An image [S, S, 3] and its patch map."""

    image: np.ndarray
    found: PatchMap

    def temperature(self, asked: float) -> float:
        """As asked, or where that is below 0 so many times the image's own gap."""
        return asked if asked > 0 else -asked * gap_of(self.found.logits)


@dataclass(frozen=True)
class Study:
    """A run and what it says of images, and of the same images ``half`` a patch further.

    Attributes:
        shape: (K, C).
        gap: the median of a patch's best logit less its second.
        own: τ of eigenfunctions; 1 of another head.
    """

    root: str
    scenes: list[tuple[Scene, Scene]]
    labels: list[np.ndarray]
    names: list[str]
    shape: tuple[int, int]
    half: int
    gap: float
    own: float


Way = Callable[[Scene, float], np.ndarray]
"""The cluster of each pixel [S, S], from a scene and a temperature."""


def bilinear(scene: Scene, temperature: float) -> np.ndarray:
    return cluster_maps([scene.found], scene.image.shape[:2])[0].astype(np.int64)


def crf(strength: float, *, colors: bool = True) -> Way:
    """The published potentials, times ``strength``."""
    own = Potentials()
    potentials = Potentials(
        gaussian_weight=strength * own.gaussian_weight,
        bilateral_weight=strength * own.bilateral_weight if colors else 0.0,
    )

    def way(scene: Scene, temperature: float) -> np.ndarray:
        rows, columns = scene.found.matrices((scene.image.shape[0], scene.image.shape[1]))
        clusters, chances = top_probabilities(
            scene.found.logits, rows, columns, num_top=NUM_TOP, temperature=temperature
        )
        return clusters.numpy()[dense_crf(scene.image, chances.numpy(), potentials).argmax(axis=0)]

    return way


def guided(scene: Scene, temperature: float) -> np.ndarray:
    """Joint bilateral upsampling of the softmax (Kopf et al., SIGGRAPH 2007).

    Of the clusters that are the first of some patch of the image.
    """
    kept = scene.found.logits.argmax(dim=-1).unique()
    chances = (scene.found.logits.float() / temperature).softmax(dim=-1)[..., kept]
    height, width, _ = chances.shape
    image = torch.from_numpy(scene.image.astype(np.float32))
    down, across = image.shape[0] // height, image.shape[1] // width
    colors = image.view(height, down, width, across, 3).mean(dim=(1, 3))
    at = [
        (torch.arange(size) + 0.5) / cell - 0.5
        for size, cell in ((image.shape[0], down), (image.shape[1], across))
    ]
    nearest = [
        axis.round().long().clamp(0, size - 1)
        for axis, size in zip(at, (height, width), strict=True)
    ]
    total = torch.zeros((*image.shape[:2], chances.shape[-1]))
    for y in range(-REACH, REACH + 1):
        for x in range(-REACH, REACH + 1):
            rows, columns = nearest[0] + y, nearest[1] + x
            inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
            rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
            far = (rows - at[0])[:, None].square() + (columns - at[1]).square()
            other = colors[rows][:, columns]
            unlike = (image - other).square().sum(dim=-1)
            weight = torch.exp(-far / 2 - unlike / (2 * COLOR**2)) * inside + 1e-12 * inside
            total += weight[..., None] * chances[rows][:, columns]
    return kept[total.argmax(dim=-1)].numpy()


WAYS: dict[str, Way] = {
    "bilinear": bilinear,
    "guided": guided,
    "crf": crf(1.0),
    "crf ¼": crf(0.25),
    "crf 4": crf(4.0),
    "crf smooth": crf(1.0, colors=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--gaps", nargs="+", type=float, default=[0.25, 1.0, 4.0])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for run in options.runs:
        study = opened(run, options.images)
        temperatures = {"own": study.own}
        temperatures |= {f"{times:g} gap": times * study.gap for times in options.gaps}
        temperatures |= {f"{times:g} gap, image": -times for times in options.gaps}
        for name in options.ways:
            for at, temperature in temperatures.items():
                if name == "bilinear" and at != "own":
                    continue  # an argmax has no temperature
                begun = time.perf_counter()
                maps = [
                    [WAYS[name](one, one.temperature(temperature)) for one in pair]
                    for pair in study.scenes
                ]
                taken = time.perf_counter() - begun
                line = {
                    "run": str(run),
                    "root": study.root,
                    "way": name,
                    "temperature": at,
                    "gap": round(study.gap, 3),
                    "images": len(maps),
                    "seconds_an_image": round(taken / (2 * len(maps)), 3),
                }
                print(json.dumps({**line, **measured(study, maps)}, ensure_ascii=False), flush=True)


def opened(run: Path, num_images: int) -> Study:
    """A run on images of its validation split, spread evenly."""
    segmenter, recipe = Segmenter.load(run), RunFolder(run).recipe()
    split = open_split(recipe.data, recipe.data.val_split)
    require_labels(split)
    files = split.files[:: -(-len(split.files) // num_images)]
    side, half = recipe.data.crop, segmenter.backbone.patch_size // 2
    scenes: list[tuple[Scene, Scene]] = []
    labels: list[np.ndarray] = []
    for file in files:
        assert file.label is not None  # by require_labels
        image, label = read_image(file.path), read_label(file.label, split.label_codes)
        size = short_side_size(image.shape, side + half)
        wide = center_crop(resize(image, size), side + half)
        labels.append(center_crop(resize_label(label, size), side + half)[:side, :side])
        first, second = (seen(segmenter, part) for part in (wide[:side, :side], wide[half:, half:]))
        scenes.append((first, second))
    logits = torch.cat([first.found.logits.float().flatten(0, 1) for first, _ in scenes])
    return Study(
        root=Path(str(recipe.data.root)).name,
        scenes=scenes,
        labels=labels,
        names=[file.name for file in files],
        shape=(segmenter.num_clusters, len(split.class_names)),
        half=half,
        gap=gap_of(logits),
        own=segmenter.tau or 1.0,
    )


def seen(segmenter: Segmenter, image: np.ndarray) -> Scene:
    """An image of whole patches, in one window."""
    image = np.ascontiguousarray(image)
    return Scene(image, segmenter.patch_maps(image[None])[0])


def measured(study: Study, maps: list[list[np.ndarray]]) -> dict[str, float]:
    """Scores, and what needs no label, of maps of images and of the same images moved."""
    num_clusters, num_classes = study.shape
    plain = np.stack([pair[0][study.half :, study.half :] for pair in maps])
    moved = np.stack([pair[1][: -study.half, : -study.half] for pair in maps])
    across, anywhere = [], []
    tables = {name: np.zeros(study.shape, np.int64) for name in ("all", "near")}
    for (own, _), (first, _), label, file in zip(
        maps, study.scenes, study.labels, study.names, strict=True
    ):
        for axis in (0, 1):
            steps = (np.diff(first.image.astype(np.float32), axis=axis) ** 2).sum(axis=-1)
            across.append(steps[np.diff(own, axis=axis) != 0])
            anywhere.append(steps.ravel())
        near = np.where(near_edges(label, NEAR), label, IGNORE)
        for name, kept in (("all", label), ("near", near)):
            tables[name] += contingency(
                own, kept, num_clusters=num_clusters, num_classes=num_classes, name=file
            )
    classes = match(tables["all"], "iou")
    scores = {
        "miou": score(tables["all"], classes).miou,
        "miou_near": score(tables["near"], classes).miou,
        "miou_beyond": score(tables["all"] - tables["near"], classes).miou,
    }
    return {
        "information": round(mutual_information(plain, moved, num_clusters), 4),
        "contrast": round(
            float(np.concatenate(across).mean() / np.concatenate(anywhere).mean()), 3
        ),
        **{name: round(100 * value, 2) for name, value in scores.items()},
    }


if __name__ == "__main__":
    main()
