"""What goes into the learned clusterings: variants of it, each beside the default, without a label.

The trunk and its training are those of research_teachers.py, the teachers those of the preset
`clusterings`: K-means of patches in the context of their image's mean, at weights 0.6, 0.9, 0.6 and
0.9. Each variant changes one thing:

    default     nothing
    flips       half of the steps see the grid of features mirrored, and with it the targets
    averaged    targets are the mean of what the teachers say of the image in all five shifts
    pair        … in the shift that the trunk sees and in the first
    debiased    of each tap, what an empty image has is projected out: its leading directions
    taps        teachers cluster all three taps, each at unit length, in place of the last
    keys        … the last attention's keys beside the last features
    rounds      a second training, whose teachers are K-means of the first one's features
    tuned       at the end, K-means' head and the trunk below it are trained on their own clusters
                of the image, seen in any shift: a third of the steps, a quarter of the rate
    finer       at the end, logits of five shifts, averaged on a grid four times as fine
    flipped_pair    flips and pair at once
    both        a second backbone beside the first (--and NAME FILE): teachers and trunk see both

Labels enter the score alone. Prints one JSON line of mIoU and accuracy in percent for each seed and
variant; features are kept in --cache.

    python tests/benchmarks/research_inputs.py ../shared/data/msrc \
        --backbone vit_tiny_patch16_224 --weights FILE.safetensors --seeds 0 1 2 --cache DIR
"""

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from research_teachers import (
    CELL,
    GRID,
    SHIFTS,
    SIDE,
    Labels,
    Trunk,
    arguments,
    centers,
    cluster_logits,
    crop_of,
    labels_of,
    learn,
    opened,
    scored,
    shifted,
    unit_length,
)
from torch import Tensor

from raynef.assign.contingency import contingency
from raynef.assign.matching import match, score
from raynef.features.backbone import Backbone
from raynef.features.taps import as_tokens, last_features, recording, taps_of
from raynef.images.datasets.imageset import ImageSet
from raynef.segment.upsample import interpolation_matrix

CONTEXTS = (0.6, 0.9, 0.6, 0.9)
STEPS, BATCH = 330, 8
DIRECTIONS = 8
"""Of an empty image's features, that are projected out."""


@dataclass(frozen=True)
class Inputs:
    """Features of a set: of training images in all shifts, of new images in all shifts.

    Each float16 [shifts, N, 400, T, D]; three taps, then the keys; ``empty`` [400, T, D] of an
    image that is gray all over.
    """

    known: np.ndarray
    new: np.ndarray
    empty: np.ndarray


@dataclass(frozen=True)
class Variant:
    """What is changed of the default."""

    flips: bool = False
    targets: Literal["first", "pair", "averaged"] = "first"
    points: Callable[[np.ndarray], np.ndarray] = lambda taps: unit_length(taps[..., 2, :])
    debiased: bool = False
    rounds: int = 1
    tuned: bool = False
    finer: bool = False


