"""People, drawn from capsules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raynef.demo.scene_canvas import Canvas, Label, Light, ShadowMap
from raynef.demo.scene_textures import Rgb, Textures


@dataclass(frozen=True)
class Person:
    """A standing or walking person at (x, z); ``stride`` is the half distance of the feet in
    meters at full height.
    """

    x: float
    z: float
    height: float
    stride: float
    swing: float
    shirt: Rgb
    trousers: Rgb
    skin: Rgb
    hair: Rgb
    skirt: bool

    def cast(self, shadows: ShadowMap) -> None:
        """Shadow of a post as wide as the body."""
        shadows.cast_box(self.x - 0.2, self.x + 0.2, self.z - 0.12, self.z + 0.12, self.height)

    def paint(self, canvas: Canvas, tex: Textures, light: Light, shadows: ShadowMap) -> None:
        """Limbs are capsules on a billboard, painted from the arm behind to the head."""
        size = self.height / 1.75
        patch = canvas.frontal(
            self.x - 0.6 * size, self.x + 0.6 * size, 0, self.height * 1.02, self.z
        )
        if patch is None:
            return
        a, b = (patch.s - self.x) / size, patch.t / size
        color = np.zeros((len(a), 3), np.float32)
        round_x = np.zeros_like(a)
        keep = np.zeros(len(a), bool)

        def limb(
            x0: float, y0: float, x1: float, y1: float, r0: float, r1: float, rgb: Rgb
        ) -> None:
            dx, dy = x1 - x0, y1 - y0
            along = np.clip(((a - x0) * dx + (b - y0) * dy) / (dx * dx + dy * dy), 0, 1)
            off = a - x0 - along * dx
            radius = r0 + (r1 - r0) * along
            hit = off * off + (b - y0 - along * dy) ** 2 < radius * radius
            color[hit] = rgb
            round_x[hit] = (off / radius)[hit]
            keep[hit] = True

        shoe = (0.10, 0.09, 0.09)
        dark = (0.75 * self.shirt[0], 0.75 * self.shirt[1], 0.75 * self.shirt[2])
        limb(0.20, 1.38, 0.24 + self.swing, 0.90, 0.06, 0.05, dark)
        limb(0.24 + self.swing, 0.90, 0.25 + self.swing, 0.84, 0.05, 0.045, self.skin)
        legs = self.skin if self.skirt else self.trousers
        for side in (1, -1):
            foot = side * (0.08 + self.stride)
            limb(side * 0.085, 0.88, foot, 0.10, 0.095, 0.06, legs)
            limb(foot, 0.05, foot + 0.05, 0.05, 0.055, 0.05, shoe)
        if self.skirt:
            limb(0, 0.95, 0, 0.62, 0.16, 0.25, self.trousers)
        limb(0, 1.34, 0, 0.98, 0.205, 0.165, self.shirt)
        limb(-0.20, 1.38, -0.25 - self.swing, 0.90, 0.06, 0.05, self.shirt)
        limb(-0.25 - self.swing, 0.90, -0.26 - self.swing, 0.84, 0.05, 0.045, self.skin)
        limb(0, 1.44, 0, 1.52, 0.055, 0.05, self.skin)
        limb(0, 1.645, 0, 1.66, 0.112, 0.108, self.hair)
        limb(0.015, 1.60, 0.015, 1.63, 0.088, 0.094, self.skin)
        folds = 1 + 0.08 * tex.smooth(patch.s * 30, patch.t * 14) - 0.22 * round_x * round_x
        facing = 0.5 + 0.5 * round_x * light.sun_dir[0] - 0.35 * light.sun_dir[2]
        facing = facing * shadows.sample_one(self.x, self.z)
        canvas.paint(patch, light.shade(color * folds[:, None], facing), Label.PERSON, keep)
