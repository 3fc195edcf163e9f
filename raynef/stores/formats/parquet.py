"""``shares.parquet``: how much of each image each category covers, a row each."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raynef.stores.formats.base import Categories, Collected, Entry, Format, Labeled

_SCHEMA = pa.schema(
    [
        ("image", pa.string()),  # its name, relative to the folder of images
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("id", pa.int32()),  # of the category, as in legend.json; -1: pixels without a class
        ("name", pa.string()),
        ("pixels", pa.int64()),
        ("share", pa.float64()),  # of the image
    ]
)
_ROWS = 1 << 16  # of a row group


def _entry(found: Labeled, _: Categories) -> list[list[int]]:
    numbers, counts = np.unique(found.categories, return_counts=True)
    return np.stack([numbers, counts], axis=1).tolist()


def _rows(entry: Entry, names: tuple[str, ...]) -> list[tuple[str | int | float | None, ...]]:
    size = (entry.width, entry.height)
    name = entry.name.encode(errors="backslashreplace").decode()
    return [
        (name, *size, number, names[number] if number >= 0 else None, count,
         count / (entry.width * entry.height))
        for number, count in entry.own
    ]  # fmt: skip


def _write(found: Collected, path: Path) -> None:
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        rows: list[tuple[str | int | float | None, ...]] = []

        def flush() -> None:
            columns = [list(column) for column in zip(*rows, strict=True)]
            writer.write_table(pa.table(columns, schema=_SCHEMA))
            rows.clear()

        for entry in found.entries():
            rows += _rows(entry, found.categories.names)
            if len(rows) >= _ROWS:
                flush()
        if rows:
            flush()


FORMAT = Format(entry=_entry, documents={"shares.parquet": _write})
