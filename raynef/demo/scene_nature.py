"""Trees, tree belts and flower beds: things with soft outlines."""

from dataclasses import dataclass

import numpy as np

from raynef.demo.scene_canvas import Canvas, Label, Patch, ShadowMap
from raynef.demo.scene_textures import Field, Rgb, Textures, fade, mix, tint


@dataclass(frozen=True)
class Tree:
    """A tree at (x, z), ``height`` meters tall. kind: "round", "poplar", "conifer" or "bush"."""

    kind: str
    x: float
    z: float
    height: float
    radius: float
    rgb: Rgb
    bark: Rgb
    blobs: np.ndarray  # [k, 3]: center and radius of crown parts, in (radius, height, radius)
    salt: float

    def cast(self, shadows: ShadowMap) -> None:
        """Shadow of the trunk and of three balls of crown."""
        x, z = self.x, self.z
        shadows.cast_box(x - 0.15, x + 0.15, z - 0.15, z + 0.15, self.height * 0.5)
        for share in (0.45, 0.6, 0.78):
            shadows.cast_ball(x, z, self.height * share, self.radius * (1.25 - share * 0.7))

    def paint(self, canvas: Canvas) -> None:
        """Trunk first, then the crown in front of it."""
        if self.kind != "bush":
            self._paint_trunk(canvas)
        half, sun = 1.3 * self.radius, canvas.light.sun_dir
        patch = canvas.frontal(self.x - half, self.x + half, 0, self.height * 1.08, self.z - 0.05)
        a, b = (patch.s - self.x) / self.radius, patch.t / self.height
        leaf = self._leaf_noise(canvas.tex, patch)
        fullness, nx, ny = self._conifer(a, b) if self.kind == "conifer" else self._crown(a, b)
        keep = fullness + 0.2 * leaf > 0.12
        facing = nx * sun[0] + ny * sun[1] - 0.5 * sun[2] + 0.25
        occlusion = np.clip(0.72 + 0.30 * ny + 0.22 * leaf + 0.1 * fullness, 0.22, 1.35)
        color = tint(self.rgb, occlusion)
        color = mix(color, (0.75, 0.78, 0.30), np.clip(0.2 * leaf * (facing > 0.3), 0, 0.4))
        canvas.paint(patch, color, np.clip(facing, 0, 1) * occlusion, Label.TREE, keep)

    def _leaf_noise(self, tex: Textures, patch: Patch) -> Field:
        s, t = patch.s + self.salt, patch.t
        near = tex.fine(s * 26, t * 26) * fade(0.05, patch.pixel)
        return 0.5 * near + 1.1 * tex.clump(s * 6, t * 6)

    def _paint_trunk(self, canvas: Canvas) -> None:
        sun = canvas.light.sun_dir
        half = 0.035 * self.height if self.kind == "round" else 0.022 * self.height
        patch = canvas.frontal(self.x - 2 * half, self.x + 2 * half, 0, 0.6 * self.height, self.z)
        a = (patch.s - self.x) / (half * (1.25 - 0.9 * patch.t / self.height))
        bark = canvas.tex.fine(patch.s * 22, patch.t * 4) * fade(0.05, patch.pixel)
        color = tint(self.bark, np.clip(1 + 0.2 * bark - 0.25 * a * a, 0.2, 2))
        facing = 0.45 * (1 + a * sun[0]) * max(0.2, 0.7 - float(sun[2]))
        canvas.paint(patch, color, facing, Label.TREE, np.abs(a) < 1)

    def _crown(self, a: Field, b: Field) -> tuple[Field, Field, Field]:
        """Fullness (> 0 inside) and the normal's x and y of a crown made of balls."""
        best = np.full_like(a, -1)
        nx, ny = np.zeros_like(a), np.zeros_like(a)
        for cx, cy, r in self.blobs.tolist():
            dx, dy = (a - cx) / r, (b - cy) * (self.height / (self.radius * r))
            full = 1 - dx * dx - dy * dy
            ahead = full > best
            best = np.where(ahead, full, best)
            nx, ny = np.where(ahead, dx, nx), np.where(ahead, dy, ny)
        return best, nx * 0.8, ny * 0.8

    def _conifer(self, a: Field, b: Field) -> tuple[Field, Field, Field]:
        """The same for a cone of drooping tiers."""
        tier = b * 8 + 0.25 * np.abs(a)
        tier = tier - np.floor(tier)
        half = np.maximum((1 - b) * (1.15 - 0.4 * tier), 1e-3)
        full = np.where(b > 0.1, 1.1 * (1 - np.abs(a) / half), -1)
        return full, np.clip(a / half, -1, 1), 0.75 - 1.3 * tier


# kind: half width and the crown's lower and upper end in heights, spread of its parts
_CROWNS = {
    "round": ((0.32, 0.48), (0.42, 0.80), 0.5),
    "poplar": ((0.12, 0.17), (0.22, 0.86), 0.5),
    "conifer": ((0.2, 0.3), (0.3, 0.8), 0.5),
    "bush": ((0.6, 0.95), (0.1, 0.62), 0.7),
}


