"""Short measurements on the machine at hand: how fast each piece of a run goes here.

In this process, without Ray, at the recipe's own shapes where they take a second or so, else at
smaller ones of the same kind. Random weights and random features: neither changes the work.
"""

import datetime
import io
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image

from raynef.config.recipe import Recipe
from raynef.core.errors import BadImageError, UserError
from raynef.demo.scenes import render_scene
from raynef.features.backbone import NUM_TAPS, Backbone
from raynef.features.extract import Features, extract_features
from raynef.graph.knn import nearest_neighbors, unit_rows
from raynef.images.augment import augment
from raynef.images.decode import decode_image
from raynef.images.geometry import centre_crop, resize, short_side_size
from raynef.io.storage import read_bytes
from raynef.jobs.extract import resized_view
from raynef.models.segmenter import Segmenter
from raynef.models.training import Trainer, build_psi
from raynef.ops.cost import Shapes
from raynef.ops.pace import GB
from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import sliding_windows
from raynef.stores.features import FeatureStore, StoreProgress, write_shard

_PATIENCE_S = 2.0  # about what one measurement may take
_PATCHES = 8192  # of the larger training step that is timed
_KEYS = 32768  # patches of the global batch that a timed search looks through
_SIMILARITIES = 1 << 23  # of a block of such a search
_PHOTO = (375, 500)  # a common photograph, where there is none: height and width in pixels


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch's threads for as long as a measurement takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def encoded_images(paths: Sequence[str]) -> list[bytes]:
    """A few of the files, spread over the list; a rendered scene as JPEG where there is none.

    Raises:
        UserError: not one of them can be read.
    """
    found = []
    for path in paths[:: max(1, len(paths) // 8)][:8]:
        try:
            encoded = read_bytes(path)
            decode_image(encoded)
        except (OSError, BadImageError):
            continue
        found.append(encoded)
    if paths and not found:
        raise UserError(f"not one of a few images such as {paths[0]} can be read")
    return found or [_rendered()]


def _rendered() -> bytes:
    height, width = _PHOTO
    buffer = io.BytesIO()
    Image.fromarray(render_scene(0, height=height, width=width).image).save(
        buffer, "JPEG", quality=90
    )
    return buffer.getvalue()


def aspect_of(encoded: Sequence[bytes]) -> float:
    """Long side over short side: the median of some images."""
    sizes = [decode_image(image).shape for image in encoded]
    return statistics.median(max(shape[:2]) / min(shape[:2]) for shape in sizes)


def decode_rate(recipe: Recipe, encoded: Sequence[bytes], side: int) -> float:
    """Views a second that one core decodes and augments; reading the file is not in it."""

    def views() -> int:
        for index, image in enumerate(encoded):
            pixels = decode_image(image)
            resized_view(augment(pixels, recipe.data, seed=0, view=0, index=index), side)
        return len(encoded)

    return 1 / _seconds_each(views)


def extract_rate(backbone: Backbone, side: int, batch_size: int) -> float:
    """Views a second through the backbone, in batches of the recipe or as large as time allows."""
    device = next(backbone.parameters()).device

    def run(batch: int) -> Callable[[], int]:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)

        def once() -> int:
            extract_features(backbone, pixels).taps.half().cpu()
            return batch

        return once

    single = _seconds_each(run(1))
    fitting = batch_size if device.type == "cuda" else int(_PATIENCE_S / 2 / single)
    return 1 / _seconds_each(run(max(1, min(batch_size, fitting))))


def score_rate(backbone: Backbone, recipe: Recipe, aspect: float) -> float:
    """Images a second through backbone, ψ and upsampling by the recipe's protocol; no CRF."""
    config, device = recipe.evaluate, next(backbone.parameters()).device
    segmenter = Segmenter(
        backbone,
        build_psi(recipe, NUM_TAPS * backbone.dim),
        backbone_config=recipe.backbone,
        short_side=config.short_side,
    ).to(device)
    photo = np.zeros((1000, round(1000 * aspect), 3), np.uint8)
    small = resize(photo, short_side_size(photo.shape, config.short_side))
    if config.protocol == "reco":
        small = centre_crop(small, config.crop)
    windows = segmenter.windows(small.shape[:2])
    if config.protocol == "sliding":
        windows = sliding_windows(small.shape[:2], window=config.window, stride=config.stride)
    size = photo.shape[:2] if config.protocol == "sliding" else small.shape[:2]

    def one_image() -> int:
        parts = [segmenter.patch_logits(crop[None]) for crop in windows.cut(small)]
        logits = windows.join(torch.cat(parts))
        grid = (parts[0].shape[1], parts[0].shape[2])
        rows, columns = windows.matrices(grid, size, cell=segmenter.cell(windows.window))
        upsample_argmax(logits[None], rows, columns).cpu()
        return 1

    return 1 / _seconds_each(one_image)


def pair_rate(shapes: Shapes, device: torch.device) -> float:
    """Pairs of patches a second that one worker compares, k nearest of N, in blocks of rows."""
    keys = max(2, min(shapes.num_patches, _KEYS))
    own = min(shapes.slice_patches, keys, max(1, _SIMILARITIES // keys))
    everyone = unit_rows(torch.randn((keys, shapes.dim), device=device))

    def search() -> int:
        nearest_neighbors(everyone[:own], everyone, num_neighbors=shapes.num_neighbors, first_row=0)
        _wait_for(device)
        return own * keys

    return 1 / _seconds_each(search)


def step_rates(
    recipe: Recipe, shapes: Shapes, device: torch.device, pairs_per_second: float
) -> tuple[float, float]:
    """Images a second of the rest of a training step, and its fixed seconds.

    Two sizes of real steps of one worker are timed, b₁ < b₂ images; of each the search, n² pairs,
    is taken off. What is left is fixed + b/rate: two equations.
    """
    patches = shapes.patches_per_view * shapes.valid_share
    few = max(1, int(-(-(shapes.num_neighbors + 1) // max(1.0, patches))))
    many = max(2 * few, min(shapes.slice_size, max(1, int(_PATCHES // patches))))

    def rest(images: int) -> float:
        seconds = _step_seconds(recipe, shapes, device, images)
        return max(0.0, seconds - (images * patches) ** 2 / pairs_per_second)

    small, large = rest(few), rest(many)
    each = max((large - small) / (many - few), large / many / 2)  # noise must not make it free
    return 1 / each, max(0.0, large - many * each)


def _step_seconds(recipe: Recipe, shapes: Shapes, device: torch.device, images: int) -> float:
    """Of one step of ``Trainer`` on random features of so many images."""
    generator = torch.Generator().manual_seed(0)
    grid, num_taps, dim = shapes.grid, shapes.num_taps, shapes.dim
    valid = torch.ones((images, grid * grid), dtype=torch.bool)
    valid[:, max(1, round(grid * grid * shapes.valid_share)) :] = False
    features = Features(
        taps=torch.randn((images, num_taps, grid * grid, dim), generator=generator).half(),
        thumbnails=torch.rand((images, grid, grid, 3), generator=generator).half(),
        valid=valid.unflatten(1, (grid, grid)),
    )
    trainer = Trainer(recipe, in_dim=num_taps * dim, num_steps=1000, device=device)

    def step() -> int:
        trainer.step(features, range(images), epoch=0)
        _wait_for(device)
        return 1

    return _seconds_each(step)


def store_rates(shapes: Shapes, folder: str | Path | None) -> tuple[float, float]:
    """GB a second written to a feature store and read from it, of one shard.

    What was just written is read from the memory of the system, not from the disk.

    Args:
        shapes: of a row.
        folder: on the disk that is meant; the system's own temporary one if None.
    """
    images, grid = shapes.images_per_shard, shapes.grid
    features = Features(
        taps=torch.randn((images, shapes.num_taps, grid * grid, shapes.dim)).half(),
        thumbnails=torch.rand((images, grid, grid, 3)).half(),
        valid=torch.ones((images, grid, grid), dtype=torch.bool),
    )
    with tempfile.TemporaryDirectory(prefix="raynef-plan-", dir=folder) as name:
        place = Path(name)
        order = list(range(images))
        shard = None

        def write() -> int:
            nonlocal shard
            shard = write_shard(
                place, file="shard-000000.parquet", view=0, images=order, features=features
            )
            return shard.num_bytes

        written = _seconds_each(write)
        journal = StoreProgress(place, {"num_views": 1})
        journal.add(shard, {})
        journal.complete()
        store = FeatureStore(place)

        def read() -> int:
            store.read(order, view=0)
            return shard.num_bytes if shard is not None else 0

        return 1 / written / GB, 1 / _seconds_each(read) / GB


def network_rates() -> tuple[float, float]:
    """GB a second that each of two gloo ranks sends while it receives, and seconds of a message.

    Both ranks are threads of this process: it is the loopback of this machine.
    """
    rows = torch.ones(2 << 20)
    results: dict[int, tuple[float, float]] = {}
    store = dist.HashStore()

    def rank(index: int) -> None:
        patience = datetime.timedelta(seconds=30)
        group: Any = dist.ProcessGroupGloo(store, index, 2, patience)  # its methods have no stubs
        everyone, number = torch.empty(2 * rows.numel()), torch.ones(1)

        def gather() -> None:
            group._allgather_base(everyone, rows).wait()

        def message() -> None:
            group.allreduce([number]).wait()

        # Both ranks must call the same number of times: counts, not patience.
        results[index] = (_seconds_of(gather, 10), _seconds_of(message, 50) / 2)

    pair = [threading.Thread(target=rank, args=(index,), daemon=True) for index in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join(timeout=60)
    if len(results) < 2:
        raise RuntimeError("two gloo ranks on this machine do not hear each other")
    sent = rows.numel() * rows.element_size()
    slowest = max(seconds for seconds, _ in results.values())
    return sent / slowest / GB, max(seconds for _, seconds in results.values())


def _seconds_of(call: Callable[[], None], count: int) -> float:
    call()
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def _seconds_each(work: Callable[[], int]) -> float:
    """Seconds for each thing that ``work`` says it did, of the call that was disturbed least.

    The first call is not counted; what is slow is called once more, not several times.
    """
    best = math.inf
    begun = time.perf_counter()
    work()
    warmed = time.perf_counter()
    calls = 1 if warmed - begun > _PATIENCE_S else 9
    for _ in range(calls):
        mark = time.perf_counter()
        done = work()
        now = time.perf_counter()
        best = min(best, (now - mark) / done)
        if now - warmed > _PATIENCE_S:
            break
    return best


def _wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
