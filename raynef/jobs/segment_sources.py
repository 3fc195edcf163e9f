"""All that is not segmented yet: photographs, frames of videos, and scenes."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

from raynef.cluster.progress import Progress
from raynef.cluster.session import feature_actors, ray_session
from raynef.cluster.stream import stream
from raynef.images.datasets.imageset import ImageFile
from raynef.images.geotiff import Colors
from raynef.io.storage import without_secrets
from raynef.stores.predictions import Predictions
from raynef.work.clip_overlays import stale_overlays, write_overlays
from raynef.work.clips import Clip, frame_units, read_unit
from raynef.work.reading import PredictUnit
from raynef.work.scenes import (
    CRF_OF_SCENE,
    UNREAD,
    SceneActor,
    describe_unplaced,
    read_scene,
    routes,
    scene_units,
    write_records,
)
from raynef.work.segmenting import (
    MOST_IMAGES,
    Making,
    PredictActor,
    Written,
    predict_units,
    write_photos,
)
from raynef.work.sources import output_names

logger = logging.getLogger("raynef")


@dataclass(frozen=True)
class Work:
    """What is to be made of what.

    Attributes:
        predictions: where it goes, and what is there.
        making: what is made.
        folder: of the segmenter.
        images: photographs and scenes.
        clips: videos.
        colors: what of the bands of a scene is shown.
    """

    predictions: Predictions
    making: Making
    folder: Path
    images: tuple[ImageFile, ...]
    clips: tuple[Clip, ...]
    colors: Colors

    @cached_property
    def files(self) -> tuple[ImageFile, ...]:
        """Of all images and frames, in order."""
        frames = (clip.image(frame) for clip in self.clips for frame in clip.film.frames)
        return (*self.images, *frames)

    @cached_property
    def outputs(self) -> list[str]:
        """Names of their own results."""
        frames = (clip.output(frame) for clip in self.clips for frame in clip.film.frames)
        return [*output_names(self.images), *frames]


@dataclass(frozen=True)
class _Units:
    """Units by the way that they take, and what takes none."""

    photos: list[PredictUnit]
    scenes: list[PredictUnit]
    skipped: dict[str, str]
    unread: frozenset[str]


def segment(work: Work, address: str | None) -> tuple[int, dict[str, str]]:
    """Segment what is not done yet: how many images were, and {name: reason} of bad ones."""
    predictions, total = work.predictions, len(work.files)
    done = predictions.done(work.files, work.outputs)
    left = [file.name for file in work.files if file.name not in done]
    if done:
        logger.info("predict: %d of %d images are done already", len(done), total)
    overlays = work.clips if work.making.overlay == "video" else ()
    stale = stale_overlays(predictions, overlays, done)
    skipped: dict[str, str] = {}
    if left:
        units = _units(work, done)
        skipped |= units.skipped
        progress = Progress("predict", total, "images")
        progress.restart_at(len(done) + len(skipped))
        slow = work.making.crf is not None
        with ray_session(address, images=len(left), model_bound=not slow, on_gpu=True):
            for part in _results(work, units):
                skipped.update(part.skipped)
                progress.advance(part.num_images)
            progress.close()
        for name in units.unread & skipped.keys():
            skipped[name] += f"; {UNREAD}"
        predictions.read_parts()
        known = {*predictions.records.names(), *skipped}
        lost = [name for name in left if name not in known]
        if lost:
            raise RuntimeError(f"records of {len(lost)} images are lost; rerun the same command")
    write_overlays(predictions, stale, skipped)
    return len(done), skipped


def _units(work: Work, done: set[str]) -> _Units:
    outputs = zip(work.images, work.outputs, strict=False)  # those of frames follow
    pairs = [(file, output) for file, output in outputs if file.name not in done]
    found = routes([file for file, _ in pairs], work.colors)
    if found.unplaced:
        logger.warning("%s", describe_unplaced(found.unplaced))
    photos = [pair for pair in pairs if pair[0].name not in found.scenes]
    scenes = [pair for pair in pairs if pair[0].name in found.scenes]
    slow, skipped = work.making.crf is not None, {}
    if slow:
        skipped, scenes = {file.name: CRF_OF_SCENE for file, _ in scenes}, []
    most = 1 if slow else MOST_IMAGES  # CRFs of a unit run one after the other
    of_photos: list[PredictUnit] = [
        *predict_units([file for file, _ in photos], [output for _, output in photos], most=most),
        *frame_units(work.clips, done, most=most),
    ]
    of_scenes = scene_units([file for file, _ in scenes], [output for _, output in scenes])
    parts = iter(work.predictions.next_parts(len(of_photos) + len(of_scenes)))
    return _Units(
        [replace(unit, part=next(parts)) for unit in of_photos],
        [replace(unit, part=next(parts)) for unit in of_scenes],
        skipped,
        found.unread,
    )


def _results(work: Work, units: _Units) -> Iterator[Written]:
    model = {"segmenter": str(work.folder.absolute()), "making": work.making}
    actors = feature_actors()
    of_photos = stream(
        units.photos,
        prepare=read_unit,
        actor=PredictActor,
        actor_kwargs=model,
        actors=actors,
        finish=partial(write_photos, making=work.making),
        bounded=True,
        finish_is_slow=work.making.crf is not None,
        finish_behind=True,
    )
    of_scenes = stream(
        units.scenes,
        prepare=read_scene,
        actor=SceneActor,
        actor_kwargs={**model, "colors": work.colors},
        actors=actors,
        finish=write_records,
    )
    return chain(of_photos, of_scenes)


def told_by_clips(work: Work) -> dict[str, Any]:
    """What the manifest says of videos."""
    videos = [
        {
            "name": clip.file.name,
            "source": without_secrets(clip.file.path),
            "num_frames": len(clip.film.frames),
            **({"overlay": clip.overlay} if work.making.overlay == "video" else {}),
        }
        for clip in work.clips
    ]
    return {"videos": videos} if videos else {}