def plant(
    rng: np.random.Generator, *, kind: str, x: float, z: float, height: float, rgb: Rgb
) -> Tree:
    """Draw the crown of a tree."""
    width, (low, high), spread = _CROWNS[kind]
    radius = float(height * rng.uniform(*width))
    num_blobs = 7
    ys = np.linspace(low, high, num_blobs) + rng.uniform(-0.04, 0.04, num_blobs)
    widest = 1 - np.abs(np.linspace(-0.85, 0.95, num_blobs))
    xs = rng.uniform(-1, 1, num_blobs) * spread * (0.35 + widest)
    rs = rng.uniform(0.42, 0.6, num_blobs) * (0.75 + 0.35 * widest)
    if kind == "poplar":  # one upright body instead of a heap of balls
        xs, rs = 0.3 * xs, rs + 0.4 * widest + 0.15
    bark = (0.30, 0.23, 0.17) if rng.random() < 0.7 else (0.52, 0.50, 0.46)
    blobs = np.stack([xs, ys, rs], axis=1).astype(np.float32)
    return Tree(kind, x, z, height, radius, rgb, bark, blobs, float(rng.uniform(0, 50)))


@dataclass(frozen=True)
class TreeBelt:
    """The edge of a wood: a wall of crowns at depth z between x0 and x1."""

    x0: float
    x1: float
    z: float
    height: float
    rgb: Rgb
    pointed: bool

    def cast(self, shadows: ShadowMap) -> None:
        """Shadow of a solid wall."""
        shadows.cast_box(self.x0, self.x1, self.z, self.z + 3, 0.8 * self.height)

    def paint(self, canvas: Canvas) -> None:
        """Paint the crowns that show above the ground line."""
        patch = canvas.frontal(self.x0, self.x1, 0, 1.5 * self.height, self.z)
        s, t, h = patch.s, patch.t, self.height
        tex, sun = canvas.tex, canvas.light.sun_dir
        spacing = (0.35 if self.pointed else 0.8) * h
        crown = s / spacing
        index = np.floor(crown)
        arch = 1 - np.abs(2 * (crown - index) - 1)
        if not self.pointed:
            arch = np.sqrt(np.maximum(arch, 0))
        tall = 0.55 + 0.45 * tex.cell(index, index * 0, 21)
        leaf = tex.smooth(s * 30 / h, t * 30 / h) + 0.6 * tex.fine(s * 70 / h, t * 70 / h)
        edge = np.minimum(1, 6 * np.minimum(s - self.x0, self.x1 - s) / h)
        top = h * (tall * (0.55 + 0.4 * arch) + 0.07 * leaf) * edge
        depth_in = np.clip((top - t) / h, 0, 1)
        bright = np.clip(1.08 - 0.75 * depth_in + 0.2 * leaf, 0.25, 1.5)
        tone = 0.75 + 0.5 * tex.cell(index, index * 0, 4)
        facing = np.clip(0.55 - 0.4 * sun[2] + (2 * (crown - index) - 1) * sun[0] * 0.5, 0, 1)
        canvas.paint(patch, tint(self.rgb, bright * tone), facing * bright, Label.TREE, t < top)


@dataclass(frozen=True)
class FlowerBed:
    """Flowers on x0..x1, z0..z1, ``tall`` meters high, of up to three colors over leaves."""

    x0: float
    x1: float
    z0: float
    z1: float
    tall: float
    colors: tuple[Rgb, ...]
    head: float  # diameter of a flower in meters
    dense: float  # share of the cells that bloom

    def cast(self, shadows: ShadowMap) -> None:
        """Flowers are too low to cast a visible shadow."""

    def paint(self, canvas: Canvas) -> None:
        """Rows of stems from back to front; each hides the feet of the row behind."""
        step = max((self.z1 - self.z0) / 14, 0.12)
        z = self.z1
        row = 0
        while z >= self.z0:
            self._paint_row(canvas, z, row)
            z, row = z - step * max(1.0, z / 14), row + 1

    def _paint_row(self, canvas: Canvas, z: float, row: int) -> None:
        patch = canvas.frontal(self.x0, self.x1, 0, self.tall * 1.25, z)
        tex = canvas.tex
        s, t = patch.s + 0.37 * row + 0.06 * tex.smooth(patch.s * 9, patch.t * 9), patch.t
        i, j = np.floor(s / self.head), np.floor(t / self.head)
        du, dv = s / self.head - i - 0.5, t / self.head - j - 0.5
        round_off = du * du + dv * dv
        pick = tex.cell(i, j + 17 * row, 31)
        # Seen from far away, petals merge into a tint, so their share grows with the pixel's size.
        blur = fade(self.head * 0.5, patch.pixel)
        shape = np.where(round_off < 0.2, 1.0, 1.0 - blur)
        petal = shape * (pick < self.dense) * (t > 0.35 * self.tall)
        which = (tex.cell(i + 3 * row, j * 0 + row, 8) * len(self.colors)).astype(np.int32)
        which = np.minimum(which, len(self.colors) - 1)
        bloom = np.asarray(self.colors, np.float32)[which] * (1.1 - 1.2 * round_off * blur)[:, None]
        leaf = tint((0.16, 0.33, 0.10), 0.55 + 0.5 * t / self.tall + 0.2 * tex.fine(s * 50, t * 18))
        heart = (round_off < 0.02) & (petal > 0)
        color = mix(leaf + (bloom - leaf) * petal[:, None], (0.85, 0.7, 0.1), 0.8 * heart * blur)
        edge = self.tall * (0.9 + 0.13 * tex.fine(patch.s * 14 + row, t * 0))
        sunlight = canvas.shadows.sample(patch.s, np.full_like(s, z))
        facing = (0.35 + 0.6 * canvas.light.sun_dir[1]) * sunlight
        canvas.paint(patch, color, facing, Label.FLOWER, t < edge)
