"""Shards: Parquet files of a few images each, with a manifest that means "done".

STORE/manifest.json      the key's parts, every shard, the skipped files; present when complete
STORE/shard-000000.parquet …

A shard holds a few images of one view, one row group an image, so that any image can be read
alone: the composition of a global batch is free. Pages carry checksums, checked on reading.
"""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raynef.core.errors import UserError
from raynef.io.files import read_json, write_atomic, write_json
from raynef.stores.journal import MANIFEST
from raynef.stores.verify import Shard, digest_of, forget

MADE_BY = "the same command (or raynef extract, for a store that runs share)"
NOT_WRITTEN = (ValueError, KeyError, TypeError, AttributeError)
"""What parsing raises of values that are not those that were written."""
_UNREADABLE = (OSError, KeyError, ValueError, pa.ArrowException)


def write_rows(
    folder: Path, *, file: str, view: int, images: list[int], columns: dict[str, pa.Array]
) -> Shard:
    """Write one shard atomically: a row group an image, in the order of ``images``."""
    table, path = pa.table({"image": pa.array(images, pa.int64()), **columns}), folder / file

    def write(temporary: Path) -> None:
        pq.write_table(
            table,
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
    return shard_in(path, view, images)


def shard_in(path: Path, view: int, images: list[int]) -> Shard:
    """The record of a shard that lies in a file."""
    return Shard(path.name, view, tuple(images), path.stat().st_size, digest_of(path))


def images_in(path: Path) -> list[int] | None:
    """The images of a shard, all of whose pages are read; None where one is damaged."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read()["image"].to_pylist()
    except _UNREADABLE:
        return None


@dataclass(frozen=True)
class Manifest:
    """What a finished store says of itself."""

    key: dict[str, Any]
    shards: tuple[Shard, ...]
    skipped: dict[str, str]

    def write(self, folder: Path) -> None:
        shards = [vars(shard) for shard in self.shards]
        write_json(folder / MANIFEST, {"key": self.key, "shards": shards, "skipped": self.skipped})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished store. Raises UserError where there is none or it is damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder} is no finished feature store (it has no {MANIFEST})")
    try:
        values = read_json(path)
        if not isinstance(values["key"], dict):
            raise TypeError(f"key {values['key']!r}")
        shards = tuple(parse_shard(entry) for entry in values["shards"])
        return Manifest(values["key"], shards, parse_reasons(values["skipped"]))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except NOT_WRITTEN as error:
        raise UserError(f"{path} is damaged") from error


def parse_shard(values: dict[str, Any]) -> Shard:
    """A shard as it was noted. Raises one of ``NOT_WRITTEN``."""
    file, view, images = values["file"], values["view"], values["images"]
    if not re.fullmatch(r"[\w-]+\.parquet", file):
        raise ValueError(f"{file!r} is no shard of a store")
    if not all(type(number) is int for number in (view, values["num_bytes"], *images)):
        raise TypeError(f"numbers of {file}")
    return Shard(file, view, tuple(images), values["num_bytes"], str(values["sha256"]))


def parse_reasons(values: dict[str, str]) -> dict[str, str]:
    """Skipped files as they were noted. Raises one of ``NOT_WRITTEN``."""
    return {str(name): str(reason) for name, reason in values.items()}


class ShardStore:
    """A finished folder of shards, read image by image."""

    def __init__(self, folder: str | Path, *, made_by: str = MADE_BY) -> None:
        """Open a store. Raises UserError where it is missing, unfinished or lacks a shard.

        Sizes are checked here, checksums by ``ensure_shards`` and, page by page, on reading;
        ``made_by`` is the command that remakes what is damaged.
        """
        self.folder, self.made_by = Path(folder), made_by
        manifest = read_manifest(self.folder)
        self.key, self.skipped = manifest.key, manifest.skipped
        self._row: dict[tuple[int, int], tuple[str, int]] = {}
        for shard in manifest.shards:
            path = self.folder / shard.file
            if not path.is_file() or path.stat().st_size != shard.num_bytes:
                raise UserError(
                    f"{path} is missing or has another size than the manifest says; {self._remade}"
                )
            for row, image in enumerate(shard.images):
                self._row[image, shard.view] = (shard.file, row)
        self._open = lru_cache(maxsize=64)(self._open_shard)

    def images(self) -> list[int]:
        """Indices of the images that could be read, ascending."""
        return sorted({image for image, _ in self._row})

    def row(self, image: int, columns: list[str], *, view: int = 0) -> dict[str, pa.Array]:
        """Columns of one image, one value each. Raises UserError naming a damaged file."""
        file, row = self._row[image, view]
        try:
            table = self._open(file).read_row_group(row, columns=columns)
            return {name: table[name].combine_chunks() for name in columns}
        except _UNREADABLE as error:
            forget(self.folder)
            raise UserError(f"{self.folder / file} is damaged ({error}); {self._remade}") from error

    @property
    def _remade(self) -> str:
        return f"run {self.made_by} again, which finds this file by its checksum and makes it anew"

    def _open_shard(self, file: str) -> pq.ParquetFile:
        return pq.ParquetFile(self.folder / file, page_checksum_verification=True)
