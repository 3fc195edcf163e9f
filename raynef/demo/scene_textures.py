"""Periodic noise tiles and the surface patterns that sample them.

All patterns take flat float32 arrays of surface coordinates in meters, ``[n]``, and return an
albedo ``[n, 3]`` in 0..1 or a scalar field ``[n]``. ``pixel`` is the size of an image pixel on the
surface in meters: a pattern finer than a pixel fades to its mean instead of turning into aliasing.
"""

from dataclasses import dataclass

import numpy as np

TILE = 256  # texels per side of a noise tile; a power of two, so that wrapping is a bit mask

Field = np.ndarray
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Textures:
    """The noise of one scene.

    cloud: ``[TILE, TILE]`` noise with most power in the low octaves, unit variance.
    rough: ``[TILE, TILE]`` noise with power in all octaves, unit variance.
    table: ``[64, 64]`` uniform 0..1 values, one per cell of a pattern.
    """

    cloud: np.ndarray
    rough: np.ndarray
    table: np.ndarray

    def smooth(self, x: Field, y: Field) -> Field:
        """Bilinear sample of ``cloud`` at texel coordinates."""
        return self._bilinear(self.cloud, x, y)

    def clump(self, x: Field, y: Field) -> Field:
        """Bilinear sample of ``rough`` at texel coordinates."""
        return self._bilinear(self.rough, x, y)

    def _bilinear(self, tile: np.ndarray, x: Field, y: Field) -> Field:
        x0, y0 = np.floor(x), np.floor(y)
        fx, fy = x - x0, y - y0
        i0 = x0.astype(np.intp) & (TILE - 1)  # intp: other widths cost a cast at each look-up
        j0 = (y0.astype(np.intp) & (TILE - 1)) * TILE
        i1, j1 = (i0 + 1) & (TILE - 1), (j0 + TILE) & (TILE * TILE - 1)
        flat = tile.ravel()
        top, bottom = flat.take(j0 + i0), flat.take(j1 + i0)
        top += (flat.take(j0 + i1) - top) * fx
        bottom += (flat.take(j1 + i1) - bottom) * fx
        return top + (bottom - top) * fy

    def fine(self, x: Field, y: Field) -> Field:
        """Nearest sample of ``rough`` at texel coordinates."""
        i = np.floor(x).astype(np.intp) & (TILE - 1)
        j = np.floor(y).astype(np.intp) & (TILE - 1)
        return self.rough.ravel().take(j * TILE + i)

    def cell(self, i: Field, j: Field, salt: int = 0) -> Field:
        """A uniform 0..1 value for every integer cell ``(i, j)``."""
        a = (i.astype(np.intp) * 7 + salt * 13) & 63
        b = (j.astype(np.intp) * 11 + salt * 29 + (a >> 3)) & 63
        return self.table.ravel().take(b * 64 + a)


def make_textures(rng: np.random.Generator) -> Textures:
    """Draw the noise tiles of one scene."""
    return Textures(
        cloud=_power_noise(rng, slope=1.7),
        rough=_power_noise(rng, slope=0.55),
        table=rng.random((64, 64), dtype=np.float32),
    )


def _power_noise(rng: np.random.Generator, *, slope: float) -> np.ndarray:
    """Periodic noise ``[TILE, TILE]``, amplitude ~ frequency ** -slope; mean 0, variance 1."""
    white = np.fft.rfft2(rng.standard_normal((TILE, TILE), dtype=np.float32))
    fy = np.fft.fftfreq(TILE).astype(np.float32)[:, None] * TILE
    fx = np.fft.rfftfreq(TILE).astype(np.float32)[None, :] * TILE
    radius = np.hypot(fx, fy)
    radius[0, 0] = np.inf  # drops the mean
    noise = np.fft.irfft2(white * radius**-slope, s=(TILE, TILE))
    return (noise / noise.std()).astype(np.float32)


def fade(detail: float, pixel: Field | float) -> Field:
    """Weight 0..1 of features ``detail`` meters wide under pixels ``pixel`` meters wide."""
    return np.clip(detail / np.maximum(pixel, 1e-6) - 0.4, 0.0, 1.0)


