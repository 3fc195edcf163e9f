"""Videos as images: frames that are segmented each by itself, by one segmenter."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.imageset import ImageFile
from raynef.images.video import INSTALL, Film, Frame, available, decoded, look_at
from raynef.io.fetch import digest, opened
from raynef.work.reading import Photo, PredictUnit, read_photos
from raynef.work.sources import Sources
from raynef.work.units import Carried, chunks

_THREADS = 4  # that look at videos, and read them once
_MOST_BYTES = 96 << 20  # of pixels of a unit, which are held at once


@dataclass(frozen=True)
class Clip:
    """One video.

    Attributes:
        file: where it lies; its name stands before those of its frames.
        folder: of the results of its frames, within those of the formats.
        content: hash of its file.
        film: what it holds.
    """

    file: ImageFile
    folder: str
    content: str
    film: Film

    @property
    def overlay(self) -> str:
        """Where its frames with their segments in color become a video."""
        return f"overlays/{self.folder}.mp4"

    def image(self, frame: Frame) -> ImageFile:
        """A frame as an image, ``clip.mp4/000030``; its path is the video's."""
        return ImageFile(f"{self.file.name}/{frame.index:06d}", self.file.path)

    def output(self, frame: Frame) -> str:
        """The name of a frame's own results, ``clip/000030.png``."""
        return f"{self.folder}/{frame.index:06d}.png"


@dataclass(frozen=True)
class FrameUnit(PredictUnit):
    """A few frames of one video.

    Attributes:
        content: hash of the video.
        frames: as many as ``files``.
        stamped: whether frames have timestamps.
    """

    content: str = ""
    frames: tuple[Frame, ...] = ()
    stamped: bool = True


@dataclass(frozen=True)
class Clips:
    """The videos that can be read, and {name: reason} of the others."""

    clips: tuple[Clip, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)


def open_clips(sources: Sources, every: int | None) -> Clips:
    """Look at all videos. ``every``: of so many frames one is taken; None for one a second."""
    if not available():
        reason = f"a video needs the extra video: {INSTALL}"
        return Clips((), {file.name: reason for file in sources.videos})
    folders = _folders(sources)

    def look(file: ImageFile) -> Clip | str:
        try:
            with opened(file.path) as stream:
                film = look_at(stream, every)
            return Clip(file, folders[file.name], digest(file.path), film)
        except BadImageError as error:
            return str(error)
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"

    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(zip(sources.videos, pool.map(look, sources.videos), strict=True))
    return Clips(
        tuple(clip for _, clip in found if isinstance(clip, Clip)),
        {file.name: reason for file, reason in found if isinstance(reason, str)},
    )


def _folders(sources: Sources) -> dict[str, str]:
    """``a/clip.mp4`` becomes ``a/clip``, or stays where something else is called so."""
    stems = {
        file.name: PurePosixPath(file.name).with_suffix("").as_posix() for file in sources.videos
    }
    times = Counter(stems.values())
    above = {str(one) for image in sources.images for one in PurePosixPath(image.name).parents}
    return {
        name: name if times[stem] > 1 or above & {stem, f"{stem}.mp4"} else stem
        for name, stem in stems.items()
    }


def frame_units(clips: Sequence[Clip], done: set[str], *, most: int) -> list[FrameUnit]:
    """Units of ``most`` neighboring frames, or fewer where they are large, but for those that are
    done. ``part`` is not given yet."""
    units: list[FrameUnit] = []
    for clip in clips:
        height, width = clip.film.size
        step = max(1, min(most, _MOST_BYTES // (3 * height * width)))
        left = [frame for frame in clip.film.frames if clip.image(frame).name not in done]
        for frames in chunks(left, step):
            units.append(
                FrameUnit(
                    range(len(frames)),
                    tuple(clip.image(frame) for frame in frames),
                    outputs=tuple(clip.output(frame) for frame in frames),
                    content=clip.content,
                    frames=tuple(frames),
                    stamped=clip.film.stamped,
                )
            )
    return units


def read_unit(unit: PredictUnit) -> Carried[PredictUnit, Photo]:
    """Task: decode the images of a unit, or frames of a video; a bad one becomes a named reason."""
    return read_frames(unit) if isinstance(unit, FrameUnit) else read_photos(unit)


def read_frames(unit: FrameUnit) -> Carried[PredictUnit, Photo]:
    """Task: decode frames of a video, as they come in its stream."""
    positions = {frame.index: position for position, frame in enumerate(unit.frames)}
    photos: dict[int, Photo] = {}
    reason = "the frame cannot be decoded"
    try:
        with opened(unit.files[0].path) as stream:
            for frame, pixels in decoded(stream, unit.frames, stamped=unit.stamped):
                photos[unit.images[positions[frame.index]]] = Photo(pixels, unit.content)
    except BadImageError as error:
        reason = str(error)
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
    pairs = zip(unit.images, unit.files, strict=True)
    return Carried(unit, photos, {f.name: reason for index, f in pairs if index not in photos})


def require_every(every: int | None) -> None:
    """Raise UserError: a number of frames that cannot be."""
    if every is not None and every < 1:
        raise UserError(f"--every must be at least 1 frame, got {every}")
