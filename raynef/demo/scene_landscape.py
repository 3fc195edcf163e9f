"""Landscape scenes: country road, lakeside, park and highway; each fills a plan."""

from functools import partial

import numpy as np

from raynef.demo.scene_backdrop import GroundLayer
from raynef.demo.scene_canvas import Label
from raynef.demo.scene_ground import Lane, Shore, flood
from raynef.demo.scene_plan import Plan
from raynef.demo.scene_textures import dirt


def country(plan: Plan) -> None:
    """A road through meadows, with farms, trees, flower fields and hills."""
    real, sign = plan.real, plan.sign
    plan.eye = (1.5, 4.5)
    lane = Lane(real(-2.5, 2.5), real(-0.08, 0.08), real(-0.004, 0.004), real(1.6, 3.4))
    plan.ground = [plan.lawn(), lane.layer(plan, plan.pick(("marked", "asphalt", "dirt", "dirt")))]
    plan.ridges = plan.mountains(share=0.75) + plan.hills(share=0.7)
    for _ in range(plan.count(1, 3)):
        x0 = real(-90, 50)
        plan.belt(x0, x0 + real(20, 70), real(70, 140))
    for _ in range(plan.count(3, 8)):
        z = real(9, 70)
        plan.tree(lane.beside(z, sign(), real(2.5, 18)), z, height=(4, 12))
    for _ in range(plan.count(0, 3)):
        z, side, wide = real(22, 60), sign(), real(8, 16)
        x = lane.beside(z, side, real(4, 16), wide / 2)
        plan.house((x - wide / 2, x + wide / 2), (z, z + 8), floors=(1, 2), shop=0, pitched=1.0)
        plan.tree(x + wide * real(-0.8, 0.8), z + 10, height=(7, 11))
    for z in np.arange(real(3, 9), 30, real(6, 12)):
        if plan.chance(0.55):
            side, wide = sign(), real(3, 9)
            x = lane.beside(z, side, 0.6, wide / 2)
            plan.flowers(x - wide / 2, x + wide / 2, float(z), real(2, 5))
    if plan.chance(0.6) and lane.half > 1.9:
        side = sign() if lane.half > 2.6 else 0
        z = real(9, 28)
        plan.traffic(lane.center(z) + side * 0.45 * lane.half, z, side, large=0.2)
    plan.crowd(0, 2, lambda z: lane.center(z) + lane.half * real(-0.9, 0.9), (4, 16))


def lakeside(plan: Plan) -> None:
    """A lake seen from its bank, with woods, houses and mountains on the other side."""
    real = plan.real
    plan.eye = (1.6, 5)
    shore = Shore(real(6, 12), real(60, 160), real(-0.15, 0.15), real(0.1, 0.5))
    plan.water = plan.open_water(shore.mirror)
    plan.ground = [plan.lawn()]
    if plan.chance(0.5):
        path, half, rgb = real(3.5, 5.5), real(0.6, 1.2), plan.vary((0.58, 0.50, 0.40))
        plan.ground.append(
            GroundLayer(
                Label.ROAD,
                lambda x, z: np.abs(z - path - shore.slant * x - 0.4 * np.sin(x * 0.3)) < half,
                partial(dirt, rgb=rgb),
            )
        )
    plan.ground.append(flood(shore))
    plan.ridges = plan.mountains(share=0.9) + plan.hills(share=0.4)
    x = -shore.far * 1.3
    while x < shore.far * 1.3:
        wide = real(0.15, 0.5) * shore.far
        if plan.chance(0.7):
            height = (0.05 * shore.far, 0.1 * shore.far)
            plan.belt(x, x + wide, shore.far + real(3, 12), height)
        else:
            deep = (shore.far + 2, shore.far + 10)
            for k in range(plan.count(1, 4)):
                left = x + k * 13
                plan.house((left, left + real(7, 11)), deep, floors=(1, 3), pitched=0.9)
        x += wide
    for _ in range(plan.count(1, 3)):
        z = real(5.5, shore.near)
        plan.tree(plan.sign() * real(0.25, 0.75) * z, z - 0.5, height=(4, 8))
    for _ in range(plan.count(0, 3)):
        z = real(2.6, shore.near - 2)
        x, wide = real(-0.6, 0.6) * z, real(1.0, 3.0)
        plan.flowers(x - wide / 2, x + wide / 2, z, real(0.6, 1.6))
    plan.crowd(0, 3, lambda z: z * real(-0.5, 0.5), (3.6, max(shore.near - 1, 5)))


