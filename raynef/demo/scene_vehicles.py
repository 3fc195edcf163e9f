"""Vehicles: a side outline extruded across the width, with glass, lamps and wheels."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from raynef.demo.scene_canvas import Canvas, Label, Patch, ShadowMap
from raynef.demo.scene_textures import Field, Rgb, tint


@dataclass(frozen=True)
class Outline:
    """Side view in meters: ``z`` and ``y`` of the upper outline from rear to front."""

    z: tuple[float, ...]
    y: tuple[float, ...]
    width: float
    wheels: tuple[float, ...]
    wheel_radius: float
    glass: tuple[float, float, float, float]  # z from, z to, y from, y to of the side windows
    pillars: float  # meters between window posts
    cargo: float  # a box of another color behind this z (0: none)

    def profile(self, heading: str) -> tuple[np.ndarray, np.ndarray]:
        """Distance from the end that faces the camera and height of the outline's corners, ``[k]``
        each.

        Both ends are made upright over their last 0.3 m, so that end faces, sides and slopes meet
        without gaps.
        """
        z, y = np.array(self.z), np.array(self.y)
        rear, front = z < 0.3, z > z[-1] - 0.3
        middle = ~(rear | front)
        z = np.concatenate([[0.0], z[middle], [z[-1]]])
        y = np.concatenate([[y[rear].max()], y[middle], [y[front].max()]])
        return (z, y) if heading == "away" else (z[-1] - z[::-1], y[::-1])


OUTLINES: dict[str, Outline] = {
    "hatchback": Outline(
        (0.0, 0.06, 0.55, 1.05, 2.35, 3.15, 3.9, 4.05),
        (0.55, 0.9, 1.38, 1.47, 1.45, 0.98, 0.82, 0.5),
        1.75, (0.75, 3.25), 0.33, (0.4, 3.0, 0.93, 1.36), 1.05, 0.0),
    "sedan": Outline(
        (0.0, 0.08, 0.95, 1.6, 2.75, 3.45, 4.4, 4.55),
        (0.55, 0.95, 1.02, 1.43, 1.43, 0.98, 0.80, 0.5),
        1.8, (0.9, 3.7), 0.34, (1.05, 3.3, 0.95, 1.34), 1.0, 0.0),
    "van": Outline(
        (0.0, 0.05, 0.25, 3.5, 4.4, 5.0, 5.1), (0.6, 1.9, 2.25, 2.25, 1.35, 1.1, 0.6),
        1.95, (0.95, 4.1), 0.36, (2.7, 4.2, 1.3, 1.95), 1.1, 0.0),
    "bus": Outline(
        (0.0, 0.05, 0.2, 9.6, 9.95, 10.0), (0.6, 2.9, 3.05, 3.05, 2.8, 0.6),
        2.5, (2.4, 8.0), 0.5, (0.25, 9.7, 1.35, 2.5), 1.3, 0.0),
    "truck": Outline(
        (0.0, 0.02, 5.8, 5.85, 6.0, 7.4, 7.6, 7.65), (1.0, 3.4, 3.4, 1.4, 2.6, 2.7, 1.6, 0.7),
        2.4, (1.2, 2.4, 6.6), 0.5, (6.2, 7.45, 1.65, 2.4), 2.0, 5.8),
}  # fmt: skip

_GLASS: Rgb = (0.16, 0.20, 0.24)
_TYRE: Rgb = (0.05, 0.05, 0.055)


@dataclass(frozen=True)
class Vehicle:
    """A vehicle whose nearest point is at (x, z). heading: "away", "towards", "left" or "right"."""

    kind: str
    x: float
    z: float
    heading: str
    paint_rgb: Rgb
    cargo_rgb: Rgb

    def cast(self, shadows: ShadowMap) -> None:
        """Shadow of a box, and the dark gap under the floor."""
        outline = OUTLINES[self.kind]
        length, tall = outline.z[-1], 0.85 * max(outline.y)
        along = self.heading in ("away", "towards")
        dx, dz = (outline.width, length) if along else (length, outline.width)
        shadows.cast_box(self.x - dx / 2, self.x + dx / 2, self.z, self.z + dz, tall)

    def paint(self, canvas: Canvas) -> None:
        """Across the view a billboard; along it side, end face and the slopes between them."""
        outline, light = OUTLINES[self.kind], canvas.light
        length, heights = outline.z[-1], (0.02, max(outline.y))
        if self.heading in ("left", "right"):
            half = length / 2
            patch = canvas.frontal(self.x - half, self.x + half, *heights, self.z)
            along = patch.s - self.x if self.heading == "right" else self.x - patch.s
            self._paint_side(canvas, patch, along + half, light.cosine(0, 0, -1))
            self._paint_top_across(canvas, outline)
            return
        half = outline.width / 2
        sides, ends = (self.x - half, self.x + half), (self.z, self.z + length)
        patch, facing = canvas.flank(sides, ends, heights)
        along = patch.s - self.z
        along = along if self.heading == "away" else length - along
        self._paint_side(canvas, patch, along, facing)
        self._paint_end(canvas, outline)
        self._paint_slopes(canvas, outline)

    def _paint_side(self, canvas: Canvas, patch: Patch, along: Field, facing: float) -> None:
        """Body, windows and wheels; ``along`` runs from the rear bumper in meters."""
        outline, t = OUTLINES[self.kind], patch.t
        wheel = np.full_like(t, np.inf)
        for center in outline.wheels:
            wheel = np.minimum(wheel, np.hypot(along - center, t - outline.wheel_radius))
        wheel /= outline.wheel_radius
        top = np.interp(along, *outline.profile("away")).astype(np.float32)
        body = (t < top) & (t > 0.26)
        belt = t / max(outline.y)
        shine = 0.72 + 0.4 * belt + 0.25 * np.exp(-(((belt - 0.56) / 0.05) ** 2))
        color = tint(self.paint_rgb, shine)
        if outline.cargo:
            ribs = 1 - 0.12 * (np.sin(along * 9) > 0.6)
            boxed = along < outline.cargo
            color[boxed] = tint(self.cargo_rgb, ribs)[boxed]
        z0, z1, y0, y1 = outline.glass
        post = np.abs((along - z0) / outline.pillars % 1 - 0.5) > 0.45
        window = (along > z0) & (along < z1) & (t > y0) & (t < np.minimum(y1, top - 0.07)) & ~post
        shade = 0.7 + 2.2 * (t - y0) + 0.3 * canvas.tex.smooth(along * 5, t * 5)
        color[window] = tint(_GLASS, shade)[window]
        gap = np.abs((along - z0) / (outline.pillars * 1.05) % 1 - 0.5) > 0.485
        color[gap & (t < y0) & (t > 0.35) & ~window] *= 0.6
        color[(along < 0.14) & (t > 0.62) & (t < 0.85)] = (0.65, 0.06, 0.05)
        color[(along > outline.z[-1] - 0.3) & (t > 0.55) & (t < 0.72)] = (0.95, 0.93, 0.82)
        color[(t < 0.42) | ((wheel < 1.22) & (t < 0.95))] *= 0.35
        color[wheel < 1] = _TYRE
        hub = wheel < 0.58
        color[hub] = tint((0.55, 0.56, 0.58), 1 - 0.5 * wheel)[hub]
        canvas.paint(patch, color, 0.15 + 0.85 * facing, Label.VEHICLE, body | (wheel < 1))

    def _paint_end(self, canvas: Canvas, outline: Outline) -> None:
        """The upright end that faces the camera: bumper, lamps, plate, tyres."""
        rear = self.heading == "away"
        top = float(outline.profile(self.heading)[1][0])
        half = outline.width / 2
        patch = canvas.frontal(self.x - half, self.x + half, 0.02, top, self.z)
        a, t = np.abs(patch.s - self.x) / half, patch.t
        tyre = (a > 0.66) & (a < 0.93) & (t < 0.36)
        paint = self.cargo_rgb if outline.cargo and rear else self.paint_rgb
        color = tint(paint, 0.78 + 0.3 * t / top - 0.12 * a * a)
        if top > 1.6 and not (outline.cargo and rear):
            window = (t > 0.52 * top) & (t < 0.86 * top) & (a < 0.86)
            color[window] = tint(_GLASS, 0.6 + t / top)[window]
        lamp = (0.72, 0.06, 0.05) if rear else (0.98, 0.96, 0.86)
        level = 0.62 if top > 1.6 else 0.72 * top
        color[(a > 0.66) & (a < 0.96) & (np.abs(t - level - 0.05) < 0.1)] = lamp
        if not rear:
            color[(a < 0.55) & (np.abs(t - level) < 0.09)] = (0.08, 0.08, 0.09)
        color[(np.abs(t - 0.46) < 0.07) & (a < 0.3)] = (0.88, 0.88, 0.8)
        color[t < 0.34] *= 0.3
        color[tyre] = _TYRE
        facing = 0.15 + 0.85 * canvas.light.cosine(0, 0, -1)
        canvas.paint(patch, color, facing, Label.VEHICLE, (t > 0.24) | tyre)

    def _paint_slopes(self, canvas: Canvas, outline: Outline) -> None:
        """Bonnet, windscreens and roof: the outline's segments, extruded across the width."""
        half = outline.width / 2
        left, right = self.x - half, self.x + half
        corners = zip(*(part.tolist() for part in outline.profile(self.heading)), strict=True)
        for (z0, y0), (z1, y1) in itertools.pairwise(corners):
            rise, run = y1 - y0, z1 - z0
            steep = run < 0.1
            if steep:
                patch = canvas.frontal(left, right, y0, y1, self.z + z0)
            else:
                patch = canvas.slope(left, right, (self.z + z0, y0), (self.z + z1, y1))
            cargo = outline.cargo > 0 and max(y0, y1) > 3
            color = tint(self.cargo_rgb if cargo else self.paint_rgb, np.full_like(patch.s, 1.05))
            length = math.hypot(rise, run)
            if rise > 0.3 and y1 > 1.2 and not steep:  # a windscreen
                share = patch.t / length
                pane = (np.abs(patch.s - self.x) < 0.86 * half) & (share > 0.08) & (share < 0.92)
                color[pane] = tint(_GLASS, 0.8 + 1.4 * share)[pane]
            facing = canvas.light.cosine(0, run / length, -rise / length)
            canvas.paint(patch, color, facing, Label.VEHICLE)

    def _paint_top_across(self, canvas: Canvas, outline: Outline) -> None:
        """The roof of a vehicle seen from the side by an eye above it."""
        tall, sign = max(outline.y), 1 if self.heading == "right" else -1
        flat = [z for z, y in zip(outline.z, outline.y, strict=True) if y > tall - 0.06]
        left, right = sorted((z - outline.z[-1] / 2) * sign for z in (flat[0], flat[-1]))
        near, far = (self.z, tall), (self.z + outline.width, tall)
        patch = canvas.slope(self.x + left, self.x + right, near, far)
        rgb = self.cargo_rgb if outline.cargo else self.paint_rgb
        color = tint(rgb, np.full_like(patch.s, 1.05))
        canvas.paint(patch, color, canvas.light.cosine(0, 1, 0), Label.VEHICLE)
