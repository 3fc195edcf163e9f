"""What each command takes. Plain dataclasses: no Ray and no torch is imported here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from raynef.cli.machine import Doctor, Status
from raynef.cli.plan import Plan
from raynef.cli.spectral import Spectral
from raynef.cli.submit import Submit
from raynef.config.recipe import Data, KMeans, Probe, Recipe
from raynef.config.recipe import Evaluate as Protocol

Flat = Annotated[Recipe, arg(name="")]
"""A recipe whose fields are flags such as --graph.alpha."""
Presets = Annotated[
    tuple[str, ...],
    arg(
        name="recipe",
        help="Presets or .yaml files, the later over the earlier; flags override them.",
    ),
]
Seeds = Annotated[
    tuple[int, ...], arg(help="Run once for each of these, into OUT/seed-N, in place of train.seed")
]
Address = Annotated[str | None, arg(help="A Ray cluster to join; an embedded one if not given.")]


@dataclass(frozen=True)
class Demo:
    """Train, evaluate, segment and report on a rendered sample, in minutes."""

    presets: Presets = ("demo",)
    config: Flat = field(default_factory=Recipe)
    out: Path = Path("raynef-demo")
    """Folder of the run."""
    num_train: int = 160
    """Scenes to train on."""
    num_val: int = 40
    """Scenes to evaluate on."""


@dataclass(frozen=True)
class Train:
    """Train a segmenter on images without labels. The same command again resumes; with more
    --train.epochs it goes on from the last checkpoint."""

    out: Path
    """Folder of the run."""
    presets: Presets = ("folder",)
    config: Flat = field(default_factory=Recipe)
    init_from: Path | None = None
    """Start from the weights of this run's eigenfunctions; optimiser and schedule are new."""
    seeds: Seeds = ()
    address: Address = None


@dataclass(frozen=True)
class BaselineKMeans:
    """K-means on the backbone's features of the training views."""

    out: Path
    """Folder of the run."""
    presets: Presets = ("folder",)
    config: Flat = field(default_factory=Recipe)
    seeds: Seeds = ()
    address: Address = None


@dataclass(frozen=True)
class BaselineProbe:
    """A linear probe of the backbone's features, trained on LABELS: a diagnostic."""

    out: Path
    """Folder of the run."""
    presets: Presets = ("folder",)
    config: Flat = field(default_factory=Recipe)
    seeds: Seeds = ()
    address: Address = None


@dataclass(frozen=True)
class BaselineKMeansPsi:
    """Ours*: K-means on the features of a run's ψ before its head."""

    run: Positional[Path]
    """Folder of a finished run, or of several seeds."""
    out: Path | None = None
    """Folder of the baseline; by default RUN/kmeans-psi."""
    kmeans: KMeans = field(default_factory=KMeans)
    address: Address = None


@dataclass(frozen=True)
class BaselineProbePsi:
    """A linear probe of the features of a run's ψ, trained on LABELS: a diagnostic."""

    run: Positional[Path]
    """Folder of a finished run, or of several seeds."""
    out: Path | None = None
    """Folder of the baseline; by default RUN/probe-psi."""
    probe: Probe = field(default_factory=Probe)
    address: Address = None


@dataclass(frozen=True)
class Baseline:
    """What a run is measured against: K-means, Ours*, and linear probes."""

    method: tyro.conf.OmitSubcommandPrefixes[
        Annotated[BaselineKMeans, tyro.conf.subcommand("kmeans")]
        | Annotated[BaselineKMeansPsi, tyro.conf.subcommand("kmeans-psi")]
        | Annotated[BaselineProbe, tyro.conf.subcommand("probe")]
        | Annotated[BaselineProbePsi, tyro.conf.subcommand("probe-psi")]
    ]


@dataclass(frozen=True)
class Compare:
    """Make a table of methods and data sets, from one file. The same command again resumes."""

    file: Positional[Path]
    """A .yaml file with rows and columns; see docs/compare.yaml."""
    out: Path
    """Folder for runs and table."""
    address: Address = None


