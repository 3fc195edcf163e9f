"""A segmenter as a service uses it: encoded images in, cluster maps out, several side by side."""

import asyncio
import logging
import queue
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from raynef.core.errors import BadImageError, TooManyPixelsError
from raynef.images.decode import decode_image
from raynef.models.segmenter import Segmenter
from raynef.web.answers import Answer, Meaning, Refusal, Wanted, encode
from raynef.web.batcher import Batcher

logger = logging.getLogger("raynef")


@dataclass(frozen=True)
class Seen:
    """An image as the segmenter sees it.

    Attributes:
        pixels: uint8 [h, w, 3].
        size: (H, W) of the image itself, and so of its map.
    """

    pixels: np.ndarray
    size: tuple[int, int]


@dataclass(frozen=True)
class Found:
    """What became of an image in a batch.

    Attributes:
        clusters: uint16 [H, W]; None where the segmenter failed on it.
        batch_size: images of the batch.
    """

    clusters: np.ndarray | None
    batch_size: int


class Lanes:
    """A segmenter that works on the images of a batch side by side.

    On a CPU an image goes through alone, as in ``raynef predict``, on its share of the threads:
    together, images are slower than one after another, and sums are rounded otherwise. With another
    number of threads they are rounded otherwise too, which changes a pixel only where two clusters
    are as good as equal. On a GPU images that are seen at one size go through together.

    Args:
        segmenter: where it shall run.
        threads: of the CPU, for all lanes together.
        most: lanes, at most.
    """

    def __init__(self, segmenter: Segmenter, *, threads: int, most: int) -> None:
        self._segmenter, self._threads = segmenter, threads
        self._count = max(1, min(threads, most)) if segmenter.device.type == "cpu" else 1
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="lane")

    def __call__(self, batch: Sequence[Seen]) -> list[Found]:
        """The images of a batch, one batch at a time."""
        if self._segmenter.device.type == "cpu":
            maps = self._side_by_side(batch)
        else:
            maps = _together(self._segmenter, batch)
        return [Found(clusters, len(batch)) for clusters in maps]

    def _side_by_side(self, batch: Sequence[Seen]) -> list[np.ndarray | None]:
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(batch)):
            waiting.put(index)
        maps: list[np.ndarray | None] = [None] * len(batch)
        lanes = min(self._count, len(batch))

        def work() -> None:
            torch.set_num_threads(self._threads // lanes)
            while True:
                try:
                    index = waiting.get_nowait()
                except queue.Empty:
                    return
                maps[index] = _alone(self._segmenter, batch[index])

        for done in [self._pool.submit(work) for _ in range(lanes)]:
            done.result()
        return maps


def _alone(segmenter: Segmenter, image: Seen) -> np.ndarray | None:
    try:
        return segmenter.clusters(image.pixels[None], image.size)[0]
    except Exception:  # of this image alone: those beside it are answered
        logger.exception("an image of %d×%d pixels could not be segmented", *image.size)
        return None


def _together(segmenter: Segmenter, batch: Sequence[Seen]) -> list[np.ndarray | None]:
    """A pass for each size, or, where that fails, for each image."""
    alike: defaultdict[tuple[tuple[int, ...], tuple[int, int]], list[int]] = defaultdict(list)
    for index, image in enumerate(batch):
        alike[image.pixels.shape, image.size].append(index)
    maps: list[np.ndarray | None] = [None] * len(batch)
    for (_, size), members in alike.items():
        try:
            found = list(segmenter.clusters(np.stack([batch[i].pixels for i in members]), size))
        except RuntimeError as error:  # such as of a GPU that is full
            logger.warning("%d images at once failed: %s", len(members), error)
            found = [_alone(segmenter, batch[i]) for i in members]
        for index, clusters in zip(members, found, strict=True):
            maps[index] = clusters
    return maps


class Served:
    """All that is between the bytes of an image and those of its answer.

    Images are decoded and encoded in threads of their own, beside those of the model.

    Args:
        segmenter: where it shall run.
        threads: of the CPU.
        most_at_once: images of a batch.
        most_pixels: of an image that is decoded.
    """

    def __init__(
        self, segmenter: Segmenter, *, threads: int, most_at_once: int, most_pixels: int
    ) -> None:
        self._segmenter, self._most_pixels = segmenter, most_pixels
        self._meaning = Meaning.of(segmenter)
        lanes = Lanes(segmenter, threads=threads, most=most_at_once)
        self._segment = Batcher(lanes, most=most_at_once)
        self._codec = ThreadPoolExecutor(max(2, threads), thread_name_prefix="codec")

    async def answer(self, encoded: bytes, wanted: Wanted) -> Answer | Refusal:
        """The answer to one image, or why there is none."""
        loop = asyncio.get_running_loop()
        try:
            seen = await loop.run_in_executor(self._codec, self._see, encoded)
        except TooManyPixelsError as error:
            return Refusal(413, f"the image is {error}")
        except BadImageError as error:
            return Refusal(422, f"the image cannot be read: {error}")
        found = await self._segment(seen)
        if found.clusters is None:
            return Refusal(500, "the image could not be segmented; the log says why")
        body = await loop.run_in_executor(
            self._codec, encode, found.clusters, wanted, self._meaning
        )
        return Answer(body, found.batch_size)

    def _see(self, encoded: bytes) -> Seen:
        """Decode an image and make it as large as it is seen: the rest of it can go."""
        pixels = decode_image(encoded, most_pixels=self._most_pixels)
        return Seen(self._segmenter.seen(pixels), (pixels.shape[0], pixels.shape[1]))
