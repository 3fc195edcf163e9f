"""Which label-free quantity of a finished run goes with its mIoU?

    python tests/benchmarks/research_choosing.py measure RUN [RUN …] >> runs.jsonl
    python tests/benchmarks/research_choosing.py rank runs.jsonl

``measure``: RUN is a run, or a folder with runs anywhere below it, each with evaluate.json. Prints
a JSON line for each that was trained on no label: its score, and quantities of ``--images``
training images at the size of a crop, none of which sees a label. Clusters are those of patches:

    loss           of the objective at the end of the training
    entropy        of the clusters' sizes, bits
    coherence      share of neighboring patches of one cluster
    per_image      clusters of an image, mean
    mirror, shift  mutual information, bits, between the clusters of an image and of the same image
                   mirrored, or moved by half a patch
    mirror_same    share of patches with the same cluster in both
    seeds          mutual information, bits, with the runs beside it (of other seeds), mean
    association    mean over clusters of the weight of the kNN graph's edges that stay within, over
                   the weight of all of the cluster's: K minus the normalized cut, over K
    modularity     of the same graph
    variance       share of the variance of the backbone's features, at unit length, that is between
                   clusters; variance_context: of these joined with half the image's mean
    colors         squared difference of color between neighboring patches of two clusters, over
                   that between all neighbors

``rank``: Spearman's rank correlation of each with mIoU, for runs of the same images, backbone and
K, and the interval of 95 % over draws of recipes (seeds of one recipe are drawn together).
"""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from raynef.assign.context import in_context
from raynef.assign.information import entropy, mutual_information
from raynef.core.errors import UserError
from raynef.graph.whole import whole_affinity
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.images.geometry import center_crop, resize, short_side_size
from raynef.io.files import read_json
from raynef.models.segmenter import Segmenter
from raynef.stores.run import RunFolder

NEIGHBORS = 32
DRAWS = 2000


@dataclass(frozen=True)
class Seen:
    """What all runs on some images with one backbone share.

    Attributes:
        pixels: uint8 [B, S + P, S + P, 3]; what is segmented is its top left, and its bottom right
            half a patch further.
        features: of the backbone at unit length, [B, N, D].
        colors: mean of each patch, [B, h, w, 3] in [0, 1].
        edges: of the kNN graph of all patches, (rows, columns, weights).
    """

    pixels: np.ndarray
    features: torch.Tensor
    colors: np.ndarray
    edges: tuple[np.ndarray, np.ndarray, np.ndarray]


def see(segmenter: Segmenter, files: list[str], side: int) -> Seen:
    patch = segmenter.backbone.patch_size
    pixels = []
    for file in files:
        image = read_image(file)
        size = short_side_size(image.shape, side + patch)
        pixels.append(center_crop(resize(image, size), side + patch))
    stacked = np.stack(pixels)
    plain = stacked[:, :side, :side]
    features = torch.cat([segmenter.taps(part)[:, -1] for part in batches(plain)])
    features = torch.nn.functional.normalize(features, dim=-1)
    graph = whole_affinity(features.flatten(0, 1), NEIGHBORS).sparse
    parts = (graph.crow_indices(), graph.col_indices(), graph.values())
    starts, columns, weights = (part.numpy() for part in parts)
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    count = side // patch
    cells = plain.reshape(len(plain), count, patch, count, patch, 3)
    colors = cells.mean(axis=(2, 4)) / 255
    return Seen(stacked, features, colors, (rows, columns, weights))


def batches(pixels: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(pixels), 8):
        yield pixels[start : start + 8]


def clusters_of(segmenter: Segmenter, pixels: np.ndarray) -> np.ndarray:
    """[B, h, w]."""
    parts = [segmenter.patch_logits(part).argmax(dim=-1) for part in batches(pixels)]
    return torch.cat(parts).numpy()


def variance_between(points: np.ndarray, clusters: np.ndarray, count: int) -> float:
    """Share of the variance of points [n, D] that is between their clusters."""
    centered = points - points.mean(axis=0)
    sums = np.zeros((count, points.shape[1]))
    np.add.at(sums, clusters, centered)
    sizes = np.maximum(np.bincount(clusters, minlength=count), 1)
    return float((sums**2 / sizes[:, None]).sum() / (centered**2).sum())