def _joined(places: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Unit taps side by side, of unit length together."""

    def points(taps: np.ndarray) -> np.ndarray:
        parts = [unit_length(taps[..., place, :]) for place in places]
        return np.concatenate(parts, axis=-1) / math.sqrt(len(places))

    return points


VARIANTS = {
    "default": Variant(),
    "flips": Variant(flips=True),
    "averaged": Variant(targets="averaged"),
    "pair": Variant(targets="pair"),
    "debiased": Variant(debiased=True),
    "taps": Variant(points=_joined((0, 1, 2))),
    "keys": Variant(points=_joined((2, 3))),
    "rounds": Variant(rounds=2),
    "tuned": Variant(tuned=True),
    "finer": Variant(finer=True),
    "flipped_pair": Variant(flips=True, targets="pair"),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--and", dest="other", nargs=2, metavar=("NAME", "FILE"))
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    inputs, labels = inputs_of(options)
    for name in options.variants:
        variant = VARIANTS[name]
        seen = debiased(inputs) if variant.debiased else inputs
        for seed in options.seeds:
            begun = time.perf_counter()
            found = run(seen, variant, labels, options.clusters, seed)
            line = {
                "root": Path(options.root).name,
                "backbone": options.backbone
                + (f" and {options.other[0]}" if options.other else ""),
                "clusters": options.clusters,
                "variant": name,
                "seed": seed,
                "seconds": round(time.perf_counter() - begun, 1),
                "score": found,
            }
            print(json.dumps(line), flush=True)


def inputs_of(options: argparse.Namespace) -> tuple[Inputs, Labels]:
    """The features of one backbone, or of two side by side at unit length, and the labels."""
    backbone, train, val = opened(options)
    labels = labels_of(val)
    first = cached(options.cache, backbone, train, val)
    if options.other is None:
        return first, labels
    name, weights = options.other
    second = cached(
        options.cache,
        opened(argparse.Namespace(root=options.root, backbone=name, weights=weights))[0],
        train,
        val,
    )
    pairs = zip(
        (first.known, first.new, first.empty), (second.known, second.new, second.empty), strict=True
    )
    return Inputs(*(beside(*pair) for pair in pairs)), labels


def beside(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two backbones' taps as one, each at unit length times √D, as its norm leaves it."""
    scale = math.sqrt(first.shape[-1])
    out = np.empty((*first.shape[:-1], first.shape[-1] + second.shape[-1]), np.float16)
    for view, pair in enumerate(zip(first, second, strict=True)):
        parts = [unit_length(part.astype(np.float32)) for part in pair]
        out[view] = scale * np.concatenate(parts, axis=-1)
    return out


def cached(folder: Path, backbone: Backbone, train: ImageSet, val: ImageSet) -> Inputs:
    """The features of both splits, made once."""
    files = [file.path for split in (train, val) for file in split.files]
    key = hashlib.sha256("\n".join([backbone.name, *files]).encode()).hexdigest()[:12]
    path = folder / f"{key}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        parts = {
            "known": np.stack([features(backbone, train, shift) for shift in SHIFTS]),
            "new": np.stack([features(backbone, val, shift) for shift in SHIFTS]),
            "empty": taps(backbone, np.full((1, SIDE, SIDE, 3), 128, np.uint8))[0],
        }
        np.savez(path, **parts)
    with np.load(path) as found:
        return Inputs(found["known"], found["new"], found["empty"])


def features(backbone: Backbone, images: ImageSet, shift: tuple[int, int]) -> np.ndarray:
    """Of the center crops of a split, moved by (y, x) pixels with repeated edges."""
    parts = []
    for start in range(0, len(images.files), 16):
        crops = [shifted(crop_of(file), shift) for file in images.files[start : start + 16]]
        parts.append(taps(backbone, np.stack(crops)))
    return np.concatenate(parts)


@torch.inference_mode()
def taps(backbone: Backbone, crops: np.ndarray) -> np.ndarray:
    """float16 [B, 400, 4, D] of uint8 [B, 320, 320, 3]."""
    plan = backbone.plan
    mean, std = (torch.tensor(v)[:, None, None] for v in (backbone.mean, backbone.std))
    pixels = (torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - mean) / std
    with recording(dict(taps_of(plan, keys=True))) as seen:
        output = backbone.model.forward_features(pixels)
    found = (seen["first"], seen["middle"], last_features(output, seen, plan), seen["keys"])
    rows = [as_tokens(tap, plan, batch=len(crops), grid=(GRID, GRID)) for tap in found]
    return torch.stack(rows, dim=2).half().numpy()


