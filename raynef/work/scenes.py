"""Scenes on their way to files: GeoTIFFs, segmented at full resolution, from top to bottom."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from raynef.core.errors import BadImageError
from raynef.images import geotiff
from raynef.images.datasets.imageset import ImageFile
from raynef.images.geotiff import INSTALL, Colors, open_geotiff
from raynef.io.fetch import digest, fetched
from raynef.io.sink import write_all, write_bytes, write_copy
from raynef.io.storage import join
from raynef.models.segmenter import Segmenter
from raynef.models.strips import default_tile, strips
from raynef.stores.predicted import Record, hash_of
from raynef.work.reading import PredictUnit
from raynef.work.scene_files import make_files
from raynef.work.segmenting import Making, Written
from raynef.work.units import Carried

CRF_OF_SCENE = "a CRF takes photographs, not scenes at full resolution; leave out --crf"
"""Why a scene is skipped."""
UNREAD = f"a scene of many bands, or larger than a photograph, needs the extra geo: {INSTALL}"
"""What may help with what is no photograph."""
_LISTED = 5  # files in a line
_THREADS = 8  # that look at the heads of files, and wait for them


@dataclass(frozen=True)
class Routes:
    """Which files are scenes, by name.

    Attributes:
        scenes: those that are read a few rows at a time.
        unplaced: those whose georeference is lost, as the extra is missing.
        unread: those that no photograph is like, which need the extra.
    """

    scenes: frozenset[str] = frozenset()
    unplaced: tuple[str, ...] = ()
    unread: frozenset[str] = frozenset()


def routes(files: Sequence[ImageFile], colors: Colors) -> Routes:
    """Tell scenes from photographs, by the heads of the TIFFs among some files.

    A scene is georeferenced, or of bands, a type or a size that no photograph has; where colors are
    asked for, each TIFF is one. Without the extra there is none, and what Pillow reads of it is
    segmented as a photograph.
    """
    tiffs = [file for file in files if file.name.lower().endswith(tuple(geotiff.SUFFIXES))]
    if not tiffs:
        return Routes()
    if colors != Colors():
        return Routes(scenes=frozenset(file.name for file in tiffs))
    with ThreadPoolExecutor(_THREADS) as pool:
        kinds = list(pool.map(geotiff.kind_of, [file.path for file in tiffs]))
    named = {
        kind: [file.name for file, of in zip(tiffs, kinds, strict=True) if of == kind]
        for kind in ("placed", "unlike")
    }
    if geotiff.available():
        return Routes(scenes=frozenset(named["placed"] + named["unlike"]))
    return Routes(unplaced=tuple(named["placed"]), unread=frozenset(named["unlike"]))


def describe_unplaced(names: Sequence[str]) -> str:
    """What is lost without the extra, and how to install it."""
    shown = ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")
    return (
        f"{len(names)} GeoTIFF(s) are segmented as photographs, and their georeference is not kept "
        f"({shown}); the extra geo keeps it: {INSTALL}"
    )


def scene_units(files: Sequence[ImageFile], outputs: Sequence[str]) -> list[PredictUnit]:
    """A unit for each scene. ``part`` is not given yet."""
    pairs = enumerate(zip(files, outputs, strict=True))
    return [PredictUnit([i], (file,), outputs=(output,)) for i, (file, output) in pairs]


def read_scene(unit: PredictUnit) -> Carried[PredictUnit, str]:
    """Task: the hash of a scene's file; the scene itself stays where it is."""
    found, skipped = {}, {}
    for index, file in zip(unit.images, unit.files, strict=True):
        try:
            found[index] = digest(file.path)
        except OSError as error:
            skipped[file.name] = f"cannot be read ({error.strerror or error})"
    return Carried(unit, found, skipped)


class SceneActor:
    """Actor: a segmenter; each scene with its files, which are written from here.

    Args:
        segmenter: its folder.
        making: what is made of a scene.
        colors: what of its bands is shown.
        device: of the segmenter.
    """

    def __init__(self, segmenter: str, making: Making, colors: Colors, device: str) -> None:
        self.segmenter = Segmenter.load(segmenter, device=device)
        self.making, self.colors = making, colors

    def __call__(self, read: Carried[PredictUnit, str]) -> Carried[PredictUnit, Record]:
        found: dict[int, Record] = {}
        skipped = dict(read.skipped)
        unit = read.unit
        for index, file, output in zip(unit.images, unit.files, unit.outputs, strict=True):
            if index not in read.values:
                continue
            try:
                found[index] = self._made(file, output, read.values[index])
            except BadImageError as error:
                skipped[file.name] = str(error)
        return Carried(unit, found, skipped)

    def _made(self, file: ImageFile, output: str, content: str) -> Record:
        making = self.making
        tile = making.tile or default_tile(self.segmenter)
        with (
            tempfile.TemporaryDirectory(prefix="raynef-") as scratch,
            fetched(file.path) as path,
            open_geotiff(path, self.colors) as scene,
        ):
            found = strips(self.segmenter, scene, tile)
            files = make_files(scene, found, output, making, Path(scratch))
            for place, made in files.made.items():
                write_copy(join(making.out, place), made)
            write_all(making.out, files.contents)
            return Record(
                settings=making.settings,
                name=file.name,
                output=output,
                content=content,
                width=scene.size[1],
                height=scene.size[0],
                files={
                    **{place: digest(str(made)) for place, made in files.made.items()},
                    **{place: hash_of(made) for place, made in files.contents.items()},
                },
                entries=files.entries,
            )


def write_records(found: Carried[PredictUnit, Record]) -> Written:
    """Task: write the records of scenes, whose files are there by now."""
    if found.values:
        lines = "".join(record.line() for record in found.values.values())
        write_bytes(found.unit.part, lines.encode())
    return Written(len(found.values), found.skipped)
