"""What each command takes. Plain dataclasses: no Ray and no torch is imported here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from raynef.core.recipe import Data, Recipe
from raynef.core.recipe import Evaluate as Protocol

Flat = Annotated[Recipe, arg(name="")]
"""A recipe whose fields are flags such as --graph.alpha."""
Preset = Annotated[str, arg(name="recipe", help="A preset, or a .yaml file; flags override it.")]
Address = Annotated[str | None, arg(help="A Ray cluster to join; an embedded one if not given.")]


@dataclass(frozen=True)
class Demo:
    """Train, evaluate, segment and report on a rendered sample, in minutes."""

    preset: Preset = "demo"
    config: Flat = field(default_factory=Recipe)
    out: Path = Path("raynef-demo")
    """Folder of the run."""
    num_train: int = 160
    """Scenes to train on."""
    num_val: int = 40
    """Scenes to evaluate on."""


@dataclass(frozen=True)
class Train:
    """Train a segmenter on images without labels. The same command again resumes."""

    out: Path
    """Folder of the run."""
    preset: Preset = "folder"
    config: Flat = field(default_factory=Recipe)
    address: Address = None


@dataclass(frozen=True)
class Evaluate:
    """Score a run on labelled images, and name its clusters by classes."""

    run: Positional[Path]
    """Folder of the run."""
    data: Data = field(default_factory=Data)
    evaluate: Protocol = field(default_factory=Protocol)
    address: Address = None


@dataclass(frozen=True)
class Predict:
    """Segment new images: cluster-id PNGs and colour overlays."""

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    source: Positional[Path]
    """An image, or a folder of images."""
    out: Path
    """Folder for the results."""
    address: Address = None


@dataclass(frozen=True)
class Extract:
    """Make a feature store alone, to be shared by many runs (--train.store)."""

    out: Path
    """Folder of the store."""
    preset: Preset = "folder"
    config: Flat = field(default_factory=Recipe)
    address: Address = None


@dataclass(frozen=True)
class Report:
    """Write the report of a run: one HTML file that needs no network."""

    run: Positional[Path]
    """Folder of the run."""


@dataclass(frozen=True)
class Distill:
    """Distil a larger ViT's patch tokens into the small bundled one, on images without labels."""

    teacher: str
    """timm name of the teacher."""
    teacher_weights: str
    """Its weights: a .safetensors or .pt file, or 'hub'."""
    images: tuple[Path, ...]
    """Folders of images, without labels."""
    out: Path
    """The student's weights, a .safetensors file; a checkpoint beside it resumes."""
    image_shares: tuple[float, ...] = ()
    """Share of the crops from each folder; equal by default."""
    minutes: float | None = None
    """Length of the training in minutes of wall time, or …"""
    steps: int | None = None
    """… in steps."""
    batch_size: int = 8
    """Crops a step."""
    lr: float = 1.5e-3
    """Largest learning rate."""
    seed: int = 0
    """Seed of weights, crops and order."""


Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Extract, tyro.conf.subcommand("extract")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Distill, tyro.conf.subcommand("distill")]
)
