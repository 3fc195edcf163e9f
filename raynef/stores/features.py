"""The feature store: tensors of training views in shards, in half precision or in 8 bits.

STORE/manifest.json, STORE/shard-000000.parquet …     see ``shards``
STORE/progress.jsonl, STORE/shards.jsonl              see ``progress``
STORE/verified.json                                   see ``verify``
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

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
    folder: Path, *, file: str, view: int, images: list[int], features: Features, bits: int
) -> Shard:
    """Write one shard atomically: taps as ``data.stored_bits`` says, thumbnails as halves."""
    columns = {"thumbnail": features.thumbnails.half(), "valid": features.valid.to(torch.uint8)}
    packed: dict[str, pa.Array] = {}
    if bits == 8:
        steps, columns["low"], columns["step"] = as_bytes(features.taps)
        rows = [row.tobytes() for row in steps.cpu().numpy()]  # as a tensor each took four bytes
        packed["taps"] = pa.array(rows, pa.binary(len(rows[0])))
    else:
        columns["taps"] = features.taps.half()
    tensors = {
        name: pa.FixedShapeTensorArray.from_numpy_ndarray(
            np.ascontiguousarray(values.cpu().numpy())
        )
        for name, values in columns.items()
    }
    return write_rows(folder, file=file, view=view, images=images, columns={**packed, **tensors})


def as_bytes(taps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Taps [B, T, h·w, D] as steps from the least of their channel in their view.

    Returns:
        The steps, uint8 [B, T, h·w, D], and the least value and the size of a step, float32
        [B, T, D]. A value comes back within half a step, which is 1/255 of the channel's range.
    """
    taps = taps.float()
    low, high = taps.amin(dim=2), taps.amax(dim=2)
    step = ((high - low) / 255).clamp_min(torch.finfo(torch.float32).tiny)
    steps = ((taps - low[:, :, None]) / step[:, :, None]).round().clamp(0, 255)
    return steps.to(torch.uint8), low, step


def from_bytes(steps: Tensor, low: Tensor, step: Tensor) -> Tensor:
    """What ``as_bytes`` made, as taps in half precision."""
    return (steps.float() * step[:, :, None] + low[:, :, None]).half()


class FeatureStore(ShardStore):
    """A finished store of training views."""

    @property
    def num_views(self) -> int:
        """Augmented views of each image."""
        return self.key["num_views"]

    @property
    def bits(self) -> int:
        """Of a stored number, as ``data.stored_bits``."""
        return self.key.get("stored_bits", 16)

    def read(self, images: list[int], *, view: int) -> Features:
        """Features of some images in one view, half precision.

        Raises UserError naming a damaged file.
        """
        if self.bits == 8:
            return self._read_bytes(images, view)
        taps, thumbnails, valid = self._tensors(images, view, ["taps", "thumbnail", "valid"])
        return Features(taps, thumbnails, valid.bool())

    def _read_bytes(self, images: list[int], view: int) -> Features:
        names = ["low", "step", "thumbnail", "valid"]
        low, step, thumbnails, valid = self._tensors(images, view, names)
        rows = [self.row(image, ["taps"], view=view)["taps"][0].as_py() for image in images]
        steps = torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8)
        steps = steps.view(*low.shape[:2], -1, low.shape[2])
        return Features(from_bytes(steps, low, step), thumbnails, valid.bool())

    def _tensors(self, images: list[int], view: int, names: list[str]) -> tuple[Tensor, ...]:
        rows = [self.row(image, names, view=view) for image in images]
        return tuple(
            torch.from_numpy(np.stack([row[name].to_numpy_ndarray()[0] for row in rows]))  # pyright: ignore[reportAttributeAccessIssue]
            for name in names
        )
