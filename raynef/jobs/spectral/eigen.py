"""``raynef spectral eigen``: images to features to affinities to eigenpairs, once for each image.

STORE/spectral.json     the recipe and the split
STORE/features/         as ``raynef.jobs.spectral.features`` writes them
STORE/eigen/            manifest and shards: one row an image

Features and eigenpairs may lie elsewhere, shared with other stores; spectral.json says where.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from raynef.cluster.place import in_this_process
from raynef.cluster.session import FEATURES, feature_actors, gpus_for, ray_session
from raynef.cluster.stream import stream
from raynef.config.fields import in_key, settings
from raynef.config.recipe import NEVER_SHAPES, Recipe, Spectral, check, from_dict, to_dict
from raynef.core.errors import UserError
from raynef.features.blocks import load_block_features
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.registry import open_split
from raynef.io.files import read_json, write_json
from raynef.io.holds import holds
from raynef.io.log import logged
from raynef.jobs.shards import ShardMade, ShardUnit, ShardWork, ensure_shards
from raynef.jobs.spectral import RECORD
from raynef.jobs.spectral.features import WholeFeatures, ensure_features, image_units
from raynef.jobs.spectral.rows import frame_from, from_raw, write_values
from raynef.jobs.spectral.solve import (
    EigenActor,
    ImagePairs,
    pair_columns,
    read_unit,
    solve_unit,
)
from raynef.stores.run import differing_fields
from raynef.stores.shards import ShardStore

_FORMAT = 1
LATER = tuple(
    s.name for s in settings(Spectral) if not s.in_keys().keys() & {"images", "eigenpairs"}
)
"""Fields of ``spectral`` that no eigenpair depends on."""
_RESIDUAL = 1e-4  # above it, an image's pairs have not converged


@holds(made=("out",))
def eigen(
    recipe: Recipe,
    out: str | Path,
    *,
    features: str | Path | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Make the eigenpairs of every image of ``data.train_split``; the same call resumes.

    Args:
        recipe: its data, backbone and spectral sections count.
        out: STORE.
        features: folder of a store of features to share; by default STORE/features.
        address: of a Ray cluster.

    Raises:
        UserError: a mistake in the recipe, another recipe's store, or too many bad files.
    """
    started = time.monotonic()
    check(recipe)
    out = Path(out).absolute()
    images = open_split(recipe.data, recipe.data.train_split)
    stride = load_block_features(recipe.backbone, recipe.spectral).stride
    where = Path(features).absolute() if features else out / "features"
    claim(recipe, out, features=where, pairs=out / "eigen")
    with logged(out), ray_session(address, images=len(images.files), on_gpu=True):
        store = ensure_features(recipe, images, where, stride=stride)
        found = ensure_eigenpairs(recipe, images, store, out / "eigen")
    first = found.read(found.images()[0])
    return {
        "store": str(out),
        "num_images": len(found.images()),
        "num_eigenvectors": first.vectors.shape[-1] - 1,
        "not_converged": found.not_converged(),
        "skipped": {**store.skipped, **found.skipped},
        "seconds": round(time.monotonic() - started, 2),
    }


def claim(recipe: Recipe, out: Path, *, features: Path, pairs: Path) -> None:
    """Bind the folder to the recipe, and note where its features and eigenpairs lie.

    Fields that no eigenpair depends on may change: what is made of the pairs takes the new ones.

    Raises UserError where it holds another recipe's.
    """
    record = {"recipe": to_dict(recipe), "features": str(features), "eigen": str(pairs)}
    if (out / RECORD).is_file():
        free = NEVER_SHAPES | {"data.label_orientation", *(f"spectral.{name}" for name in LATER)}
        differing = [
            phrase
            for phrase in differing_fields(recipe_of(out), recipe, besides=free)
            if phrase.startswith(("data.", "backbone.", "spectral."))
        ]
        if differing:
            raise UserError(
                f"{out} holds eigenpairs of another recipe: {'; '.join(differing)}. Give another "
                "--out, or delete this one"
            )
        there = read_json(out / RECORD)
        if there["recipe"] == record["recipe"]:
            return
        record = {**there, "recipe": record["recipe"]}
    write_json(out / RECORD, record)


