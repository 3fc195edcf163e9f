"""What an evaluation costs beside the forward passes: time, CRF on two cores, and memory.

    python tests/benchmarks/bench_evaluate.py --data DIR [--backbone NAME --weights FILE]
    python tests/benchmarks/bench_evaluate.py --memory 100 1000

Prints one JSON line; with --check, exits 1 where a figure is out of its bounds. The eigenfunctions
are random: of their K maps more can win at a pixel than of trained ones, which favors nobody here.
Rates leave out the first quarter of a pass, in which Ray starts its workers. Nothing else may run
beside: every figure but the memory is a ratio of times on all cores.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray._private.internal_api import get_memory_info_reply, get_state_from_address

from raynef.assign.contingency import contingency
from raynef.assign.matching import UNMATCHED, match, score
from raynef.cluster.progress import Progress
from raynef.cluster.session import ray_session
from raynef.config.recipe import BUNDLED_BACKBONE, Backbone, Data, Evaluate, Recipe
from raynef.demo.scenes import write_scenes
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.registry import open_split
from raynef.jobs import counting as counting_module
from raynef.models.segmenter import Segmenter
from raynef.work.maps import CountingActor, count_sharpened
from raynef.work.reading import Scoring, read_examples
from raynef.work.units import image_units

BOUNDS = {
    "pass_over_forward": ("<=", 2.5),
    "contingency_speedup": (">=", 20.0),
    "crf_cores_speedup": (">=", 1.6),
    "memory_growth": ("<=", 1.1),
}
RENDERED = 20  # scenes; a larger set repeats them


class Timed(Progress):
    """Notes when units end, to leave the start-up out."""

    marks: list[tuple[float, int]] = []  # noqa: RUF012  (emptied before each pass)

    def advance(self, count: int, note: str = "", facts: Mapping[str, Any] | None = None) -> None:
        super().advance(count, note, facts)
        self.marks.append((time.perf_counter(), self.done))


def rate_of_pass(folder: Path, recipe: Recipe, images: ImageSet, num_clusters: int) -> float:
    """Images a second of a pass through Ray in its last three quarters: all workers are there."""
    counting_module.Progress = Timed
    Timed.marks = []
    with ray_session():
        counting_module.count(
            folder, recipe, images, num_clusters=num_clusters, temperature=0.3, job="evaluate"
        )
    (first, done_first), (last, done_last) = Timed.marks[len(Timed.marks) // 4], Timed.marks[-1]
    return (done_last - done_first) / (last - first)


def scoring_of(images: ImageSet, config: Evaluate, num_clusters: int) -> Scoring:
    shape = (2 if config.crf else 1, num_clusters, len(images.class_names))
    return Scoring(config, images.label_codes, shape, temperature=0.3)


def rate_of_forward(segmenter: Segmenter, images: ImageSet, config: Evaluate) -> float:
    """Images a second of backbone and ψ alone, in one process on all cores, in equal batches."""
    torch.set_num_threads(os.cpu_count() or 1)
    spent, done, scoring = 0.0, 0, scoring_of(images, config, 2)
    for number, unit in enumerate(image_units(images.files, config.batch_size)):
        alike: dict[tuple, list[np.ndarray]] = {}
        for example in read_examples(unit, scoring=scoring).examples:
            alike.setdefault(example.small.shape, []).append(example.small)
        for group in alike.values():
            started = time.perf_counter()
            segmenter.patch_logits(np.stack(group))
            if number:  # the first warms up
                spent += time.perf_counter() - started
                done += len(group)
    return done / spent


def rate_of_one_core(folder: Path, images: ImageSet, config: Evaluate, num_clusters: int) -> float:
    """Images a second of the same work with a CRF, one after the other on one core."""
    torch.set_num_threads(1)
    scoring = scoring_of(images, config, num_clusters)
    actor = CountingActor(str(folder), "cpu", scoring=scoring)
    units = image_units(images.files, 1)
    started = 0.0
    for number, unit in enumerate(units):
        if number == 1:
            started = time.perf_counter()
        count_sharpened(actor(read_examples(unit, scoring=scoring)), scoring=scoring)
    return (len(units) - 1) / (time.perf_counter() - started)


def slow_tables(maps: np.ndarray, labels: np.ndarray, num_clusters: int, num_classes: int) -> dict:
    """A loop over clusters: one mask for each, and for each again over the classes."""
    table = np.zeros((num_clusters, num_classes), dtype=np.int64)
    for clusters, label in zip(maps, labels, strict=True):
        for k in range(num_clusters):
            found = label[clusters == k]
            table[k] += np.bincount(found, minlength=256)[:num_classes]
    classes = np.full(num_clusters, UNMATCHED)
    for k in range(num_clusters):
        ious = [
            table[k, c] / max(1, table[k].sum() + table[:, c].sum() - table[k, c])
            for c in range(num_classes)
        ]
        if table[k].sum():
            classes[k] = int(np.argmax(ious))
    return {"table": table, "classes": classes}


def contingency_speedup(num_images: int, num_clusters: int, num_classes: int = 23) -> dict:
    """Counting and matching of maps in blocks of 16 pixels, against the loop on a tenth of them."""
    draws = np.random.default_rng(0)
    shape = (num_images, 20, 20)
    maps = np.kron(draws.integers(0, num_clusters, shape), np.ones((1, 16, 16), np.int64))
    labels = np.kron(draws.integers(0, num_classes + 1, shape), np.ones((1, 16, 16), np.int64))
    labels[labels == num_classes] = 255
    labels = labels.astype(np.uint8)

    def fast(count: int) -> dict:
        table = np.zeros((num_clusters, num_classes), dtype=np.int64)
        for clusters, label in zip(maps[:count], labels[:count], strict=True):
            table += contingency(
                clusters, label, num_clusters=num_clusters, num_classes=num_classes, name="x"
            )
        classes = match(table, "iou")
        score(table, classes)
        return {"table": table, "classes": classes}

    few = max(1, num_images // 10)
    started = time.process_time()
    slow = slow_tables(maps[:few], labels[:few], num_clusters, num_classes)
    slow_s = (time.process_time() - started) * num_images / few
    same = fast(few)
    np.testing.assert_array_equal(same["table"], slow["table"])
    np.testing.assert_array_equal(same["classes"], slow["classes"])
    started = time.process_time()
    fast(num_images)
    return {"fast_s": time.process_time() - started, "loop_s": slow_s}


def many_scenes(folder: Path, count: int) -> Path:
    """A data set of ``count`` validation images: a few rendered scenes under many names."""
    write_scenes(folder, num_train=1, num_val=min(count, RENDERED))
    names = [f"val_{k:05d}" for k in range(count)]
    for k in range(RENDERED, count):
        for part, suffix in (("images", ".jpg"), ("labels", ".png")):
            source = folder / part / f"{names[k % RENDERED]}{suffix}"
            shutil.copyfile(source, folder / part / f"{names[k]}{suffix}")
    (folder / "val.txt").write_text("\n".join(names))
    return folder


def peak_memory(count: int, num_clusters: int) -> dict:
    """Peaks of one evaluation, in this process: the driver's RSS and what the object store held."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Data(root=str(many_scenes(Path(scratch) / "data", count)))
        recipe = Recipe(data=data, evaluate=Evaluate(short_side=160, crop=160))
        folder = save_segmenter(recipe.backbone, Path(scratch) / "segmenter", num_clusters)
        images = open_split(recipe.data, "val")
        store, done = [0], threading.Event()

        def watch() -> None:
            state = get_state_from_address(ray.get_runtime_context().gcs_address)
            while not done.wait(0.05):
                stats = get_memory_info_reply(state).store_stats
                store[0] = max(store[0], stats.object_store_bytes_used)

        with ray_session():
            watcher = threading.Thread(target=watch)
            watcher.start()
            counting_module.count(
                folder, recipe, images, num_clusters=num_clusters, temperature=0.3, job="evaluate"
            )
            done.set()
            watcher.join()
    driver = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"images": count, "driver_mb": round(driver), "store_mb": round(store[0] / 2**20)}


