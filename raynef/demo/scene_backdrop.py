"""What a scene stands in: sky, ridges, ground and water."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raynef.demo.scene_canvas import FAR, Canvas, Label, Light
from raynef.demo.scene_textures import Field, Rgb, Textures, fade, mix, tint


def paint_sky(canvas: Canvas) -> None:
    """Sky gradient, sun glow and drifting clouds wherever nothing else is; comes last."""
    tex, light, above = canvas.tex, canvas.light, np.isinf(canvas.depth)
    if not above.any():
        return
    u, up = canvas.u[above], np.maximum(-canvas.v[above], 0)
    color = light.zenith + (light.horizon - light.zenith) * np.exp(-up * 3.2)[:, None]
    if light.sun_dir[2] > 0:
        ray = 1 / np.sqrt(u * u + up * up + 1)
        near_sun = np.maximum(ray * (light.sun_dir @ np.stack([u, up, np.ones_like(u)])), 0)
        glow = 0.45 * near_sun**24 + 0.9 * near_sun**600
        color = color + glow[:, None] * light.sun
    plane = 1 / (up + 0.16)  # clouds lie on a plane overhead, so they shrink towards the horizon
    x, z = u * plane * 22, plane * 34
    body = tex.smooth(x, z) + 0.35 * tex.smooth(x * 3.1 + 40, z * 3.1)
    density = np.clip((body - 1.5 + 2.9 * light.cloud_cover) * 0.6, 0, 1)
    density = density * (0.35 + 0.65 * np.exp(-up))
    lit = np.clip(1.0 - 0.16 * body, 0.45, 1.1)  # thick parts are gray below
    cloud = (light.ambient * 0.75 + light.sun * 0.42 + 0.12) * lit[:, None]
    canvas.color[above] = color + (cloud - color) * density[:, None]
    canvas.label[above] = Label.SKY


@dataclass(frozen=True)
class Ridge:
    """A skyline across the image: ``base`` and ``height`` in meters at ``z`` meters, peaks ``span``
    meters apart.

    kind is "rock", "forest" (both mountains) or "meadow" (a rolling pasture, labeled grass).
    """

    kind: str
    z: float
    base: float
    height: float
    span: float
    offset: float
    rgb: Rgb
    snow: float  # height in meters above which snow lies

    def paint(self, canvas: Canvas) -> None:
        """Paint the part of the ridge that shows."""
        reach = self.z * 4 * canvas.camera.width / canvas.camera.focal
        patch = canvas.frontal(-reach, reach, 0.0, self.base + 3.2 * self.height, self.z)
        x, y = patch.s / self.span + self.offset, patch.t / self.span
        top = self.base + self.height * self._skyline(canvas.tex, x)
        label = Label.GRASS if self.kind == "meadow" else Label.MOUNTAIN
        albedo, facing = self._surface(canvas.tex, canvas.light, x, y, patch.t, top)
        canvas.paint(patch, albedo, facing, label, patch.t < top)

    def _skyline(self, tex: Textures, x: Field) -> Field:
        """Height over the base in units of ``height``: folded noise, or a soft swell."""
        swell = tex.smooth(x * 130, np.full_like(x, 7.3 + self.offset))
        if self.kind == "meadow":
            return np.clip(1.1 + 0.6 * swell, 0.05, 3.2)
        fold = 1 - np.abs(tex.smooth(x * 300, np.full_like(x, 91.7)))
        jag = tex.smooth(x * 1100, np.full_like(x, 50.2)) + 0.5 * tex.fine(x * 900, x * 0)
        sharp = 0.06 if self.kind == "rock" else 0.025
        return np.clip(1.0 + 0.55 * swell + 0.6 * fold + sharp * jag, 0.08, 3.2)

    def _surface(
        self, tex: Textures, light: Light, x: Field, y: Field, height: Field, top: Field
    ) -> tuple[Field, Field]:
        """Albedo ``[n, 3]`` and sun-facing cosine ``[n]`` of the slope."""
        if self.kind == "meadow":
            bright = 1 + 0.1 * tex.fine(x * 160, y * 500) + 0.14 * tex.smooth(x * 25, y * 120)
            field = tex.smooth(x * 12 + y * 25, y * 40) > 0.6  # a paler field here and there
            color = mix(tint(self.rgb, bright), (0.62, 0.58, 0.30), 0.6 * field)
            return color, np.full_like(x, 0.75)
        # Gullies run down the slope: relief is noise stretched along y, lit by its sideways
        # derivative.
        warp = x + 0.01 * tex.smooth(x * 90, y * 90)
        relief = tex.smooth(warp * 190, y * 170) + 0.3 * tex.clump(warp * 320, y * 300)
        beside = tex.smooth((warp + 0.006) * 190, y * 170)
        beside = beside + 0.3 * tex.clump((warp + 0.002) * 320, y * 300)
        towards = np.sign(light.sun_dir[0] + 1e-6)
        facing = np.clip(0.5 + 1.2 * (relief - beside) * towards, 0.05, 1.2)
        if self.kind == "forest":
            crowns = tex.fine(x * 330, y * 420) + 0.7 * tex.fine(x * 110, y * 150)
            return tint(self.rgb, np.clip(0.95 + 0.22 * crowns, 0.3, 1.8)), facing * 0.8
        grit = tex.fine(x * 150, y * 150)
        color = tint(self.rgb, np.clip(1 + 0.12 * grit + 0.1 * relief, 0.3, 2))
        green = np.clip((0.42 * top - height) / (0.15 * top) + 0.8 * relief, 0, 1)
        color = mix(color, (0.20, 0.27, 0.13), 0.8 * green)
        snow = (height - self.snow) / (0.12 * self.height) + 0.9 * relief + 0.4 * grit
        return mix(color, (0.93, 0.95, 1.0), np.clip(snow, 0, 1)), facing


@dataclass(frozen=True)
class GroundLayer:
    """A region of the ground: ``where`` it lies, bool ``[n]``, and its albedo ``[n, 3]``."""

    label: Label
    where: Callable[[Field, Field], Field]
    albedo: Callable[[Textures, Field, Field, Field], Field]


def paint_ground(canvas: Canvas, layers: list[GroundLayer]) -> None:
    """Paint the ground where it shows; later layers lie over the first, which is everywhere."""
    tex, light = canvas.tex, canvas.light
    below = canvas.v > canvas.camera.eye / np.minimum(canvas.depth, FAR)
    if not below.any():
        return
    z = canvas.camera.eye / canvas.v[below]
    x = canvas.u[below] * z
    pixel = z / np.float32(canvas.camera.focal) * np.sqrt(np.maximum(z / canvas.camera.eye, 1))
    owner = np.zeros(len(z), np.int8)
    # Borders wander by a few centimetres: nothing outdoors is cut with a knife.
    wander = 0.05 * tex.fine(x * 12, z * 12) * fade(0.1, pixel)
    for k, layer in enumerate(layers[1:], start=1):
        owner[layer.where(x + wander, z + wander)] = k
    color = np.empty((len(z), 3), np.float32)
    label = np.empty(len(z), np.uint8)
    for k, layer in enumerate(layers):
        here = owner == k
        if here.any():
            color[here] = layer.albedo(tex, x[here], z[here], pixel[here])
            label[here] = layer.label
    canvas.color[below] = light.shade(color, light.sun_dir[1] * canvas.shadows.sample(x, z))
    canvas.label[below] = label
    canvas.depth[below] = z


@dataclass(frozen=True)
class Water:
    """Look of the water; ``mirror(u, z)`` is how far away the bank is that it shows, in meters."""

    deep: Rgb
    ripple: float
    mirror: Callable[[Field, Field], Field]

    def paint(self, canvas: Canvas) -> None:
        """Give the pixels labeled water ripples and the mirror image of what stands behind them.

        Runs after all objects are drawn: the reflected ray of tangent v reaches an object at
        distance D where the direct ray of tangent 2 eye / D - v would.
        """
        wet = canvas.label == Label.WATER
        if not wet.any():
            return
        tex, light, camera = canvas.tex, canvas.light, canvas.camera
        u, v, z = canvas.u[wet], canvas.v[wet], canvas.depth[wet]
        x = u * z
        calm = fade(0.35, z / camera.focal * np.maximum(z / camera.eye, 1))
        wave = 0.9 * tex.smooth(x * 14, z * 34) * calm + 0.7 * tex.smooth(x * 2.2, z * 7)
        # Far away the waves are smaller than pixels in depth: streaks along the horizon are what
        # is left.
        wave = wave + (1 - calm) * 0.5 * tex.fine(x * 0.8, v * camera.focal * 1.3)
        distance = np.maximum(self.mirror(u, z), z)
        choppy = self.ripple * (0.008 + 0.22 * v) * (wave + 0.5)
        mirrored = 2 * camera.eye / distance - v - choppy
        cols, rows = camera.pixels(u + 0.006 * self.ripple * wave, mirrored)
        cols = np.clip(cols, 0, camera.width - 1).astype(np.int32)
        rows = np.clip(rows, 0, camera.height - 1).astype(np.int32)
        seen = canvas.color[rows, cols]
        wrong = (canvas.depth[rows, cols] < z) | (canvas.label[rows, cols] == Label.WATER)
        # A nearer object cannot be in the mirror.
        seen[wrong] = 0.5 * (light.horizon + light.zenith)
        fresnel = np.clip(0.9 - 1.0 * v - 0.13 * wave * self.ripple, 0.2, 0.93)
        deep = np.asarray(self.deep, np.float32) * (light.ambient + light.sun * light.sun_dir[1])
        color = deep + (seen - deep) * fresnel[:, None]
        color *= (1 + 0.09 * wave * self.ripple)[:, None]
        if light.sun_dir[2] > 0:
            sun = light.sun_dir[0] / max(float(light.sun_dir[2]), 0.2)
            towards = np.exp(-((u - sun) ** 2) * 18)
            color += (0.5 * towards * np.clip(wave - 0.8, 0, 1))[:, None] * light.sun
        canvas.color[wet] = color