def debiased(inputs: Inputs) -> Inputs:
    """Without the directions that an empty image's patches differ in, tap by tap.

    An empty image holds nothing but positions: the leading right singular vectors of its patches,
    less their mean, are what a position adds to a patch.
    """
    kept = []
    for tap in range(inputs.empty.shape[1]):
        rows = inputs.empty[:, tap].astype(np.float32)
        _, _, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
        leading = directions[:DIRECTIONS]
        kept.append(np.eye(rows.shape[1], dtype=np.float32) - leading.T @ leading)

    def projected(values: np.ndarray) -> np.ndarray:
        out = np.empty_like(values)
        for tap, matrix in enumerate(kept):
            for view in range(len(values)):
                out[view, ..., tap, :] = values[view, ..., tap, :].astype(np.float32) @ matrix
        return out

    return Inputs(projected(inputs.known), projected(inputs.new), inputs.empty)


def run(
    inputs: Inputs, variant: Variant, labels: Labels, num_clusters: int, seed: int
) -> tuple[float, float]:
    """(mIoU, accuracy) in percent of K-means of the trunk's features."""
    shifts = inputs.known[:1] if variant.targets == "first" else inputs.known
    points = [variant.points(taps.astype(np.float32)) for taps in shifts]
    targets = combined(soft_targets(points, num_clusters, seed), variant.targets)
    trunk = fit(inputs.known, targets, num_clusters, variant, seed)
    for turn in range(1, variant.rounds):
        own = [unit_length(hidden(trunk, inputs.known[0]))]
        targets = soft_targets(own, num_clusters, seed + 1000 * turn)
        trunk = fit(inputs.known, targets, num_clusters, variant, seed)
    known, new = hidden(trunk, inputs.known[0]), hidden(trunk, inputs.new[0])
    centroids = centers(known, num_clusters, seed)
    if variant.tuned:
        return scored(tuned(trunk, inputs, known, centroids, seed), labels)
    if not variant.finer:
        return scored(cluster_logits(new, centroids), labels)
    views = [cluster_logits(hidden(trunk, view), centroids) for view in inputs.new]
    return scored_finer(views, labels)


def soft_targets(points: Sequence[np.ndarray], num_clusters: int, seed: int) -> list[Tensor]:
    """What the teachers say of each view: [N, 20, 20, teachers, K]. Centers are of the first."""
    found: list[list[Tensor]] = [[] for _ in points]
    for place, weight in enumerate(CONTEXTS):
        views = [in_context(view, weight) for view in points]
        centroids = centers(views[0], num_clusters, len(CONTEXTS) * seed + place)
        for said, view in zip(found, views, strict=True):
            logits = torch.from_numpy(cluster_logits(view, centroids))
            said.append((logits / 0.1).softmax(-1).half())
    return [torch.stack(said, dim=-2).unflatten(1, (GRID, GRID)) for said in found]


def combined(views: list[Tensor], how: str) -> list[Tensor]:
    """The target of each view that the trunk sees; one for all of them where they are the same."""
    if how == "averaged":
        total = views[0].float()
        for view in views[1:]:
            total += view
        return [(total / len(views)).half()]
    return [((views[0].float() + view) / 2).half() for view in views] if how == "pair" else views


def in_context(points: np.ndarray, weight: float) -> np.ndarray:
    """Each patch [N, P, D] beside ``weight`` times its image's mean at unit length."""
    mean = weight * unit_length(points.mean(axis=1, keepdims=True))
    return np.concatenate([points, np.broadcast_to(mean, points.shape)], axis=2)


def fit(
    views: np.ndarray, targets: Sequence[Tensor], clusters: int, variant: Variant, seed: int
) -> Trunk:
    """Train a trunk on targets [N, 20, 20, M, K], of each view or one for all."""
    trunk = Trunk(views.shape[-1], targets[0].shape[-2] * clusters, seed=seed)
    train(trunk, views, targets, variant, seed)
    return trunk.eval()


