"""A trunk that learns several clusterings at once: do its features cluster better, without a label?

The backbone is frozen; a small trunk over its three taps is trained by cross-entropy on
soft clusters of several K-means "teachers", whose points are unit features joined with the image's
[CLS]. The clusters that are scored are of K-means on the trunk's features: for a new image, one
forward pass and a linear head. See docs/research/teachers.md.

Labels enter ``report`` alone, at the end. Prints one JSON line of mIoU and accuracy in percent for
each seed and each clustering:

    kmeans          K-means of the last features: the plain baseline
    kmeans_cls      K-means of these at unit length, joined with 0.5 [CLS]
    own             the first teacher's clusters as the trunk predicts them
    trunk           K-means of the trunk's features
    trunk_cls       K-means of these at unit length, joined with 0.3 [CLS]

    python tests/benchmarks/research_teachers.py ../shared/data/msrc \
        --backbone vit_tiny_patch16_224 --weights FILE.safetensors --seeds 0 1 2
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from raynef.assign.contingency import contingency
from raynef.assign.kmeans import find_centroids
from raynef.assign.kmeans import unit_length as unit_rows
from raynef.assign.matching import match, score
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Data
from raynef.eigen.conv_psi import ConvBlock
from raynef.features.backbone import Backbone, load_backbone
from raynef.features.precision import uses_bfloat16
from raynef.features.taps import as_tokens, last_features, recording, taps_of
from raynef.images.datasets.imageset import ImageFile, ImageSet, require_labels
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image, read_label
from raynef.images.geometry import center_crop, resize, resize_label, short_side_size
from raynef.segment.upsample import interpolation_matrix, upsample_argmax

SIDE, CELL = 320, 16
GRID = SIDE // CELL
SHIFTS = ((0, 0), (-4, -4), (-4, 4), (4, -4), (4, 4))
"""(y, x) in pixels of the views that a trunk is trained on; the first is the image itself."""
SAMPLE = 80_000
"""Patches that a K-means sees."""


@dataclass(frozen=True)
class View:
    """Features of all images of a split, seen once: taps [N, 400, 3, D] float16, cls [N, D]."""

    taps: np.ndarray
    cls: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """The last features, float32 [N, 400, D]."""
        return self.taps[:, :, -1].astype(np.float32)


@dataclass(frozen=True)
class Labels:
    """Classes [320, 320] of each image that is scored, its name, and C."""

    maps: Sequence[np.ndarray]
    names: Sequence[str]
    num_classes: int


class Trunk(nn.Module):
    """Features [B, 20, 20, D] of taps [B, 20, 20, 3, D], and logits of all teachers' clusters."""

    def __init__(self, dim: int, clusters: int, *, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.taps, self.image = nn.Linear(3 * dim, dim), nn.Linear(dim, dim)
        self.blocks = nn.Sequential(ConvBlock(dim), ConvBlock(dim))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, clusters)

    def features(self, taps: Tensor) -> Tensor:
        normed = [norm(tap) for norm, tap in zip(self.norms, taps.unbind(3), strict=True)]
        image = self.image(normed[-1].mean((1, 2), keepdim=True))
        return self.norm(self.blocks(self.taps(torch.cat(normed, -1)) + image))

    def forward(self, taps: Tensor) -> Tensor:
        return self.head(self.features(taps))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=300, help="of 8 images")
    parser.add_argument("--views", type=int, default=5, choices=range(1, 6))
    parser.add_argument(
        "--teachers", type=float, nargs="+", default=[0.3, 0.5, 0.3, 0.5], help="weights of [CLS]"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone, train, val = opened(options)
    views = [see(backbone, train, shift) for shift in SHIFTS[: options.views]]
    new, labels = see(backbone, val, (0, 0)), labels_of(val)
    for seed in options.seeds:
        started = time.perf_counter()
        trunk = fit(views, options, seed)
        seconds = time.perf_counter() - started
        scores = report(trunk, views[0], new, labels, options.clusters, seed)
        line = {"root": Path(options.root).name, "backbone": options.backbone, "seed": seed}
        setting = {name: getattr(options, name) for name in ("clusters", "steps", "views")}
        print(json.dumps({**line, **setting, "train_s": round(seconds, 1), **scores}), flush=True)


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """What every such script is told: a labeled folder, a backbone, K, seeds and threads."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("root", help="images/, labels/, train.txt, val.txt, classes.txt")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--clusters", type=int, default=128, help="K")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    return parser


def opened(options: argparse.Namespace) -> tuple[Backbone, ImageSet, ImageSet]:
    """The backbone, the training split, and the validation split, which has labels."""
    config = Data(name="folder", root=options.root, train_split="train", val_split="val")
    backbone = load_backbone(BackboneConfig(name=options.backbone, weights=options.weights))
    train, val = open_split(config, "train"), open_split(config, "val")
    require_labels(val)
    return backbone, train, val


@torch.inference_mode()
def see(backbone: Backbone, images: ImageSet, shift: tuple[int, int]) -> View:
    """The center crops of a split, moved by (y, x) pixels with repeated edges."""
    taps, cls = [], []
    plan = backbone.plan
    mean, std = (torch.tensor(v)[:, None, None] for v in (backbone.mean, backbone.std))
    for start in range(0, len(images.files), 16):
        files = images.files[start : start + 16]
        crops = np.stack([shifted(crop_of(file), shift) for file in files])
        pixels = (torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - mean) / std
        with recording(dict(taps_of(plan, keys=False))) as seen:
            output = backbone.model.forward_features(pixels)
        found = (seen["first"], seen["middle"], last_features(output, seen, plan))
        rows = [as_tokens(tap, plan, batch=len(files), grid=(GRID, GRID)) for tap in found]
        taps.append(torch.stack(rows, dim=2).half().numpy())
        cls.append(output[:, 0].float().numpy())
    return View(np.concatenate(taps), np.concatenate(cls))


def crop_of(file: ImageFile) -> np.ndarray:
    """The center crop [320, 320, 3] of an image."""
    pixels = read_image(file.path)
    size = short_side_size(pixels.shape, SIDE, truncated=True)
    return center_crop(resize(pixels, size), SIDE)


def labels_of(images: ImageSet) -> Labels:
    """The labels of the center crops, as ReCo's protocol has them."""
    maps = []
    for file in images.files:
        assert file.label is not None  # by require_labels
        label = read_label(file.label, images.label_codes)
        size = short_side_size(label.shape, SIDE, truncated=True)
        maps.append(center_crop(resize_label(label, size), SIDE))
    names = [file.name for file in images.files]
    return Labels(maps, names, num_classes=len(images.class_names))


def shifted(pixels: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """The part of [320, 320, 3] that a window moved by (y, x) pixels sees, edges repeated."""
    y, x = shift
    room = max(abs(y), abs(x))
    wide = np.pad(pixels, ((room, room), (room, room), (0, 0)), mode="edge")
    return wide[room + y : room + y + SIDE, room + x : room + x + SIDE]


def fit(views: Sequence[View], options: argparse.Namespace, seed: int) -> Trunk:
    """Train a trunk on soft clusters of the images themselves, seen in any view."""
    targets = [
        teacher(views[0], weight, options.clusters, 10 * seed + index)
        for index, weight in enumerate(options.teachers)
    ]
    target = torch.from_numpy(np.stack(targets, axis=-2))  # [N, 20, 20, teachers, K]
    num_images, dim = len(target), views[0].taps.shape[-1]
    trunk = Trunk(dim, len(targets) * options.clusters, seed=seed)
    optimizer = torch.optim.AdamW(trunk.parameters(), lr=2e-3, weight_decay=0.02)
    draws, step = torch.Generator().manual_seed(seed), 0
    while step < options.steps:
        for images in torch.randperm(num_images, generator=draws).split(8):
            if step == options.steps:
                break
            rate = min(1, (step + 1) / 30) * (1 + math.cos(math.pi * step / options.steps)) / 2
            optimizer.param_groups[0]["lr"] = 2e-3 * rate
            view = views[int(torch.randint(len(views), (1,), generator=draws))]
            taps, wanted = grid_of(view.taps[images.numpy()]), target[images].float()
            if torch.rand(1, generator=draws) < 0.5:
                taps, wanted = taps.flip(2), wanted.flip(2)
            learn(trunk, optimizer, taps, wanted)
            step += 1
    return trunk.eval()


def learn(trunk: Trunk, optimizer: torch.optim.Optimizer, taps: Tensor, wanted: Tensor) -> None:
    """One step of cross-entropy to soft clusters [B, 20, 20, teachers, K]."""
    half = uses_bfloat16("auto", torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = trunk(taps)
    chances = logits.float().view(wanted.shape).log_softmax(-1)
    loss = -(wanted * chances).sum(-1).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(trunk.parameters(), 1.0)
    optimizer.step()


def teacher(view: View, weight: float, num_clusters: int, seed: int) -> np.ndarray:
    """Soft clusters [N, 20, 20, K] float16: softmax((2 c·h - |c|²) / 0.1)."""
    points = in_context(unit_length(view.last), view.cls, weight)
    logits = torch.from_numpy(cluster_logits(points, centers(points, num_clusters, seed)))
    return (logits / 0.1).softmax(-1).half().unflatten(1, (GRID, GRID)).numpy()


def unit_length(points: np.ndarray) -> np.ndarray:
    """[..., D], each row at unit length."""
    return unit_rows(points.reshape(-1, points.shape[-1])).reshape(points.shape)


def in_context(points: np.ndarray, cls: np.ndarray, weight: float) -> np.ndarray:
    """Each patch [N, P, D] beside ``weight`` times its image's [CLS] at unit length."""
    context = weight * unit_length(cls)[:, None]
    return np.concatenate([points, np.broadcast_to(context, (*points.shape[:2], cls.shape[1]))], 2)


def centers(points: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """K-means centers [K, D] of a uniform sample of all patches [N, P, D]."""
    rows = points.reshape(-1, points.shape[-1])
    drawn = np.random.default_rng(seed).permutation(len(rows))[:SAMPLE]
    return find_centroids(rows[drawn], num_clusters, iterations=25, seed=seed)


def cluster_logits(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """2 c·h - |c|², [N, P, K]: the nearest center has the largest."""
    return 2 * points @ centroids.T - np.square(centroids).sum(axis=1)


def grid_of(taps: np.ndarray) -> Tensor:
    """[B, 400, 3, D] to [B, 20, 20, 3, D] float32."""
    return torch.from_numpy(taps.astype(np.float32)).unflatten(1, (GRID, GRID))


@torch.inference_mode()
def report(
    trunk: Trunk, known: View, new: View, labels: Labels, num_clusters: int, seed: int
) -> dict[str, tuple[float, float]]:
    """(mIoU, accuracy) in percent of every clustering of the new images."""
    ours = [features_of(trunk, view) for view in (known, new)]
    unit = [unit_length(points) for points in ours]
    plain = [view.last for view in (known, new)]
    pairs = {
        "kmeans": plain,
        "kmeans_cls": [in_context(unit_length(view.last), view.cls, 0.5) for view in (known, new)],
        "trunk": ours,
        "trunk_cls": [
            in_context(points, view.cls, 0.3)
            for points, view in zip(unit, (known, new), strict=True)
        ],
    }
    own = trunk.head(torch.from_numpy(ours[1]))[..., :num_clusters].numpy()
    found = {"own": scored(own, labels)}
    for name, (fitted, predicted) in pairs.items():
        centroids = centers(fitted, num_clusters, seed)
        found[name] = scored(cluster_logits(predicted, centroids), labels)
    return found


def features_of(trunk: Trunk, view: View) -> np.ndarray:
    """The trunk's features of every image, float32 [N, 400, D]."""
    parts = [
        trunk.features(grid_of(view.taps[start : start + 20])).flatten(1, 2)
        for start in range(0, len(view.taps), 20)
    ]
    return torch.cat(parts).numpy()


def scored(logits: np.ndarray, labels: Labels) -> tuple[float, float]:
    """Clusters named by majority of IoU on the images that are scored, at 320x320."""
    matrix = interpolation_matrix(SIDE, GRID, cell=1 / CELL)
    table = np.zeros((logits.shape[-1], labels.num_classes), dtype=np.int64)
    for row, label, name in zip(logits, labels.maps, labels.names, strict=True):
        grid = torch.from_numpy(row).unflatten(0, (GRID, GRID))[None]
        clusters = upsample_argmax(grid, matrix, matrix)[0].numpy()
        table += contingency(
            clusters,
            label,
            num_clusters=len(table),
            num_classes=labels.num_classes,
            name=name,
        )
    found = score(table, match(table, "iou"))
    return round(100 * found.miou, 1), round(100 * found.accuracy, 1)


if __name__ == "__main__":
    main()
