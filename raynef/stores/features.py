"""The feature store: Parquet shards of half-precision tensors, with a manifest that means "done".

    STORE/manifest.json      the key's parts, every shard, the skipped files; present when complete
    STORE/progress.jsonl     a line for each finished shard while it is being made; afterwards it is
    STORE/shards.jsonl       which tells the same as the manifest, should that be damaged
    STORE/verified.json      shards whose checksums were found right: see ``verify``
    STORE/shard-000000.parquet …

A shard holds a few images of one view, one row group an image, so that any image can be read
alone: the composition of a global batch is free. Pages carry checksums, checked on reading.
"""

import contextlib
import json
import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raynef.config.fields import in_key
from raynef.config.recipe import Recipe, fingerprint
from raynef.core.errors import UserError
from raynef.features.extract import Features
from raynef.features.weights import weights_identity
from raynef.images.augment import HUE_CIRCLE, HUE_STEPS
from raynef.images.datasets.imageset import ImageSet
from raynef.io.files import append_line, read_json, write_atomic, write_json, write_text
from raynef.io.storage import file_sizes
from raynef.stores.journal import JOURNAL, MANIFEST, read_journal
from raynef.stores.keys import require_same_key
from raynef.stores.verify import Shard, digest_of, find_faults, forget, remember

logger = logging.getLogger("raynef")

_FORMAT = 1
_LEFT = "shards.jsonl"  # the journal, once the store is finished
_MADE_BY = "the same command (or raynef extract, for a store that runs share)"


def store_key(recipe: Recipe, images: ImageSet) -> dict[str, Any]:
    """What the features depend on; two stores with equal keys hold equal features."""
    sizes = file_sizes([file.path for file in images.files])
    names_and_sizes = [(file.name, size) for file, size in zip(images.files, sizes, strict=True)]
    return {
        "format": _FORMAT,
        "files": fingerprint(names_and_sizes),
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
    return Shard(file, view, tuple(images), path.stat().st_size, digest_of(path))


def _tensor_column(values: np.ndarray) -> pa.Array:
    """[rows, …] as a column of fixed-shape tensors."""
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))


class StoreProgress:
    """The journal of a store that is being made: what is finished survives a kill.

    What it says of a shard counts if the file still has the checksum that it was written with.
    """

    def __init__(self, folder: Path, key: dict[str, Any]) -> None:
        self.folder, self.key = folder, key
        self.shards: dict[str, Shard] = {}
        self.skipped: dict[str, str] = {}
        self._went_on = False
        self._damaged: set[str] = set()
        self._open()

    def add(self, shard: Shard | None, skipped: dict[str, str]) -> None:
        """Note a finished shard (None where not one of its images could be read)."""
        append_line(self.folder / JOURNAL, _entry(shard, skipped))
        self._note(shard, skipped)

    def adopt(self, file: str, *, view: int, images: list[int]) -> bool:
        """Note a shard that lies here unnoted: its driver was killed before it heard of it.

        A shard takes its name when it is whole, and the journal says whose folder this is. One that
        lacks an image is recomputed, for why it lacks it is not known.
        """
        path = self.folder / file
        if not self._went_on or file in self._damaged or not path.is_file():
            return False
        try:
            table = pq.ParquetFile(path, page_checksum_verification=True).read()
            found = table["image"].to_pylist()
        except (OSError, KeyError, ValueError, pa.ArrowException):
            return False
        if found != images:
            return False
        self.add(Shard(file, view, tuple(images), path.stat().st_size, digest_of(path)), {})
        return True

    def complete(self) -> None:
        """Write the manifest: from now on the store is whole. The journal stays beside it."""
        shards = [self.shards[file] for file in sorted(self.shards)]
        write_json(
            self.folder / MANIFEST,
            {
                "key": self.key,
                "shards": [vars(shard) for shard in shards],
                "skipped": self.skipped,
            },
        )
        os.replace(self.folder / JOURNAL, self.folder / _LEFT)
        remember(self.folder, shards)

    def _note(self, shard: Shard | None, skipped: dict[str, str]) -> None:
        if shard is not None:
            self.shards[shard.file] = shard
        self.skipped.update(skipped)

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(".*.tmp"):  # by a kill; whoever writes here holds the lock
            left.unlink(missing_ok=True)
        journal = self.folder / JOURNAL
        if not journal.is_file() and (self.folder / _LEFT).is_file():
            os.replace(self.folder / _LEFT, journal)
        found = _read_journal(journal)
        if found is None:
            write_text(journal, json.dumps({"key": self.key}) + "\n")
            return
        key, entries = found
        require_same_key(self.folder, key, self.key)
        self._went_on = True
        append_line(journal, "")  # so that a cut line does not swallow the next
        for shard, skipped in entries:
            self._note(shard, skipped)
        for file, fault in find_faults(self.folder, self.shards.values()).items():
            logger.warning("%s %s; it is recomputed", self.folder / file, fault)
            del self.shards[file]
            self._damaged.add(file)


