"""A scene of any size through a segmenter, at full resolution, a few rows of pixels at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raynef.core.devices import beside
from raynef.images.geometry import whole_patches
from raynef.images.scene import Rows, Scene
from raynef.models.segmenter import Segmenter
from raynef.segment.patch_map import cluster_maps
from raynef.segment.strips import WindowRows
from raynef.segment.windows import sliding_windows


@dataclass(frozen=True)
class Strip:
    """Rows of a scene from ``top`` on, with the cluster of each pixel, uint16 [h, W]."""

    top: int
    rows: Rows
    clusters: np.ndarray


def default_tile(segmenter: Segmenter) -> int:
    """The side of a window, in pixels: the scale that the segmenter sees photographs at."""
    short_side = segmenter.short_side
    return whole_patches((short_side, short_side), segmenter.backbone.patch_size)[0]


def strips(segmenter: Segmenter, scene: Scene, tile: int) -> Iterator[Strip]:
    """The clusters of a scene from top to bottom, as ``Segmenter.tiled`` finds them.

    Windows are squares of ``tile`` pixels, every half of that, and averaged where they overlap.
    Held at once are the pixels of a row of windows and the patch logits of three, whatever the
    height; a scene with a side shorter than a window is held whole. A window in which no pixel is
    valid is not computed.
    """
    segmenter.require_tile(tile)
    height, width = scene.size
    if segmenter.backbone_config.input_size is not None:
        tile = min(tile, height, width)  # squares are never distorted
    if min(height, width) < tile:
        rows = scene.read(0, height)
        found = segmenter.tiled(rows.pixels, tile)
        yield Strip(0, rows, cluster_maps([found], scene.size)[0])
        return
    windows = sliding_windows(scene.size, window=tile, stride=max(1, tile // 2))
    patch, side = segmenter.backbone.patch_size, segmenter.backbone_config.input_size or tile
    grid = (-(-side // patch), -(-side // patch))
    layout = WindowRows(windows, grid, segmenter.cell(windows.window))
    logits: dict[int, Tensor] = {}
    held = scene.read(0, tile)
    for index, top in enumerate(windows.tops):
        if index:
            held = _moved_down(held, scene, top - windows.tops[index - 1], top + tile)
        logits[index] = _row_logits(segmenter, held, windows.lefts, grid)
        end = windows.tops[index + 1] if index + 1 < len(windows.tops) else height
        done = Rows(held.pixels[: end - top], held.valid[: end - top])
        yield Strip(top, done, layout.clusters(logits, range(top, end)))
        logits = {at: row for at, row in logits.items() if windows.tops[at] + tile > end}


def _moved_down(held: Rows, scene: Scene, step: int, bottom: int) -> Rows:
    """The rows of a window further down: those that are read already, and new ones."""
    below = scene.read(bottom - step, bottom)
    return Rows(
        np.concatenate([held.pixels[step:], below.pixels]),
        np.concatenate([held.valid[step:], below.valid]),
    )


def _row_logits(
    segmenter: Segmenter, held: Rows, lefts: tuple[int, ...], grid: tuple[int, int]
) -> Tensor:
    """Patch logits of a row of windows, side by side, float32 [h, Σw, K]; 0 where all is empty."""
    tile = len(held.pixels)
    seen = [i for i, left in enumerate(lefts) if held.valid[:, left : left + tile].any()]
    shape, host = (len(lefts), *grid, segmenter.num_clusters), beside(segmenter.device)
    row = torch.zeros(shape, dtype=torch.float32, device=host)
    step = segmenter.backbone_config.batch_size
    for start in range(0, len(seen), step):
        some = seen[start : start + step]
        crops = [held.pixels[:, lefts[index] : lefts[index] + tile] for index in some]
        row[some] = segmenter.patch_logits(np.stack(crops))
    return row.transpose(0, 1).flatten(1, 2)
