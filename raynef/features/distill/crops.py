"""What a step sees: random crops of unlabeled images, the same for the same (seed, step)."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from raynef.core.draws import generator
from raynef.core.errors import BadImageError, UserError
from raynef.features.distill.config import DistillConfig

_log = logging.getLogger(__name__)

ReadImage = Callable[[Path], np.ndarray]
"""A path to RGB, uint8 [H, W, 3]; raises ``BadImageError``."""


@dataclass(frozen=True)
class ImageSource:
    """Some images and their share of the crops."""

    paths: tuple[Path, ...]
    weight: float = 1.0
    """Relative to the other sources' weights, whatever the number of images."""


class Crops:
    """Random square crops of all sources; those that cannot be read are ``skipped``, by path."""

    def __init__(
        self, sources: Sequence[ImageSource], read_image: ReadImage, config: DistillConfig
    ) -> None:
        sources = [source for source in sources if source.paths and source.weight > 0]
        if not sources:
            raise UserError("no images to distill on: give a folder that holds some")
        self.sources, self.read_image, self.config = sources, read_image, config
        self.shares = _normalized([source.weight for source in sources])
        self.skipped: dict[str, str] = {}
        self._cache: dict[Path, np.ndarray] = {}
        self._room = config.cache_mb * 2**20

    def batch(self, *keys: int | str) -> Tensor:
        """Crops for ``(..., step)``: [B, 3, S, S] in [0, 1]."""
        config = self.config
        draw = generator("distill", config.seed, *keys)
        sides, shares = zip(*config.crop_sizes, strict=True)
        side = int(draw.choice(sides, p=_normalized(shares)))
        number = max(1, round(config.batch_size * (min(sides) / side) ** 2))
        pixels = np.stack([self._crop(side, draw) for _ in range(number)])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous() / 255.0
        images = _jitter(images, config.jitter, draw)
        return _cutmix(images, draw) if draw.random() < config.cutmix else images

    def _crop(self, side: int, draw: np.random.Generator) -> np.ndarray:
        image = self._image(draw)
        height, width = image.shape[:2]
        area = height * width * draw.uniform(*self.config.crop_scale)
        narrow, wide_ratio = self.config.crop_ratio
        ratio = math.exp(draw.uniform(math.log(narrow), math.log(wide_ratio)))
        wide = min(width, math.sqrt(area * ratio))
        high = min(height, math.sqrt(area / ratio))
        left, top = draw.uniform(0, width - wide), draw.uniform(0, height - high)
        box = (left, top, left + wide, top + high)
        resized = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR, box=box)
        crop = np.asarray(resized)
        return crop[:, ::-1] if draw.random() < 0.5 else crop

    def _image(self, draw: np.random.Generator) -> np.ndarray:
        """A random image; one that cannot be read is noted and another drawn."""
        total = sum(len(source.paths) for source in self.sources)
        while len(self.skipped) < total:
            source = self.sources[int(draw.choice(len(self.sources), p=self.shares))]
            path = source.paths[int(draw.integers(len(source.paths)))]
            if path in self._cache:
                return self._cache[path]
            if str(path) in self.skipped:
                continue
            try:
                image = self.read_image(path)
            except BadImageError as error:
                self.skipped[str(path)] = str(error)
                _log.warning("skipped %s: %s", path, error)
                continue
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self._cache[path] = image
            return image
        first = ": ".join(next(iter(self.skipped.items())))
        raise UserError(f"none of the {total} images can be read; the first: {first}")


def _normalized(weights: Sequence[float]) -> np.ndarray:
    shares = np.array(weights, dtype=np.float64)
    return shares / shares.sum()


def _jitter(images: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """Brightness, contrast and saturation of each image on its own: [B, 3, S, S] in [0, 1]."""
    low, high = 1 - strength, 1 + strength
    factors = torch.from_numpy(draw.uniform(low, high, (3, len(images), 1, 1, 1))).float()
    bright, contrast, saturation = factors
    images = images * bright
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    gray = images.mean(dim=1, keepdim=True)
    return (gray + (images - gray) * saturation).clamp(0, 1)


def _cutmix(images: Tensor, draw: np.random.Generator) -> Tensor:
    """Paste one random rectangle of every image into the next: [B, 3, S, S]."""
    side = images.shape[-1]
    high, wide = (draw.uniform(0.25, 0.75, 2) * side).astype(int)
    top, left = int(draw.integers(side - high + 1)), int(draw.integers(side - wide + 1))
    mixed = images.clone()
    rows, columns = slice(top, top + high), slice(left, left + wide)
    mixed[:, :, rows, columns] = images.roll(1, dims=0)[:, :, rows, columns]
    return mixed