def save_segmenter(config: Backbone, folder: Path, num_clusters: int) -> Path:
    backbone = load_backbone(config)
    psi = AttentionPsi(NUM_TAPS * backbone.dim, num_clusters)
    Segmenter(backbone, psi, backbone_config=config, short_side=320).save(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", help="a folder of images/ and labels/; time is measured on it")
    parser.add_argument("--backbone", default=BUNDLED_BACKBONE)
    parser.add_argument("--weights")
    parser.add_argument("--clusters", type=int, default=256)
    parser.add_argument("--crf-images", type=int, default=32)
    parser.add_argument("--memory", type=int, nargs="+", metavar="IMAGES")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--one-memory", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_memory:
        print(json.dumps(peak_memory(options.one_memory, options.clusters)))
        return
    result: dict = {"clusters": options.clusters, "cores": os.cpu_count()}
    if options.data:
        result |= time_of(options)
    if options.memory:
        again = [sys.executable, __file__, "--clusters", str(options.clusters), "--one-memory"]
        peaks = [
            json.loads(
                subprocess.run([*again, str(n)], check=True, capture_output=True, text=True).stdout
            )
            for n in options.memory
        ]
        sums = [peak["driver_mb"] + peak["store_mb"] for peak in peaks]
        result |= {"memory": peaks, "memory_growth": round(max(sums) / sums[0], 3)}
    print(json.dumps(result))
    wrong = [
        f"{name} = {result[name]}, not {sign} {bound}"
        for name, (sign, bound) in BOUNDS.items()
        if name in result and (result[name] > bound if sign == "<=" else result[name] < bound)
    ]
    if options.check and wrong:
        sys.exit("; ".join(wrong))


def time_of(options: argparse.Namespace) -> dict:
    backbone = Backbone(name=options.backbone, weights=options.weights)
    recipe = Recipe(data=Data(root=options.data), backbone=backbone)
    images = open_split(recipe.data, "val")
    some = replace(images, files=images.files[: options.crf_images])
    with tempfile.TemporaryDirectory() as folder:
        path = save_segmenter(backbone, Path(folder), options.clusters)
        forward = rate_of_forward(Segmenter.load(path), images, recipe.evaluate)
        whole = rate_of_pass(path, recipe, images, options.clusters)
        crf = replace(recipe, evaluate=replace(recipe.evaluate, crf=True))
        one_core = rate_of_one_core(path, some, crf.evaluate, options.clusters)
        all_cores = rate_of_pass(path, crf, some, options.clusters)
    counted = contingency_speedup(len(images.files), options.clusters)
    return {
        "images": len(images.files),
        "forward_images_per_s": round(forward, 2),
        "pass_images_per_s": round(whole, 2),
        "pass_over_forward": round(forward / whole, 2),
        "crf_one_core_images_per_s": round(one_core, 2),
        "crf_all_cores_images_per_s": round(all_cores, 2),
        "crf_cores_speedup": round(all_cores / one_core, 2),
        "contingency_s": round(counted["fast_s"], 3),
        "contingency_loop_s": round(counted["loop_s"], 1),
        "contingency_speedup": round(counted["loop_s"] / counted["fast_s"], 1),
    }


if __name__ == "__main__":
    main()
