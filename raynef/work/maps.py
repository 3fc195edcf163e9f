"""What happens to some images on their way to a table of cluster against class.

A task reads and resizes them, an actor segments and counts; with a CRF, it hands patch logits on to
a task that upsamples, sharpens and counts again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from raynef.assign.contingency import contingency
from raynef.config.recipe import Evaluate
from raynef.core.errors import UserError
from raynef.models.segmenter import Segmenter
from raynef.segment.edges import near_edges
from raynef.segment.patch_map import PatchMap
from raynef.segment.sharpened import sharpened_clusters
from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import Windows, sliding_windows
from raynef.stores.kept import TapCache
from raynef.work.reading import Example, Examples, Scoring


@dataclass(frozen=True)
class CrfInput:
    """One image on its way to the CRF: its patch logits, and what makes pixels of them."""

    example: Example
    logits: np.ndarray
    windows: Windows
    grid: tuple[int, int]
    cell: tuple[float, float]


@dataclass(frozen=True)
class Counted:
    """The tables of a unit; where a CRF is to follow, what it works on.

    Attributes:
        tables: as of ``Counts``, and likewise ``near``.
    """

    tables: np.ndarray
    near: np.ndarray
    skipped: dict[str, str]
    mistake: str | None
    num_images: int
    sharpenings: list[CrfInput] = field(default_factory=list)


class CountingActor:
    """Actor: segments the images of a unit and counts cluster against class."""

    def __init__(
        self, segmenter: str, device: str, *, scoring: Scoring, kept: str | None = None
    ) -> None:
        self.segmenter, self.scoring = Segmenter.load(segmenter, device=device), scoring
        self.taps = TapCache(self.segmenter, kept)

    def __call__(self, read: Examples) -> Counted:
        config, shape = self.scoring.config, self.scoring.shape
        tables, near = np.zeros((2, *shape), dtype=np.int64)
        sharpenings: list[CrfInput] = []
        mistake = read.mistake
        try:
            for examples, windows in _batches(read.examples, config, self.segmenter):
                logits, grid = self.logits(examples, windows, config.batch_size)
                cell = self.segmenter.cell(windows.window)
                size = examples[0].label.shape
                rows, columns = windows.matrices(grid, size, cell=cell)
                maps = upsample_argmax(logits, rows, columns).cpu().numpy()
                for example, clusters in zip(examples, maps, strict=True):
                    whole, edges = _tables(clusters, example, self.scoring)
                    tables[0] += whole
                    near[0] += edges
                if config.crf:
                    sharpenings += [
                        CrfInput(example, image, windows, grid, cell)
                        for example, image in zip(examples, logits.cpu().numpy(), strict=True)
                    ]
        except UserError as error:
            mistake = str(error)
        return Counted(tables, near, read.skipped, mistake, read.num_images, sharpenings)

    def logits(
        self, examples: list[Example], windows: Windows, batch_size: int
    ) -> tuple[Tensor, tuple[int, int]]:
        """Joined patch logits [B, Σh, Σw, K], and the grid (h, w) of one window."""
        crops = np.concatenate([windows.cut(example.small) for example in examples])
        parts = []
        for start in range(0, len(crops), batch_size):
            padded = self.segmenter.padded(crops[start : start + batch_size])
            parts.append(self.segmenter.logits(self.taps(padded), padded.shape[1:3]))
        images = torch.cat(parts).unflatten(0, (len(examples), -1))
        grid = (images.shape[2], images.shape[3])
        return torch.stack([windows.join(image) for image in images]), grid


def _batches(
    examples: list[Example], config: Evaluate, segmenter: Segmenter
) -> Iterator[tuple[list[Example], Windows]]:
    """Images of one size go through the backbone together, at most a batch of windows or so."""
    alike: dict[tuple[tuple[int, ...], ...], list[Example]] = {}
    for example in examples:
        alike.setdefault((example.small.shape, example.label.shape), []).append(example)
    for group in alike.values():
        size = group[0].small.shape[:2]
        windows = segmenter.windows(size)
        if config.protocol == "sliding":
            windows = sliding_windows(size, window=config.window, stride=config.stride)
        step = max(1, config.batch_size // windows.count)
        for start in range(0, len(group), step):
            yield group[start : start + step], windows


def count_sharpened(counted: Counted, *, scoring: Scoring) -> Counted:
    """Task: the CRF of each image of a unit, and cluster against class after it."""
    tables, near, mistake = counted.tables.copy(), counted.near.copy(), counted.mistake
    try:
        for item in counted.sharpenings:
            assert item.example.full is not None
            best = sharpened_clusters(
                item.example.full,
                PatchMap(torch.from_numpy(item.logits), item.windows, item.grid, item.cell),
                num_top=scoring.config.crf_clusters,
                temperature=scoring.temperature,
            )
            whole, edges = _tables(best, item.example, scoring)
            tables[1] += whole
            near[1] += edges
    except UserError as error:
        mistake = str(error)
    return replace(counted, tables=tables, near=near, mistake=mistake, sharpenings=[])


def _tables(clusters: np.ndarray, example: Example, scoring: Scoring) -> np.ndarray:
    """Of all pixels of an image, and of those near an edge of its truth, int64 [2, K, C]."""
    _, num_clusters, num_classes = scoring.shape
    label, distance = example.label, scoring.config.boundary
    found = np.zeros((2, num_clusters, num_classes), dtype=np.int64)
    parts = [(clusters, label)]
    if distance:
        near = near_edges(label, distance)
        parts.append((clusters[near], label[near]))
    for part, (of, against) in enumerate(parts):
        found[part] = contingency(
            of, against, num_clusters=num_clusters, num_classes=num_classes, name=example.name
        )
    return found
