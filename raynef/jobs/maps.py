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
from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.imageset import LabelCodes
from raynef.images.decode import decode_image, read_encoded, stored_in
from raynef.images.geometry import for_scoring
from raynef.images.oriented import read_truth
from raynef.jobs.work import ImageUnit
from raynef.models.segmenter import Segmenter
from raynef.segment.crf import dense_crf
from raynef.segment.probabilities import top_probabilities
from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import Windows, sliding_windows
from raynef.stores.kept import TapCache


@dataclass(frozen=True)
class Scoring:
    """How the images of a split are scored.

    Attributes:
        config: the protocol.
        codes: of the labels, as in ``ImageSet``.
        shape: of the tables, [1, K, C]; with a CRF [2, K, C], the second after it.
        temperature: of the softmax that the CRF starts from.
    """

    config: Evaluate
    codes: LabelCodes
    shape: tuple[int, int, int]
    temperature: float = 1.0


@dataclass(frozen=True)
class Example:
    """One image: ``small`` as the backbone sees it, ``label`` and ``full`` as they are scored."""

    name: str
    small: np.ndarray
    label: np.ndarray
    full: np.ndarray | None


@dataclass(frozen=True)
class Examples:
    """The images of a unit that could be read, and what is wrong with the first bad label."""

    examples: list[Example]
    skipped: dict[str, str]
    mistake: str | None
    num_images: int


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
    """The tables of a unit; where a CRF is to follow, what it works on."""

    tables: np.ndarray
    skipped: dict[str, str]
    mistake: str | None
    num_images: int
    sharpenings: list[CrfInput] = field(default_factory=list)


def read_examples(unit: ImageUnit, *, scoring: Scoring) -> Examples:
    """Task: read images and labels, and bring them to the sizes at which they are seen."""
    config = scoring.config
    crop = config.crop if config.protocol == "reco" else None
    examples, skipped, mistake = [], {}, None
    for file in unit.files:
        try:
            encoded = read_encoded(file.path)
            image = decode_image(encoded)
        except BadImageError as error:
            skipped[file.name] = str(error)
            continue
        try:
            label = read_truth(file, scoring.codes, stored=stored_in(encoded))
            small, label = for_scoring(
                image, label, short_side=config.short_side, crop=crop, name=file.name
            )
        except UserError as error:  # carried to the driver: an exception here would be retried
            mistake = str(error)
            break
        full = (image if crop is None else small) if config.crf else None
        examples.append(Example(file.name, small, _compact(label), full))
    return Examples(examples, skipped, mistake, len(unit.files))


def _compact(label: np.ndarray) -> np.ndarray:
    """A label in 8 bits where it fits: less to carry."""
    fits = label.size and label.min() >= 0 and label.max() <= np.iinfo(np.uint8).max
    return label.astype(np.uint8) if fits else label


class CountingActor:
    """Actor: segments the images of a unit and counts cluster against class."""

    def __init__(
        self, segmenter: str, device: str, *, scoring: Scoring, kept: str | None = None
    ) -> None:
        self.segmenter, self.scoring = Segmenter.load(segmenter, device=device), scoring
        self.taps = TapCache(self.segmenter, kept)

    def __call__(self, read: Examples) -> Counted:
        config, shape = self.scoring.config, self.scoring.shape
        tables = np.zeros(shape, dtype=np.int64)
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
                    tables[0] += _table(clusters, example, shape)
                if config.crf:
                    sharpenings += [
                        CrfInput(example, image, windows, grid, cell)
                        for example, image in zip(examples, logits.cpu().numpy(), strict=True)
                    ]
        except UserError as error:
            mistake = str(error)
        return Counted(tables, read.skipped, mistake, read.num_images, sharpenings)

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
        step = max(1, config.batch_size // (len(windows.tops) * len(windows.lefts)))
        for start in range(0, len(group), step):
            yield group[start : start + step], windows


def count_sharpened(counted: Counted, *, scoring: Scoring) -> Counted:
    """Task: the CRF of each image of a unit, and cluster against class after it."""
    tables, mistake = counted.tables.copy(), counted.mistake
    try:
        for item in counted.sharpenings:
            size = item.example.label.shape
            assert item.example.full is not None
            rows, columns = item.windows.matrices(item.grid, size, cell=item.cell)
            clusters, log_probabilities = top_probabilities(
                torch.from_numpy(item.logits),
                rows,
                columns,
                num_top=scoring.config.crf_clusters,
                temperature=scoring.temperature,
            )
            sharpened = dense_crf(item.example.full, log_probabilities.numpy())
            best = clusters.numpy()[sharpened.argmax(axis=0)]
            tables[1] += _table(best, item.example, scoring.shape)
    except UserError as error:
        mistake = str(error)
    return replace(counted, tables=tables, mistake=mistake, sharpenings=[])


def _table(clusters: np.ndarray, example: Example, shape: tuple[int, int, int]) -> np.ndarray:
    return contingency(
        clusters, example.label, num_clusters=shape[1], num_classes=shape[2], name=example.name
    )