@dataclass(frozen=True)
class Tune:
    """Sweep a space of recipes on shared features. The same command again resumes."""

    space: Positional[str]
    """A .yaml file, or the name of a space that comes with raynef, such as alpha."""
    out: Path
    """Folder of the sweep."""
    presets: Annotated[
        tuple[str, ...],
        arg(name="recipe", help="As of raynef train; over the presets of --roots."),
    ] = ()
    config: Flat = field(default_factory=Recipe)
    roots: tuple[str, ...] = ()
    """Several data sets, as PRESET=DIR, in place of --data.root."""
    targets: tuple[str, ...] = ()
    """Data sets to score on, as PRESET=DIR, for spaces that train elsewhere (zero_shot)."""
    seeds: tuple[int, ...] = ()
    """Of every point; the space's own if not given."""
    max_concurrent: int | None = None
    """Trials side by side; by default one for each GPU, or node. More than GPUs share them."""
    mlflow: str | None = None
    """Also log to MLflow, at this tracking address."""
    wandb: str | None = None
    """Also log to this project of Weights & Biases."""
    address: Address = None


@dataclass(frozen=True)
class Table:
    """Write the table of a sweep: Markdown, LaTeX and CSV."""

    sweep: Positional[Path]
    """Folder of the sweep."""


@dataclass(frozen=True)
class Evaluate:
    """Score a run on labelled images, and name its clusters by classes."""

    run: Positional[Path]
    """Folder of the run."""
    presets: Annotated[
        tuple[str, ...],
        arg(
            name="recipe",
            help="Presets or .yaml files whose data and evaluate sections lie over the run's own "
            "recipe; flags override them.",
        ),
    ] = ()
    data: Data = field(default_factory=Data)
    evaluate: Protocol = field(default_factory=Protocol)
    address: Address = None


@dataclass(frozen=True)
class Predict:
    """Segment new images: cluster-id PNGs and colour overlays."""

    run: Positional[Path]
    """Folder of the run, or of a segmenter."""
    source: Positional[str]
    """An image, or a folder of images; a path, or an address such as s3://bucket/folder."""
    out: Path
    """Folder for the results, beside the images'."""
    address: Address = None


@dataclass(frozen=True)
class Extract:
    """Make a feature store alone, to be shared by many runs (--train.store)."""

    out: Path
    """Folder of the store."""
    presets: Presets = ("folder",)
    config: Flat = field(default_factory=Recipe)
    address: Address = None


@dataclass(frozen=True)
class DataCheck:
    """Say what a data set holds, and what is wrong with it, before hours are spent."""

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Data set: folder, or one of the benchmarks, as in --data.name."""
    root: Annotated[str, arg(name="data.root")]
    """Its folder, or an address that Arrow opens, such as s3://bucket/folder."""
    train_split: Annotated[str, arg(name="data.train-split")] = Data.train_split
    """Split that trains."""
    val_split: Annotated[str, arg(name="data.val-split")] = Data.val_split
    """Split that is evaluated."""
    max_bad_fraction: Annotated[float, arg(name="data.max-bad-fraction")] = Data.max_bad_fraction
    """Share of unreadable images that are no reason to fail (one never is)."""
    label_orientation: Annotated[
        Literal["auto", "stored", "upright"],
        arg(name="data.label-orientation", help="As of raynef train."),
    ] = Data.label_orientation
    address: Address = None


@dataclass(frozen=True)
class DataTools:
    """Look at a data set."""

    tool: tyro.conf.DisallowNone[  # "| None", for tyro makes subcommands of unions only
        tyro.conf.OmitSubcommandPrefixes[Annotated[DataCheck, tyro.conf.subcommand("check")] | None]
    ]
    """What to do with it."""


@dataclass(frozen=True)
class Report:
    """Write the report of a run or of a sweep: one HTML file that needs no network."""

    run: Positional[Path]
    """Folder of the run, or of the sweep."""
    images: bool = True
    """Show some of the data set; without, the page may go where its images may not."""


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
    | Annotated[Baseline, tyro.conf.subcommand("baseline")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Tune, tyro.conf.subcommand("tune")]
    | Annotated[Table, tyro.conf.subcommand("table")]
    | Annotated[DataTools, tyro.conf.subcommand("data")]
    | Annotated[Spectral, tyro.conf.subcommand("spectral")]
    | Annotated[Plan, tyro.conf.subcommand("plan")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Submit, tyro.conf.subcommand("submit")]
    | Annotated[Distill, tyro.conf.subcommand("distill")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Status, tyro.conf.subcommand("status")]
)
