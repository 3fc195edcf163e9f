"""The plan of a scene: what stands where, placed by named draws."""

from collections.abc import Callable
from functools import partial

import numpy as np

from raynef.demo.scene_backdrop import GroundLayer, Ridge, Water
from raynef.demo.scene_built import Building, Facade
from raynef.demo.scene_canvas import Label, Range
from raynef.demo.scene_dice import Dice
from raynef.demo.scene_nature import FlowerBed, Tree, TreeBelt, plant
from raynef.demo.scene_people import Person
from raynef.demo.scene_textures import Field, grass, paving
from raynef.demo.scene_vehicles import Vehicle

Thing = Building | FlowerBed | Person | Tree | TreeBelt | Vehicle


class Plan(Dice):
    """What a scene holds; ``eye`` is the range of camera heights in meters.

    The methods named after a thing draw it and place it; those named after ground, ridges or water
    return what they draw.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.eye: Range = (1.5, 4.5)
        self.ground: list[GroundLayer] = []
        self.ridges: list[Ridge] = []
        self.things: list[Thing] = []
        self.water: Water | None = None

    def tree(self, x: float, z: float, *, height: Range = (5, 11), kind: str = "") -> None:
        """A tree of any kind, or of the kind given."""
        kind = kind or self.pick(("round", "round", "round", "poplar", "conifer"))
        tall, rgb = self.real(*height), self.leaves(kind)
        self.things.append(plant(self.rng, kind=kind, x=x, z=z, height=tall, rgb=rgb))

    def belt(self, x0: float, x1: float, z: float, height: Range = (6, 14)) -> None:
        """The edge of a wood."""
        pointed = self.chance(0.4)
        rgb = self.leaves("conifer" if pointed else "round")
        self.things.append(TreeBelt(x0, x1, z, self.real(*height), rgb, pointed))

    def facade(self, *, shop: float) -> Facade:
        """Walls and windows of a house."""
        wall = self.pick(
            ("brick", "brick", "plaster", "plaster", "stone", "siding", "panel", "glass")
        )
        modern = wall in ("panel", "glass")
        return Facade(
            wall=wall,
            rgb=self.color(wall),
            trim=self.color("trim"),
            glass=self.color("pane"),
            awning=self.color("awning"),
            floor=self.real(2.7, 3.6),
            bay=self.real(1.5, 2.2) if modern else self.real(1.9, 3.2),
            open_width=self.real(0.7, 0.86) if modern else self.real(0.36, 0.56),
            open_height=self.real(0.5, 0.72) if modern else self.real(0.44, 0.62),
            shop=self.chance(shop) and not modern,
            salt=self.count(0, 60),
        )

    def house(
        self,
        x: Range,
        z: Range,
        *,
        floors: tuple[int, int],
        shop: float = 0.3,
        pitched: float = 0.5,
    ) -> None:
        """A house on a given plot."""
        facade = self.facade(shop=shop)
        height = facade.floor * self.count(*floors) + 0.4
        roof = 0.0
        if self.chance(pitched) and facade.wall != "glass":
            roof = self.real(0.2, 0.45) * min(z[1] - z[0], 9)
        self.things.append(Building(*x, *z, height, roof, self.color("tiles"), facade))

    def vehicle(self, x: float, z: float, heading: str, *, large: float) -> None:
        """A car, or with probability ``large`` a bus or truck."""
        small = ("hatchback", "sedan", "sedan", "van")
        kind = self.pick(("bus", "truck") if self.chance(large) else small)
        paints = self.color("paint"), self.color("paint")
        self.things.append(Vehicle(kind, x, z, heading, *paints))

    def traffic(self, x: float, z: float, side: int, *, large: float) -> None:
        """A vehicle that keeps to the right."""
        self.vehicle(x, z, "away" if side > 0 else "towards", large=large)

    def person(self, x: float, z: float) -> None:
        """Somebody with clothes of any color."""
        skin, hair = self.shade("skin"), self.shade("hair")
        skirt, walking = self.chance(0.25), self.chance(0.65)
        person = Person(
            x=x,
            z=z,
            height=self.real(1.55, 1.9) if self.chance(0.85) else self.real(1.05, 1.4),
            stride=self.real(0.1, 0.24) if walking else 0.02,
            swing=self.real(-0.16, 0.16) if walking else 0.0,
            shirt=self.color("clothes"),
            trousers=self.color("clothes" if skirt else "trousers"),
            skin=self.vary(skin, 0.08),
            hair=self.vary(hair),
            skirt=skirt,
        )
        self.things.append(person)

    def flowers(self, x0: float, x1: float, z: float, deep: float) -> None:
        """A bed of one to three colors of flower, ``deep`` meters along the view."""
        colors = tuple(self.shade("flower") for _ in range(self.count(1, 3)))
        tall, head, dense = self.real(0.3, 0.6), self.real(0.09, 0.16), self.real(0.55, 0.85)
        self.things.append(FlowerBed(x0, x1, z, z + deep, tall, colors, head, dense))

    def house_row(
        self,
        side: int,
        x: float,
        *,
        depth: float,
        floors: tuple[int, int],
        gaps: float,
        until: float,
        shop: float = 0.4,
    ) -> None:
        """Houses along one side of a street, from ``x`` meters on; trees stand in gaps."""
        z = self.real(-4, 2)
        while z < until:
            length = self.real(7, 15)
            if self.chance(gaps):
                at = side * (x + self.real(2.5, 5))
                self.tree(at, max(z, 3) + length / 2, height=(6, 10))
            else:
                x0, x1 = sorted((side * x, side * (x + depth)))
                self.house((x0, x1), (z, z + length), floors=floors, shop=shop, pitched=0.45)
            z += length + (self.real(1, 3) if gaps else 0)

    def crowd(self, low: int, high: int, x: Callable[[float], float], depth: Range) -> None:
        """People at ``x(z)``, most of them near the camera."""
        for _ in range(self.count(low, high)):
            z = depth[0] + (depth[1] - depth[0]) * self.real(0, 1) ** 1.6
            at = x(z)
            self.person(at, z)
            if self.chance(0.35):
                self.person(at + self.sign() * self.real(0.55, 0.8), z + self.real(-0.2, 0.3))

    def mountains(self, *, share: float) -> list[Ridge]:
        """Mountains on the horizon with probability ``share``, far ones first."""
        if not self.chance(share):
            return []
        depths = [self.real(700, 1500) for _ in range(self.count(1, 3))]
        return [self._mountain(z) for z in sorted(depths, reverse=True)]

    def _mountain(self, z: float) -> Ridge:
        kind = self.pick(("rock", "rock", "forest"))
        rgb = (0.16, 0.25, 0.15) if kind == "forest" else self.shade("rock")
        height = z * self.real(0.07, 0.2) * (0.6 if kind == "forest" else 1)
        snow = height * self.real(0.7, 1.6) if self.chance(0.6) else 1e6
        span, offset = z * self.real(2.2, 4.5), self.real(0, 20)
        return Ridge(kind, z, 0.01 * z, height, span, offset, self.vary(rgb), snow)

    def hills(self, *, share: float) -> list[Ridge]:
        """With probability ``share`` a rolling pasture or two in front of the mountains."""
        if not self.chance(share):
            return []
        depths = [self.real(150, 420) for _ in range(self.count(1, 2))]
        return [self._hill(z) for z in sorted(depths, reverse=True)]

    def _hill(self, z: float) -> Ridge:
        height, span = z * self.real(0.02, 0.05), z * self.real(5, 8)
        return Ridge("meadow", z, 0.0, height, span, self.real(0, 20), self.meadow, 1e6)

    def lawn(self, where: Callable[[Field, Field], Field] | None = None) -> GroundLayer:
        """Grass, over the whole ground unless told where."""
        rows = self.real(1.0, 2.5) if self.chance(0.3) else 0.0
        look = partial(grass, rgb=self.meadow, dry=self.vary((0.50, 0.46, 0.20)), rows=rows)
        return GroundLayer(Label.GRASS, where or _everywhere, look)

    def slabs(self, where: Callable[[Field, Field], Field] | None = None) -> GroundLayer:
        """Paved ground."""
        look = partial(paving, rgb=self.color("slabs"), size=self.pick((0.25, 0.4, 0.8)))
        return GroundLayer(Label.ROAD, where or _everywhere, look)

    def open_water(self, mirror: Callable[[Field, Field], Field]) -> Water:
        """Calm to choppy water, clear or green."""
        return Water(self.color("water"), self.real(0.3, 1.3), mirror)

    def dry_things(self) -> list[Thing]:
        """Things out of the water, nearest first: what is hidden is never shaded."""
        wet = [layer.where for layer in self.ground if layer.label == Label.WATER]
        dry = []
        for thing in self.things:
            x, z = np.array(_feet(thing), np.float32).reshape(-1, 2).T
            if not any(where(x, z).any() for where in wet):
                dry.append(thing)
        return sorted(
            dry, key=lambda thing: thing.z0 if isinstance(thing, Building | FlowerBed) else thing.z
        )


def _feet(thing: Thing) -> list[tuple[float, float]]:
    """Where a thing that cannot swim stands."""
    if isinstance(thing, FlowerBed):
        return [(x, z) for x in (thing.x0, thing.x1) for z in (thing.z0, thing.z1)]
    if isinstance(thing, Person | Tree | Vehicle):
        return [(thing.x - 0.4, thing.z), (thing.x + 0.4, thing.z + 0.4)]
    return []


def _everywhere(x: Field, z: Field) -> Field:
    return np.ones(len(x), bool)
