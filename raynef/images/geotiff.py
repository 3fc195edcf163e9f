"""GeoTIFFs, read a few rows at a time by rasterio, of the extra ``geo``.

Colors are three bands of the file, or one repeated. Values of 8 bits are taken as they are; others
are stretched, each band from its 2nd to its 98th percentile over the scene, as viewers of such
scenes do: reflectances of 16 bits fill but a part of their range, which is another for each sensor.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from raynef.core.errors import BadImageError, UserError, require
from raynef.core.extras import has_package
from raynef.images.decode import MOST_PIXELS
from raynef.images.scene import Rows
from raynef.io.fetch import opened
from raynef.io.storage import local_path

SUFFIXES = frozenset({".tif", ".tiff"})
INSTALL = "pip install 'raynef[geo]'"
_PERCENTILES = (2, 98)
_CACHE_MB = 256  # of blocks of files that GDAL holds; its own choice is a twentieth of the memory
_SAMPLE = 1024  # rows and columns at most of what percentiles are taken from
_PLACE_TAGS = (33550, 33922, 34264, 34735)
"""Of TIFF: pixel scale, tie points, transformation and directory of GeoKeys."""
_WORLD_FILES = (".tfw", ".tifw", ".wld")  # which say where the TIFF beside them lies

Kind = Literal["placed", "photograph", "unlike"]
"""Of a TIFF: see ``kind_of``."""


@dataclass(frozen=True)
class Colors:
    """What of a scene's bands is shown.

    Attributes:
        bands: three, or one that is repeated, numbered from 1; None for the first three that are
            not alpha, or the first where there are fewer.
        value_range: values that become black and white; None as this module's head says.
    """

    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None

    def check(self) -> None:
        """Raise UserError: bands or a range that cannot be, or the extra is not installed."""
        if self.bands is not None:
            fits = len(self.bands) in (1, 3) and min(self.bands) >= 1
            require(fits, "--bands", "one or three numbers of bands, from 1 on", self.bands)
        if self.value_range is not None:
            low, high = self.value_range
            fits = -math.inf < low < high < math.inf
            require(fits, "--value-range", "two values, the lower first", self.value_range)
        if self != Colors() and not available():
            raise UserError(f"--bands and --value-range need the extra geo: {INSTALL}")

    def asked(self) -> dict[str, list[float]]:
        """What is not left as it is, by name."""
        named = {"bands": self.bands, "value_range": self.value_range}
        return {name: list(value) for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Place:
    """Where a scene lies on the ground, as rasterio's values; each may be missing.

    Attributes:
        crs: the reference system.
        transform: from pixels to it, affine.
        gcps: ground control points and their reference system.
        rpcs: rational polynomials of a sensor.
        area_or_point: what a pixel's coordinates mean.
    """

    crs: Any
    transform: Any
    gcps: Any
    rpcs: Any
    area_or_point: str | None


def available() -> bool:
    """Whether the extra is installed."""
    return has_package("rasterio")


def kind_of(location: str) -> Kind:
    """What a TIFF is, by its head alone: georeferenced, a photograph, or unlike one.

    It needs no extra. Unlike a photograph is what Pillow does not decode, for its bands, their type
    or its size; also what is no TIFF.
    """
    here = local_path(location)
    if here is not None and any(Path(here).with_suffix(end).is_file() for end in _WORLD_FILES):
        return "placed"
    with contextlib.suppress(Exception), warnings.catch_warnings():  # damaged heads of any kind
        warnings.simplefilter("ignore")
        with opened(location) as file, Image.open(file, formats=("TIFF",)) as image:
            tags: Any = getattr(image, "tag_v2", {})
            if any(tag in tags for tag in _PLACE_TAGS):
                return "placed"
            return "photograph" if image.width * image.height <= MOST_PIXELS else "unlike"
    return "unlike"


class GeoTiff:
    """A scene in a file; see ``open_geotiff``.

    Attributes:
        place: on the ground.
        may_be_empty: whether the file says that it has pixels without a value.
    """

    def __init__(self, dataset: Any, colors: Colors) -> None:
        self._dataset = dataset
        self._bands = _bands(dataset, colors.bands)
        self._table = _color_table(dataset, self._bands)
        self.place = _place_of(dataset)
        self.may_be_empty = _may_be_empty(dataset, self._bands)
        self._ranges: list[tuple[float, float]] | None = None
        self._fill = np.zeros(3, np.uint8)
        self._measure(colors.value_range)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), in pixels."""
        return self._dataset.height, self._dataset.width

    def read(self, top: int, bottom: int) -> Rows:
        """The rows from ``top`` to before ``bottom``.

        Pixels without a value have the mean color of the others. Raises BadImageError: the file is
        damaged there.
        """
        values, valid = self._values(window=((top, bottom), (0, self._dataset.width)))
        pixels = self._shown(values)
        pixels[~valid] = self._fill
        return Rows(pixels, valid)

    def _values(self, **where: Any) -> tuple[np.ndarray, np.ndarray]:
        """Values [bands, h, w] and where at least one of them is one, bool [h, w]."""
        with _reading():
            values = self._dataset.read(self._bands, **where)
            valid = self._dataset.read_masks(self._bands, **where).any(axis=0)
        if np.issubdtype(values.dtype, np.floating):
            valid &= np.isfinite(values).all(axis=0)
        return values, valid

    def _measure(self, value_range: tuple[float, float] | None) -> None:
        """Take the range of each band, and its mean color, from a sample of the whole scene."""
        height, width = (min(side, _SAMPLE) for side in self.size)
        values, valid = self._values(out_shape=(len(self._bands), height, width))
        if value_range is not None:
            self._ranges = [value_range] * len(self._bands)
        elif values.dtype != np.uint8:
            self._ranges = [_percentiles(band[valid]) for band in values]
        if valid.any():
            self._fill = np.rint(self._shown(values)[valid].mean(axis=0)).astype(np.uint8)

    def _shown(self, values: np.ndarray) -> np.ndarray:
        """Values [bands, h, w] as RGB, uint8 [h, w, 3]."""
        if self._table is not None:
            return self._table[values[0]]
        if self._ranges is not None:
            scaled = np.empty(values.shape, np.uint8)
            for band, (low, high) in enumerate(self._ranges):
                part = (np.nan_to_num(values[band].astype(np.float32)) - low) / (high - low)
                scaled[band] = np.rint(part.clip(0, 1) * 255)
            values = scaled
        return np.repeat(values, 3 // len(values), axis=0).transpose(1, 2, 0).copy()


@contextlib.contextmanager
def open_geotiff(path: Path, colors: Colors) -> Iterator[GeoTiff]:
    """A scene, while the block lasts; only TIFFs are opened, whatever GDAL knows besides.

    Raises BadImageError: the extra is missing, no TIFF, a damaged one, or one without such bands.
    """
    if not available():
        raise BadImageError(f"needs the extra geo: {INSTALL}")
    import rasterio
    from rasterio.errors import RasterioError

    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE_MB))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a scene has no place
            try:
                dataset = stack.enter_context(rasterio.open(path, driver="GTiff", sharing=False))
            except (RasterioError, OSError) as error:
                raise BadImageError("not a TIFF, or a damaged one") from error
        yield GeoTiff(dataset, colors)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    from rasterio.errors import RasterioError

    try:
        yield
    except MemoryError as error:
        raise BadImageError("too large for the memory") from error
    except (RasterioError, OSError, ValueError) as error:
        raise BadImageError(f"damaged ({error.__cause__ or error})") from error


