"""An image that is read a few rows at a time, as it is too large to be held."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Rows of pixels.

    Attributes:
        pixels: RGB, uint8 [h, W, 3].
        valid: where there is something to see, bool [h, W].
    """

    pixels: np.ndarray
    valid: np.ndarray


class Scene(Protocol):
    """What gives its rows."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), in pixels."""
        ...

    def read(self, top: int, bottom: int) -> Rows:
        """The rows from ``top`` to before ``bottom``."""
        ...
