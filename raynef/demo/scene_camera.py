"""How a scene is photographed: daylight, viewpoint, and the camera's finish."""

import numpy as np
from PIL import Image, ImageFilter

from raynef.demo.scene_canvas import Camera, Canvas, Label, Light, Range
from raynef.demo.scene_textures import Rgb

# name: sun elevation (degrees), then sun, ambient, zenith and horizon colors, cloud cover, share
# of lit windows
_DAYLIGHT: dict[str, tuple[Range, Rgb, Rgb, Rgb, Rgb, Range, float]] = {
    "noon": (
        (40, 68), (0.95, 0.92, 0.85), (0.36, 0.40, 0.46), (0.20, 0.42, 0.80), (0.68, 0.82, 0.94),
        (0.1, 0.6), 0.0),
    "morning": (
        (18, 36), (0.95, 0.82, 0.64), (0.34, 0.38, 0.46), (0.36, 0.56, 0.84), (0.90, 0.88, 0.84),
        (0.0, 0.5), 0.02),
    "golden": (
        (8, 17), (1.05, 0.68, 0.36), (0.33, 0.33, 0.40), (0.36, 0.46, 0.70), (0.99, 0.76, 0.50),
        (0.1, 0.6), 0.08),
    "overcast": (
        (30, 60), (0.16, 0.16, 0.15), (0.66, 0.68, 0.72), (0.60, 0.64, 0.70), (0.82, 0.84, 0.86),
        (0.8, 1.0), 0.05),
    "dusk": (
        (5, 10), (0.28, 0.17, 0.20), (0.31, 0.31, 0.43), (0.16, 0.20, 0.42), (0.86, 0.52, 0.46),
        (0.1, 0.6), 0.45),
}  # fmt: skip


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a time of day, a sun direction and the weather."""
    name = rng.choice(list(_DAYLIGHT), p=[0.32, 0.22, 0.18, 0.18, 0.10])
    elevation, sun, ambient, zenith, horizon, clouds, lamps = _DAYLIGHT[str(name)]
    polar, azimuth = np.radians(rng.uniform(*elevation)), rng.uniform(-np.pi, np.pi)
    direction = (np.cos(polar) * np.sin(azimuth), np.sin(polar), np.cos(polar) * np.cos(azimuth))
    jitter = rng.uniform(0.93, 1.07, (2, 3))
    return Light(
        sun_dir=np.array(direction, np.float32),
        sun=np.array(sun * jitter[0], np.float32),
        ambient=np.array(ambient * jitter[1], np.float32),
        zenith=np.array(zenith * jitter[0], np.float32),
        horizon=np.array(horizon, np.float32),
        cloud_cover=float(rng.uniform(*clouds)),
        haze_length=float(np.exp(rng.uniform(np.log(400), np.log(3000)))),
        lamps=lamps,
    )


def draw_camera(rng: np.random.Generator, *, height: int, width: int, eye: Range) -> Camera:
    """Draw a viewpoint; ``eye`` is the range of eye heights in meters."""
    size = min(height, 0.75 * width)  # so that tall and wide images frame the same things
    return Camera(
        height=height,
        width=width,
        focal=float(size * rng.uniform(0.85, 1.5)),
        x0=float(width * rng.uniform(0.32, 0.68)),
        y0=float(height * rng.uniform(0.36, 0.58)),
        roll=float(np.radians(np.clip(rng.normal(0, 1.8), -5, 5))),
        eye=float(rng.uniform(*eye)),
    )


def develop(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Haze, exposure, color cast, vignette, sensor noise and lens blur; uint8 ``[H, W, 3]``."""
    light = canvas.light
    haze = 1 - np.exp(canvas.depth * np.float32(-1 / light.haze_length))
    haze[canvas.label == Label.SKY] = 0
    np.minimum(haze, 0.86, out=haze)
    color = light.horizon * np.float32(0.9) - canvas.color
    color *= haze[..., None]
    color += canvas.color

    # The meter looks at the ground half, as a photographer would: a bright sky must not turn the
    # street black.
    seen = color[canvas.label != Label.SKY][::7]
    metered = float(seen.mean()) if len(seen) else 0.3
    sky = color[canvas.label == Label.SKY][::7]
    limit = 0.85 / float(sky.mean()) if len(sky) else 2.2
    gain = np.clip(min(rng.uniform(0.30, 0.40) / max(metered, 1e-3), max(limit, 1)), 0.7, 2.2)
    cast = np.array(gain * (1 + rng.normal(0, 0.035, 3)), np.float32)
    rows = np.linspace(-1, 1, color.shape[0], dtype=np.float32)[:, None]
    cols = np.linspace(-1, 1, color.shape[1], dtype=np.float32)[None, :]
    vignette = 1 - np.float32(rng.uniform(0, 0.12)) * (rows * rows + cols * cols)
    color *= cast * vignette[..., None]
    # Grain is drawn last: the draws before it do not depend on the size of the image.
    softness = float(rng.uniform(0.12, 0.2))
    strength = np.float32(rng.uniform(0.004, 0.02))
    grain = rng.standard_normal(color.shape[:2], dtype=np.float32) * strength
    np.clip(color, 0, 3, out=color)
    color *= 1.06 / (1 + 0.06 * color * color)  # a film's shoulder instead of hard clipping
    color += grain[..., None]
    color *= 255
    np.clip(color, 0, 255, out=color)
    return _soften(color.astype(np.uint8), weight=softness)


def _soften(image: np.ndarray, *, weight: float) -> np.ndarray:
    """Three-tap blur along both axes, for the lens and for antialiasing of borders."""
    taps = np.array([weight, 1 - 2 * weight, weight])
    kernel = ImageFilter.Kernel((3, 3), np.outer(taps, taps).ravel().tolist(), scale=1)
    return np.asarray(Image.fromarray(image).filter(kernel)).copy()
