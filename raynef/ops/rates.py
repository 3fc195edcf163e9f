"""Short measurements on the machine at hand: how fast each piece of a run goes here.

In this process, without Ray, at the recipe's own shapes where they take a second or so, else at
smaller ones of the same kind. Random weights and random features: neither changes the work.
"""

import io
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from raynef.assign.teachers import Teachers
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Recipe
from raynef.core.devices import beside, wait_for
from raynef.core.draws import generator
from raynef.core.errors import BadImageError, UserError
from raynef.features.backbone import NUM_TAPS, Backbone
from raynef.features.extract import Features, extract_features
from raynef.features.precision import backbone_precision
from raynef.graph.knn import nearest_neighbors, unit_rows
from raynef.images.augment import augment_all
from raynef.images.decode import decode_image
from raynef.images.geometry import center_crop, resize, short_side_size
from raynef.io.storage import read_bytes
from raynef.models.heads import first_outputs
from raynef.models.segmenter import Segmenter
from raynef.models.training import Trainer, build_psi
from raynef.ops.cost import Shapes
from raynef.ops.pace import GB
from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import sliding_windows
from raynef.stores.features import FeatureStore, write_shard
from raynef.stores.progress import StoreProgress
from raynef.work.reading import resized_view

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
    """A few of the files, spread over the list; a drawn picture as JPEG where there is none.

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
    return found or [_drawn()]


def _drawn() -> bytes:
    """Soft spots with some grain: as long to decode as a photograph of that many bytes."""
    height, width = _PHOTO
    draws = generator("photo", 0)
    spots = Image.fromarray(draws.integers(0, 256, (height // 16, width // 16, 3), np.uint8))
    soft = np.asarray(spots.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = draws.normal(0, 4, (height, width, 1)).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def aspect_of(encoded: Sequence[bytes]) -> float:
    """Long side over short side: the median of some images."""
    sizes = [decode_image(image).shape for image in encoded]
    return statistics.median(max(shape[:2]) / min(shape[:2]) for shape in sizes)


def decode_rate(recipe: Recipe, encoded: Sequence[bytes], side: int, *, together: int) -> float:
    """Views a second that one core decodes and augments, so many of an image together; reading the
    file is not in it."""

    def views() -> int:
        for index, image in enumerate(encoded):
            pixels = decode_image(image)
            made = augment_all(pixels, recipe.data, seed=0, views=range(together), index=index)
            for view in made:
                resized_view(view, side)
        return len(encoded) * together

    return 1 / _seconds_each(views)


def extract_rate(backbone: Backbone, config: BackboneConfig, side: int) -> float:
    """Views a second through the backbone, in batches of the recipe or as large as time allows."""
    device = next(backbone.parameters()).device
    precision = backbone_precision(config.precision, device)

    def run(batch: int) -> Callable[[], int]:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)

        def once() -> int:
            extract_features(backbone, pixels, precision=precision).taps.half().cpu()
            return batch

        return once

    single = _seconds_each(run(1))
    most = config.batch_size
    fitting = most if device.type == "cuda" else int(_PATIENCE_S / 2 / single)
    return 1 / _seconds_each(run(max(1, min(most, fitting))))


def score_rate(backbone: Backbone, recipe: Recipe, aspect: float) -> float:
    """Images a second through backbone, ψ and upsampling by the recipe's protocol; no CRF."""
    config, device = recipe.evaluate, next(backbone.parameters()).device
    segmenter = Segmenter(
        backbone,
        first_outputs(build_psi(recipe, NUM_TAPS * backbone.dim), recipe.eigen.num_eigenfunctions),
        backbone_config=recipe.backbone,
        short_side=config.short_side,
    ).to(device)
    photo = np.zeros((1000, round(1000 * aspect), 3), np.uint8)
    small = resize(photo, short_side_size(photo.shape, config.short_side))
    if config.protocol == "reco":
        small = center_crop(small, config.crop)
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
    everyone = unit_rows(torch.randn((keys, shapes.graph_dim), device=beside(device)))

    def search() -> int:
        nearest_neighbors(everyone[:own], everyone, num_neighbors=shapes.num_neighbors, first_row=0)
        wait_for(device)
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
        pairs = 0 if shapes.num_teachers else (images * patches) ** 2
        return max(0.0, seconds - pairs / pairs_per_second)

    small, large = rest(few), rest(many)
    each = max((large - small) / (many - few), large / many / 2)  # noise must not make it free
    return 1 / each, max(0.0, large - many * each)


def drawn_teachers(recipe: Recipe, dim: int) -> Teachers | None:
    """Teachers of the recipe's size with random centers; None where the objective has none."""
    if recipe.eigen.objective != "clusterings":
        return None
    contexts = recipe.teachers.contexts
    centers = torch.randn((len(contexts), recipe.eigen.num_eigenfunctions, 2 * dim))
    return Teachers(centers, contexts, recipe.teachers.temperature)


def _step_seconds(recipe: Recipe, shapes: Shapes, device: torch.device, images: int) -> float:
    """Of one step of ``Trainer`` on random features of so many images."""
    features = _features(shapes, images, valid_share=shapes.valid_share)
    in_dim = shapes.num_taps * shapes.dim
    teachers = drawn_teachers(recipe, shapes.dim)
    trainer = Trainer(recipe, in_dim=in_dim, num_steps=1000, device=device, teachers=teachers)

    def step() -> int:
        trainer.step(features, range(images), epoch=0)
        wait_for(device)
        return 1

    return _seconds_each(step)


def _features(shapes: Shapes, images: int, *, valid_share: float = 1.0) -> Features:
    """Random ones of so many images; of each the last patches are padding."""
    draws, patches, grid = torch.Generator().manual_seed(0), shapes.patches_per_view, shapes.grid
    valid = torch.ones((images, patches), dtype=torch.bool)
    valid[:, max(1, round(patches * valid_share)) :] = False
    size = (images, shapes.num_taps, patches, shapes.dim)
    return Features(
        taps=torch.randn(size, generator=draws).half(),
        thumbnails=torch.rand((images, grid, grid, 3), generator=draws).half(),
        valid=valid.unflatten(1, (grid, grid)),
    )


def store_rates(shapes: Shapes, folder: str | Path | None) -> tuple[float, float]:
    """GB a second written to a feature store and read from it, of one shard.

    What was just written is read from the memory of the system, not from the disk.

    Args:
        shapes: of a row.
        folder: on the disk that is meant; the system's own temporary one if None.
    """
    features = _features(shapes, shapes.images_per_shard)
    with tempfile.TemporaryDirectory(prefix="raynef-plan-", dir=folder) as name:
        place = Path(name)
        order = list(range(shapes.images_per_shard))
        shard = None

        def write() -> int:
            nonlocal shard
            shard = write_shard(
                place,
                file="shard-000000.parquet",
                view=0,
                images=order,
                features=features,
                bits=shapes.stored_bits,
            )
            return shard.num_bytes

        written = _seconds_each(write)
        journal = StoreProgress(place, {"num_views": 1, "stored_bits": shapes.stored_bits})
        journal.add(shard, {})
        journal.complete()
        store = FeatureStore(place)

        def read() -> int:
            store.read(order, view=0)
            return shard.num_bytes if shard is not None else 0

        return 1 / written / GB, 1 / _seconds_each(read) / GB


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
