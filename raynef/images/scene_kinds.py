"""The kinds of scene: each draws a plan, a list of what stands where, from a random generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from raynef.images.scene_backdrop import GroundLayer, Ridge, Water
from raynef.images.scene_built import OUTLINES, Building, Facade, Vehicle
from raynef.images.scene_canvas import Label
from raynef.images.scene_nature import FlowerBed, Person, Tree, TreeBelt, plant
from raynef.images.scene_textures import Field, Rgb, Textures, asphalt, dirt, fade, grass, paving

Thing = Building | FlowerBed | Person | Tree | TreeBelt | Vehicle


@dataclass
class Plan:
    """What a scene holds; ``eye`` is the range of camera heights in metres."""

    eye: tuple[float, float]
    ground: list[GroundLayer] = field(default_factory=list)
    ridges: list[Ridge] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    water: Water | None = None


class Dice:
    """Named draws from one generator, and the palette of the scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.season = self.pick(("summer", "summer", "summer", "spring", "autumn"))
        self.meadow = self.vary(self.pick(((0.24, 0.38, 0.12), (0.32, 0.42, 0.14), (0.20, 0.33, 0.14))))

    def real(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.rng.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """A uniform integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < share)

    def pick(self, options):  # noqa: ANN001, ANN201 - returns one of what it is given
        """One of several options."""
        return options[int(self.rng.integers(len(options)))]

    def sign(self) -> int:
        """-1 or 1."""
        return 1 if self.chance(0.5) else -1

    def vary(self, rgb: Rgb, amount: float = 0.15) -> Rgb:
        """A colour near ``rgb``."""
        bright = self.real(1 - amount, 1 + amount)
        return tuple(c * bright * self.real(1 - amount / 2, 1 + amount / 2) for c in rgb)  # type: ignore[return-value]

    def leaves(self, kind: str) -> Rgb:
        """Colour of a tree's crown in this season."""
        if kind == "conifer":
            return self.vary((0.12, 0.24, 0.14), 0.25)
        if self.season == "autumn" and self.chance(0.7):
            return self.vary(self.pick(((0.62, 0.34, 0.08), (0.66, 0.50, 0.12), (0.48, 0.17, 0.08))))
        fresh = (0.36, 0.46, 0.14) if self.season == "spring" else (0.20, 0.36, 0.10)
        return self.vary(fresh, 0.25)

    def tree(self, x: float, z: float, *, height: tuple[float, float] = (5, 11), kind: str = "") -> Tree:
        """A tree of any kind, or of the kind given."""
        kind = kind or self.pick(("round", "round", "round", "poplar", "conifer"))
        return plant(self.rng, kind=kind, x=x, z=z, height=self.real(*height), rgb=self.leaves(kind))

    def belt(self, x0: float, x1: float, z: float, height: tuple[float, float] = (6, 14)) -> TreeBelt:
        """The edge of a wood."""
        pointed = self.chance(0.4)
        rgb = self.leaves("conifer" if pointed else "round")
        return TreeBelt(x0, x1, z, self.real(*height), rgb, pointed)

    def facade(self, *, shop: float = 0.3) -> Facade:
        """Walls and windows of a house."""
        wall = self.pick(("brick", "brick", "plaster", "plaster", "stone", "siding", "panel", "glass"))
        colors: dict[str, tuple[Rgb, ...]] = {
            "brick": ((0.55, 0.25, 0.18), (0.62, 0.38, 0.26), (0.42, 0.28, 0.24), (0.70, 0.58, 0.42)),
            "plaster": (
                (0.85, 0.76, 0.55), (0.86, 0.62, 0.50), (0.80, 0.80, 0.78), (0.55, 0.66, 0.72), (0.72, 0.42, 0.34),
                (0.62, 0.72, 0.58), (0.90, 0.86, 0.78)),
            "stone": ((0.60, 0.57, 0.50), (0.52, 0.52, 0.53), (0.70, 0.62, 0.48)),
            "siding": ((0.86, 0.86, 0.84), (0.40, 0.52, 0.62), (0.62, 0.20, 0.16), (0.72, 0.68, 0.50)),
            "panel": ((0.62, 0.62, 0.60), (0.74, 0.70, 0.64), (0.48, 0.50, 0.54)),
            "glass": ((0.34, 0.40, 0.46), (0.26, 0.34, 0.36), (0.46, 0.46, 0.44)),
        }  # fmt: skip
        modern = wall in ("panel", "glass")
        return Facade(
            wall=wall,
            rgb=self.vary(self.pick(colors[wall])),
            trim=self.vary(self.pick(((0.85, 0.84, 0.80), (0.85, 0.84, 0.80), (0.35, 0.30, 0.26)))),
            glass=self.vary(self.pick(((0.20, 0.27, 0.34), (0.14, 0.17, 0.20), (0.30, 0.40, 0.50)))),
            awning=self.vary(self.pick(((0.70, 0.14, 0.12), (0.12, 0.38, 0.24), (0.80, 0.72, 0.55), (0.15, 0.25, 0.5)))),
            floor=self.real(2.7, 3.6),
            bay=self.real(1.5, 2.2) if modern else self.real(1.9, 3.2),
            open_width=self.real(0.7, 0.86) if modern else self.real(0.36, 0.56),
            open_height=self.real(0.5, 0.72) if modern else self.real(0.44, 0.62),
            shop=self.chance(shop) and not modern,
            salt=self.count(0, 60),
        )

    def building(
        self, x0: float, x1: float, z0: float, z1: float, *, floors: tuple[int, int], shop: float = 0.3,
        pitched: float = 0.5,
    ) -> Building:  # fmt: skip
        """A house on a given plot."""
        facade = self.facade(shop=shop)
        height = facade.floor * self.count(*floors) + 0.4
        wide = z1 - z0
        roof = self.real(0.2, 0.45) * min(wide, 9) if self.chance(pitched) and facade.wall != "glass" else 0.0
        tiles = self.pick(((0.55, 0.26, 0.17), (0.34, 0.22, 0.18), (0.30, 0.32, 0.35), (0.45, 0.36, 0.28)))
        return Building(x0, x1, z0, z1, height, roof, self.vary(tiles), facade)

    def vehicle(self, x: float, z: float, heading: str, *, large: float = 0.15) -> Vehicle:
        """A car, or with probability ``large`` a bus or truck."""
        kind = self.pick(("bus", "truck")) if self.chance(large) else self.pick(("hatchback", "sedan", "sedan", "van"))
        paints: tuple[Rgb, ...] = (
            (0.85, 0.85, 0.84), (0.60, 0.62, 0.64), (0.10, 0.10, 0.12), (0.66, 0.08, 0.08), (0.10, 0.22, 0.52),
            (0.85, 0.62, 0.10), (0.12, 0.36, 0.26), (0.80, 0.34, 0.10), (0.30, 0.55, 0.70), (0.42, 0.32, 0.22),
        )  # fmt: skip
        return Vehicle(kind, x, z, heading, self.vary(self.pick(paints)), self.vary(self.pick(paints)))

    def person(self, x: float, z: float) -> Person:
        """Somebody with clothes of any colour."""
        clothes: tuple[Rgb, ...] = (
            (0.75, 0.12, 0.12), (0.12, 0.28, 0.62), (0.85, 0.83, 0.78), (0.13, 0.13, 0.15), (0.85, 0.65, 0.12),
            (0.18, 0.45, 0.28), (0.55, 0.25, 0.50), (0.85, 0.45, 0.50), (0.45, 0.60, 0.75),
        )  # fmt: skip
        lower: tuple[Rgb, ...] = ((0.14, 0.18, 0.32), (0.10, 0.10, 0.11), (0.50, 0.44, 0.34), (0.30, 0.31, 0.33))
        skin = self.pick(((0.86, 0.66, 0.54), (0.72, 0.50, 0.37), (0.45, 0.29, 0.20), (0.92, 0.74, 0.62)))
        hair = self.pick(((0.10, 0.07, 0.05), (0.30, 0.18, 0.09), (0.62, 0.45, 0.22), (0.55, 0.53, 0.50)))
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

    def flowers(self, x0: float, x1: float, z0: float, z1: float, *, tall: float = 0.0) -> FlowerBed:
        """A bed of one to three colours of flower."""
        palette: tuple[Rgb, ...] = (
            (0.88, 0.12, 0.14), (0.95, 0.78, 0.10), (0.90, 0.40, 0.62), (0.93, 0.92, 0.90), (0.55, 0.30, 0.75),
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
            rgb = (0.16, 0.25, 0.15) if kind == "forest" else self.pick(((0.42, 0.39, 0.37), (0.48, 0.40, 0.32)))
            height = z * self.real(0.07, 0.2) * (0.6 if kind == "forest" else 1)
            snow = height * self.real(0.7, 1.6) if self.chance(0.6) else 1e6
            out.append(
                Ridge(kind, z, 0.01 * z, height, z * self.real(2.2, 4.5), self.real(0, 20), self.vary(rgb), snow)
            )
        return out

    def hills(self) -> list[Ridge]:
        """A rolling pasture or two in front of the mountains."""
        depths = sorted((self.real(150, 420) for _ in range(self.count(1, 2))), reverse=True)
        return [
            Ridge("meadow", z, 0.0, z * self.real(0.02, 0.05), z * self.real(5, 8), self.real(0, 20), self.meadow, 1e6)
            for z in depths
        ]  # fmt: skip

    def lawn(self) -> GroundLayer:
        """Grass over the whole ground."""
        rows = self.real(1.0, 2.5) if self.chance(0.3) else 0.0
        dry = self.vary((0.50, 0.46, 0.20))
        return GroundLayer(Label.GRASS, everywhere, partial(grass, rgb=self.meadow, dry=dry, rows=rows))

    def slabs(self, where: Callable[[Field, Field], Field]) -> GroundLayer:
        """Paved ground."""
        rgb = self.vary(self.pick(((0.52, 0.50, 0.47), (0.58, 0.50, 0.42), (0.42, 0.42, 0.44))))
        return GroundLayer(Label.ROAD, where, partial(paving, rgb=rgb, size=self.pick((0.25, 0.4, 0.8))))

    def water(self, mirror: Callable[[Field, Field], Field]) -> Water:
        """Calm to choppy water, clear or green."""
        deep = self.vary(self.pick(((0.06, 0.14, 0.18), (0.08, 0.16, 0.12), (0.05, 0.12, 0.24))))
        return Water(deep, self.real(0.3, 1.3), mirror)


def everywhere(x: Field, z: Field) -> Field:
    """The whole ground."""
    return np.ones(len(x), bool)


@dataclass(frozen=True)
class Lane:
    """A road along the view: centre line ``x = shift + slant z + bend z^2`` and half width, in metres."""

    shift: float
    slant: float
    bend: float
    half: float

    def centre(self, z: Field | float) -> Field | float:
        """Position of the centre line at distance z."""
        return self.shift + self.slant * z + self.bend * z * z

    def covers(self, x: Field, z: Field) -> Field:
        """Whether ground points lie on the road."""
        return np.abs(x - self.centre(z)) < self.half

    def layer(self, dice: Dice, surface: str) -> GroundLayer:
        """The road's ground layer; surface "marked" (asphalt with lines), "asphalt", "dirt"."""
        if surface == "dirt":
            rgb = dice.vary(dice.pick(((0.56, 0.45, 0.32), (0.62, 0.56, 0.46), (0.45, 0.38, 0.32))))
            return GroundLayer(Label.ROAD, self.covers, partial(self._ruts, rgb=rgb))
        rgb = dice.vary(dice.pick(((0.27, 0.27, 0.28), (0.36, 0.36, 0.37), (0.33, 0.31, 0.29))), 0.2)
        if surface == "asphalt":
            return GroundLayer(Label.ROAD, self.covers, partial(asphalt, rgb=rgb))
        line = dice.pick(((0.86, 0.86, 0.82), (0.86, 0.86, 0.82), (0.85, 0.68, 0.20)))
        dash = dice.pick((0.0, 3.0, 5.0))
        return GroundLayer(Label.ROAD, self.covers, partial(self._marked, rgb=rgb, line=line, dash=dash))

    def _marked(
        self, tex: Textures, x: Field, z: Field, pixel: Field, *, rgb: Rgb, line: Rgb, dash: float
    ) -> Field:
        color = asphalt(tex, x, z, pixel, rgb=rgb)
        off = x - self.centre(z)
        worn = tex.fine(x * 12, z * 12) > -1.4
        middle = np.abs(off) < 0.09
        if dash:
            middle &= z % (2.4 * dash) < dash
        edge = np.abs(np.abs(off) - self.half + 0.35) < 0.08
        color[middle & worn] = line
        color[edge & worn] = (0.82, 0.82, 0.80)
        return color

    def _ruts(self, tex: Textures, x: Field, z: Field, pixel: Field, *, rgb: Rgb) -> Field:
        off = np.abs(x - self.centre(z)) / self.half
        rut = np.exp(-(((off - 0.55) / 0.2) ** 2))
        return dirt(tex, x, z, pixel, rgb=rgb) * (1 - 0.18 * rut)[:, None]


@dataclass(frozen=True)
class Shore:
    """A lake between a near bank at ``near + slant x`` and a far bank at ``far`` metres, within ``reach`` sideways."""

    near: float
    far: float
    slant: float
    wiggle: float
    reach: float = 1e9

    def covers(self, x: Field, z: Field) -> Field:
        """Whether ground points are under water."""
        bank = self.near + self.slant * x + self.wiggle * (np.sin(x * 0.35) + 0.6 * np.sin(x * 0.83 + 1))
        side = self.reach * np.sqrt(np.maximum(1 - ((z - self._middle()) / self._half()) ** 2, 0))
        return (z > bank) & (z < self.far) & ((np.abs(x) < side) | (self.reach > 1e8))

    def mirror(self, u: Field, z: Field) -> Field:
        """Distance of the bank behind the water."""
        return np.full_like(z, self.far)

    def layer(self) -> GroundLayer:
        """The lake's ground layer; ``Water`` colours it later."""
        return GroundLayer(Label.WATER, self.covers, _wet)

    def _middle(self) -> float:
        return 0.5 * (self.near + self.far)

    def _half(self) -> float:
        return 0.5 * (self.far - self.near)


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

    def layer(self) -> GroundLayer:
        """The canal's ground layer; ``Water`` colours it later."""
        return GroundLayer(Label.WATER, self.covers, _wet)


def _wet(tex: Textures, x: Field, z: Field, pixel: Field) -> Field:
    """Placeholder colour of water until ``Water.paint``."""
    return np.full((len(x), 3), 0.1, np.float32)


def _row(
    dice: Dice, side: int, x: float, *, depth: float, floors: tuple[int, int], gaps: float, until: float,
    shop: float = 0.4,
) -> list[Thing]:  # fmt: skip
    """Houses side by side along one side of a street whose building line is at ``x`` metres; trees stand in gaps."""
    out: list[Thing] = []
    z = dice.real(-4, 2)
    while z < until:
        length = dice.real(7, 15)
        if dice.chance(gaps):
            out.append(dice.tree(side * (x + dice.real(2.5, 5)), max(z, 3) + length / 2, height=(6, 10)))
        else:
            near, far = sorted((side * x, side * (x + depth)))
            out.append(dice.building(near, far, z, z + length, floors=floors, shop=shop, pitched=0.45))
        z += length + (dice.real(1, 3) if gaps else 0)
    return out


def _crowd(dice: Dice, low: int, high: int, x: Callable[[float], float], depth: tuple[float, float]) -> list[Thing]:
    """People at ``x(z)``, most of them near the camera."""
    out: list[Thing] = []
    for _ in range(dice.count(low, high)):
        z = depth[0] + (depth[1] - depth[0]) * dice.real(0, 1) ** 1.6
        at = x(z)
        out.append(dice.person(at, z))
        if dice.chance(0.35):
            out.append(dice.person(at + dice.sign() * dice.real(0.55, 0.8), z + dice.real(-0.2, 0.3)))
    return out


def street(dice: Dice) -> Plan:
    """A town street between rows of houses, with parked and moving vehicles."""
    plan = Plan(eye=(1.5, 3.2))
    lane = Lane(dice.real(-1.5, 1.5), 0.0, 0.0, dice.real(3.4, 5.2))
    verge = dice.real(1.2, 2.2) if dice.chance(0.5) else 0.0
    walk = verge + dice.real(1.8, 3.0)
    edge = lane.half + walk
    plan.ground = [
        dice.lawn(),
        dice.slabs(lambda x, z: np.abs(x - lane.shift) < edge),
        GroundLayer(
            Label.GRASS, lambda x, z: np.abs(x - lane.shift) < lane.half + verge, dice.lawn().albedo),
        Lane(lane.shift, 0, 0, lane.half).layer(dice, dice.pick(("marked", "marked", "asphalt"))),
    ]  # fmt: skip
    plan.ridges = dice.ridges(share=0.3)
    floors = dice.pick(((2, 3), (2, 5), (3, 7)))
    park_side = dice.sign() if dice.chance(0.3) else 0
    for side in (-1, 1):
        line = edge + side * lane.shift
        if side == park_side:
            plan.things += [
                dice.tree(side * (line + dice.real(2, 12)), z + dice.real(-2, 2)) for z in np.arange(6, 45, 4.5)
            ]
        else:
            plan.things += _row(dice, side, line, depth=9, floors=floors, gaps=dice.pick((0.0, 0.2)), until=90)
        if verge or dice.chance(0.4):
            row_x = lane.shift + side * (lane.half + 0.5 * max(verge, 1))
            kind = dice.pick(("round", "round", "poplar"))
            start = dice.real(7, 14)
            plan.things += [dice.tree(row_x, z, height=(4, 7), kind=kind) for z in np.arange(start, 50, dice.real(8, 13))]
        if verge and dice.chance(0.6):
            near = dice.real(3, 6)
            x = lane.shift + side * (lane.half + 0.5 * verge)
            plan.things.append(dice.flowers(x - 0.4 * verge, x + 0.4 * verge, near, near + dice.real(3, 8)))
        z = dice.real(5, 12)
        while z < 45 and dice.chance(0.75):
            heading = "away" if side > 0 else "towards"
            plan.things.append(dice.vehicle(lane.shift + side * (lane.half - 1.1), z, heading, large=0.06))
            z += dice.real(5.5, 13)
        if dice.chance(0.6):
            at = lane.shift + side * 1.3 if lane.half > 4.2 else lane.shift + side * lane.half * 0.35
            plan.things.append(dice.vehicle(at, dice.real(10, 32), "away" if side > 0 else "towards", large=0.35))
        plan.things += _crowd(
            dice, 1, 4, lambda z, s=side: lane.shift + s * dice.real(lane.half + verge + 0.4, edge - 0.4), (3.6, 22)
        )
    end = dice.pick(("belt", "house", "open"))
    if end == "belt":
        plan.things.append(dice.belt(-40, 40, 92))
    elif end == "house":
        plan.things.append(dice.building(-14, 14, 92, 104, floors=(3, 6)))
    return plan


def country(dice: Dice) -> Plan:
    """A road through meadows, with farms, trees, flower fields and hills."""
    plan = Plan(eye=(1.5, 4.5))
    lane = Lane(dice.real(-2.5, 2.5), dice.real(-0.08, 0.08), dice.real(-0.004, 0.004), dice.real(1.6, 3.4))
    plan.ground = [dice.lawn(), lane.layer(dice, dice.pick(("marked", "asphalt", "dirt", "dirt")))]
    plan.ridges = dice.ridges(share=0.75) + (dice.hills() if dice.chance(0.7) else [])
    for _ in range(dice.count(1, 3)):
        x0 = dice.real(-90, 50)
        plan.things.append(dice.belt(x0, x0 + dice.real(20, 70), dice.real(70, 140)))
    for _ in range(dice.count(3, 8)):
        z = dice.real(9, 70)
        side = dice.sign()
        plan.things.append(dice.tree(lane.centre(z) + side * (lane.half + dice.real(2.5, 18)), z, height=(4, 12)))
    for _ in range(dice.count(0, 3)):
        z, side, wide = dice.real(22, 60), dice.sign(), dice.real(8, 16)
        x = lane.centre(z) + side * (lane.half + dice.real(4, 16) + wide / 2)
        plan.things.append(
            dice.building(x - wide / 2, x + wide / 2, z, z + 8, floors=(1, 2), shop=0, pitched=1.0)
        )
        plan.things.append(dice.tree(x + wide * dice.real(-0.8, 0.8), z + 10, height=(7, 11)))
    for z in np.arange(dice.real(3, 9), 30, dice.real(6, 12)):
        if dice.chance(0.55):
            side, wide = dice.sign(), dice.real(3, 9)
            x = lane.centre(z) + side * (lane.half + 0.6 + wide / 2)
            plan.things.append(dice.flowers(x - wide / 2, x + wide / 2, float(z), float(z) + dice.real(2, 5)))
    if dice.chance(0.6) and lane.half > 1.9:
        side = dice.sign() if lane.half > 2.6 else 0
        z = dice.real(9, 28)
        at = lane.centre(z) + side * 0.45 * lane.half
        plan.things.append(dice.vehicle(at, z, "away" if side > 0 else "towards", large=0.2))
    plan.things += _crowd(dice, 0, 2, lambda z: lane.centre(z) + lane.half * dice.real(-0.9, 0.9), (4, 16))
    return plan


def lakeside(dice: Dice) -> Plan:
    """A lake seen from its bank, with woods, houses and mountains on the other side."""
    plan = Plan(eye=(1.6, 5))
    shore = Shore(dice.real(6, 12), dice.real(60, 160), dice.real(-0.15, 0.15), dice.real(0.1, 0.5))
    plan.water = dice.water(shore.mirror)
    plan.ground = [dice.lawn()]
    if dice.chance(0.5):
        path = dice.real(3.5, 5.5)
        half = dice.real(0.6, 1.2)
        rgb = dice.vary((0.58, 0.50, 0.40))
        plan.ground.append(
            GroundLayer(
                Label.ROAD,
                lambda x, z: np.abs(z - path - shore.slant * x - 0.4 * np.sin(x * 0.3)) < half,
                partial(dirt, rgb=rgb),
            )
        )
    plan.ground.append(shore.layer())
    plan.ridges = dice.ridges(share=0.9) + (dice.hills() if dice.chance(0.4) else [])
    x = -shore.far * 1.3
    while x < shore.far * 1.3:
        wide = dice.real(0.15, 0.5) * shore.far
        if dice.chance(0.7):
            plan.things.append(dice.belt(x, x + wide, shore.far + dice.real(3, 12), (0.05 * shore.far, 0.1 * shore.far)))
        else:
            for k in range(dice.count(1, 4)):
                left = x + k * 13
                plan.things.append(
                    dice.building(left, left + dice.real(7, 11), shore.far + 2, shore.far + 10, floors=(1, 3), pitched=0.9)
                )
        x += wide
    for _ in range(dice.count(1, 3)):
        z = dice.real(5.5, shore.near)
        plan.things.append(dice.tree(dice.sign() * dice.real(0.25, 0.75) * z, z - 0.5, height=(4, 8)))
    for _ in range(dice.count(0, 3)):
        z = dice.real(2.6, shore.near - 2)
        x, wide = dice.real(-0.6, 0.6) * z, dice.real(1.0, 3.0)
        plan.things.append(dice.flowers(x - wide / 2, x + wide / 2, z, z + dice.real(0.6, 1.6)))
    plan.things += _crowd(dice, 0, 3, lambda z: z * dice.real(-0.5, 0.5), (3.6, max(shore.near - 1, 5)))
    return plan


def square(dice: Dice) -> Plan:
    """A paved square before a front of houses, with people, beds of flowers and perhaps a pool."""
    plan = Plan(eye=(1.6, 4.2))
    back = dice.real(22, 42)
    plan.ground = [dice.slabs(everywhere)]
    plan.ridges = dice.ridges(share=0.3)
    floors = dice.pick(((2, 3), (2, 4), (3, 6)))
    x = -back * 1.2
    while x < back * 1.2:
        wide = dice.real(6, 13)
        if dice.chance(0.88):
            z = back + dice.pick((0.0, 0.0, 1.5))
            plan.things.append(dice.building(x, x + wide, z, z + 10, floors=floors, shop=0.6))
        else:
            plan.things.append(dice.tree(x + wide / 2, back + 3, height=(7, 11)))
        x += wide
    if dice.chance(0.5):
        side = dice.sign()
        plan.things += _row(dice, side, dice.real(8, 14), depth=8, floors=floors, gaps=0, until=back - 8, shop=0.6)
    if dice.chance(0.4):
        near = dice.real(6, 12)
        pool = Shore(near, near + dice.real(5, 9), 0, 0, reach=dice.real(3.5, 7))
        plan.ground.append(pool.layer())
        plan.water = dice.water(lambda u, z: np.full_like(z, back))
    elif dice.chance(0.6):
        lawn = (dice.real(-9, -2), dice.real(2, 9), dice.real(5, 9), dice.real(12, 18))
        plan.ground.append(
            GroundLayer(
                Label.GRASS,
                lambda x, z: (x > lawn[0]) & (x < lawn[1]) & (z > lawn[2]) & (z < lawn[3]),
                dice.lawn().albedo,
            )
        )
    for _ in range(dice.count(1, 4)):
        z = dice.real(3.2, 13)
        x, wide = dice.real(-0.6, 0.6) * z, dice.real(1.4, 4.5)
        plan.things.append(dice.flowers(x - wide / 2, x + wide / 2, z, z + dice.real(0.8, 2.0)))
    spacing, row_z = dice.real(5, 8), dice.real(9, back - 5)
    for k in range(-3, 4):
        if dice.chance(0.5):
            plan.things.append(dice.tree(k * spacing + dice.real(-1, 1), row_z, height=(3.5, 7), kind="round"))
    for _ in range(dice.count(0, 2)):
        plan.things.append(
            dice.vehicle(dice.real(-9, 9), dice.real(10, back - 5), dice.pick(("left", "right")), large=0.3)
        )
    plan.things += _crowd(dice, 4, 9, lambda z: z * dice.real(-0.65, 0.65), (3.6, back - 3))
    return plan


def park(dice: Dice) -> Plan:
    """A park: lawn, a winding path, a pond, trees in depth and the town behind them."""
    plan = Plan(eye=(1.5, 3.5))
    lane = Lane(dice.real(-3, 3), dice.real(-0.3, 0.3), dice.real(-0.012, 0.012), dice.real(0.8, 1.6))
    plan.ground = [dice.lawn(), lane.layer(dice, dice.pick(("dirt", "dirt", "asphalt")))]
    if dice.chance(0.5):
        near = dice.real(7, 14)
        pond = Shore(near, near + dice.real(8, 18), 0, dice.real(0, 0.4), reach=dice.real(8, 16))
        plan.ground.append(pond.layer())
        plan.water = dice.water(pond.mirror)
    plan.ridges = dice.ridges(share=0.3)
    if dice.chance(0.7):
        x = -60.0
        while x < 60:
            wide = dice.real(8, 18)
            plan.things.append(dice.building(x, x + wide, 75, 85, floors=(3, 10), shop=0, pitched=0.2))
            x += wide + dice.real(0, 6)
    plan.things.append(dice.belt(-70, dice.real(-20, 60), dice.real(48, 68), (5, 8)))
    for z in np.arange(6, 45, 4.0):
        side = dice.sign()
        plan.things.append(
            dice.tree(lane.centre(z) + side * (lane.half + dice.real(1.5, 9)), float(z) + 1, height=(4.5, 10))
        )
        if dice.chance(0.3):
            plan.things.append(
                dice.tree(lane.centre(z) - side * (lane.half + dice.real(1.5, 6)), float(z), height=(1, 1.8), kind="bush")
            )
    for _ in range(dice.count(1, 4)):
        z = dice.real(3, 14)
        wide = dice.real(1.5, 5)
        x = lane.centre(z) + dice.sign() * (lane.half + 0.3 + wide / 2)
        plan.things.append(dice.flowers(x - wide / 2, x + wide / 2, z, z + dice.real(0.8, 2.4)))
    plan.things += _crowd(dice, 1, 5, lambda z: lane.centre(z) + dice.real(-1.6, 1.6), (3.6, 20))
    return plan


def highway(dice: Dice) -> Plan:
    """A wide road with traffic, woods and mountains."""
    plan = Plan(eye=(2.0, 6))
    lane = Lane(dice.real(-4, 4), dice.real(-0.04, 0.04), dice.real(-0.0012, 0.0012), dice.real(5, 7.5))
    plan.ground = [dice.lawn(), lane.layer(dice, "marked")]
    plan.ridges = dice.ridges(share=0.85) + (dice.hills() if dice.chance(0.5) else [])
    for side in (-1, 1):
        if dice.chance(0.7):
            x0, x1 = sorted((side * dice.real(14, 22), side * 160))
            plan.things.append(dice.belt(x0, x1, dice.real(45, 110)))
        for _ in range(dice.count(1, 4)):
            z = dice.real(12, 55)
            plan.things.append(dice.tree(lane.centre(z) + side * (lane.half + dice.real(3, 12)), z, height=(4, 10)))
        z = dice.real(6, 14)
        while z < 75:
            at = lane.centre(z) + side * lane.half * dice.pick((0.27, 0.7))
            plan.things.append(dice.vehicle(at, z, "away" if side > 0 else "towards", large=0.3))
            z += dice.real(9, 26)
        if dice.chance(0.3):
            z = dice.real(3.5, 8)
            x0, x1 = sorted(lane.centre(z) + side * (lane.half + d) for d in (0.5, 6))
            plan.things.append(dice.flowers(x0, x1, z, z + dice.real(3, 8)))
    if dice.chance(0.35):
        z, side = dice.real(30, 60), dice.sign()
        x = lane.centre(z) + side * (lane.half + 14)
        plan.things.append(dice.building(x - 8, x + 8, z, z + 9, floors=(1, 3), shop=0, pitched=0.7))
    return plan


def canal(dice: Dice) -> Plan:
    """A canal beside a quay, with houses on both banks."""
    plan = Plan(eye=(1.8, 3.8))
    side = dice.sign()
    start, wide = dice.real(0.8, 2.2), dice.real(7, 15)
    x0, x1 = sorted((side * start, side * (start + wide)))
    water = Canal(x0, x1)
    quay = dice.real(4.5, 8)
    plan.ground = [dice.slabs(everywhere), water.layer()]
    if dice.chance(0.4):
        plan.ground.insert(
            1, GroundLayer(Label.GRASS, lambda x, z: side * x > start - 0.9, dice.lawn().albedo)
        )
    plan.water = dice.water(water.mirror)
    plan.ridges = dice.ridges(share=0.35)
    floors = dice.pick(((2, 3), (2, 4), (3, 5)))
    plan.things += _row(dice, side, start + wide + dice.real(1, 4), depth=9, floors=floors, gaps=0.12, until=95)
    plan.things += _row(dice, -side, quay, depth=9, floors=floors, gaps=0.15, until=95)
    for z in np.arange(dice.real(8, 14), 60, dice.real(7, 12)):
        if dice.chance(0.6):
            plan.things.append(dice.tree(side * (start - 0.5), float(z), height=(4, 7), kind="round"))
        if dice.chance(0.6):
            plan.things.append(dice.tree(side * (start + wide + 0.8), float(z), height=(4, 7)))
    for z in np.arange(dice.real(6, 12), 45, dice.real(7, 12)):
        if dice.chance(0.7):
            plan.things.append(dice.vehicle(-side * (quay - 1.4), float(z), dice.pick(("away", "towards")), large=0.0))
    if dice.chance(0.55):
        near = dice.real(3, 7)
        a, b = sorted((side * (start - 0.1), side * (start - 0.9)))
        plan.things.append(dice.flowers(a, b, near, near + dice.real(2, 7)))
    plan.things += _crowd(dice, 1, 4, lambda z: -side * dice.real(-start + 1.2, quay - 2.6), (3.6, 20))
    return plan


KINDS: tuple[Callable[[Dice], Plan], ...] = (street, country, lakeside, square, park, highway, canal)