def _bands(dataset: Any, asked: tuple[int, ...] | None) -> list[int]:
    if any("complex" in kind for kind in dataset.dtypes):
        raise BadImageError("complex values have no color")
    if asked is not None:
        if max(asked) > dataset.count:
            raise BadImageError(f"has {dataset.count} band(s), no band {max(asked)}")
        return list(asked)
    colors = zip(dataset.indexes, dataset.colorinterp, strict=True)
    seen = [index for index, color in colors if color.name != "alpha"] or [1]
    return seen[:3] if len(seen) >= 3 else seen[:1]


def _color_table(dataset: Any, bands: list[int]) -> np.ndarray | None:
    """RGB of each value, uint8 [256, 3], where the one band is of colors by their number."""
    if len(bands) != 1 or dataset.dtypes[bands[0] - 1] != "uint8":
        return None
    if dataset.colorinterp[bands[0] - 1].name != "palette":
        return None
    table = np.zeros((256, 3), np.uint8)
    for value, color in dataset.colormap(bands[0]).items():
        table[value] = color[:3]
    return table


def _may_be_empty(dataset: Any, bands: list[int]) -> bool:
    flags = [{flag.name for flag in dataset.mask_flag_enums[band - 1]} for band in bands]
    floating = any("float" in dataset.dtypes[band - 1] for band in bands)
    return floating or any(found != {"all_valid"} for found in flags)


def _place_of(dataset: Any) -> Place:
    return Place(
        crs=dataset.crs,
        transform=dataset.transform,
        gcps=dataset.gcps,
        rpcs=dataset.rpcs,
        area_or_point=dataset.tags().get("AREA_OR_POINT"),
    )


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    """Between which a band is stretched; the whole range where they are the same."""
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values.astype(np.float64), _PERCENTILES).tolist()
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1.0)