def _entry(shard: Shard | None, skipped: dict[str, str]) -> str:
    return json.dumps({"shard": vars(shard) if shard else None, "skipped": skipped})


def _read_journal(
    journal: Path,
) -> tuple[dict[str, Any], list[tuple[Shard | None, dict[str, str]]]] | None:
    """The key and the entries of a journal; None where there is none, or its key is lost.

    A line that a kill or a full disk cut short does not count: its shard is recomputed.
    """
    lines = read_journal(journal)
    if not lines or not isinstance(lines[0], dict) or not isinstance(lines[0].get("key"), dict):
        return None
    entries = []
    for line in lines[1:]:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            shard = None if line["shard"] is None else _shard(line["shard"])
            entries.append((shard, _reasons(line["skipped"])))
    return lines[0]["key"], entries


def begun_key(folder: Path) -> dict[str, Any] | None:
    """The key of a store that is finished or begun; None where there is none that can be read."""
    with contextlib.suppress(UserError):
        return read_manifest(folder).key
    for name in (JOURNAL, _LEFT):
        found = _read_journal(folder / name)
        if found is not None:
            return found[0]
    return None


def reopen(folder: Path, key: dict[str, Any]) -> None:
    """Make a journal of a finished store, where a manifest or a shard is damaged; holds the lock.

    The manifest goes; what is sound is not recomputed. Where the manifest itself is damaged, the
    journal that was left beside it tells the same.

    Raises:
        UserError: neither can be read, or the folder holds another key.
    """
    manifest = folder / MANIFEST
    try:
        found = read_manifest(folder)
    except UserError as error:
        left = folder / (_LEFT if (folder / _LEFT).is_file() else JOURNAL)
        journal = _read_journal(left)
        if journal is None:
            raise UserError(
                f"{error}, and there is no {_LEFT} to make it from; delete {folder} "
                "and run the same command again"
            ) from error
        require_same_key(folder, journal[0], key)
        logger.warning("%s; it is recomputed from %s", error, left.name)
        os.replace(left, folder / JOURNAL)
    else:
        require_same_key(folder, found.key, key)
        lines = [json.dumps({"key": found.key}), _entry(None, found.skipped)]
        lines += [_entry(shard, {}) for shard in found.shards]
        write_text(folder / JOURNAL, "\n".join(lines) + "\n")
    manifest.unlink(missing_ok=True)


@dataclass(frozen=True)
class Manifest:
    """What a finished store says of itself: see the module."""

    key: dict[str, Any]
    shards: tuple[Shard, ...]
    skipped: dict[str, str]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished store. Raises UserError where there is none or it is damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder} is no finished feature store (it has no {MANIFEST})")
    try:
        values = read_json(path)
        if not isinstance(values["key"], dict):
            raise TypeError(f"key {values['key']!r}")
        shards = tuple(_shard(entry) for entry in values["shards"])
        return Manifest(values["key"], shards, _reasons(values["skipped"]))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged") from error


def _shard(values: dict[str, Any]) -> Shard:
    """A shard as it was noted. Raises ValueError, KeyError or TypeError: damaged, or no name."""
    file, view, images = values["file"], values["view"], values["images"]
    if not re.fullmatch(r"[\w-]+\.parquet", file):
        raise ValueError(f"{file!r} is no shard of a store")
    if not all(type(number) is int for number in (view, values["num_bytes"], *images)):
        raise TypeError(f"numbers of {file}")
    return Shard(file, view, tuple(images), values["num_bytes"], str(values["sha256"]))


def _reasons(values: dict[str, str]) -> dict[str, str]:
    return {str(name): str(reason) for name, reason in values.items()}


class ShardStore:
    """A finished folder of shards, read image by image."""

    def __init__(self, folder: str | Path, *, made_by: str = _MADE_BY) -> None:
        """Open a store. Raises UserError where it is missing, unfinished or lacks a shard.

        Sizes are checked here, checksums by ``ensure_shards`` and, page by page, on reading.

        Args:
            folder: of the store.
            made_by: the command that remakes what is damaged, for errors.
        """
        self.folder, self.made_by = Path(folder), made_by
        manifest = read_manifest(self.folder)
        self.key, self.skipped, shards = manifest.key, manifest.skipped, manifest.shards
        for shard in shards:
            path = self.folder / shard.file
            if not path.is_file() or path.stat().st_size != shard.num_bytes:
                raise UserError(
                    f"{path} is missing or has another size than the manifest says; {self._remade}"
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
            return {name: table[name].combine_chunks() for name in columns}
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            forget(self.folder)
            raise UserError(f"{self.folder / file} is damaged ({error}); {self._remade}") from error

    @property
    def _remade(self) -> str:
        return f"run {self.made_by} again, which finds this file by its checksum and makes it anew"

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
