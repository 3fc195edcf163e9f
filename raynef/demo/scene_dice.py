"""Named random draws, and the colors that a scene draws from."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from raynef.demo.scene_textures import Rgb

Option = TypeVar("Option")

# Red, green and blue in percent; a color that stands twice is drawn twice as often.
_PALETTES = {
    "meadow": "24 38 12, 32 42 14, 20 33 14",
    "autumn": "62 34 8, 66 50 12, 48 17 8",
    "brick": "55 25 18, 62 38 26, 42 28 24, 70 58 42",
    "plaster": "85 76 55, 86 62 50, 80 80 78, 55 66 72, 72 42 34, 62 72 58, 90 86 78",
    "stone": "60 57 50, 52 52 53, 70 62 48",
    "siding": "86 86 84, 40 52 62, 62 20 16, 72 68 50",
    "panel": "62 62 60, 74 70 64, 48 50 54",
    "glass": "34 40 46, 26 34 36, 46 46 44",
    "trim": "85 84 80, 85 84 80, 35 30 26",
    "pane": "20 27 34, 14 17 20, 30 40 50",
    "awning": "70 14 12, 12 38 24, 80 72 55, 15 25 50",
    "tiles": "55 26 17, 34 22 18, 30 32 35, 45 36 28",
    "paint": "85 85 84, 60 62 64, 10 10 12, 66 8 8, 10 22 52, 85 62 10, 12 36 26, 80 34 10, "
    "30 55 70, 42 32 22",
    "clothes": "75 12 12, 12 28 62, 85 83 78, 13 13 15, 85 65 12, 18 45 28, 55 25 50, 85 45 50, "
    "45 60 75",
    "trousers": "14 18 32, 10 10 11, 50 44 34, 30 31 33",
    "skin": "86 66 54, 72 50 37, 45 29 20, 92 74 62",
    "hair": "10 7 5, 30 18 9, 62 45 22, 55 53 50",
    "flower": "88 12 14, 95 78 10, 90 40 62, 93 92 90, 55 30 75, 95 50 10, 42 42 85",
    "rock": "42 39 37, 48 40 32",
    "slabs": "52 50 47, 58 50 42, 42 42 44",
    "water": "6 14 18, 8 16 12, 5 12 24",
    "dirt": "56 45 32, 62 56 46, 45 38 32",
    "asphalt": "27 27 28, 36 36 37, 33 31 29",
    "line": "86 86 82, 86 86 82, 85 68 20",
}


class Dice:
    """Named draws from one generator, and the palette of the scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.season = self.pick(("summer", "summer", "summer", "spring", "autumn"))
        self.meadow = self.color("meadow")

    def real(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.rng.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """A uniform integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < share)

    def pick(self, options: Sequence[Option]) -> Option:
        """One of several options."""
        return options[int(self.rng.integers(len(options)))]

    def sign(self) -> int:
        """-1 or 1."""
        return 1 if self.chance(0.5) else -1

    def shade(self, palette: str) -> Rgb:
        """One of the colors of a palette."""
        r, g, b = (int(part) / 100 for part in self.pick(_PALETTES[palette].split(", ")).split())
        return r, g, b

    def vary(self, rgb: Rgb, amount: float = 0.15) -> Rgb:
        """A color near ``rgb``."""
        bright = self.real(1 - amount, 1 + amount)
        half = amount / 2
        r, g, b = (c * bright * self.real(1 - half, 1 + half) for c in rgb)
        return r, g, b

    def color(self, palette: str, amount: float = 0.15) -> Rgb:
        """A color near one of a palette."""
        return self.vary(self.shade(palette), amount)

    def leaves(self, kind: str) -> Rgb:
        """Color of a tree's crown in this season."""
        if kind == "conifer":
            return self.vary((0.12, 0.24, 0.14), 0.25)
        if self.season == "autumn" and self.chance(0.7):
            return self.color("autumn")
        fresh = (0.36, 0.46, 0.14) if self.season == "spring" else (0.20, 0.36, 0.10)
        return self.vary(fresh, 0.25)
