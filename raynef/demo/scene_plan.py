"""The plan of a scene: what stands where, and the groups that several kinds of scene share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from raynef.demo.scene_backdrop import GroundLayer, Ridge, Water
from raynef.demo.scene_built import Building
from raynef.demo.scene_canvas import Label
from raynef.demo.scene_dice import Dice
from raynef.demo.scene_nature import FlowerBed, Tree, TreeBelt
from raynef.demo.scene_people import Person
from raynef.demo.scene_vehicles import Vehicle

Thing = Building | FlowerBed | Person | Tree | TreeBelt | Vehicle


@dataclass
class Plan:
    """What a scene holds; ``eye`` is the range of camera heights in meters."""

    eye: tuple[float, float]
    ground: list[GroundLayer] = field(default_factory=list)
    ridges: list[Ridge] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    water: Water | None = None


def keep_dry(plan: Plan) -> list[Thing]:
    """The plan's things without those whose foot is in the water, nearest first: what is hidden
    is never shaded.
    """
    wet = [layer.where for layer in plan.ground if layer.label == Label.WATER]
    out = []
    for thing in plan.things:
        if isinstance(thing, FlowerBed):
            feet = [(x, z) for x in (thing.x0, thing.x1) for z in (thing.z0, thing.z1)]
        elif isinstance(thing, Person | Tree | Vehicle):
            feet = [(thing.x - 0.4, thing.z), (thing.x + 0.4, thing.z + 0.4)]
        else:
            feet = []
        x, z = np.array(feet, np.float32).reshape(-1, 2).T
        if not any(where(x, z).any() for where in wet):
            out.append(thing)
    return sorted(
        out, key=lambda thing: thing.z0 if isinstance(thing, Building | FlowerBed) else thing.z
    )


def house_row(
    dice: Dice,
    side: int,
    x: float,
    *,
    depth: float,
    floors: tuple[int, int],
    gaps: float,
    until: float,
    shop: float = 0.4,
) -> list[Thing]:
    """Houses side by side along one side of a street whose building line is at ``x`` meters;
    trees stand in gaps.
    """
    out: list[Thing] = []
    z = dice.real(-4, 2)
    while z < until:
        length = dice.real(7, 15)
        if dice.chance(gaps):
            out.append(
                dice.tree(side * (x + dice.real(2.5, 5)), max(z, 3) + length / 2, height=(6, 10))
            )
        else:
            near, far = sorted((side * x, side * (x + depth)))
            out.append(
                dice.building(near, far, z, z + length, floors=floors, shop=shop, pitched=0.45)
            )
        z += length + (dice.real(1, 3) if gaps else 0)
    return out


def crowd(
    dice: Dice, low: int, high: int, x: Callable[[float], float], depth: tuple[float, float]
) -> list[Thing]:
    """People at ``x(z)``, most of them near the camera."""
    out: list[Thing] = []
    for _ in range(dice.count(low, high)):
        z = depth[0] + (depth[1] - depth[0]) * dice.real(0, 1) ** 1.6
        at = x(z)
        out.append(dice.person(at, z))
        if dice.chance(0.35):
            out.append(
                dice.person(at + dice.sign() * dice.real(0.55, 0.8), z + dice.real(-0.2, 0.3))
            )
    return out
