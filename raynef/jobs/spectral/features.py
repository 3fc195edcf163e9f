"""Features of whole images, for the affinities of Deep Spectral Methods: once for each image.

FOLDER/manifest.json, FOLDER/shard-*.parquet      one row an image: grid, features in half
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from raynef.cluster.session import feature_actors
from raynef.cluster.stream import stream
from raynef.config.fields import in_key
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Recipe, Spectral, fingerprint
from raynef.core.errors import BadImageError
from raynef.features.blocks import BlockFeatures, load_block_features
from raynef.features.precision import Precision, computing_in
from raynef.features.weights import weights_identity
from raynef.images.datasets.imageset import ImageSet
from raynef.images.decode import read_image
from raynef.images.fitted import Fitted, fit
from raynef.jobs.shards import (
    ShardMade,
    ShardUnit,
    ShardWork,
    ensure_shards,
    opened,
    shard_units,
)
from raynef.jobs.spectral.rows import from_raw, integers, raw, write_values
from raynef.stores.features import listing
from raynef.stores.precision import precision_for, with_precision
from raynef.stores.shards import ShardStore
from raynef.work.units import Carried, ImageUnit, chunks

_FORMAT = 1
_IMAGES = 8  # of a unit: what a kill loses


def features_key(recipe: Recipe, images: ImageSet, stride: int) -> dict[str, Any]:
    """What the features of whole images depend on."""
    return {
        "format": _FORMAT,
        "files": fingerprint(listing(images)),
        "num_images": len(images.files),
        **in_key(recipe, "images"),
        "weights": weights_identity(recipe.backbone),
        "stride": stride,
    }


def ensure_features(
    recipe: Recipe, images: ImageSet, folder: Path, *, stride: int
) -> "WholeFeatures":
    """The features of a data set's images in ``folder``: found, or made, or finished.

    ``stride`` is what the sides of an image must be multiples of. Raises UserError as
    ``ensure_shards``, and where not one image can be read.
    """
    spectral = recipe.spectral
    precision = precision_for(folder, recipe.backbone.precision)
    actor_kwargs = {"config": recipe.backbone, "spectral": spectral, "precision": precision}

    def run(units: list[ShardUnit]) -> Iterator[ShardMade]:
        return stream(
            units,
            prepare=partial(read_fitted, stride=stride, max_side=spectral.max_side),
            actor=WholeImageActor,
            actor_kwargs=actor_kwargs,
            actors=feature_actors(),
            finish=partial(write_values, columns=feature_columns),
            bounded=True,
        )

    key = with_precision(features_key(recipe, images, stride), precision)
    units = image_units(images, folder, range(len(images.files)))
    made = ensure_shards(folder, key, ShardWork("features", recipe.data, images, units, run))
    return opened(WholeFeatures(folder), images, made=made)


def image_units(images: ImageSet, folder: Path, among: Container[int]) -> list[ShardUnit]:
    """A unit, and so a shard, for every few images of a data set: of those ``among`` its indices
    that are given, in the shard that each has in a whole store."""
    units = []
    for unit in shard_units(images, folder, _IMAGES):
        kept = [index for index in unit.images if index in among]
        if kept:
            files = tuple(images.files[index] for index in kept)
            units.append(replace(unit, images=kept, files=files))
    return units


def read_fitted(unit: ImageUnit, *, stride: int, max_side: int) -> Carried[Any, Fitted]:
    """Task: read the images of a unit and fit them; a bad one becomes a named reason."""
    fitted, skipped = {}, {}
    for index, file in zip(unit.images, unit.files, strict=True):
        try:
            fitted[index] = fit(read_image(file.path), stride=stride, max_side=max_side)
        except BadImageError as error:
            skipped[file.name] = str(error)
    return Carried(unit, fitted, skipped)


class BackboneActor:
    """What actors that run one frozen backbone share."""

    def __init__(
        self, config: BackboneConfig, spectral: Spectral, precision: Precision, device: str
    ) -> None:
        self.backbone = load_block_features(config, spectral).to(device)
        self.batch_size, self.device = config.batch_size, torch.device(device)
        self.precision: Precision = precision


class WholeImageActor(BackboneActor):
    """Actor: turns the fitted images of a unit into features."""

    def __call__(self, read: Carried[ShardUnit, Fitted]) -> Carried[ShardUnit, np.ndarray]:
        """Images to features, half [h, w, D]; one pass for each size."""
        features, images = {}, {index: one.pixels for index, one in read.values.items()}
        for keys, pixels in of_one_size(images, self.batch_size):
            features.update(zip(keys, self.run(pixels), strict=True))
        return Carried(read.unit, features, read.skipped)

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, 3] -> features, half [B, h, w, D]."""
        with computing_in(self.precision, self.device):
            return self.backbone(normalized(self.backbone, pixels)).half().cpu().numpy()


def of_one_size(
    images: Mapping[int, np.ndarray], most: int | None = None
) -> Iterator[tuple[Sequence[int], np.ndarray]]:
    """Keys of images of one size, at most so many, and these images, uint8 [B, H, W, 3]."""
    by_size = defaultdict(list)
    for key, pixels in images.items():
        by_size[pixels.shape].append(key)
    for keys in by_size.values():
        for part in chunks(keys, most or len(keys)):
            yield part, np.stack([images[key] for key in part])


def normalized(backbone: BlockFeatures, pixels: np.ndarray) -> torch.Tensor:
    """uint8 [B, H, W, 3] -> what a backbone takes, [B, 3, H, W], on its device."""
    device = next(backbone.parameters()).device
    unit = torch.tensor(pixels, device=device).permute(0, 3, 1, 2) / 255
    mean, std = (
        torch.tensor(values, device=device)[:, None, None]
        for values in (backbone.mean, backbone.std)
    )
    return (unit - mean) / std


def feature_columns(features: list[np.ndarray]) -> dict[str, pa.Array]:
    """Columns of a shard, from half [h, w, D] each."""
    return {"shape": integers(f.shape for f in features), "features": raw(features)}


class WholeFeatures(ShardStore):
    """A finished store of whole images' features."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, made_by="raynef spectral eigen")

    def read(self, image: int) -> torch.Tensor:
        """Features of one image, float32 [h, w, D]. Raises UserError naming a damaged file."""
        columns = self.row(image, ["shape", "features"])
        values = from_raw(columns["features"], np.float16, columns["shape"][0].as_py())
        return torch.from_numpy(values.astype(np.float32))

    def num_points(self, image: int) -> int:
        """Patches of one image. Raises UserError naming a damaged file."""
        height, width, _ = self.row(image, ["shape"])["shape"][0].as_py()
        return height * width

    def points(self, image: int) -> np.ndarray:
        """What is clustered over all images: the features of all patches, float32 [n, D]."""
        return self.read(image).flatten(0, 1).numpy()
