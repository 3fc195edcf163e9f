"""Pixels of cluster against class of a whole split, counted on Ray.

What is kept are sums: memory does not grow with the number of images.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from raynef.cluster.progress import Progress
from raynef.cluster.session import feature_actors
from raynef.cluster.stream import stream
from raynef.config.recipe import Recipe
from raynef.core import IGNORE
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet
from raynef.segment.crf import Temperature
from raynef.work.maps import CountingActor, count_sharpened
from raynef.work.reading import Scoring, read_examples
from raynef.work.units import check_skipped, image_units

MAX_CLASSES = IGNORE  # label files hold 0 … 254


@dataclass(frozen=True)
class Counts:
    """Pixels of cluster against class, [1, K, C] (after the CRF too: [2, K, C]), of so many images.

    ``near``: of those near an edge of the truth alone, where ``evaluate.boundary`` asks for it. The
    rate leaves out the start-up.
    """

    tables: np.ndarray
    near: np.ndarray
    num_images: int
    skipped: dict[str, str]
    images_per_second: float


def count(
    segmenter: str | Path,
    recipe: Recipe,
    images: ImageSet,
    *,
    num_clusters: int,
    temperature: Temperature,
    job: str,
    kept: Path | None = None,
) -> Counts:
    """Count the pixels of all images of a split by the recipe's protocol.

    Args:
        segmenter: its folder.
        recipe: whose ``data`` and ``evaluate`` sections count.
        images: with a label each.
        num_clusters: K.
        temperature: of the softmax that the CRF starts from.
        job: its name, for the line of progress.
        kept: folder of a ``TapCache``, for others who score these images.

    Raises:
        UserError: a label of another size than its image or with a value that is no class, or more
            unreadable files than the recipe allows.
    """
    config = recipe.evaluate
    shape = (2 if config.crf else 1, num_clusters, len(images.class_names) or MAX_CLASSES)
    scoring = Scoring(config, images.label_codes, shape, temperature)
    size = 1 if config.crf else config.batch_size  # CRFs of a unit run one after the other
    tables, near = np.zeros((2, *shape), dtype=np.int64)
    skipped: dict[str, str] = {}
    started = time.monotonic()
    progress = Progress(job, len(images.files), "images")
    results = stream(
        image_units(images.files, size),
        prepare=partial(read_examples, scoring=scoring),
        actor=CountingActor,
        actor_kwargs={
            "segmenter": str(segmenter),
            "scoring": scoring,
            "kept": None if kept is None else str(kept),
        },
        actors=feature_actors(),
        finish=partial(count_sharpened, scoring=scoring) if config.crf else None,
        bounded=True,
        finish_is_slow=config.crf,
    )
    for part in results:
        if part.mistake is not None:
            raise UserError(part.mistake)
        tables += part.tables
        near += part.near
        skipped.update(part.skipped)
        check_skipped(recipe.data, skipped, len(images.files))
        progress.advance(part.num_images)
    rate = progress.rate() or progress.done / (time.monotonic() - started)
    progress.close()
    return Counts(tables, near, len(images.files) - len(skipped), skipped, rate)
