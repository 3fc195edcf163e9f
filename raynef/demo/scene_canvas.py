"""Camera, light and depth-buffered canvas of the scene renderer.

World axes: x to the right, y up, z away from the camera, in meters; the ground is y = 0 and the
eye stands at x = z = 0. Image directions are tangents (u, v): a point at (x, y, z) is seen at
u = x / z, v = (eye - y) / z, so v > 0 is below the horizon. Camera roll and shift only enter when
tangents are turned into pixels.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from raynef.demo.scene_textures import Field, Textures

NEAR = 0.6  # meters; surfaces nearer to the eye are clipped
FAR = 900.0  # meters; where the ground plane meets the sky

Range = tuple[float, float]
Area = tuple[slice, slice]


Label = IntEnum(
    "Label",
    "SKY GRASS ROAD BUILDING TREE VEHICLE WATER MOUNTAIN PERSON FLOWER",
    start=0,
)
"""Classes of the scenes; the value is the pixel's label."""


@dataclass(frozen=True)
class Camera:
    """Pinhole camera in pixels, meters and radians; ``(x0, y0)`` is the vanishing point."""

    height: int
    width: int
    focal: float
    x0: float
    y0: float
    roll: float
    eye: float

    def tangents(self) -> tuple[np.ndarray, np.ndarray]:
        """Tangents u and v of every pixel, float32 ``[H, W]`` each."""
        x = (np.arange(self.width, dtype=np.float32)[None, :] - self.x0) / self.focal
        y = (np.arange(self.height, dtype=np.float32)[:, None] - self.y0) / self.focal
        c, s = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        return c * x + s * y, c * y - s * x

    def pixels(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates (column, row) of tangents, as floats of the same shape."""
        c, s = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        return self.x0 + self.focal * (c * u - s * v), self.y0 + self.focal * (s * u + c * v)


@dataclass(frozen=True)
class Light:
    """Sun and sky; colors and ``sun_dir``, a unit vector to the sun, are float32 ``[3]``."""

    sun_dir: np.ndarray
    sun: np.ndarray
    ambient: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    cloud_cover: float
    haze_length: float
    lamps: float  # share of windows with a lamp on

    def shade(self, albedo: np.ndarray, facing: np.ndarray | float) -> np.ndarray:
        """Radiance of albedo ``[n, 3]`` where ``facing`` is the cosine to the sun, 0 in shadow."""
        facing = np.maximum(np.asarray(facing, np.float32), 0)
        return albedo * (self.ambient + self.sun * facing[..., None])

    def cosine(self, x: float, y: float, z: float) -> float:
        """Cosine between the sun and a surface normal."""
        return float(max(np.dot(self.sun_dir, (x, y, z)), 0.0))


class ShadowMap:
    """Shadows on the ground seen from above, one look-up of ``SIDE`` texels square for all."""

    SIDE = 384
    TEXELS = 5.0  # per meter
    BEHIND = 6.0  # meters of ground behind the camera

    def __init__(self, light: Light) -> None:
        self._image = Image.new("L", (self.SIDE, self.SIDE))
        self._draw = ImageDraw.Draw(self._image)
        self._map: np.ndarray | None = None
        x, y, z = light.sun_dir
        # A sunset shadow that filled the ground would hide its texture.
        reach = min(1.0 / max(float(y), 0.05), 4.0)
        self._shift = (-float(x) * reach, -float(z) * reach)

    def cast_box(self, x0: float, x1: float, z0: float, z1: float, height: float) -> None:
        """Shadow of an upright box."""
        foot = [(x0, z0), (x1, z0), (x1, z1), (x0, z1)]
        dx, dz = self._shift[0] * height, self._shift[1] * height
        top = [(x + dx, z + dz) for x, z in foot]
        self._polygon(top)
        for k in range(4):
            self._polygon([foot[k], foot[k - 1], top[k - 1], top[k]])

    def cast_ball(self, x: float, z: float, height: float, radius: float) -> None:
        """Shadow of a ball whose center is ``height`` meters above the ground."""
        cx, cz = self._texel(x + self._shift[0] * height, z + self._shift[1] * height)
        r = radius * self.TEXELS
        self._draw.ellipse((cx - r, cz - r, cx + r, cz + r), fill=255)

    def sample(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Share of sunlight 0..1 that reaches ground points ``[n]``."""
        if self._map is None:
            self._map = np.asarray(self._image.filter(ImageFilter.GaussianBlur(0.8)), np.float32)
        cx, cz = self._texel(x, z)
        cx, cz = np.clip(cx, 0, self.SIDE - 1.01), np.clip(cz, 0, self.SIDE - 1.01)
        i, j = cx.astype(np.int32), cz.astype(np.int32)
        fx, fz = cx - i, cz - j
        flat, k = self._map.ravel(), j * self.SIDE + i
        near = flat[k] * (1 - fx) + flat[k + 1] * fx
        far = flat[k + self.SIDE] * (1 - fx) + flat[k + self.SIDE + 1] * fx
        return 1 - (near * (1 - fz) + far * fz) / 255

    def sample_one(self, x: float, z: float) -> float:
        """Share of sunlight at one ground point."""
        return float(self.sample(np.array([x], np.float32), np.array([z], np.float32))[0])

    def _texel(self, x, z):
        return x * self.TEXELS + self.SIDE / 2, (z + self.BEHIND) * self.TEXELS

    def _polygon(self, points: list[tuple[float, float]]) -> None:
        self._draw.polygon([self._texel(x, z) for x, z in points], fill=255)


@dataclass(frozen=True)
class Patch:
    """Visible pixels of one flat surface: ``inside`` bool ``[h, w]`` in the window ``area`` of the
    canvas, and for its n true pixels the surface coordinates s, t in meters, the depth in meters
    and the pixel size in meters, ``[n]``.
    """

    area: Area
    inside: Field
    s: Field
    t: Field
    depth: Field
    pixel: Field


_HIDDEN = Patch((slice(0), slice(0)), np.zeros((0, 0), bool), *[np.zeros(0, np.float32)] * 4)


class Canvas:
    """A scene being drawn: its camera, noise, light and shadows, and color ``[H, W, 3]`` (linear,
    0..1), label ``[H, W]`` and depth ``[H, W]`` (meters). Surfaces that nobody sees are patches
    without pixels.
    """

    def __init__(self, camera: Camera, tex: Textures, light: Light, shadows: ShadowMap) -> None:
        shape = (camera.height, camera.width)
        self.camera, self.tex, self.light, self.shadows = camera, tex, light, shadows
        self.u, self.v = camera.tangents()
        self.color = np.zeros((*shape, 3), np.float32)
        self.label = np.zeros(shape, np.uint8)
        self.depth = np.full(shape, np.inf, np.float32)

    def frontal(self, x0: float, x1: float, y0: float, y1: float, z: float) -> Patch:
        """The rectangle facing the camera at depth z; coordinates s = x, t = y."""
        z = float(z)  # a NumPy scalar would turn the float32 arrays below into float64
        if z < NEAR:
            return _HIDDEN
        eye = self.camera.eye
        area = self._window((x0 / z, x1 / z), ((eye - y0) / z, (eye - y1) / z))
        x, y = self.u[area] * z, eye - self.v[area] * z
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        return self._patch(area, inside, x, y, np.full_like(x, z))

    def side(self, x: float, z0: float, z1: float, y0: float, y1: float) -> Patch:
        """The rectangle along the view at constant x; coordinates s = z, t = y."""
        x, z0, z1 = float(x), max(float(z0), NEAR), float(z1)
        if z1 <= z0 or abs(x) < 1e-3:
            return _HIDDEN
        eye = self.camera.eye
        heights = ((eye - y0) / z0, (eye - y1) / z0, (eye - y0) / z1, (eye - y1) / z1)
        area = self._window((x / z0, x / z1), (min(heights), max(heights)))
        u = self.u[area]
        z = x / np.where(u * x > 1e-6, u, np.inf).astype(np.float32)
        y = eye - self.v[area] * z
        inside = (z >= z0) & (z <= z1) & (y >= y0) & (y <= y1)
        return self._patch(area, inside, z, y, z)

    def flank(self, x: Range, z: Range, y: Range) -> tuple[Patch, float]:
        """The side of a box that shows, if any, and the cosine between it and the sun."""
        beside = x[0] if x[0] > 0 else x[1] if x[1] < 0 else 0.0
        return self.side(beside, *z, *y), self.light.cosine(-np.sign(beside), 0, 0)

    def slope(self, x0: float, x1: float, near: Range, far: Range) -> Patch:
        """The rectangle between two level edges given as (z, y); s = x, t = distance from near."""
        (z0, y0), (z1, y1) = near, far
        if z0 < NEAR or z1 <= z0:
            return _HIDDEN
        eye = self.camera.eye
        us = (x0 / z0, x1 / z0, x0 / z1, x1 / z1)
        vs = ((eye - y0) / z0, (eye - y1) / z1)
        area = self._window((min(us), max(us)), (min(vs), max(vs)))
        rise = (y1 - y0) / (z1 - z0)
        below = rise + self.v[area]
        below = np.where(np.abs(below) > 1e-6, below, np.inf).astype(np.float32)
        z = (eye - y0 + rise * z0) / below
        x = self.u[area] * z
        inside = (z >= z0) & (z <= z1) & (x >= x0) & (x <= x1)
        return self._patch(area, inside, x, (z - z0) * np.float32(np.hypot(1.0, rise)), z)

    def paint(
        self,
        patch: Patch,
        albedo: Field,
        facing: Field | float,
        label: Label,
        keep: Field | None = None,
        *,
        lamps: Field | None = None,
    ) -> None:
        """Light albedo ``[n, 3]`` and write it and a label to a patch, or to its part ``keep``.

        Where ``lamps`` is true, a lamp shines; it and ``keep`` are bool ``[n]``.
        """
        inside, depth, rgb = patch.inside, patch.depth, self.light.shade(albedo, facing)
        if lamps is not None:
            rgb[lamps] = (1.0, 0.82, 0.48)
        if keep is not None:
            inside = inside.copy()
            inside[patch.inside] = keep
            rgb, depth = rgb[keep], depth[keep]
        self.color[patch.area][inside] = rgb
        self.label[patch.area][inside] = label
        self.depth[patch.area][inside] = depth

    def _patch(self, area: Area, inside: Field, s: Field, t: Field, z: Field) -> Patch:
        """What is not hidden of the pixels ``inside``; all are fields of the window ``[h, w]``."""
        inside = inside & (self.depth[area] > z)
        depth = z[inside]
        pixel = depth / np.float32(self.camera.focal)
        return Patch(area, inside, s[inside], t[inside], depth, pixel)

    def _window(self, u: Range, v: Range) -> Area:
        """Pixel window that holds a rectangle of tangents; empty outside the image."""
        cols, rows = self.camera.pixels(np.array([u[0], u[0], u[1], u[1]]), np.array([*v, *v]))
        left, right = max(int(cols.min()) - 1, 0), min(int(cols.max()) + 2, self.camera.width)
        top, bottom = max(int(rows.min()) - 1, 0), min(int(rows.max()) + 2, self.camera.height)
        return slice(top, max(top, bottom)), slice(left, max(left, right))
