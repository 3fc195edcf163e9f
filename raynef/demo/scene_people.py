"""People, drawn from capsules."""

from dataclasses import dataclass

import numpy as np

from raynef.demo.scene_canvas import Canvas, Label, ShadowMap
from raynef.demo.scene_textures import Rgb

Point = tuple[float, float]


@dataclass(frozen=True)
class Person:
    """A person at (x, z); ``stride`` is half the distance of the feet at 1.75 m of height."""

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

    def paint(self, canvas: Canvas) -> None:
        """Limbs are capsules on a billboard, painted from the arm behind to the head."""
        size = self.height / 1.75
        half = 0.6 * size
        patch = canvas.frontal(self.x - half, self.x + half, 0, self.height * 1.02, self.z)
        a, b = (patch.s - self.x) / size, patch.t / size
        color = np.zeros((len(a), 3), np.float32)
        round_x = np.zeros_like(a)
        keep = np.zeros(len(a), bool)

        for (x0, y0), (x1, y1), (r0, r1), rgb in self._limbs():
            dx, dy = x1 - x0, y1 - y0
            along = np.clip(((a - x0) * dx + (b - y0) * dy) / (dx * dx + dy * dy), 0, 1)
            off = a - x0 - along * dx
            radius = r0 + (r1 - r0) * along
            hit = off * off + (b - y0 - along * dy) ** 2 < radius * radius
            color[hit] = rgb
            round_x[hit] = (off / radius)[hit]
            keep[hit] = True
        folds = 1 + 0.08 * canvas.tex.smooth(patch.s * 30, patch.t * 14) - 0.22 * round_x * round_x
        sun = canvas.light.sun_dir
        facing = 0.5 + 0.5 * round_x * sun[0] - 0.35 * sun[2]
        facing = facing * canvas.shadows.sample_one(self.x, self.z)
        canvas.paint(patch, color * folds[:, None], facing, Label.PERSON, keep)

    def _limbs(self) -> list[tuple[Point, Point, Point, Rgb]]:
        """Ends, radii there and color of each capsule at 1.75 m of height, the hindmost first."""
        swing, skin, shirt = self.swing, self.skin, self.shirt
        legs, shoe = self.skin if self.skirt else self.trousers, (0.10, 0.09, 0.09)
        dark = (0.75 * shirt[0], 0.75 * shirt[1], 0.75 * shirt[2])
        limbs = [
            ((0.20, 1.38), (0.24 + swing, 0.90), (0.06, 0.05), dark),
            ((0.24 + swing, 0.90), (0.25 + swing, 0.84), (0.05, 0.045), skin),
        ]
        for side in (1, -1):
            foot = side * (0.08 + self.stride)
            limbs += [
                ((side * 0.085, 0.88), (foot, 0.10), (0.095, 0.06), legs),
                ((foot, 0.05), (foot + 0.05, 0.05), (0.055, 0.05), shoe),
            ]
        if self.skirt:
            limbs.append(((0, 0.95), (0, 0.62), (0.16, 0.25), self.trousers))
        return [
            *limbs,
            ((0, 1.34), (0, 0.98), (0.205, 0.165), shirt),
            ((-0.20, 1.38), (-0.25 - swing, 0.90), (0.06, 0.05), shirt),
            ((-0.25 - swing, 0.90), (-0.26 - swing, 0.84), (0.05, 0.045), skin),
            ((0, 1.44), (0, 1.52), (0.055, 0.05), skin),
            ((0, 1.645), (0, 1.66), (0.112, 0.108), self.hair),
            ((0.015, 1.60), (0.015, 1.63), (0.088, 0.094), skin),
        ]
