"""Shapes on the ground plane: roads, lakes and canals."""

from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from raynef.demo.scene_backdrop import GroundLayer
from raynef.demo.scene_canvas import Label
from raynef.demo.scene_dice import Dice
from raynef.demo.scene_textures import Field, Rgb, Textures, asphalt, dirt

Number = TypeVar("Number", float, np.ndarray)


@dataclass(frozen=True)
class Lane:
    """A road along the view around ``x = shift + slant z + bend z^2``, in meters."""

    shift: float
    slant: float
    bend: float
    half: float

    def center(self, z: Number) -> Number:
        """Position of the center line at distance z."""
        return self.shift + self.slant * z + self.bend * z * z

    def beside(self, z: Number, side: int, *out: float) -> Number:
        """Position of what stands ``out`` meters outside of the road's edge."""
        return self.center(z) + side * sum(out, self.half)

    def covers(self, x: Field, z: Field) -> Field:
        """Whether ground points lie on the road."""
        return np.abs(x - self.center(z)) < self.half

    def layer(self, dice: Dice, surface: str) -> GroundLayer:
        """The road's ground layer; surface "marked" (asphalt with lines), "asphalt", "dirt"."""
        if surface == "dirt":
            look = partial(self._ruts, rgb=dice.color("dirt"))
        elif surface == "asphalt":
            look = partial(asphalt, rgb=dice.color("asphalt", 0.2))
        else:
            rgb, line = dice.color("asphalt", 0.2), dice.shade("line")
            look = partial(self._marked, rgb=rgb, line=line, dash=dice.pick((0.0, 3.0, 5.0)))
        return GroundLayer(Label.ROAD, self.covers, look)

    def _marked(
        self, tex: Textures, x: Field, z: Field, pixel: Field, *, rgb: Rgb, line: Rgb, dash: float
    ) -> Field:
        color = asphalt(tex, x, z, pixel, rgb=rgb)
        off = x - self.center(z)
        worn = tex.fine(x * 12, z * 12) > -1.4
        middle = np.abs(off) < 0.09
        if dash:
            middle &= z % (2.4 * dash) < dash
        edge = np.abs(np.abs(off) - self.half + 0.35) < 0.08
        color[middle & worn] = line
        color[edge & worn] = (0.82, 0.82, 0.80)
        return color

    def _ruts(self, tex: Textures, x: Field, z: Field, pixel: Field, *, rgb: Rgb) -> Field:
        off = np.abs(x - self.center(z)) / self.half
        rut = np.exp(-(((off - 0.55) / 0.2) ** 2))
        return dirt(tex, x, z, pixel, rgb=rgb) * (1 - 0.18 * rut)[:, None]


@dataclass(frozen=True)
class Shore:
    """A lake from ``near + slant x`` to ``far`` meters, within ``reach`` sideways."""

    near: float
    far: float
    slant: float
    wiggle: float
    reach: float = 1e9

    def covers(self, x: Field, z: Field) -> Field:
        """Whether ground points are under water."""
        waves = np.sin(x * 0.35) + 0.6 * np.sin(x * 0.83 + 1)
        bank = self.near + self.slant * x + self.wiggle * waves
        middle, half = 0.5 * (self.near + self.far), 0.5 * (self.far - self.near)
        side = self.reach * np.sqrt(np.maximum(1 - ((z - middle) / half) ** 2, 0))
        return (z > bank) & (z < self.far) & ((np.abs(x) < side) | (self.reach > 1e8))

    def mirror(self, u: Field, z: Field) -> Field:
        """Distance of the bank behind the water."""
        return np.full_like(z, self.far)


@dataclass(frozen=True)
class Canal:
    """Water along the view between x0 and x1, with a bank wall on its far side."""

    x0: float
    x1: float

    def covers(self, x: Field, z: Field) -> Field:
        """Whether ground points are under water."""
        return (x > self.x0) & (x < self.x1)

    def mirror(self, u: Field, z: Field) -> Field:
        """Distance along the ray to the far bank."""
        far = self.x1 if self.x1 > 0 else self.x0
        return far / np.where(u * far > 1e-4, u, 1e-4 * np.sign(far)).astype(np.float32)


def flood(shape: Shore | Canal) -> GroundLayer:
    """The ground layer of a lake or canal; ``Water`` colors it later."""
    return GroundLayer(Label.WATER, shape.covers, _wet)


def _wet(tex: Textures, x: Field, z: Field, pixel: Field) -> Field:
    """Placeholder color of water until ``Water.paint``."""
    return np.full((len(x), 3), 0.1, np.float32)
