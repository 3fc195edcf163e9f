"""The feature store: half-precision tensors of training views, in shards.

STORE/manifest.json, STORE/shard-000000.parquet …     see ``shards``
STORE/progress.jsonl, STORE/shards.jsonl              see ``progress``
STORE/verified.json                                   see ``verify``
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from raynef.config.fields import in_key
from raynef.config.recipe import Recipe, fingerprint
from raynef.features.extract import Features
from raynef.features.weights import weights_identity
from raynef.images.augment import HUE_CIRCLE, HUE_STEPS
from raynef.images.datasets.imageset import ImageSet
from raynef.io.storage import file_sizes
from raynef.stores.shards import ShardStore, write_rows
from raynef.stores.verify import Shard

_FORMAT = 1

Listing = list[tuple[str, int | None]]
"""Name and bytes of each image of a split, in its order; None of a file that is not there."""


def listing(images: ImageSet) -> Listing:
    """What tells whether images are the same."""
    sizes = file_sizes([file.path for file in images.files])
    return [(file.name, size) for file, size in zip(images.files, sizes, strict=True)]


def store_key(recipe: Recipe, images: ImageSet) -> dict[str, Any]:
    """What the features depend on; two stores with equal keys hold equal features."""
    return {
        "format": _FORMAT,
        "files": fingerprint(listing(images)),
        "num_images": len(images.files),
        **in_key(recipe, "views"),
        "weights": weights_identity(recipe.backbone),
        **({"hue_degrees": 360 * HUE_STEPS // HUE_CIRCLE} if recipe.data.photometric else {}),
    }


def write_shard(
    folder: Path, *, file: str, view: int, images: list[int], features: Features
) -> Shard:
    """Write one shard atomically; every tensor in half precision."""
    columns = {
        "taps": features.taps.half(),
        "thumbnail": features.thumbnails.half(),
        "valid": features.valid.to(torch.uint8),
    }
    tensors = {
        name: pa.FixedShapeTensorArray.from_numpy_ndarray(
            np.ascontiguousarray(values.cpu().numpy())
        )
        for name, values in columns.items()
    }
    return write_rows(folder, file=file, view=view, images=images, columns=tensors)


class FeatureStore(ShardStore):
    """A finished store of training views."""

    @property
    def num_views(self) -> int:
        """Augmented views of each image."""
        return self.key["num_views"]

    def read(self, images: list[int], *, view: int) -> Features:
        """Features of some images in one view. Raises UserError naming a damaged file."""
        columns = ["taps", "thumbnail", "valid"]
        rows = [self.row(image, columns, view=view) for image in images]
        taps, thumbnails, valid = (
            torch.from_numpy(np.stack([row[name].to_numpy_ndarray()[0] for row in rows]))  # pyright: ignore[reportAttributeAccessIssue]
            for name in columns
        )
        return Features(taps, thumbnails, valid.bool())
