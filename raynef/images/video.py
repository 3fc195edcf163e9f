"""Videos: some of their frames in a stream, and pictures made into one.

By PyAV, of the extra ``video``.

A frame is known by its number in the order of time, from 0 on, and found again by its timestamp, so
that any part of a video can be decoded alone, from the key frame before it.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from raynef.core.errors import BadImageError
from raynef.core.extras import has_package
from raynef.images.decode import MOST_PIXELS
from raynef.images.geometry import resize

SUFFIXES = frozenset(
    {".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"}
)
INSTALL = "pip install 'raynef[video]'"
_FORMATS = "asf,avi,matroska,mov,mpeg,mpegts,mpegvideo"
"""That are opened, whatever a file's name: playlists, which FFmpeg knows too, name other files."""
_PAST = 32  # frames after the last one wanted, among which it may still come
_CLOCK = 90_000  # ticks a second of a video that is written
# The first that FFmpeg was built with. Without its option x264 writes other bytes on busy cores.
_CODECS = {"libx264": {"x264-params": "cpu-independent=1"}, "mpeg4": {}}


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        index: its number, from 0 on.
        stamp: by which it is found: its timestamp, or its number where the video has none.
        time_s: when it is shown, from the first frame on.
    """

    index: int
    stamp: int
    time_s: float


@dataclass(frozen=True)
class Film:
    """What a video holds.

    Attributes:
        size: (H, W) of its frames as they are stored.
        frames: those that were asked for, in order.
        stamped: whether frames have timestamps.
    """

    size: tuple[int, int]
    frames: tuple[Frame, ...]
    stamped: bool


def available() -> bool:
    """Whether the extra is installed."""
    return has_package("av")


def look_at(file: BinaryIO, every: int | None) -> Film:
    """What a video holds, without decoding it.

    Args:
        file: that can be sought in.
        every: of so many frames one is taken; None for one a second, the first of each.

    Raises BadImageError: the extra is missing, no video, a damaged one, or too large frames.
    """
    with _opened(file) as (container, stream):
        size = (stream.codec_context.height, stream.codec_context.width)
        if size[0] * size[1] > MOST_PIXELS:
            raise BadImageError(f"too large ({size[1]} x {size[0]} pixels)")
        shown = [packet.pts for packet in container.demux(stream) if packet.size]
        base, rate = stream.time_base, stream.average_rate or 25
    if not shown or not size[0] * size[1]:
        raise BadImageError("a video without frames")
    stamped = None not in shown and base is not None
    stamps = np.unique(np.asarray(shown if stamped else range(len(shown)), np.int64))
    tick = float(base) if stamped and base is not None else 1 / float(rate)
    times = (stamps - stamps[0]) * tick
    wanted = np.arange(0, len(stamps), every) if every else _seconds(times)
    frames = (Frame(int(i), int(stamps[i]), float(times[i])) for i in wanted)
    return Film(size, tuple(frames), stamped)


def _seconds(times: np.ndarray) -> np.ndarray:
    """Indices of the first of each second."""
    return np.unique(np.floor(times + 1e-6), return_index=True)[1]


def decoded(
    file: BinaryIO, frames: Sequence[Frame], *, stamped: bool
) -> Iterator[tuple[Frame, np.ndarray]]:
    """Some frames of a video, in order, as a player shows them: RGB, uint8 [H, W, 3].

    One at a time is held; those that cannot be decoded are left out. ``stamped``: as of the film.
    Raises BadImageError: no video, or the extra is missing.
    """
    wanted = {frame.stamp: frame for frame in frames}
    if not wanted:
        return
    if stamped:
        yield from _found(file, wanted, seek=min(wanted))
    if wanted:  # a file in which seeking leads astray
        yield from _found(file, wanted, stamped=stamped)


def _found(
    file: BinaryIO, wanted: dict[int, Frame], *, seek: int | None = None, stamped: bool = True
) -> Iterator[tuple[Frame, np.ndarray]]:
    """Take what is found out of ``wanted``."""
    last, past = max(wanted), 0
    with _opened(file) as (container, stream):
        stream.thread_type = "AUTO"
        if seek is not None:
            try:
                container.seek(seek, stream=stream, backward=True)
            except OSError:  # what cannot be sought in is read from its start
                return
        for number, picture in enumerate(_pictures(container, stream)):
            stamp = picture.pts if stamped else number
            if stamp is None:
                continue
            past += stamp > last
            if past > _PAST:
                return
            frame = wanted.pop(stamp, None)
            if frame is not None and not picture.is_corrupt:
                yield frame, _upright(picture)
            if not wanted:
                return


def _pictures(container: Any, stream: Any) -> Iterator[Any]:
    """The frames that can be decoded."""
    from av.error import FFmpegError

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            pictures = [] if packet is None else packet.decode()
        except (FFmpegError, OSError, ValueError):  # of this packet: the next may be whole
            continue
        if packet is None:
            return
        yield from pictures


def _upright(picture: Any) -> np.ndarray:
    """Pixels, turned as the video says."""
    pixels = picture.to_ndarray(format="rgb24")
    turns = round(getattr(picture, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns))


@contextlib.contextmanager
def _opened(file: BinaryIO) -> Iterator[tuple[Any, Any]]:
    """A video's container and stream of pictures."""
    if not available():
        raise BadImageError(f"a video needs the extra video: {INSTALL}")
    import av
    from av.error import FFmpegError

    file.seek(0)
    try:
        container = av.open(file, options={"format_whitelist": _FORMATS})
    except (FFmpegError, OSError, ValueError) as error:
        raise BadImageError("not a video, or a damaged one") from error
    with container:
        if not container.streams.video:
            raise BadImageError("a video without pictures")
        try:
            yield container, container.streams.video[0]
        except FFmpegError as error:
            raise BadImageError(f"damaged ({error.strerror or error})") from error


def write_video(path: Path, pictures: Iterable[tuple[float, np.ndarray]]) -> None:
    """Write an MP4 of pictures, uint8 [H, W, 3], each shown from its time in seconds on.

    They are brought to the size of the first, whose sides become even.
    """
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = None
        for time_s, pixels in pictures:
            if stream is None:
                codec = next((name for name in _CODECS if name in av.codecs_available), "mpeg4")
                stream = container.add_stream(codec, rate=25, options=_CODECS[codec])
                stream.height, stream.width = (side + side % 2 for side in pixels.shape[:2])
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, _CLOCK)
            even = resize(pixels, (stream.height, stream.width))
            picture = av.VideoFrame.from_ndarray(even, format="rgb24")
            picture.pts, picture.time_base = round(time_s * _CLOCK), Fraction(1, _CLOCK)
            container.mux(stream.encode(picture))
        if stream is not None:
            container.mux(stream.encode(None))