def park(plan: Plan) -> None:
    """A park: lawn, a winding path, a pond, trees in depth and the town behind them."""
    real, sign = plan.real, plan.sign
    plan.eye = (1.5, 3.5)
    lane = Lane(real(-3, 3), real(-0.3, 0.3), real(-0.012, 0.012), real(0.8, 1.6))
    plan.ground = [plan.lawn(), lane.layer(plan, plan.pick(("dirt", "dirt", "asphalt")))]
    if plan.chance(0.5):
        near = real(7, 14)
        pond = Shore(near, near + real(8, 18), 0, real(0, 0.4), reach=real(8, 16))
        plan.ground.append(flood(pond))
        plan.water = plan.open_water(pond.mirror)
    plan.ridges = plan.mountains(share=0.3)
    if plan.chance(0.7):
        x = -60.0
        while x < 60:
            wide = real(8, 18)
            plan.house((x, x + wide), (75, 85), floors=(3, 10), shop=0, pitched=0.2)
            x += wide + real(0, 6)
    plan.belt(-70, real(-20, 60), real(48, 68), (5, 8))
    for z in np.arange(6, 45, 4.0):
        side = sign()
        plan.tree(lane.beside(z, side, real(1.5, 9)), float(z) + 1, height=(4.5, 10))
        if plan.chance(0.3):
            x = lane.beside(z, -side, real(1.5, 6))
            plan.tree(x, float(z), height=(1, 1.8), kind="bush")
    for _ in range(plan.count(1, 4)):
        z, wide = real(3, 14), real(1.5, 5)
        x = lane.beside(z, sign(), 0.3, wide / 2)
        plan.flowers(x - wide / 2, x + wide / 2, z, real(0.8, 2.4))
    plan.crowd(1, 5, lambda z: lane.center(z) + real(-1.6, 1.6), (3.6, 20))


def highway(plan: Plan) -> None:
    """A wide road with traffic, woods and mountains."""
    real = plan.real
    plan.eye = (2.0, 6)
    lane = Lane(real(-4, 4), real(-0.04, 0.04), real(-0.0012, 0.0012), real(5, 7.5))
    plan.ground = [plan.lawn(), lane.layer(plan, "marked")]
    plan.ridges = plan.mountains(share=0.85) + plan.hills(share=0.5)
    for side in (-1, 1):
        if plan.chance(0.7):
            x0, x1 = sorted((side * real(14, 22), side * 160))
            plan.belt(x0, x1, real(45, 110))
        for _ in range(plan.count(1, 4)):
            z = real(12, 55)
            plan.tree(lane.beside(z, side, real(3, 12)), z, height=(4, 10))
        z = real(6, 14)
        while z < 75:
            at = lane.center(z) + side * lane.half * plan.pick((0.27, 0.7))
            plan.traffic(at, z, side, large=0.3)
            z += real(9, 26)
        if plan.chance(0.3):
            z = real(3.5, 8)
            x0, x1 = sorted(lane.beside(z, side, d) for d in (0.5, 6))
            plan.flowers(x0, x1, z, real(3, 8))
    if plan.chance(0.35):
        z, side = real(30, 60), plan.sign()
        x = lane.beside(z, side, 14)
        plan.house((x - 8, x + 8), (z, z + 9), floors=(1, 3), shop=0, pitched=0.7)
