"""Label maps and overlays as GeoTIFFs, written from top to bottom, by the extra ``geo``."""

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from raynef.images.geotiff import Place
from raynef.report.palette import IGNORED

BLOCK = 256
"""Rows and columns of a tile, in pixels."""


@dataclass(frozen=True)
class Layer:
    """What one file holds.

    Attributes:
        dtype: of its values.
        bands: how many: 1 of labels, 3 of a picture.
        nodata: the label of a pixel without a value; None where there is none.
        colors: of the labels, uint8 [n, 3]; None for gray or RGB.
        names: {label: name}, kept as JSON in the tag ``names`` of the band.
        jpeg: quality of a picture that is compressed with loss; None for deflate.
        masked: whether ``LabelWriter.write`` is given masks.
    """

    dtype: str
    bands: int = 1
    nodata: int | None = None
    colors: np.ndarray | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    jpeg: int | None = None
    masked: bool = False


class LabelWriter:
    """Writes rows below one another; see ``open_writer``."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._top = dataset, 0

    def write(self, rows: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Add labels [h, W] or RGB [h, W, 3], and where a picture has a value, bool [h, W]."""
        height, width = rows.shape[:2]
        window = ((self._top, self._top + height), (0, width))
        bands = rows[None] if rows.ndim == 2 else rows.transpose(2, 0, 1)
        self._dataset.write(bands, window=window)
        if valid is not None:
            self._dataset.write_mask(valid, window=window)
        self._top += height


@contextlib.contextmanager
def open_writer(
    path: Path, size: tuple[int, int], place: Place, layer: Layer
) -> Iterator[LabelWriter]:
    """A new file of ``size`` = (H, W) at a place, whole when the block ends.

    It is compressed and in tiles, so that viewers show a part of it at once.
    """
    import rasterio

    options: dict[str, Any] = {"compress": "deflate", "bigtiff": "if_safer"}
    if layer.jpeg is not None:
        options = {**options, "compress": "jpeg", "photometric": "ycbcr"}
        options |= {"interleave": "pixel", "jpeg_quality": layer.jpeg}
    elif layer.bands == 3:
        options |= {"photometric": "rgb", "interleave": "pixel", "predictor": 2}
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True))
        catching = warnings.catch_warnings()
        stack.enter_context(catching)
        warnings.simplefilter("ignore")  # that a scene has no place
        dataset = stack.enter_context(
            rasterio.open(
                path,
                "w",
                driver="GTiff",
                height=size[0],
                width=size[1],
                count=layer.bands,
                dtype=layer.dtype,
                nodata=layer.nodata,
                tiled=True,
                blockxsize=BLOCK,
                blockysize=BLOCK,
                **options,
            )
        )
        _put_at(dataset, place)
        if layer.colors is not None:
            dataset.write_colormap(1, _color_table(layer.colors, layer.nodata))
        if layer.names:
            dataset.update_tags(1, names=json.dumps(dict(layer.names), ensure_ascii=False))
        yield LabelWriter(dataset)


def _put_at(dataset: Any, place: Place) -> None:
    points, system = place.gcps
    if points:
        dataset.gcps = (points, system)
    else:
        if place.crs is not None:
            dataset.crs = place.crs
        if not place.transform.is_identity:
            dataset.transform = place.transform
    if place.rpcs is not None:
        dataset.rpcs = place.rpcs
    if place.area_or_point is not None:
        dataset.update_tags(AREA_OR_POINT=place.area_or_point)


def _color_table(colors: np.ndarray, nodata: int | None) -> dict[int, tuple[int, ...]]:
    table = {index: tuple(color) for index, color in enumerate(colors.tolist())}
    return table if nodata is None else {**table, nodata: IGNORED}


def read_labels(path: Path) -> np.ndarray:
    """The labels of a file, [H, W]."""
    import rasterio

    with rasterio.open(path) as dataset:
        return dataset.read(1)
