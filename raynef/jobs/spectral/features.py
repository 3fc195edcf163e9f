"""Features of whole images, for the affinities of Deep Spectral Methods: once for each image.

FOLDER/manifest.json, FOLDER/shard-*.parquet      one row an image: grid, features in half
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from raynef.cluster.session import feature_actors
from raynef.cluster.stream import Unit, stream
from raynef.config.fields import in_key
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Recipe, Spectral, fingerprint
from raynef.core.errors import BadImageError
from raynef.features.blocks import BlockFeatures, load_block_features
from raynef.features.precision import Precision, computing_in
from raynef.features.weights import weights_identity
from raynef.images.datasets.imageset import ImageSet
from raynef.images.decode import read_image
from raynef.images.fitted import fit
from raynef.io.storage import file_sizes
from raynef.jobs.precision import precision_for, with_precision
from raynef.jobs.shards import (
    ShardMade,
    ShardUnit,
    ShardWork,
    ensure_shards,
    opened,
    shard_units,
)
from raynef.stores.shards import ShardStore, write_rows

_FORMAT = 1
_IMAGES = 8  # of a unit: what a kill loses


def features_key(recipe: Recipe, images: ImageSet, stride: int) -> dict[str, Any]:
    """What the features of whole images depend on."""
    sizes = file_sizes([file.path for file in images.files])
    names_and_sizes = [(file.name, size) for file, size in zip(images.files, sizes, strict=True)]
    return {
        "format": _FORMAT,
        "files": fingerprint(names_and_sizes),
        "num_images": len(images.files),
        **in_key(recipe, "images"),
        "weights": weights_identity(recipe.backbone),
        "stride": stride,
    }


def ensure_features(
    recipe: Recipe, images: ImageSet, folder: Path, *, stride: int
) -> "WholeFeatures":
    """The features of a data set's images in ``folder``: found, or made, or finished.

    Args:
        recipe: its backbone and ``spectral`` sections count.
        images: the data set.
        folder: of the store.
        stride: what the sides of an image must be multiples of.

    Raises:
        UserError: as ``raynef.jobs.extract.ensure_store``.
    """
    spectral, precision = recipe.spectral, precision_for(folder)

    def run(units: list[ShardUnit]) -> Iterator[ShardMade]:
        return stream(
            units,
            prepare=partial(read_fitted, stride=stride, max_side=spectral.max_side),
            actor=WholeImageActor,
            actor_kwargs={
                "config": recipe.backbone,
                "spectral": spectral,
                "precision": precision,
            },
            actors=feature_actors(),
            finish=write_features,
            bounded=True,
        )

    key = with_precision(features_key(recipe, images, stride), precision)
    units = image_units(images, folder)
    made = ensure_shards(folder, key, ShardWork("features", recipe.data, images, units, run))
    return opened(WholeFeatures(folder), images, made=made)


def image_units(images: ImageSet, folder: Path) -> list[ShardUnit]:
    """A unit, and so a shard, for every few images."""
    return shard_units(images, folder, _IMAGES)


def read_fitted(images: ShardUnit, *, stride: int, max_side: int) -> Unit:
    """Task: read the images of a unit and fit them; a bad one becomes a named reason."""
    unit, fitted, skipped = vars(images), {}, {}
    for index, file in zip(unit["images"], unit["files"], strict=True):
        try:
            fitted[index], _ = fit(read_image(file.path), stride=stride, max_side=max_side)
        except BadImageError as error:
            skipped[file.name] = str(error)
    return {**unit, "fitted": fitted, "skipped": skipped}


class WholeImageActor:
    """Actor: one frozen backbone; turns the fitted images of a unit into features."""

    def __init__(
        self, config: BackboneConfig, spectral: Spectral, precision: Precision, device: str
    ) -> None:
        self.backbone = load_block_features(config, spectral).to(device)
        self.batch_size, self.device = config.batch_size, torch.device(device)
        self.precision: Precision = precision

    def __call__(self, unit: Unit) -> Unit:
        """Replaces ``fitted`` by ``features``, {index: half [h, w, D]}; one pass for each size."""
        by_size = defaultdict(list)
        for index, pixels in unit.pop("fitted").items():
            by_size[pixels.shape].append((index, pixels))
        unit["features"] = {}
        for items in by_size.values():
            for start in range(0, len(items), self.batch_size):
                batch = items[start : start + self.batch_size]
                found = self.run(np.stack([pixels for _, pixels in batch]))
                unit["features"].update(zip((i for i, _ in batch), found, strict=True))
        return unit

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, 3] -> features, half [B, h, w, D]."""
        with computing_in(self.precision, self.device):
            return self.backbone(normalized(self.backbone, pixels)).half().cpu().numpy()


def normalized(backbone: BlockFeatures, pixels: np.ndarray) -> torch.Tensor:
    """uint8 [B, H, W, 3] -> what a backbone takes, [B, 3, H, W], on its device."""
    device = next(backbone.parameters()).device
    unit = torch.tensor(pixels, device=device).permute(0, 3, 1, 2) / 255
    mean, std = (
        torch.tensor(values, device=device)[:, None, None]
        for values in (backbone.mean, backbone.std)
    )
    return (unit - mean) / std


def write_features(unit: Unit) -> ShardMade:
    """Task: write the shard of a unit."""
    found: dict[int, np.ndarray] = unit["features"]
    kept = [index for index in unit["images"] if index in found]
    if not kept:
        return ShardMade(None, unit["skipped"], len(unit["images"]))
    columns = {
        "shape": pa.array([list(found[index].shape) for index in kept], pa.list_(pa.int32())),
        "features": pa.array([found[index].tobytes() for index in kept], pa.large_binary()),
    }
    shard = write_rows(
        Path(unit["folder"]), file=unit["file"], view=0, images=kept, columns=columns
    )
    return ShardMade(shard, unit["skipped"], len(unit["images"]))


class WholeFeatures(ShardStore):
    """A finished store of whole images' features."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, made_by="raynef spectral eigen")

    def grid(self, image: int) -> tuple[int, int]:
        """Patches of one image, (h, w). Raises UserError naming a damaged file."""
        height, width, _ = self.row(image, ["shape"])["shape"][0].as_py()
        return height, width

    def read(self, image: int) -> torch.Tensor:
        """Features of one image, float32 [h, w, D]. Raises UserError naming a damaged file."""
        columns = self.row(image, ["shape", "features"])
        shape = columns["shape"][0].as_py()
        flat = np.frombuffer(columns["features"][0].as_buffer(), dtype=np.float16)
        return torch.from_numpy(flat.reshape(shape).astype(np.float32))