def mix(a: Field, b: Field | Rgb, weight: Field) -> Field:
    """Blend colors ``[n, 3]`` by a per-point weight ``[n]``."""
    b = np.asarray(b, dtype=np.float32)
    return a + (b - a) * weight[:, None]


def tint(rgb: Rgb, brightness: Field) -> Field:
    """One color under a brightness field ``[n]`` -> ``[n, 3]``."""
    return np.asarray(rgb, dtype=np.float32) * np.asarray(brightness, np.float32)[:, None]


def grass(
    tex: Textures, x: Field, z: Field, pixel: Field, *, rgb: Rgb, dry: Rgb, rows: float
) -> Field:
    """Meadow or lawn: blades, dry patches, mown rows ``rows`` meters wide (0: none)."""
    patches = tex.smooth(x * 1.3, z * 1.3)
    blades = tex.fine(x * 38, z * 14) * fade(0.03, pixel)
    blades = blades + tex.fine(x * 9, z * 5) * fade(0.12, pixel)
    clumps = tex.smooth(x * 16, z * 12) * fade(0.2, pixel)
    bright = 1 + 0.19 * blades + 0.06 * clumps + 0.06 * patches
    if rows:
        bright = bright + 0.12 * np.sign(np.sin(x * (np.pi / rows))) * fade(rows, pixel)
    color = mix(tint(rgb, np.ones_like(x)), dry, np.clip(0.25 + 0.2 * patches, 0, 0.8))
    return color * np.maximum(bright, 0.25)[:, None]


def asphalt(tex: Textures, x: Field, z: Field, pixel: Field, *, rgb: Rgb) -> Field:
    """Tarmac: aggregate, tyre-worn tracks and repair patches."""
    grain = tex.fine(x * 60, z * 60) * fade(0.02, pixel)
    grain = grain + 0.5 * tex.fine(x * 12, z * 12) * fade(0.1, pixel)
    stain = tex.smooth(x * 7, z * 1.2)
    patch = (tex.cell(np.floor(x / 2.3), np.floor(z / 5.1), 3) > 0.86) * -0.14
    return tint(rgb, np.maximum(1 + 0.10 * grain + 0.08 * stain + patch, 0.3))


def dirt(tex: Textures, x: Field, z: Field, pixel: Field, *, rgb: Rgb) -> Field:
    """Gravel or earth of an unpaved path."""
    stones = tex.fine(x * 30, z * 30) * fade(0.03, pixel)
    stones = stones + tex.fine(x * 9, z * 9) * fade(0.1, pixel)
    return tint(rgb, np.maximum(1 + 0.13 * stones + 0.1 * tex.smooth(x * 4, z * 2), 0.3))


def paving(tex: Textures, x: Field, z: Field, pixel: Field, *, rgb: Rgb, size: float) -> Field:
    """Stone slabs or cobbles ``size`` meters wide in offset courses, with dark joints."""
    course = np.floor(z / size)
    across = x / size + 0.5 * (course.astype(np.int32) & 1)
    column = np.floor(across)
    joint = (across - column < 0.1) | (z / size - course < 0.13)
    visible = fade(size * 0.5, pixel)
    tone = 0.34 * (tex.cell(column, course, 5) - 0.5) * fade(size, pixel)
    grain = 0.07 * tex.fine(x * 40, z * 40) * fade(0.03, pixel) + 0.06 * tex.smooth(x * 3, z * 3)
    return tint(rgb, np.maximum(1 + tone + grain - 0.38 * joint * visible, 0.2))


def bricks(
    tex: Textures, s: Field, t: Field, pixel: Field, *, width: float, height: float
) -> Field:
    """Brightness ``[n]`` of a brick bond, mean near 1, with pale joints."""
    course = np.floor(t / height)
    across = s / width + 0.5 * (course.astype(np.int32) & 1)
    column = np.floor(across)
    joint = (across - column < 0.1) | (t / height - course < 0.18)
    tone = 0.42 * (tex.cell(column, course, 9) - 0.5)
    return 1 + (tone + 0.3 * joint) * fade(height * 0.8, pixel)
