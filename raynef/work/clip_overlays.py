"""Overlays of a video's frames, made into a video again when all of them are there."""

import logging
import tempfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from raynef.core.errors import BadImageError
from raynef.images.decode import decode_image
from raynef.images.video import Frame, write_video
from raynef.io.fetch import digest
from raynef.io.sink import remove, write_bytes, write_made
from raynef.io.storage import join, read_bytes
from raynef.stores.predicted import Record
from raynef.stores.predictions import Predictions
from raynef.work.clips import Clip

logger = logging.getLogger("raynef")


def stale_overlays(predictions: Predictions, clips: Sequence[Clip], done: set[str]) -> list[Clip]:
    """The videos whose overlay is to be made, as frames of it are not done or not the same.

    An overlay of other frames is removed, so that a kill leaves none that is not what it seems.
    """
    there = predictions.done([clip.file for clip in clips], [clip.folder for clip in clips])
    stale: list[Clip] = []
    for clip in clips:
        record = predictions.records.get(clip.file.name)
        entry = None if record is None else record.entries.get("frames")
        whole = all(clip.image(frame).name in done for frame in clip.film.frames)
        if not whole or clip.file.name not in there or entry != _indices(clip):
            remove(join(predictions.location, clip.overlay))
            stale.append(clip)
    return stale


def write_overlays(
    predictions: Predictions, clips: Sequence[Clip], skipped: Container[str]
) -> None:
    """Make the videos of the overlays of frames, which keep the times of their frames."""
    for clip, part in zip(clips, predictions.next_parts(len(clips)), strict=True):
        known = [f for f in clip.film.frames if clip.image(f).name not in skipped]
        if not known:
            continue
        logger.info("predict: %s of %d frames", clip.overlay, len(known))
        place = join(predictions.location, clip.overlay)
        with tempfile.TemporaryDirectory(prefix="raynef-") as scratch:
            write_made(
                place,
                lambda path, of=clip, frames=known: write_video(
                    path, _pictures(predictions, of, frames)
                ),
                Path(scratch),
            )
        record = Record(
            settings=predictions.key,
            name=clip.file.name,
            output=clip.folder,
            content=clip.content,
            width=clip.film.size[1],
            height=clip.film.size[0],
            files={clip.overlay: digest(place)},
            entries={"frames": _indices(clip)},
        )
        write_bytes(part, record.line().encode())
    predictions.read_parts()


def _indices(clip: Clip) -> list[int]:
    return [frame.index for frame in clip.film.frames]


def _pictures(
    predictions: Predictions, clip: Clip, frames: Sequence[Frame]
) -> Iterator[tuple[float, np.ndarray]]:
    for frame in frames:
        name = PurePosixPath(clip.output(frame)).with_suffix(".jpg").as_posix()
        try:
            encoded = read_bytes(join(predictions.location, "overlays", name))
            yield frame.time_s, decode_image(encoded)
        except (OSError, BadImageError) as error:
            raise RuntimeError(f"overlays/{name} is lost; rerun the same command") from error