def ensure_eigenpairs(
    recipe: Recipe, images: ImageSet, features: WholeFeatures, folder: Path
) -> "EigenStore":
    """The eigenpairs of the images that have features: found, or made, or finished."""
    spectral = recipe.spectral
    key = eigen_key(features.key, spectral)

    def run(units: list[ShardUnit]) -> Iterator[ShardMade]:
        given = {"features": str(features.folder), "spectral": spectral, "stride": key["stride"]}
        if in_this_process() or not gpus_for(FEATURES):
            return stream(units, prepare=partial(solve_unit, **given))
        return stream(
            units,
            prepare=partial(read_unit, **given),
            actor=EigenActor,
            actor_kwargs={"spectral": spectral},
            actors=feature_actors(),
            finish=partial(write_values, columns=pair_columns),
        )

    units = image_units(images, folder, set(features.images()))
    ensure_shards(folder, key, ShardWork("eigenpairs", recipe.data, images, units, run))
    return EigenStore(folder)


def eigen_key(features: dict[str, Any], spectral: Spectral) -> dict[str, Any]:
    """What eigenpairs depend on: the key of their features, and what is made of these."""
    return {**features, "eigen_format": _FORMAT, **in_key(spectral, "eigenpairs")}


class EigenStore(ShardStore):
    """A finished store of eigenpairs."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, made_by="raynef spectral eigen")

    def read(self, image: int) -> ImagePairs:
        """The pairs of one image. Raises UserError naming a damaged file."""
        columns = self.row(image, ["frame", "shape", "values", "residuals", "vectors"])
        return ImagePairs(
            values=np.asarray(columns["values"][0].as_py()),
            vectors=from_raw(columns["vectors"], np.float32, columns["shape"][0].as_py()),
            residuals=np.asarray(columns["residuals"][0].as_py()),
            frame=frame_from(columns["frame"]),
        )

    def not_converged(self) -> int:
        """Images with a residual above 1e-4."""
        return sum(
            max(self.row(index, ["residuals"])["residuals"][0].as_py(), default=0) > _RESIDUAL
            for index in self.images()
        )


@dataclass(frozen=True)
class Solved:
    """A finished STORE, opened.

    Attributes:
        folder: STORE.
        recipe: that made it.
        images: of its split.
        pairs: their eigenpairs.
        stride: to which images were cut.
        features: folder of the features.
    """

    folder: Path
    recipe: Recipe
    images: ImageSet
    pairs: EigenStore
    stride: int
    features: Path


def recipe_of(folder: str | Path) -> Recipe:
    """The recipe of a STORE. Raises UserError where there is none."""
    path = Path(folder) / RECORD
    if not path.is_file():
        raise UserError(
            f"{folder} holds no eigenpairs (it has no {RECORD}); make them with raynef spectral "
            "eigen"
        )
    return from_dict(read_json(path)["recipe"], source=os.fspath(path))


def open_solved(folder: str | Path, *, root: str | None = None) -> Solved:
    """A finished STORE of ``raynef spectral eigen``; ``root`` is of the data set, where it moved.

    Raises UserError where there is none, or the data set has other files than it had.
    """
    folder = Path(folder).absolute()
    recipe = recipe_of(folder)
    if root is not None:
        recipe = replace(recipe, data=replace(recipe.data, root=root))
    record = read_json(folder / RECORD)
    pairs = EigenStore(_within(folder, "eigen", record))
    images = open_split(recipe.data, recipe.data.train_split)
    if len(images.files) != pairs.key["num_images"]:
        raise UserError(
            f"{images.root} has {len(images.files)} images in {recipe.data.train_split}, but "
            f"{folder} was made of {pairs.key['num_images']}"
        )
    features = _within(folder, "features", record)
    return Solved(folder, recipe, images, pairs, pairs.key["stride"], features)


def _within(folder: Path, name: str, record: dict[str, Any]) -> Path:
    """A part of a STORE, which moves with it unless it is shared with other stores."""
    inside = folder / name
    return inside if inside.is_dir() else Path(record.get(name, inside))
