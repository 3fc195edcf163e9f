"""Rows of a STORE's shards, one an image: on their way through tasks and actors, and in Parquet."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa

from raynef.images.fitted import Frame
from raynef.jobs.shards import ShardMade, ShardUnit
from raynef.stores.shards import write_rows
from raynef.work.units import Carried

T = TypeVar("T")


def write_values(
    done: Carried[ShardUnit, T], *, columns: Callable[[list[T]], dict[str, pa.Array]]
) -> ShardMade:
    """Task: write what was made of a unit's images as a shard with these columns."""
    unit, kept = done.unit, [index for index in done.unit.images if index in done.values]
    shard = None
    if kept:
        made = columns([done.values[index] for index in kept])
        shard = write_rows(unit.folder, file=unit.file, view=0, images=kept, columns=made)
    return ShardMade(shard, done.skipped, len(unit.images))


def integers(rows: Iterable[Sequence[int]]) -> pa.Array:
    """A column of a few integers each."""
    return pa.array([list(row) for row in rows], pa.list_(pa.int32()))


def raw(arrays: Iterable[np.ndarray]) -> pa.Array:
    """A column of arrays, whose shapes and types are told elsewhere."""
    return pa.array([array.tobytes() for array in arrays], pa.large_binary())


def from_raw(column: pa.Array, dtype: type, shape: Sequence[int]) -> np.ndarray:
    """The array in the first row of such a column."""
    return np.frombuffer(column[0].as_buffer(), dtype=dtype).reshape(shape)


def frames(items: Iterable[Frame]) -> pa.Array:
    """A column of frames, six integers each."""
    return integers([*frame.size, *frame.resized, *frame.cut] for frame in items)


def frame_from(column: pa.Array) -> Frame:
    """The frame in the first row of such a column."""
    numbers = column[0].as_py()
    return Frame(tuple(numbers[0:2]), tuple(numbers[2:4]), tuple(numbers[4:6]))