def measure(segmenter: Segmenter, seen: Seen, side: int) -> tuple[dict[str, float], np.ndarray]:
    """Quantities of a segmenter, and its clusters of the patches, [B, h, w]."""
    count, half = segmenter.num_clusters, segmenter.backbone.patch_size // 2
    plain = seen.pixels[:, :side, :side]
    clusters = clusters_of(segmenter, plain)
    mirrored = clusters_of(segmenter, plain[:, :, ::-1].copy())[:, :, ::-1]
    moved = clusters_of(segmenter, seen.pixels[:, half:, half:][:, :side, :side].copy())
    flat = clusters.ravel()
    shares = np.bincount(flat, minlength=count) / flat.size
    rows, columns, weights = seen.edges
    total = np.bincount(flat[rows], weights, minlength=count)
    inside = flat[rows] == flat[columns]
    within = np.bincount(flat[rows][inside], weights[inside], minlength=count)
    used = total > 0
    whole = weights.sum()
    same, squares = [], []
    for axis in (1, 2):
        first, second = np.delete(clusters, -1, axis), np.delete(clusters, 0, axis)
        same.append((first == second).ravel())
        squares.append((np.diff(seen.colors, axis=axis) ** 2).sum(axis=-1).ravel())
    alike, apart = np.concatenate(same), np.concatenate(squares)
    valid = torch.ones(seen.features.shape[:2], dtype=torch.bool)
    unit = seen.features.flatten(0, 1).numpy()
    joined = in_context(seen.features, valid, 0.5).flatten(0, 1).numpy()
    return {
        "entropy": entropy(shares),
        "coherence": float(alike.mean()),
        "per_image": float(np.mean([len(np.unique(one)) for one in clusters])),
        "mirror": mutual_information(clusters, mirrored, count),
        "shift": mutual_information(clusters, moved, count),
        "mirror_same": float((clusters == mirrored).mean()),
        "association": float((within[used] / total[used]).sum() / count),
        "modularity": float((within / whole - (total / whole) ** 2).sum()),
        "variance": variance_between(unit, flat, count),
        "variance_context": variance_between(joined, flat, count),
        "colors": float(apart[~alike].mean() / apart.mean()),
    }, clusters


def measure_all(folders: list[Path], num_images: int) -> None:
    shared: dict[tuple[str, ...], Seen] = {}
    for beside in siblings(folders):
        lines, maps = [], []
        for run in beside:
            recipe = RunFolder(run).recipe()
            segmenter, side = Segmenter.load(run), recipe.data.crop
            if segmenter.supervised or segmenter.labels_leaked:
                continue
            key = (str(recipe.data.root), recipe.backbone.name, str(side))
            if key not in shared:
                files = open_split(recipe.data, recipe.data.train_split).files
                kept = files[:: -(-len(files) // num_images)]
                shared[key] = see(segmenter, [str(file.path) for file in kept], side)
            found, clusters = measure(segmenter, shared[key], side)
            score = read_json(run / "evaluate.json")
            loss = read_json(run / "train.json").get("objective", {}).get("loss")
            head = {"run": str(run), "images": key[0], "backbone": key[1]}
            head |= {"clusters": segmenter.num_clusters, "miou": 100 * score["miou"]}
            lines.append(head | {"loss": loss} | found)
            maps.append(clusters)
        for line, own in zip(lines, maps, strict=True):
            others = [other for other in maps if other is not own]
            given = [mutual_information(own, other, line["clusters"]) for other in others]
            line["seeds"] = float(np.mean(given)) if given else None
            print(json.dumps(line), flush=True)


def siblings(folders: list[Path]) -> list[list[Path]]:
    """Finished runs with a score, those of one recipe together."""
    found = {path.parent for folder in folders for path in folder.rglob("evaluate.json")}
    beside: dict[Path, list[Path]] = defaultdict(list)
    for run in sorted(found):
        if (run / "train.json").is_file():
            beside[run.parent if run.name.startswith("seed-") else run].append(run)
    if not beside:
        raise UserError(f"no run with evaluate.json in {', '.join(map(str, folders))}")
    return list(beside.values())


def rank(file: Path) -> None:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        groups[row["images"], row["backbone"], row["clusters"]].append(row)
    for (images, backbone, clusters), rows in groups.items():
        recipes = len({str(Path(row["run"]).parent) for row in rows})
        print(f"\n{images}, {backbone}, K = {clusters}: {len(rows)} runs of {recipes} recipes")
        for name in [key for key in rows[0] if key not in ("run", "images", "backbone")]:
            kept = [row for row in rows if row.get(name) is not None]
            if name not in ("clusters", "miou") and len(kept) > 4:
                low, middle, high = correlation(kept, name)
                print(f"  {name:<17} {middle:6.2f}  [{low:5.2f}, {high:5.2f}]  of {len(kept)}")


def correlation(rows: list[dict[str, Any]], name: str) -> tuple[float, float, float]:
    """Spearman's ρ of a quantity with mIoU: the ends of its interval around it."""
    recipes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        recipes[str(Path(row["run"]).parent)].append((row[name], row["miou"]))
    parts = list(recipes.values())
    draw = np.random.default_rng(0)
    drawn: list[float] = []
    for _ in range(DRAWS):
        chosen = draw.integers(len(parts), size=len(parts))
        drawn.append(spearman([pair for index in chosen for pair in parts[index]]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), spearman([pair for part in parts for pair in part]), float(high)


def spearman(pairs: list[tuple[float, float]]) -> float:
    first, second = zip(*pairs, strict=True)
    if len(set(first)) < 2 or len(set(second)) < 2:
        return math.nan
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("measure", "rank"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=64)
    args = parser.parse_args()
    if args.kind == "measure":
        measure_all(args.paths, args.images)
    else:
        rank(args.paths[0])


if __name__ == "__main__":
    main()
