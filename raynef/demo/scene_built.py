"""Buildings: boxes with walls, windows and roofs."""

from dataclasses import dataclass

import numpy as np

from raynef.demo.scene_canvas import Canvas, Label, Patch, ShadowMap
from raynef.demo.scene_textures import Field, Rgb, Textures, bricks, fade, mix, tint


@dataclass(frozen=True)
class Facade:
    """Look of a house: its wall, a palette of ``Dice``, and its openings, in meters."""

    wall: str
    rgb: Rgb
    trim: Rgb
    glass: Rgb
    awning: Rgb
    floor: float
    bay: float
    open_width: float  # share of the bay
    open_height: float  # share of the floor
    shop: bool
    salt: int

    def albedo(self, canvas: Canvas, patch: Patch, top: float) -> tuple[Field, Field]:
        """Albedo ``[n, 3]`` and lamps ``[n]`` of a wall whose eaves are ``top`` meters high."""
        tex, s, t, pixel = canvas.tex, patch.s, patch.t, patch.pixel
        color = tint(self.rgb, self._wall(tex, s, t, pixel))
        bay, level = np.floor(s / self.bay), np.floor(t / self.floor)
        across, up = np.abs(s / self.bay - bay - 0.5), np.abs(t / self.floor - level - 0.52)
        has_floor = (level + 1) * self.floor <= top + 0.3
        grow = np.where((level == 0) & self.shop, 1.35, 1.0)
        wide, high = 0.5 * self.open_width * grow, 0.5 * self.open_height * grow
        hole = (across < wide) & (up < high) & has_floor
        frame = (across < wide + 0.06) & (up < high + 0.05) & has_floor
        sash = (np.abs(across) < 0.012 * 3 / self.bay) | (np.abs(up - 0.08) < 0.012)
        draw = tex.cell(bay, level, self.salt)
        sky = 0.55 + 0.9 * (t / self.floor - level) * draw + 0.25 * tex.smooth(s * 4, t * 4)
        pane = mix(tint(self.glass, np.maximum(sky, 0.25)), (0.80, 0.78, 0.70), 0.6 * (draw > 0.8))
        color[frame] = self.trim
        shown = hole & ~(sash & (pixel < 0.05))
        color[shown] = pane[shown]
        ledge = (np.abs(t / self.floor - level) < 0.05) & (level > 0) & (self.wall != "glass")
        cornice = (t > top - 0.35) & (t <= top)
        color[(ledge & ~frame) | cornice] = np.multiply(self.trim, 0.92)
        if self.shop:
            band = (t > 0.82 * self.floor) & (t < 1.02 * self.floor)
            stripe = 1 - 0.45 * ((np.floor(s / 0.35).astype(np.int32) & 1) == 0)
            color[band] = tint(self.awning, stripe)[band]
        lit = shown & (tex.cell(bay, level, self.salt + 5) < canvas.light.lamps)
        return color * (1 - 0.25 * np.exp(-t * 1.2))[:, None], lit

    def _wall(self, tex: Textures, s: Field, t: Field, pixel: Field) -> Field:
        """Brightness ``[n]`` of the bare wall."""
        specks = 0.06 * tex.fine(s * 18, t * 18) * fade(0.06, pixel)
        grime = 1 + 0.05 * tex.smooth(s * 2, t * 1.2) + specks
        if self.wall == "brick":
            return grime * bricks(tex, s, t, pixel, width=0.5, height=0.2)
        if self.wall == "stone":
            return grime * bricks(tex, s, t, pixel, width=1.1, height=0.55)
        if self.wall == "siding":
            board = t / 0.26 - np.floor(t / 0.26)
            return grime * (1 - 0.3 * (board < 0.22) * fade(0.13, pixel))
        if self.wall in ("panel", "glass"):
            seam = np.abs(s / self.bay - np.round(s / self.bay)) * self.bay < 0.07
            return grime * (1 - 0.28 * seam * fade(0.07, pixel))
        return grime


@dataclass(frozen=True)
class Building:
    """A house on x0..x1, z0..z1; its ridge is ``roof`` meters above the eaves (0: flat)."""

    x0: float
    x1: float
    z0: float
    z1: float
    height: float
    roof: float
    roof_rgb: Rgb
    facade: Facade

    def cast(self, shadows: ShadowMap) -> None:
        """Shadow of the walls, and of the roof as if it were a flat half-height storey."""
        shadows.cast_box(self.x0, self.x1, self.z0, self.z1, self.height + 0.4 * self.roof)

    def paint(self, canvas: Canvas) -> None:
        """Front wall, the side wall that shows (with its gable), and the near slope of the roof."""
        front = canvas.frontal(self.x0, self.x1, 0, self.height, self.z0)
        self._paint_wall(canvas, front, canvas.light.cosine(0, 0, -1))
        across, along = (self.x0, self.x1), (self.z0, self.z1)
        self._paint_wall(canvas, *canvas.flank(across, along, (0, self.height + self.roof)))
        if self.roof:
            self._paint_roof(canvas)

    def _paint_wall(self, canvas: Canvas, patch: Patch, facing: float) -> None:
        albedo, lit = self.facade.albedo(canvas, patch, self.height)
        keep = None
        if self.roof:
            middle = 0.5 * (self.z0 + self.z1)
            gable = 1 - np.abs(patch.s - middle) / (middle - self.z0)
            keep = patch.t <= self.height + self.roof * np.maximum(gable, 0) + 1e-3
        canvas.paint(patch, albedo, facing, Label.BUILDING, keep, lamps=lit)

    def _paint_roof(self, canvas: Canvas) -> None:
        middle, tex = 0.5 * (self.z0 + self.z1), canvas.tex
        over = 0.35  # the eaves stand out, and hang down along the slope, by this many meters
        eaves = (self.z0 - over, self.height - over * self.roof / (middle - self.z0))
        ridge = (middle, self.height + self.roof)
        patch = canvas.slope(self.x0 - over, self.x1 + over, eaves, ridge)
        tiles = bricks(tex, patch.s, patch.t, patch.pixel, width=0.4, height=0.4)
        moss = 1 + 0.1 * tex.smooth(patch.s * 3, patch.t * 3)
        length = np.hypot(middle - self.z0, self.roof)
        facing = canvas.light.cosine(0, (middle - self.z0) / length, -self.roof / length)
        canvas.paint(patch, tint(self.roof_rgb, tiles * moss), facing, Label.BUILDING)
