"""K-means on patch features: how much of a data set's classes a backbone separates by itself.

Short side 320 (bilinear), center crop 320 x 320, patch features after the final norm. Euclidean
K-means on the train crops' patches; each val patch's logits 2c·h - |c|^2 are upsampled bilinearly
to the pixels; each cluster gets the class with which it has the largest IoU over all val pixels.
Prints one JSON line with mIoU and pixel accuracy in percent, and how far a patch's place decides
its cluster: of the training images, the share whose patch at a corner (mean of the four) lies in
the cluster that most do there, and the same for a patch elsewhere. With ``--margin 1``, the
backbone sees a mirrored margin of one patch around each crop, whose features are dropped.

    python tests/benchmarks/bench_backbone_kmeans.py ../shared/data/msrc \
        --backbone vit_tiny_patch16_224 --weights FILE.safetensors
    python tests/benchmarks/bench_backbone_kmeans.py ../shared/data/msrc --backbone rgbxy
"""

import argparse
import json
import time
from pathlib import Path

import faiss
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.features.backbone import load_backbone

SIDE, PATCH, VOID = 320, 16, 255
GRID = SIDE // PATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, help="images/, labels/, train.txt, val.txt, classes.txt")
    parser.add_argument("--backbone", required=True, help="a timm ViT, the bundled one, or rgbxy")
    parser.add_argument("--weights", help="a local file; by default bundled or the hub")
    parser.add_argument("--clusters", type=int, default=128, help="K")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2, help="of torch and faiss")
    parser.add_argument("--margin", type=int, default=0, help="mirrored patches around a crop")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    start = time.perf_counter()

    train, val = (read_split(options.root, split) for split in ("train", "val"))
    num_classes = len((options.root / "classes.txt").read_text().split())
    train_features, val_features = (
        features_of(names, options.root, options) for names in (train, val)
    )
    centroids = fit(train_features.reshape(-1, train_features.shape[-1]), options)
    counts = np.zeros((options.clusters, num_classes), dtype=np.int64)
    for name, features in zip(val, val_features, strict=True):
        label = np.asarray(crop(options.root / "labels" / f"{name}.png", Image.Resampling.NEAREST))
        clusters = assign(torch.from_numpy(features), centroids)
        known = label != VOID
        np.add.at(counts, (clusters[known], label[known]), 1)
    print(
        json.dumps(
            {
                "backbone": options.backbone,
                "weights": options.weights,
                "data": options.root.name,
                "clusters": options.clusters,
                "seed": options.seed,
                "margin": options.margin,
                **score(counts),
                **shares_of_one_cluster(train_features, centroids),
                "seconds": round(time.perf_counter() - start, 1),
            }
        )
    )


def read_split(root: Path, split: str) -> list[str]:
    """Names of a split's images, without suffix."""
    return [Path(line).stem for line in (root / f"{split}.txt").read_text().split()]


def crop(path: Path, resample: Image.Resampling) -> Image.Image:
    """Short side to 320 pixels, then the center 320 x 320."""
    with Image.open(path) as image:
        scale = SIDE / min(image.size)
        width, height = (max(SIDE, round(side * scale)) for side in image.size)
        left, top = (width - SIDE) // 2, (height - SIDE) // 2
        return image.resize((width, height), resample).crop((left, top, left + SIDE, top + SIDE))


def features_of(names: list[str], root: Path, options: argparse.Namespace) -> np.ndarray:
    """Patch features of the images, float32 [B, 400, D]."""
    crops = [
        np.asarray(crop(root / "images" / f"{name}.jpg", Image.Resampling.BILINEAR).convert("RGB"))
        for name in names
    ]
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    if options.backbone == "rgbxy":
        return rgb_and_position(images / 255.0).numpy()
    model = load_backbone(BackboneConfig(name=options.backbone, weights=options.weights))
    mean, std = (torch.tensor(value)[:, None, None] for value in (model.mean, model.std))
    width, pad = GRID + 2 * options.margin, (options.margin * PATCH,) * 4
    inner = slice(options.margin, options.margin + GRID)
    parts = []
    for batch in images.split(options.batch_size):
        around = functional.pad((batch / 255.0 - mean) / std, pad, mode="reflect")
        grid = model(around)[:, -1].float().unflatten(1, (width, width))
        parts.append(grid[:, inner, inner].flatten(1, 2))
    return torch.cat(parts).numpy()


def rgb_and_position(images: Tensor) -> Tensor:
    """Mean color and center of each patch, all in [0, 1]: [B, 3, H, W] -> [B, 400, 5]."""
    colors = functional.avg_pool2d(images, PATCH).flatten(2).transpose(1, 2)
    line = (torch.arange(GRID) + 0.5) / GRID
    places = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1).reshape(1, -1, 2)
    return torch.cat([colors, places.expand(len(images), -1, -1)], dim=-1).contiguous()


def fit(points: np.ndarray, options: argparse.Namespace) -> Tensor:
    """Centroids [K, D] of all points [N, D]."""
    points = np.ascontiguousarray(points, dtype=np.float32)
    kmeans = faiss.Kmeans(
        points.shape[1],
        options.clusters,
        niter=50,
        nredo=1,
        seed=options.seed,
        max_points_per_centroid=len(points),  # every point, not faiss's sample of 256 K
    )
    kmeans.train(points)
    assert kmeans.centroids is not None
    return torch.from_numpy(kmeans.centroids.copy())


def assign(features: Tensor, centroids: Tensor) -> np.ndarray:
    """Cluster of each pixel, [320, 320], of one image's features [400, D]."""
    logits = 2 * features @ centroids.T - centroids.square().sum(1)
    grid = logits.T.reshape(1, -1, GRID, GRID)
    return functional.interpolate(grid, size=(SIDE, SIDE), mode="bilinear")[0].argmax(0).numpy()


def shares_of_one_cluster(features: np.ndarray, centroids: Tensor) -> dict[str, float]:
    """Of images [B, 400, D], the largest share with one cluster at a place, in percent."""
    norms = centroids.square().sum(1)
    points = torch.from_numpy(features)
    clusters = torch.stack([(2 * image @ centroids.T - norms).argmax(1) for image in points])
    shares = np.array(
        [np.bincount(place).max() / len(features) for place in clusters.T.numpy()]
    ).reshape(GRID, GRID)
    corners = shares[np.ix_((0, -1), (0, -1))]
    return {
        "corner_share": round(100 * float(corners.mean()), 1),
        "share_elsewhere": round(100 * float(shares[1:-1, 1:-1].mean()), 1),
    }


def score(counts: np.ndarray) -> dict[str, float]:
    """mIoU and accuracy in percent of clusters x classes pixel counts, by majority vote."""
    clusters, classes = counts.sum(1, keepdims=True), counts.sum(0, keepdims=True)
    overlap = counts / np.maximum(clusters + classes - counts, 1)
    confusion = np.zeros((counts.shape[1], counts.shape[1]), dtype=np.int64)
    np.add.at(confusion, overlap.argmax(1), counts)
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    iou = hits[union > 0] / union[union > 0]
    return {
        "miou": round(100 * float(iou.mean()), 2),
        "accuracy": round(100 * float(hits.sum() / counts.sum()), 2),
    }


if __name__ == "__main__":
    main()
