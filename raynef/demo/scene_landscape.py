"""Landscape scenes: country road, lakeside, park and highway; each draws a plan."""

from __future__ import annotations

from functools import partial

import numpy as np

from raynef.demo.scene_backdrop import GroundLayer
from raynef.demo.scene_canvas import Label
from raynef.demo.scene_dice import Dice
from raynef.demo.scene_ground import Lane, Shore
from raynef.demo.scene_plan import Plan, crowd
from raynef.demo.scene_textures import dirt


def country(dice: Dice) -> Plan:
    """A road through meadows, with farms, trees, flower fields and hills."""
    plan = Plan(eye=(1.5, 4.5))
    lane = Lane(
        dice.real(-2.5, 2.5), dice.real(-0.08, 0.08), dice.real(-0.004, 0.004), dice.real(1.6, 3.4)
    )
    plan.ground = [dice.lawn(), lane.layer(dice, dice.pick(("marked", "asphalt", "dirt", "dirt")))]
    plan.ridges = dice.ridges(share=0.75) + (dice.hills() if dice.chance(0.7) else [])
    for _ in range(dice.count(1, 3)):
        x0 = dice.real(-90, 50)
        plan.things.append(dice.belt(x0, x0 + dice.real(20, 70), dice.real(70, 140)))
    for _ in range(dice.count(3, 8)):
        z = dice.real(9, 70)
        side = dice.sign()
        plan.things.append(
            dice.tree(lane.center(z) + side * (lane.half + dice.real(2.5, 18)), z, height=(4, 12))
        )
    for _ in range(dice.count(0, 3)):
        z, side, wide = dice.real(22, 60), dice.sign(), dice.real(8, 16)
        x = lane.center(z) + side * (lane.half + dice.real(4, 16) + wide / 2)
        plan.things.append(
            dice.building(x - wide / 2, x + wide / 2, z, z + 8, floors=(1, 2), shop=0, pitched=1.0)
        )
        plan.things.append(dice.tree(x + wide * dice.real(-0.8, 0.8), z + 10, height=(7, 11)))
    for z in np.arange(dice.real(3, 9), 30, dice.real(6, 12)):
        if dice.chance(0.55):
            side, wide = dice.sign(), dice.real(3, 9)
            x = lane.center(z) + side * (lane.half + 0.6 + wide / 2)
            plan.things.append(
                dice.flowers(x - wide / 2, x + wide / 2, float(z), float(z) + dice.real(2, 5))
            )
    if dice.chance(0.6) and lane.half > 1.9:
        side = dice.sign() if lane.half > 2.6 else 0
        z = dice.real(9, 28)
        at = lane.center(z) + side * 0.45 * lane.half
        plan.things.append(dice.vehicle(at, z, "away" if side > 0 else "towards", large=0.2))
    plan.things += crowd(
        dice, 0, 2, lambda z: lane.center(z) + lane.half * dice.real(-0.9, 0.9), (4, 16)
    )
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
            plan.things.append(
                dice.belt(
                    x, x + wide, shore.far + dice.real(3, 12), (0.05 * shore.far, 0.1 * shore.far)
                )
            )
        else:
            for k in range(dice.count(1, 4)):
                left = x + k * 13
                plan.things.append(
                    dice.building(
                        left,
                        left + dice.real(7, 11),
                        shore.far + 2,
                        shore.far + 10,
                        floors=(1, 3),
                        pitched=0.9,
                    )
                )
        x += wide
    for _ in range(dice.count(1, 3)):
        z = dice.real(5.5, shore.near)
        plan.things.append(
            dice.tree(dice.sign() * dice.real(0.25, 0.75) * z, z - 0.5, height=(4, 8))
        )
    for _ in range(dice.count(0, 3)):
        z = dice.real(2.6, shore.near - 2)
        x, wide = dice.real(-0.6, 0.6) * z, dice.real(1.0, 3.0)
        plan.things.append(dice.flowers(x - wide / 2, x + wide / 2, z, z + dice.real(0.6, 1.6)))
    plan.things += crowd(
        dice, 0, 3, lambda z: z * dice.real(-0.5, 0.5), (3.6, max(shore.near - 1, 5))
    )
    return plan


def park(dice: Dice) -> Plan:
    """A park: lawn, a winding path, a pond, trees in depth and the town behind them."""
    plan = Plan(eye=(1.5, 3.5))
    lane = Lane(
        dice.real(-3, 3), dice.real(-0.3, 0.3), dice.real(-0.012, 0.012), dice.real(0.8, 1.6)
    )
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
            plan.things.append(
                dice.building(x, x + wide, 75, 85, floors=(3, 10), shop=0, pitched=0.2)
            )
            x += wide + dice.real(0, 6)
    plan.things.append(dice.belt(-70, dice.real(-20, 60), dice.real(48, 68), (5, 8)))
    for z in np.arange(6, 45, 4.0):
        side = dice.sign()
        plan.things.append(
            dice.tree(
                lane.center(z) + side * (lane.half + dice.real(1.5, 9)),
                float(z) + 1,
                height=(4.5, 10),
            )
        )
        if dice.chance(0.3):
            plan.things.append(
                dice.tree(
                    lane.center(z) - side * (lane.half + dice.real(1.5, 6)),
                    float(z),
                    height=(1, 1.8),
                    kind="bush",
                )
            )
    for _ in range(dice.count(1, 4)):
        z = dice.real(3, 14)
        wide = dice.real(1.5, 5)
        x = lane.center(z) + dice.sign() * (lane.half + 0.3 + wide / 2)
        plan.things.append(dice.flowers(x - wide / 2, x + wide / 2, z, z + dice.real(0.8, 2.4)))
    plan.things += crowd(dice, 1, 5, lambda z: lane.center(z) + dice.real(-1.6, 1.6), (3.6, 20))
    return plan


def highway(dice: Dice) -> Plan:
    """A wide road with traffic, woods and mountains."""
    plan = Plan(eye=(2.0, 6))
    lane = Lane(
        dice.real(-4, 4), dice.real(-0.04, 0.04), dice.real(-0.0012, 0.0012), dice.real(5, 7.5)
    )
    plan.ground = [dice.lawn(), lane.layer(dice, "marked")]
    plan.ridges = dice.ridges(share=0.85) + (dice.hills() if dice.chance(0.5) else [])
    for side in (-1, 1):
        if dice.chance(0.7):
            x0, x1 = sorted((side * dice.real(14, 22), side * 160))
            plan.things.append(dice.belt(x0, x1, dice.real(45, 110)))
        for _ in range(dice.count(1, 4)):
            z = dice.real(12, 55)
            plan.things.append(
                dice.tree(lane.center(z) + side * (lane.half + dice.real(3, 12)), z, height=(4, 10))
            )
        z = dice.real(6, 14)
        while z < 75:
            at = lane.center(z) + side * lane.half * dice.pick((0.27, 0.7))
            plan.things.append(dice.vehicle(at, z, "away" if side > 0 else "towards", large=0.3))
            z += dice.real(9, 26)
        if dice.chance(0.3):
            z = dice.real(3.5, 8)
            x0, x1 = sorted(lane.center(z) + side * (lane.half + d) for d in (0.5, 6))
            plan.things.append(dice.flowers(x0, x1, z, z + dice.real(3, 8)))
    if dice.chance(0.35):
        z, side = dice.real(30, 60), dice.sign()
        x = lane.center(z) + side * (lane.half + 14)
        plan.things.append(
            dice.building(x - 8, x + 8, z, z + 9, floors=(1, 3), shop=0, pitched=0.7)
        )
    return plan
