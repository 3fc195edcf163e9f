"""Backbone outputs of scored images, kept on disk: trials of a sweep score the same images.

FOLDER/BACKBONE/HASH.npy     taps of one crop, by the hash of its pixels
"""

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raynef.config.recipe import fingerprint
from raynef.io.files import write_atomic
from raynef.models.segmenter import Segmenter

logger = logging.getLogger("raynef")

_MOST_BYTES = 16 << 30


class TapCache:
    """Taps of a segmenter's backbone, computed once for each crop.

    They are kept as they were computed, so that scores are the same to the last bit. Beyond
    ``most_bytes``, or where the disk is full, crops are computed each time.

    Args:
        segmenter: whose backbone computes.
        folder: shared by processes that score the same images; None keeps nothing.
        most_bytes: of all files of one backbone.
    """

    def __init__(
        self, segmenter: Segmenter, folder: str | Path | None, *, most_bytes: int = _MOST_BYTES
    ) -> None:
        self.segmenter = segmenter
        self.folder: Path | None = None
        self.room = 0
        if folder is not None:
            config, precision = segmenter.backbone_config, segmenter.precision
            made_by = [config.name, segmenter.backbone_weights(), config.tap]
            made_by += [] if precision == "float32" else [precision]
            self.folder = Path(folder) / fingerprint(made_by)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.room = most_bytes - sum(file.stat().st_size for file in self.folder.glob("*.npy"))

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Taps of crops of one size: uint8 [B, H, W, 3] -> [B, T, h·w, D], on its device."""
        if self.folder is None:
            return self.segmenter.taps(pixels)
        files = [self.folder / f"{_hash(crop)}.npy" for crop in pixels]
        found = [_read(file) for file in files]
        missing = [index for index, taps in enumerate(found) if taps is None]
        computed = self.segmenter.taps(pixels[missing]).cpu().numpy() if missing else ()
        for index, taps in zip(missing, computed, strict=True):
            found[index] = taps
            self._keep(files[index], taps)
        stacked = np.stack([taps for taps in found if taps is not None])
        return torch.from_numpy(stacked).to(self.segmenter.device)

    def _keep(self, file: Path, taps: np.ndarray) -> None:
        if taps.nbytes > self.room:
            return
        try:
            write_atomic(file, lambda path: _save(path, taps))
            self.room -= taps.nbytes
        except OSError as error:
            logger.warning("features of scored images are kept no more: %s", error)
            self.room = 0


def _save(path: Path, taps: np.ndarray) -> None:
    with path.open("wb") as handle:  # np.save would add an ending to the name
        np.save(handle, taps)


def _read(file: Path) -> np.ndarray | None:
    """What was kept; None where there is nothing, or half a file."""
    try:
        return np.load(file) if file.is_file() else None
    except (OSError, ValueError, EOFError):
        return None


def _hash(crop: np.ndarray) -> str:
    digest = hashlib.blake2b(np.ascontiguousarray(crop).tobytes(), digest_size=16)
    digest.update(repr(crop.shape).encode())
    return digest.hexdigest()
