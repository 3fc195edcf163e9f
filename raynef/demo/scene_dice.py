"""Named random draws: the palette of a scene, houses, trees, vehicles, people and ridges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from raynef.demo.scene_backdrop import GroundLayer, Ridge, Water
from raynef.demo.scene_built import Building, Facade
from raynef.demo.scene_canvas import Label
from raynef.demo.scene_nature import FlowerBed, Tree, TreeBelt, plant
from raynef.demo.scene_people import Person
from raynef.demo.scene_textures import Field, Rgb, grass, paving
from raynef.demo.scene_vehicles import Vehicle

Option = TypeVar("Option")


class Dice:
    """Named draws from one generator, and the palette of the scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.season = self.pick(("summer", "summer", "summer", "spring", "autumn"))
        self.meadow = self.vary(
            self.pick(((0.24, 0.38, 0.12), (0.32, 0.42, 0.14), (0.20, 0.33, 0.14)))
        )

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

    def vary(self, rgb: Rgb, amount: float = 0.15) -> Rgb:
        """A color near ``rgb``."""
        bright = self.real(1 - amount, 1 + amount)
        half = amount / 2
        r, g, b = (c * bright * self.real(1 - half, 1 + half) for c in rgb)
        return r, g, b

    def leaves(self, kind: str) -> Rgb:
        """Color of a tree's crown in this season."""
        if kind == "conifer":
            return self.vary((0.12, 0.24, 0.14), 0.25)
        if self.season == "autumn" and self.chance(0.7):
            return self.vary(
                self.pick(((0.62, 0.34, 0.08), (0.66, 0.50, 0.12), (0.48, 0.17, 0.08)))
            )
        fresh = (0.36, 0.46, 0.14) if self.season == "spring" else (0.20, 0.36, 0.10)
        return self.vary(fresh, 0.25)

    def tree(
        self, x: float, z: float, *, height: tuple[float, float] = (5, 11), kind: str = ""
    ) -> Tree:
        """A tree of any kind, or of the kind given."""
        kind = kind or self.pick(("round", "round", "round", "poplar", "conifer"))
        return plant(
            self.rng, kind=kind, x=x, z=z, height=self.real(*height), rgb=self.leaves(kind)
        )

    def belt(
        self, x0: float, x1: float, z: float, height: tuple[float, float] = (6, 14)
    ) -> TreeBelt:
        """The edge of a wood."""
        pointed = self.chance(0.4)
        rgb = self.leaves("conifer" if pointed else "round")
        return TreeBelt(x0, x1, z, self.real(*height), rgb, pointed)

    def facade(self, *, shop: float = 0.3) -> Facade:
        """Walls and windows of a house."""
        wall = self.pick(
            ("brick", "brick", "plaster", "plaster", "stone", "siding", "panel", "glass")
        )
        colors: dict[str, tuple[Rgb, ...]] = {
            "brick": (
                (0.55, 0.25, 0.18), (0.62, 0.38, 0.26), (0.42, 0.28, 0.24), (0.70, 0.58, 0.42)),
            "plaster": (
                (0.85, 0.76, 0.55), (0.86, 0.62, 0.50), (0.80, 0.80, 0.78), (0.55, 0.66, 0.72),
                (0.72, 0.42, 0.34), (0.62, 0.72, 0.58), (0.90, 0.86, 0.78)),
            "stone": ((0.60, 0.57, 0.50), (0.52, 0.52, 0.53), (0.70, 0.62, 0.48)),
            "siding": (
                (0.86, 0.86, 0.84), (0.40, 0.52, 0.62), (0.62, 0.20, 0.16), (0.72, 0.68, 0.50)),
            "panel": ((0.62, 0.62, 0.60), (0.74, 0.70, 0.64), (0.48, 0.50, 0.54)),
            "glass": ((0.34, 0.40, 0.46), (0.26, 0.34, 0.36), (0.46, 0.46, 0.44)),
        }  # fmt: skip
        modern = wall in ("panel", "glass")
        return Facade(
            wall=wall,
            rgb=self.vary(self.pick(colors[wall])),
            trim=self.vary(self.pick(((0.85, 0.84, 0.80), (0.85, 0.84, 0.80), (0.35, 0.30, 0.26)))),
            glass=self.vary(
                self.pick(((0.20, 0.27, 0.34), (0.14, 0.17, 0.20), (0.30, 0.40, 0.50)))
            ),
            awning=self.vary(
                self.pick(
                    ((0.70, 0.14, 0.12), (0.12, 0.38, 0.24), (0.80, 0.72, 0.55), (0.15, 0.25, 0.5))
                )
            ),
            floor=self.real(2.7, 3.6),
            bay=self.real(1.5, 2.2) if modern else self.real(1.9, 3.2),
            open_width=self.real(0.7, 0.86) if modern else self.real(0.36, 0.56),
            open_height=self.real(0.5, 0.72) if modern else self.real(0.44, 0.62),
            shop=self.chance(shop) and not modern,
            salt=self.count(0, 60),
        )

    def building(
        self,
        x0: float,
        x1: float,
        z0: float,
        z1: float,
        *,
        floors: tuple[int, int],
        shop: float = 0.3,
        pitched: float = 0.5,
    ) -> Building:
        """A house on a given plot."""
        facade = self.facade(shop=shop)
        height = facade.floor * self.count(*floors) + 0.4
        wide = z1 - z0
        roof = (
            self.real(0.2, 0.45) * min(wide, 9)
            if self.chance(pitched) and facade.wall != "glass"
            else 0.0
        )
        tiles = self.pick(
            ((0.55, 0.26, 0.17), (0.34, 0.22, 0.18), (0.30, 0.32, 0.35), (0.45, 0.36, 0.28))
        )
        return Building(x0, x1, z0, z1, height, roof, self.vary(tiles), facade)

    def vehicle(self, x: float, z: float, heading: str, *, large: float = 0.15) -> Vehicle:
        """A car, or with probability ``large`` a bus or truck."""
        kind = (
            self.pick(("bus", "truck"))
            if self.chance(large)
            else self.pick(("hatchback", "sedan", "sedan", "van"))
        )
        paints: tuple[Rgb, ...] = (
            (0.85, 0.85, 0.84), (0.60, 0.62, 0.64), (0.10, 0.10, 0.12), (0.66, 0.08, 0.08),
            (0.10, 0.22, 0.52),
            (0.85, 0.62, 0.10), (0.12, 0.36, 0.26), (0.80, 0.34, 0.10), (0.30, 0.55, 0.70),
            (0.42, 0.32, 0.22),
        )  # fmt: skip
        return Vehicle(
            kind, x, z, heading, self.vary(self.pick(paints)), self.vary(self.pick(paints))
        )

    def person(self, x: float, z: float) -> Person:
        """Somebody with clothes of any color."""
        clothes: tuple[Rgb, ...] = (
            (0.75, 0.12, 0.12), (0.12, 0.28, 0.62), (0.85, 0.83, 0.78), (0.13, 0.13, 0.15),
            (0.85, 0.65, 0.12),
            (0.18, 0.45, 0.28), (0.55, 0.25, 0.50), (0.85, 0.45, 0.50), (0.45, 0.60, 0.75),
        )  # fmt: skip
        lower: tuple[Rgb, ...] = (
            (0.14, 0.18, 0.32),
            (0.10, 0.10, 0.11),
            (0.50, 0.44, 0.34),
            (0.30, 0.31, 0.33),
        )
        skin = self.pick(
            ((0.86, 0.66, 0.54), (0.72, 0.50, 0.37), (0.45, 0.29, 0.20), (0.92, 0.74, 0.62))
        )
        hair = self.pick(
            ((0.10, 0.07, 0.05), (0.30, 0.18, 0.09), (0.62, 0.45, 0.22), (0.55, 0.53, 0.50))
        )
        skirt = self.chance(0.25)
        walking = self.chance(0.65)
        return Person(
            x=x,
            z=z,
            height=self.real(1.55, 1.9) if self.chance(0.85) else self.real(1.05, 1.4),
            stride=self.real(0.1, 0.24) if walking else 0.02,
            swing=self.real(-0.16, 0.16) if walking else 0.0,
            shirt=self.vary(self.pick(clothes)),
            trousers=self.vary(self.pick(clothes if skirt else lower)),
            skin=self.vary(skin, 0.08),
            hair=self.vary(hair),
            skirt=skirt,
        )

    def flowers(
        self, x0: float, x1: float, z0: float, z1: float, *, tall: float = 0.0
    ) -> FlowerBed:
        """A bed of one to three colors of flower."""
        palette: tuple[Rgb, ...] = (
            (0.88, 0.12, 0.14), (0.95, 0.78, 0.10), (0.90, 0.40, 0.62), (0.93, 0.92, 0.90),
            (0.55, 0.30, 0.75),
            (0.95, 0.50, 0.10), (0.42, 0.42, 0.85),
        )  # fmt: skip
        colors = tuple(self.pick(palette) for _ in range(self.count(1, 3)))
        tall = tall or self.real(0.3, 0.6)
        return FlowerBed(x0, x1, z0, z1, tall, colors, self.real(0.09, 0.16), self.real(0.55, 0.85))

    def ridges(self, *, share: float) -> list[Ridge]:
        """Mountains on the horizon with probability ``share``, far ones first."""
        out = []
        if not self.chance(share):
            return out
        for z in sorted((self.real(700, 1500) for _ in range(self.count(1, 3))), reverse=True):
            kind = self.pick(("rock", "rock", "forest"))
            rgb = (
                (0.16, 0.25, 0.15)
                if kind == "forest"
                else self.pick(((0.42, 0.39, 0.37), (0.48, 0.40, 0.32)))
            )
            height = z * self.real(0.07, 0.2) * (0.6 if kind == "forest" else 1)
            snow = height * self.real(0.7, 1.6) if self.chance(0.6) else 1e6
            out.append(
                Ridge(
                    kind,
                    z,
                    0.01 * z,
                    height,
                    z * self.real(2.2, 4.5),
                    self.real(0, 20),
                    self.vary(rgb),
                    snow,
                )
            )
        return out

    def hills(self) -> list[Ridge]:
        """A rolling pasture or two in front of the mountains."""
        depths = sorted((self.real(150, 420) for _ in range(self.count(1, 2))), reverse=True)
        return [
            Ridge(
                "meadow",
                z,
                0.0,
                z * self.real(0.02, 0.05),
                z * self.real(5, 8),
                self.real(0, 20),
                self.meadow,
                1e6,
            )
            for z in depths
        ]

    def lawn(self) -> GroundLayer:
        """Grass over the whole ground."""
        rows = self.real(1.0, 2.5) if self.chance(0.3) else 0.0
        dry = self.vary((0.50, 0.46, 0.20))
        return GroundLayer(
            Label.GRASS, everywhere, partial(grass, rgb=self.meadow, dry=dry, rows=rows)
        )

    def slabs(self, where: Callable[[Field, Field], Field]) -> GroundLayer:
        """Paved ground."""
        rgb = self.vary(self.pick(((0.52, 0.50, 0.47), (0.58, 0.50, 0.42), (0.42, 0.42, 0.44))))
        return GroundLayer(
            Label.ROAD, where, partial(paving, rgb=rgb, size=self.pick((0.25, 0.4, 0.8)))
        )

    def water(self, mirror: Callable[[Field, Field], Field]) -> Water:
        """Calm to choppy water, clear or green."""
        deep = self.vary(self.pick(((0.06, 0.14, 0.18), (0.08, 0.16, 0.12), (0.05, 0.12, 0.24))))
        return Water(deep, self.real(0.3, 1.3), mirror)


def everywhere(x: Field, z: Field) -> Field:
    """The whole ground."""
    return np.ones(len(x), bool)
