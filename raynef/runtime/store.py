"""The feature store: Parquet shards of half-precision tensors, with a manifest that means "done".

    STORE/manifest.json      the key's parts, every shard, the skipped files; present when complete
    STORE/progress.jsonl     a line for each finished shard while it is being made
    STORE/shard-000000.parquet …

A shard holds a few images of one view, one row group an image, so that any image can be read
alone: the composition of a global batch is free. Pages carry checksums, checked on reading.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raynef.core.errors import UserError
from raynef.core.files import read_json, write_atomic, write_json
from raynef.core.recipe import Recipe, fingerprint
from raynef.core.storage import file_sizes
from raynef.features.extract import Features
from raynef.features.weights import weights_identity
from raynef.images.imageset import ImageSet
from raynef.runtime.journal import JOURNAL, MANIFEST, read_journal

_FORMAT = 1


def store_key(recipe: Recipe, images: ImageSet) -> dict[str, Any]:
    """What the features depend on; two stores with equal keys hold equal features."""
    sizes = file_sizes([file.path for file in images.files])
    names_and_sizes = [(file.name, size) for file, size in zip(images.files, sizes, strict=True)]
    data, resized = recipe.data, recipe.backbone.input_size
    return {
        "format": _FORMAT,
        "files": fingerprint(names_and_sizes),
        "num_images": len(images.files),
        "backbone": recipe.backbone.name,
        "weights": weights_identity(recipe.backbone),
        "tap": recipe.backbone.tap,
        "short_side": data.short_side,
        "crop": data.crop,
        "scale": list(data.scale),
        "flip": data.flip,
        "photometric": data.photometric,
        "num_views": data.num_views,
        "seed": data.view_seed,
        **({"input_size": resized} if resized else {}),
    }


@dataclass(frozen=True)
class Shard:
    """One finished file of a store.

    Attributes:
        file: its name within the store.
        view: of all its rows.
        images: index in the data set of each row, in order.
        num_bytes, sha256: of the file.
    """

    file: str
    view: int
    images: tuple[int, ...]
    num_bytes: int
    sha256: str


def write_shard(
    folder: Path, *, file: str, view: int, images: list[int], features: Features
) -> Shard:
    """Write one shard atomically; every tensor in half precision."""
    columns = {
        "taps": _tensor_column(features.taps.half().cpu().numpy()),
        "thumbnail": _tensor_column(features.thumbnails.half().cpu().numpy()),
        "valid": _tensor_column(features.valid.to(torch.uint8).cpu().numpy()),
    }
    return write_rows(folder, file=file, view=view, images=images, columns=columns)


def write_rows(
    folder: Path, *, file: str, view: int, images: list[int], columns: dict[str, pa.Array]
) -> Shard:
    """Write one shard atomically: a row group an image, in the order of ``images``."""
    columns = {"image": pa.array(images, pa.int64()), **columns}
    path = folder / file

    def write(temporary: Path) -> None:
        pq.write_table(
            pa.table(columns),
            temporary,
            row_group_size=1,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())

    write_atomic(path, write)
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return Shard(file, view, tuple(images), path.stat().st_size, digest)


def _tensor_column(values: np.ndarray) -> pa.Array:
    """[rows, …] as a column of fixed-shape tensors."""
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))


class StoreProgress:
    """The journal of a store that is being made: what is finished survives a kill."""

    def __init__(self, folder: Path, key: dict[str, Any]) -> None:
        self.folder, self.key = folder, key
        self.shards: dict[str, Shard] = {}
        self.skipped: dict[str, str] = {}
        self._open()

    def add(self, shard: Shard | None, skipped: dict[str, str]) -> None:
        """Note a finished shard (None where not one of its images could be read)."""
        line = json.dumps({"shard": vars(shard) if shard else None, "skipped": skipped})
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(line + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self._note(shard, skipped)

    def complete(self) -> None:
        """Write the manifest: from now on the store is whole."""
        write_json(
            self.folder / MANIFEST,
            {
                "key": self.key,
                "shards": [vars(self.shards[file]) for file in sorted(self.shards)],
                "skipped": self.skipped,
            },
        )
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def _note(self, shard: Shard | None, skipped: dict[str, str]) -> None:
        if shard is not None:
            self.shards[shard.file] = shard
        self.skipped.update(skipped)

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = self.folder / JOURNAL
        entries = read_journal(self.folder)
        if not entries or "key" not in entries[0]:
            with journal.open("w", encoding="utf-8") as handle:
                handle.write(json.dumps({"key": self.key}) + "\n")
            return
        require_same_key(self.folder, entries[0]["key"], self.key)
        with journal.open("a", encoding="utf-8") as handle:
            handle.write("\n")  # so that a cut line does not swallow the next
        for entry in entries[1:]:
            shard = _shard(entry["shard"]) if entry["shard"] else None
            if shard is None or _is_whole(self.folder, shard):
                self._note(shard, entry["skipped"])


def require_same_key(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise UserError that names what differs, unless a store holds what is wanted."""
    differing = [
        f"{name} {found.get(name)!r} (wanted {wanted.get(name)!r})"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if differing:
        raise UserError(
            f"{folder} holds features of another recipe: {'; '.join(differing)}. Give another "
            "folder, or delete this one"
        )


def _shard(values: dict[str, Any]) -> Shard:
    return Shard(**{**values, "images": tuple(values["images"])})


def _is_whole(folder: Path, shard: Shard) -> bool:
    path = folder / shard.file
    return path.is_file() and path.stat().st_size == shard.num_bytes


class ShardStore:
    """A finished folder of shards, read image by image."""

    def __init__(self, folder: str | Path, *, made_by: str = "raynef extract") -> None:
        """Open a store. Raises UserError where it is missing, unfinished or lacks a shard."""
        self.folder, self.made_by = Path(folder), made_by
        manifest = self.folder / MANIFEST
        if not manifest.is_file():
            raise UserError(f"{folder} is no finished feature store (it has no {MANIFEST})")
        values = read_json(manifest)
        self.key: dict[str, Any] = values["key"]
        self.skipped: dict[str, str] = values["skipped"]
        shards = [_shard(entry) for entry in values["shards"]]
        for shard in shards:
            if not _is_whole(self.folder, shard):
                raise UserError(
                    f"{self.folder / shard.file} is missing or has another size than the manifest "
                    f"says; delete {manifest} and run {made_by} again"
                )
        self._row = {
            (image, shard.view): (shard.file, row)
            for shard in shards
            for row, image in enumerate(shard.images)
        }
        self._open = lru_cache(maxsize=64)(self._open_shard)

    def images(self) -> list[int]:
        """Indices of the images that could be read, ascending."""
        return sorted({image for image, _ in self._row})

    def row(self, image: int, columns: list[str], *, view: int = 0) -> dict[str, pa.Array]:
        """Columns of one image, one value each. Raises UserError naming a damaged file."""
        file, row = self._row[image, view]
        try:
            table = self._open(file).read_row_group(row, columns=columns)
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(
                f"{self.folder / file} is damaged ({error}); delete it and {MANIFEST}, and run "
                f"{self.made_by} again"
            ) from error
        return {name: table[name].combine_chunks() for name in columns}

    def _open_shard(self, file: str) -> pq.ParquetFile:
        return pq.ParquetFile(self.folder / file, page_checksum_verification=True)


class FeatureStore(ShardStore):
    """A finished store of training views."""

    @property
    def num_views(self) -> int:
        """Augmented views of each image."""
        return self.key["num_views"]

    def read(self, images: list[int], *, view: int) -> Features:
        """Features of some images in one view. Raises UserError naming a damaged file."""
        rows = [self._read_one(image, view) for image in images]
        return Features(*(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)))

    def _read_one(self, image: int, view: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        columns = self.row(image, ["taps", "thumbnail", "valid"], view=view)
        taps, thumbnail, valid = (
            tensor.to_numpy_ndarray()[0]  # pyright: ignore[reportAttributeAccessIssue]
            for tensor in columns.values()
        )
        return taps, thumbnail, valid.astype(bool)
