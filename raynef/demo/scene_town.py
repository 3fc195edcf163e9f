"""Town scenes: street, square and canal; each fills a plan."""

import numpy as np

from raynef.demo.scene_ground import Canal, Lane, Shore, flood
from raynef.demo.scene_plan import Plan


def street(plan: Plan) -> None:
    """A town street between rows of houses, with parked and moving vehicles."""
    real, chance, pick = plan.real, plan.chance, plan.pick
    plan.eye = (1.5, 3.2)
    lane = Lane(real(-1.5, 1.5), 0.0, 0.0, real(3.4, 5.2))
    verge = real(1.2, 2.2) if chance(0.5) else 0.0
    edge = lane.half + (verge + real(1.8, 3.0))
    plan.ground = [
        plan.lawn(),
        plan.slabs(lambda x, z: np.abs(x - lane.shift) < edge),
        plan.lawn(lambda x, z: np.abs(x - lane.shift) < lane.half + verge),
        lane.layer(plan, pick(("marked", "marked", "asphalt"))),
    ]
    plan.ridges = plan.mountains(share=0.3)
    floors = pick(((2, 3), (2, 5), (3, 7)))
    park_side = plan.sign() if chance(0.3) else 0
    for side in (-1, 1):
        line = edge + side * lane.shift
        if side == park_side:
            for z in np.arange(6, 45, 4.5):
                plan.tree(side * (line + real(2, 12)), z + real(-2, 2))
        else:
            plan.house_row(side, line, depth=9, floors=floors, gaps=pick((0.0, 0.2)), until=90)
        if verge or chance(0.4):
            row_x = lane.shift + side * (lane.half + 0.5 * max(verge, 1))
            kind, start = pick(("round", "round", "poplar")), real(7, 14)
            for z in np.arange(start, 50, real(8, 13)):
                plan.tree(row_x, z, height=(4, 7), kind=kind)
        if verge and chance(0.6):
            near = real(3, 6)
            x = lane.shift + side * (lane.half + 0.5 * verge)
            plan.flowers(x - 0.4 * verge, x + 0.4 * verge, near, real(3, 8))
        z = real(5, 12)
        while z < 45 and chance(0.75):
            plan.traffic(lane.shift + side * (lane.half - 1.1), z, side, large=0.06)
            z += real(5.5, 13)
        if chance(0.6):
            out = side * 1.3 if lane.half > 4.2 else side * lane.half * 0.35
            plan.traffic(lane.shift + out, real(10, 32), side, large=0.35)
        walk = lane.half + verge + 0.4, edge - 0.4
        plan.crowd(1, 4, lambda z, s=side, w=walk: lane.shift + s * real(*w), (3.6, 22))
    end = pick(("belt", "house", "open"))
    if end == "belt":
        plan.belt(-40, 40, 92)
    elif end == "house":
        plan.house((-14, 14), (92, 104), floors=(3, 6))


def square(plan: Plan) -> None:
    """A paved square before a front of houses, with people, beds of flowers and perhaps a pool."""
    real, chance, pick = plan.real, plan.chance, plan.pick
    plan.eye = (1.6, 4.2)
    back = real(22, 42)
    plan.ground = [plan.slabs()]
    plan.ridges = plan.mountains(share=0.3)
    floors = pick(((2, 3), (2, 4), (3, 6)))
    x = -back * 1.2
    while x < back * 1.2:
        wide = real(6, 13)
        if chance(0.88):
            z = back + pick((0.0, 0.0, 1.5))
            plan.house((x, x + wide), (z, z + 10), floors=floors, shop=0.6)
        else:
            plan.tree(x + wide / 2, back + 3, height=(7, 11))
        x += wide
    if chance(0.5):
        side, line = plan.sign(), real(8, 14)
        plan.house_row(side, line, depth=8, floors=floors, gaps=0, until=back - 8, shop=0.6)
    if chance(0.4):
        near = real(6, 12)
        pool = Shore(near, near + real(5, 9), 0, 0, reach=real(3.5, 7))
        plan.ground.append(flood(pool))
        plan.water = plan.open_water(lambda u, z: np.full_like(z, back))
    elif chance(0.6):
        x0, x1, z0, z1 = real(-9, -2), real(2, 9), real(5, 9), real(12, 18)
        plan.ground.append(plan.lawn(lambda x, z: (x > x0) & (x < x1) & (z > z0) & (z < z1)))
    for _ in range(plan.count(1, 4)):
        z = real(3.2, 13)
        x, wide = real(-0.6, 0.6) * z, real(1.4, 4.5)
        plan.flowers(x - wide / 2, x + wide / 2, z, real(0.8, 2.0))
    spacing, row_z = real(5, 8), real(9, back - 5)
    for k in range(-3, 4):
        if chance(0.5):
            plan.tree(k * spacing + real(-1, 1), row_z, height=(3.5, 7), kind="round")
    for _ in range(plan.count(0, 2)):
        plan.vehicle(real(-9, 9), real(10, back - 5), pick(("left", "right")), large=0.3)
    plan.crowd(4, 9, lambda z: z * real(-0.65, 0.65), (3.6, back - 3))


def canal(plan: Plan) -> None:
    """A canal beside a quay, with houses on both banks."""
    real, chance, pick = plan.real, plan.chance, plan.pick
    plan.eye = (1.8, 3.8)
    side = plan.sign()
    start, wide = real(0.8, 2.2), real(7, 15)
    x0, x1 = sorted((side * start, side * (start + wide)))
    water = Canal(x0, x1)
    quay = real(4.5, 8)
    plan.ground = [plan.slabs(), flood(water)]
    if chance(0.4):
        plan.ground.insert(1, plan.lawn(lambda x, z: side * x > start - 0.9))
    plan.water = plan.open_water(water.mirror)
    plan.ridges = plan.mountains(share=0.35)
    floors = pick(((2, 3), (2, 4), (3, 5)))
    line = start + wide + real(1, 4)
    plan.house_row(side, line, depth=9, floors=floors, gaps=0.12, until=95)
    plan.house_row(-side, quay, depth=9, floors=floors, gaps=0.15, until=95)
    for z in np.arange(real(8, 14), 60, real(7, 12)):
        if chance(0.6):
            plan.tree(side * (start - 0.5), float(z), height=(4, 7), kind="round")
        if chance(0.6):
            plan.tree(side * (start + wide + 0.8), float(z), height=(4, 7))
    for z in np.arange(real(6, 12), 45, real(7, 12)):
        if chance(0.7):
            plan.vehicle(-side * (quay - 1.4), float(z), pick(("away", "towards")), large=0.0)
    if chance(0.55):
        near = real(3, 7)
        a, b = sorted((side * (start - 0.1), side * (start - 0.9)))
        plan.flowers(a, b, near, real(2, 7))
    plan.crowd(1, 4, lambda z: -side * real(-start + 1.2, quay - 2.6), (3.6, 20))
