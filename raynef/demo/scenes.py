"""Bundled sample data: street and landscape scenes rendered by our own code, with exact pixel
labels.

A scene follows from its seed alone. Classes differ by texture and surroundings rather than by one
color: houses, vehicles and clothes come in many colors, and light, haze and season change all of
them. Shapes: H, W image height and width in pixels.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from raynef.demo.scene_backdrop import paint_ground, paint_sky
from raynef.demo.scene_camera import develop, draw_camera, draw_light
from raynef.demo.scene_canvas import Canvas, Label, ShadowMap
from raynef.demo.scene_landscape import country, highway, lakeside, park
from raynef.demo.scene_plan import Plan
from raynef.demo.scene_textures import make_textures
from raynef.demo.scene_town import canal, square, street
from raynef.io.files import write_atomic, write_text

CLASSES: tuple[str, ...] = tuple(label.name.lower() for label in Label)

KINDS = (street, country, lakeside, square, park, highway, canal)  # equally likely

SCENES_EACH = 48  # of a process, at least: it takes half a second to start

MIN_SIDE = 64  # pixels; below this, people and flowers vanish

PALETTE: tuple[tuple[int, int, int], ...] = (
    (110, 170, 220), (120, 190, 70), (110, 100, 110), (170, 80, 60), (30, 100, 40),
    (240, 190, 40), (40, 80, 190), (150, 130, 170), (230, 60, 120), (250, 130, 230),
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One rendered scene.

    image: uint8 ``[H, W, 3]``, RGB.
    label: uint8 ``[H, W]``, index into ``CLASSES``; every pixel is labeled.
    """

    image: np.ndarray
    label: np.ndarray


def render_scene(seed: int, *, height: int = 240, width: int = 320) -> Scene:
    """Render the scene of a seed; the same seed gives the same bytes, at any size the same world.

    Raises ``ValueError`` for a negative seed or a side under ``MIN_SIDE`` pixels.
    """
    if seed < 0:
        raise ValueError(f"parameter seed must be an integer >= 0, got {seed!r}")
    if height < MIN_SIDE or width < MIN_SIDE:
        raise ValueError(
            f"parameters height and width must be at least {MIN_SIDE} pixels, "
            f"got {height} x {width}; render larger and resize the result"
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    light, tex = draw_light(rng), make_textures(rng)
    plan = Plan(rng)
    plan.pick(KINDS)(plan)
    camera = draw_camera(rng, height=height, width=width, eye=plan.eye)
    canvas = Canvas(camera, tex, light, ShadowMap(light))

    things = plan.dry_things()
    for thing in things:
        thing.cast(canvas.shadows)
    for thing in things:
        thing.paint(canvas)
    for ridge in reversed(plan.ridges):
        ridge.paint(canvas)
    paint_ground(canvas, plan.ground)
    paint_sky(canvas)
    if plan.water is not None:
        plan.water.paint(canvas)
    return Scene(image=develop(canvas, rng), label=canvas.label)


def write_scenes(root: Path, *, num_train: int, num_val: int, seed: int = 0) -> Path:
    """Write scenes as a dataset folder and return it.

    Layout: ``images/<stem>.jpg`` (quality 95), ``labels/<stem>.png`` (8-bit palette, class index
    per pixel), ``train.txt`` and ``val.txt`` (one stem per line), ``classes.txt`` (one class name
    per line, by index). The lists are removed first and written last, so a folder that has them is
    complete. Scene k of a split depends on (seed, split, k) only: asking for more scenes later
    leaves the earlier ones as they are.
    """
    if num_train < 0 or num_val < 0:
        raise ValueError(
            f"parameters num_train and num_val must be >= 0, got {num_train} and {num_val}"
        )
    if seed < 0:
        raise ValueError(f"parameter seed must be an integer >= 0, got {seed!r}")
    root = Path(root)
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    splits = {"train": num_train, "val": num_val}
    for name in (*splits, "classes"):
        (root / f"{name}.txt").unlink(missing_ok=True)
    wanted = {
        f"{name}_{k:05d}": _scene_seed(seed, split, k)
        for split, (name, count) in enumerate(splits.items())
        for k in range(count)
    }
    _write_all(root, list(wanted.items()))
    for name, count in splits.items():
        write_text(root / f"{name}.txt", "".join(f"{name}_{k:05d}\n" for k in range(count)))
    write_text(root / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
    return root


def _scene_seed(seed: int, split: int, index: int) -> int:
    """The seed of one scene of a folder."""
    return int(np.random.SeedSequence((seed, split, index)).generate_state(1, np.uint64)[0])


def _write_all(root: Path, wanted: Sequence[tuple[str, int]]) -> None:
    """Scenes by name and seed, where there are many in several processes.

    What another process could not write is written here, so that its error is said once.
    """
    count = min(os.cpu_count() or 1, len(wanted) // SCENES_EACH)
    shares = [wanted[start::count] for start in range(count)] if count > 1 else [wanted]
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_renderer, args=(root, share)) for share in shares[1:]]
    for process in others:
        process.daemon = True  # it ends with this one
        process.start()
    _write_share(root, shares[0])
    for process, share in zip(others, shares[1:], strict=True):
        process.join()
        if process.exitcode != 0:
            _write_share(root, share)


def _renderer(root: Path, wanted: Sequence[tuple[str, int]]) -> None:
    """A process of its own: without a word, as Ctrl-C is for its parent to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _write_share(root, wanted)
    except Exception:  # noqa: BLE001  # its parent meets it too
        sys.exit(1)


def _write_share(root: Path, wanted: Sequence[tuple[str, int]]) -> None:
    for stem, seed in wanted:
        _write_scene(root, stem, render_scene(seed))


def _write_scene(root: Path, stem: str, scene: Scene) -> None:
    """Write the image and the label of one scene."""
    indexed = Image.fromarray(scene.label).convert("L")
    indexed.putpalette([channel for rgb in PALETTE for channel in rgb])
    write_atomic(
        root / "images" / f"{stem}.jpg",
        lambda path: Image.fromarray(scene.image).save(path, "JPEG", quality=95),
    )
    write_atomic(root / "labels" / f"{stem}.png", lambda path: indexed.save(path, "PNG"))
