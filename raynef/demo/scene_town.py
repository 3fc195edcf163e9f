"""Town scenes: street, square and canal; each draws a plan."""

from __future__ import annotations

import numpy as np

from raynef.demo.scene_backdrop import GroundLayer
from raynef.demo.scene_canvas import Label
from raynef.demo.scene_dice import Dice, everywhere
from raynef.demo.scene_ground import Canal, Lane, Shore
from raynef.demo.scene_plan import Plan, crowd, house_row


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
            Label.GRASS,
            lambda x, z: np.abs(x - lane.shift) < lane.half + verge,
            dice.lawn().albedo,
        ),
        Lane(lane.shift, 0, 0, lane.half).layer(dice, dice.pick(("marked", "marked", "asphalt"))),
    ]
    plan.ridges = dice.ridges(share=0.3)
    floors = dice.pick(((2, 3), (2, 5), (3, 7)))
    park_side = dice.sign() if dice.chance(0.3) else 0
    for side in (-1, 1):
        line = edge + side * lane.shift
        if side == park_side:
            plan.things += [
                dice.tree(side * (line + dice.real(2, 12)), z + dice.real(-2, 2))
                for z in np.arange(6, 45, 4.5)
            ]
        else:
            plan.things += house_row(
                dice, side, line, depth=9, floors=floors, gaps=dice.pick((0.0, 0.2)), until=90
            )
        if verge or dice.chance(0.4):
            row_x = lane.shift + side * (lane.half + 0.5 * max(verge, 1))
            kind = dice.pick(("round", "round", "poplar"))
            start = dice.real(7, 14)
            plan.things += [
                dice.tree(row_x, z, height=(4, 7), kind=kind)
                for z in np.arange(start, 50, dice.real(8, 13))
            ]
        if verge and dice.chance(0.6):
            near = dice.real(3, 6)
            x = lane.shift + side * (lane.half + 0.5 * verge)
            plan.things.append(
                dice.flowers(x - 0.4 * verge, x + 0.4 * verge, near, near + dice.real(3, 8))
            )
        z = dice.real(5, 12)
        while z < 45 and dice.chance(0.75):
            heading = "away" if side > 0 else "towards"
            plan.things.append(
                dice.vehicle(lane.shift + side * (lane.half - 1.1), z, heading, large=0.06)
            )
            z += dice.real(5.5, 13)
        if dice.chance(0.6):
            at = (
                lane.shift + side * 1.3 if lane.half > 4.2 else lane.shift + side * lane.half * 0.35
            )
            plan.things.append(
                dice.vehicle(at, dice.real(10, 32), "away" if side > 0 else "towards", large=0.35)
            )
        plan.things += crowd(
            dice,
            1,
            4,
            lambda z, s=side: lane.shift + s * dice.real(lane.half + verge + 0.4, edge - 0.4),
            (3.6, 22),
        )
    end = dice.pick(("belt", "house", "open"))
    if end == "belt":
        plan.things.append(dice.belt(-40, 40, 92))
    elif end == "house":
        plan.things.append(dice.building(-14, 14, 92, 104, floors=(3, 6)))
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
        plan.things += house_row(
            dice, side, dice.real(8, 14), depth=8, floors=floors, gaps=0, until=back - 8, shop=0.6
        )
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
            plan.things.append(
                dice.tree(k * spacing + dice.real(-1, 1), row_z, height=(3.5, 7), kind="round")
            )
    for _ in range(dice.count(0, 2)):
        plan.things.append(
            dice.vehicle(
                dice.real(-9, 9), dice.real(10, back - 5), dice.pick(("left", "right")), large=0.3
            )
        )
    plan.things += crowd(dice, 4, 9, lambda z: z * dice.real(-0.65, 0.65), (3.6, back - 3))
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
    plan.things += house_row(
        dice, side, start + wide + dice.real(1, 4), depth=9, floors=floors, gaps=0.12, until=95
    )
    plan.things += house_row(dice, -side, quay, depth=9, floors=floors, gaps=0.15, until=95)
    for z in np.arange(dice.real(8, 14), 60, dice.real(7, 12)):
        if dice.chance(0.6):
            plan.things.append(
                dice.tree(side * (start - 0.5), float(z), height=(4, 7), kind="round")
            )
        if dice.chance(0.6):
            plan.things.append(dice.tree(side * (start + wide + 0.8), float(z), height=(4, 7)))
    for z in np.arange(dice.real(6, 12), 45, dice.real(7, 12)):
        if dice.chance(0.7):
            plan.things.append(
                dice.vehicle(
                    -side * (quay - 1.4), float(z), dice.pick(("away", "towards")), large=0.0
                )
            )
    if dice.chance(0.55):
        near = dice.real(3, 7)
        a, b = sorted((side * (start - 0.1), side * (start - 0.9)))
        plan.things.append(dice.flowers(a, b, near, near + dice.real(2, 7)))
    plan.things += crowd(
        dice, 1, 4, lambda z: -side * dice.real(-start + 1.2, quay - 2.6), (3.6, 20)
    )
    return plan