def train(
    trunk: Trunk,
    views: np.ndarray,
    targets: Sequence[Tensor],
    variant: Variant,
    seed: int,
    *,
    steps: int = STEPS,
    top: float = 2e-3,
) -> None:
    """Steps of AdamW, at a rate that falls from ``top``."""
    optimizer = torch.optim.AdamW(trunk.parameters(), lr=top, weight_decay=0.3)
    draws, step = torch.Generator().manual_seed(seed), 0
    while step < steps:
        for images in torch.randperm(views.shape[1], generator=draws).split(BATCH):
            if len(images) < BATCH or step == steps:
                break
            rate = (1 + math.cos(math.pi * step / steps)) / 2
            optimizer.param_groups[0]["lr"] = top * rate
            at = int(torch.randint(len(views), (1,), generator=draws))
            target = targets[at] if len(targets) > 1 else targets[0]
            taps, wanted = grid_of(views[at][images.numpy()]), target[images].float()
            if variant.flips and torch.rand(1, generator=draws) < 0.5:
                taps, wanted = taps.flip(2), wanted.flip(2)
            learn(trunk, optimizer, taps, wanted)
            step += 1


def tuned(
    trunk: Trunk, inputs: Inputs, known: np.ndarray, centroids: np.ndarray, seed: int
) -> np.ndarray:
    """Logits [N, 400, K] of new images; ``known`` are the trunk's features of training images."""
    logits = cluster_logits(known, centroids)
    best = np.partition(logits, -2, axis=-1)[..., -2:]
    scale = float(np.median(best[..., 1] - best[..., 0]))
    target = (torch.from_numpy(logits) / scale).softmax(-1).half().unflatten(1, (GRID, GRID))
    head = trunk.head = torch.nn.Linear(known.shape[-1], len(centroids))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(2 * centroids / scale))
        head.bias.copy_(torch.from_numpy(-np.square(centroids).sum(axis=1) / scale))
    targets = [target[..., None, :]]
    train(trunk.train(), inputs.known, targets, Variant(), seed, steps=STEPS // 3, top=5e-4)
    features = hidden(trunk.eval(), inputs.new[0])
    with torch.inference_mode():
        return trunk.head(torch.from_numpy(features)).numpy()


def grid_of(values: np.ndarray) -> Tensor:
    """The three taps of [B, 400, 4, D]: [B, 20, 20, 3, D] float32."""
    return torch.from_numpy(values[:, :, :3].astype(np.float32)).unflatten(1, (GRID, GRID))


@torch.inference_mode()
def hidden(trunk: Trunk, view: np.ndarray) -> np.ndarray:
    """The trunk's features of every image, float32 [N, 400, D]."""
    parts = [
        trunk.features(grid_of(view[start : start + 20])).flatten(1, 2)
        for start in range(0, len(view), 20)
    ]
    return torch.cat(parts).numpy()


def scored_finer(views: Sequence[np.ndarray], labels: Labels) -> tuple[float, float]:
    """Logits [N, 400, K] of each of ``SHIFTS``, moved back, upsampled and averaged."""
    table = np.zeros((views[0].shape[-1], labels.num_classes), dtype=np.int64)
    moved = [matrices(shift) for shift in SHIFTS]
    for index, (label, name) in enumerate(zip(labels.maps, labels.names, strict=True)):
        total = torch.zeros((views[0].shape[-1], SIDE, SIDE))
        for logits, (rows, columns) in zip(views, moved, strict=True):
            grid = torch.from_numpy(logits[index]).unflatten(0, (GRID, GRID))
            total += torch.einsum("yi,ijk,xj->kyx", rows, grid, columns)
        clusters = total.argmax(0).numpy().astype(np.int32)
        table += contingency(
            clusters, label, num_clusters=len(table), num_classes=labels.num_classes, name=name
        )
    found = score(table, match(table, "iou"))
    return round(100 * found.miou, 1), round(100 * found.accuracy, 1)


def matrices(shift: tuple[int, int]) -> list[Tensor]:
    """Of an axis each, [320, 20]: the interpolation of a grid that lies so many pixels further."""
    plain = interpolation_matrix(SIDE, GRID, cell=1 / CELL)
    found = []
    for pixels in shift:
        at = (torch.arange(SIDE) - pixels).clamp(0, SIDE - 1)
        found.append(plain[at])
    return found


if __name__ == "__main__":
    main()
