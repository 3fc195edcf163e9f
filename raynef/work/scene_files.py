"""What is written of a scene: GeoTIFFs where it lies, made from top to bottom."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raynef.images.geotiff import GeoTiff
from raynef.images.scene import Rows
from raynef.models.strips import Strip
from raynef.report.palette import IGNORED, overlay, palette
from raynef.stores.formats.registry import FormatName, format_of
from raynef.stores.label_files import UNLABELED
from raynef.stores.label_geotiff import BLOCK, Layer, open_writer, read_labels
from raynef.work.segmenting import QUALITY, Making

NODATA = 65535
"""Label of a pixel without a value in files of 16 bits; in those of 8 it is ``UNLABELED``."""
_OWN: tuple[FormatName, ...] = ("png", "ids")  # formats whose files of a scene are GeoTIFFs
_RAW = "raw"  # the segmenter's clusters, which the other formats are made of


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene.

    Attributes:
        made: {path within the folder of results: where it was made}.
        contents: {path: content} of the other formats.
        entries: {format: what its documents say of the scene}.
    """

    made: dict[str, Path]
    contents: dict[str, bytes]
    entries: dict[str, Any]


@dataclass(frozen=True)
class _Output:
    """One file: what it holds, and its rows of a strip, below which lies another strip or none."""

    layer: Layer
    rows: Callable[[Strip, Strip | None], np.ndarray]


def make_files(
    scene: GeoTiff, found: Iterable[Strip], output: str, making: Making, scratch: Path
) -> SceneFiles:
    """Write a scene's files into a local folder as its strips come.

    Held at once are a few rows; where formats other than GeoTIFF are asked for, the whole map.
    """
    others: list[FormatName] = [kind for kind in making.formats if kind not in _OWN]
    outputs = _outputs(making, masked=scene.may_be_empty)
    if others:
        outputs[_RAW] = _Output(Layer("uint16"), _labels(_clusters, "uint16", NODATA))
    made = {folder: scratch / f"{folder}.tif" for folder in outputs}
    with contextlib.ExitStack() as stack:
        writers = {
            folder: stack.enter_context(
                open_writer(made[folder], scene.size, scene.place, of.layer)
            )
            for folder, of in outputs.items()
        }
        for strip, below in in_blocks(found):
            for folder, of in outputs.items():
                valid = strip.rows.valid if of.layer.masked else None
                writers[folder].write(of.rows(strip, below), valid)
    contents: dict[str, bytes] = {}
    entries: dict[str, Any] = {}
    if others:
        raw = read_labels(made.pop(_RAW))
        valid = raw != NODATA
        labeled = replace(making.labeled(output, np.where(valid, raw, 0)), valid=valid)
        for name in others:
            kind = format_of(name)
            contents |= kind.files(labeled, making.categories)
            if kind.entry is not None:
                entries[name] = kind.entry(labeled, making.categories)
    file = f"{output.removesuffix('.png')}.tif"
    return SceneFiles(
        {f"{folder}/{file}": path for folder, path in made.items()}, contents, entries
    )


def in_blocks(found: Iterable[Strip]) -> Iterator[tuple[Strip, Strip | None]]:
    """The strips again as whole rows of tiles, so that each is compressed once, and what follows.

    The last has the rows that are left, and nothing below it.
    """
    held: Strip | None = None
    for strip in found:
        held = strip if held is None else _joined(held, strip)
        rows = (len(held.clusters) - 1) // BLOCK * BLOCK  # one at least is left
        if rows:
            above, held = _split(held, rows)
            yield above, held
    if held is not None:
        yield held, None


def _joined(above: Strip, below: Strip) -> Strip:
    rows = Rows(
        np.concatenate([above.rows.pixels, below.rows.pixels]),
        np.concatenate([above.rows.valid, below.rows.valid]),
    )
    return Strip(above.top, rows, np.concatenate([above.clusters, below.clusters]))


def _split(strip: Strip, at: int) -> tuple[Strip, Strip]:
    pixels, valid = strip.rows.pixels, strip.rows.valid
    above = Strip(strip.top, Rows(pixels[:at], valid[:at]), strip.clusters[:at])
    below = Strip(strip.top + at, Rows(pixels[at:], valid[at:]), strip.clusters[at:])
    return above, below


def _outputs(making: Making, *, masked: bool) -> dict[str, _Output]:
    """By the name of their folder."""
    num_clusters, names = making.categories.num_clusters, making.categories.class_names
    outputs: dict[str, _Output] = {}
    if "png" in making.formats:
        wide = num_clusters >= 256
        nodata = NODATA if wide else UNLABELED
        layer = Layer(
            dtype="uint16" if wide else "uint8",
            nodata=nodata,
            colors=None if wide else palette(max(2, num_clusters)),
            names=_names_of_clusters(making),
        )
        outputs["clusters"] = _Output(layer, _labels(making.grouped, layer.dtype, nodata))
        if names is not None:
            colors = palette(max(2, len(names)))
            layer = Layer("uint8", nodata=UNLABELED, colors=colors, names=dict(enumerate(names)))
            outputs["classes"] = _Output(layer, _labels(making.classified, "uint8", UNLABELED))
    if "ids" in making.formats:
        layer = Layer("uint16", nodata=NODATA, names=_names_of_clusters(making))
        outputs["ids"] = _Output(layer, _labels(making.grouped, "uint16", NODATA))
    if making.overlay != "none":
        quality = None if making.overlay == "png" else QUALITY
        layer = Layer("uint8", bands=3, jpeg=quality, masked=masked)
        outputs["overlays"] = _Output(layer, _drawn(making))
    return outputs


def _names_of_clusters(making: Making) -> dict[int, str]:
    names = making.categories.class_names
    if names is None or making.classes is None or making.groups is not None:
        return {}
    return {cluster: names[index] for cluster, index in enumerate(making.classes) if index >= 0}


def _clusters(clusters: np.ndarray) -> np.ndarray:
    return clusters


def _labels(
    of: Callable[[np.ndarray], np.ndarray], dtype: str, nodata: int
) -> Callable[[Strip, Strip | None], np.ndarray]:
    """Labels that a function gives for clusters; ``nodata`` for none, and for no value."""

    def rows(strip: Strip, _: Strip | None) -> np.ndarray:
        labels = of(strip.clusters)
        seen = strip.rows.valid & (labels >= 0)
        return np.where(seen, labels, nodata).astype(dtype)

    return rows


def _drawn(making: Making) -> Callable[[Strip, Strip | None], np.ndarray]:
    """The scene with its segments in color; a line between segments needs the row below it."""
    colors = palette(max(2, making.categories.num_clusters))

    def rows(strip: Strip, below: Strip | None) -> np.ndarray:
        height = len(strip.clusters)
        if below is not None:
            strip = _joined(strip, _split(below, 1)[0])
        labels = np.where(strip.rows.valid, making.grouped(strip.clusters).astype(np.int32), -1)
        drawn = overlay(strip.rows.pixels, labels, colors)
        drawn[~strip.rows.valid] = IGNORED
        return drawn[:height]

    return rows
