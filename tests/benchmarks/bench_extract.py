"""Extraction in steady state beside a bare loop that reads, decodes and runs the same backbone.

    python tests/benchmarks/bench_extract.py --images DIR [--backbone NAME --weights FILE]

Prints one JSON line for each precision of the backbone: float32, and bfloat16 where the processor
has it. The bare loop runs on the same cores with as many threads, on the same views (without them
for --plain, where both see a resize and a center crop only). The start-up of Ray and of the actors
is left out: the rate counts from the first finished shard on.
"""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raynef.cluster.progress import Progress
from raynef.cluster.session import ray_session
from raynef.config.recipe import BUNDLED_BACKBONE, Backbone, Data, Recipe
from raynef.features.backbone import load_backbone
from raynef.features.extract import extract_features
from raynef.features.precision import backbone_precision, has_bfloat16
from raynef.images.augment import augment
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.jobs import shards as shards_module
from raynef.jobs.extract import ensure_store


def bare_loop(recipe: Recipe, files: list[str]) -> float:
    """Images a second of one process."""
    torch.set_num_threads(os.cpu_count() or 1)
    backbone = load_backbone(recipe.backbone)
    precision = backbone_precision(recipe.backbone.precision, torch.device("cpu"))
    size = recipe.backbone.batch_size
    started = 0.0
    for start in range(0, len(files), size):
        if start == size:  # the first batch warms up
            started = time.perf_counter()
        views = [
            augment(read_image(path), recipe.data, seed=0, view=0, index=start + i)
            for i, path in enumerate(files[start : start + size])
        ]
        extract_features(
            backbone,
            np.stack([view.pixels for view in views]),
            np.array([view.extent for view in views]),
            precision=precision,
        )
    return (len(files) - size) / (time.perf_counter() - started)


class Timed(Progress):
    """Notes when shards end, to leave start-up and the last, partial shards out."""

    marks: list[tuple[float, int]] = []  # noqa: RUF012  (emptied before each extraction)

    def advance(self, count: int, note: str = "", facts: Mapping[str, Any] | None = None) -> None:
        super().advance(count, note, facts)
        self.marks.append((time.perf_counter(), self.done))


def ours(recipe: Recipe) -> float:
    """Images a second of ``raynef extract``, from the first finished shard to the last."""
    shards_module.Progress = Timed
    Timed.marks = []
    images = open_split(recipe.data, "train")
    with tempfile.TemporaryDirectory() as folder, ray_session():
        ensure_store(recipe, images, Path(folder) / "store")
    (first, done_first), (last, done_last) = Timed.marks[0], Timed.marks[-1]
    return (done_last - done_first) / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", required=True)
    parser.add_argument("--backbone", default=BUNDLED_BACKBONE)
    parser.add_argument("--weights")
    parser.add_argument("--crop", type=int, default=320)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    data = Data(root=options.images, crop=options.crop, short_side=options.crop, num_views=1)
    if options.plain:
        data = Data(
            root=options.images,
            crop=options.crop,
            short_side=options.crop,
            num_views=1,
            scale=(1.0, 1.0),
            flip=0.0,
            photometric=False,
        )
    backbone = Backbone(options.backbone, weights=options.weights, precision="float32")
    files = [file.path for file in open_split(data, "train").files]
    halves = [dataclasses.replace(backbone, precision="bfloat16")]
    for each in (backbone, *halves * has_bfloat16(torch.device("cpu"))):
        bare = bare_loop(Recipe(data=data, backbone=each), files)
        rate = ours(Recipe(data=data, backbone=each))
        result = {
            "backbone": options.backbone,
            "precision": each.precision,
            "crop": options.crop,
            "images": len(files),
            "bare_images_per_s": round(bare, 2),
            "extract_images_per_s": round(rate, 2),
            "share": round(rate / bare, 3),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
