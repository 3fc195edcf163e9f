"""Crops of images that show what each cluster is: made once, and found again.

PLACE/naming/KEY/index.json             what the others hold; written last
PLACE/naming/KEY/CLUSTER-KIND-N.jpg     a crop; of each kind the first is the best
PLACE/naming/KEY/maps/N.npz             segments of an image, while crops are made of it

KEY is of the segmenter (see ``segmenter_identity``) and of the images, by name and size: crops of
others are others.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raynef.config.recipe import fingerprint
from raynef.io.files import read_json, write_atomic, write_json
from raynef.io.holds import locked
from raynef.segment.examples import Segments

KINDS = ("typical", "borderline", "random")
_INDEX, _MAPS = "index.json", "maps"
_FORMAT = 1


@dataclass(frozen=True)
class CropIndex:
    """What a folder of crops holds.

    Attributes:
        segmenter: whose clusters they show, as ``segmenter_identity`` says it.
        num_images: that were segmented.
        pixels: of each cluster in them, K long, of each image as many as of any other.
        counts: crops of each cluster, K times one of each of ``KINDS``.
        format: of this file.
    """

    segmenter: str
    num_images: int
    pixels: tuple[float, ...]
    counts: tuple[tuple[int, int, int], ...]
    format: int = _FORMAT


@dataclass(frozen=True)
class CropFolder:
    """Where crops lie."""

    path: Path

    def crop(self, cluster: int, kind: str, number: int) -> Path:
        """The file of a crop, whether it is there or not."""
        return self.path / f"{cluster}-{kind}-{number}.jpg"

    def index(self) -> CropIndex | None:
        """What it holds; None while it is not finished, or is of another version."""
        try:
            plain: dict[str, Any] = read_json(self.path / _INDEX)
            counts = tuple((t, b, r) for t, b, r in plain["counts"])
            found = CropIndex(**{**plain, "counts": counts, "pixels": tuple(plain["pixels"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found.format == _FORMAT else None

    def finish(self, index: CropIndex) -> None:
        """Say that all crops are there; what was kept on the way to them goes."""
        write_json(self.path / _INDEX, dataclasses.asdict(index))
        shutil.rmtree(self.path / _MAPS, ignore_errors=True)

    def keep_map(self, image: int, clusters: np.ndarray, segments: Segments) -> None:
        """Keep the map of an image, uint16 [H, W], and its segments."""
        values = {"clusters": clusters, **vars(segments)}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as handle:
                np.savez_compressed(handle, **values)

        write_atomic(self._map(image), write)

    def kept_map(self, image: int) -> tuple[np.ndarray, Segments] | None:
        """What was kept of an image, if anything."""
        try:
            with np.load(self._map(image)) as found:
                values = dict(found)
            return values.pop("clusters"), Segments(**values)
        except (OSError, ValueError, EOFError, KeyError, TypeError):
            return None

    def _map(self, image: int) -> Path:
        return self.path / _MAPS / f"{image}.npz"


def crop_folder(place: Path, *key: Any) -> CropFolder:
    """The folder of crops for a key of plain values, below a run's folder or a segmenter's."""
    return CropFolder(_home(place) / fingerprint([_FORMAT, *key]))


def finished_crops(place: Path, segmenter: str) -> tuple[CropFolder, CropIndex] | None:
    """The newest finished crops of a segmenter, of whatever images; None where there are none."""
    found = [CropFolder(path.parent) for path in _home(place).glob(f"*/{_INDEX}")]
    found.sort(key=lambda folder: (folder.path / _INDEX).stat().st_mtime, reverse=True)
    for folder in found:
        index = folder.index()
        if index is not None and index.segmenter == segmenter:
            return folder, index
    return None


@contextlib.contextmanager
def making(place: Path, folder: CropFolder) -> Iterator[None]:
    """Hold the place while crops are made; those of other keys go then.

    Raises UserError: another process makes some, or the place cannot be written to.
    """
    home = _home(place)
    with locked(home, f"another raynef name prepares its crops in {home}; wait for it"):
        yield
        for other in home.iterdir():
            if other.is_dir() and other != folder.path:
                shutil.rmtree(other, ignore_errors=True)


def _home(place: Path) -> Path:
    return place / "naming"
