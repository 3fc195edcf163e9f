"""``raynef spectral …``: what each of its commands takes, and what it calls."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from raynef.cli.paths import absolute_paths
from raynef.config.presets import load_presets
from raynef.config.recipe import Backbone, Recipe, SelfTrain, check
from raynef.config.recipe import Spectral as SpectralSettings
from raynef.io.log import logged
from raynef.jobs.spectral import RECORD

Address = Annotated[str | None, arg(help="A Ray cluster to join; an embedded one if not given.")]
Presets = Annotated[
    tuple[str, ...],
    arg(
        name="recipe",
        help="Presets or .yaml files, the later over the earlier; flags override them.",
    ),
]
Root = Annotated[
    str | None, arg(name="data.root", help="The data set's folder, where it has moved.")
]


@dataclass(frozen=True)
class Eigen:
    """Features, affinity and eigenpairs of every image. The same command again resumes."""

    out: Path
    """Folder of the store."""
    presets: Presets = ("dsm",)
    config: Annotated[Recipe, arg(name="")] = field(default_factory=Recipe)
    features: Path | None = None
    """Folder of features to share with other stores; by default OUT/features."""
    address: Address = None


@dataclass(frozen=True)
class Localize:
    """A box around the main object of each image, and CorLoc where the data set has boxes."""

    store: Positional[Path]
    """Folder that raynef spectral eigen made."""
    lost: bool = True
    """Also LOST's box, from the same features."""
    difficult: bool = True
    """Count the objects that VOC marks as difficult."""
    root: Root = None
    address: Address = None


@dataclass(frozen=True)
class Objects:
    """The foreground of each image, refined by a CRF, and mean IoU where there are masks."""

    store: Positional[Path]
    """Folder that raynef spectral eigen made."""
    out: Path | None = None
    """Folder for the masks, PNGs of 0 and 255; STORE/object if not given."""
    crf: bool = True
    """Refine the masks to the edges of the image."""
    root: Root = None
    address: Address = None


@dataclass(frozen=True)
class Semantic:
    """Segments with the same label in every image; mIoU where the data set has labels."""

    store: Positional[Path]
    """Folder that raynef spectral eigen made, whose images are clustered."""
    method: Literal["spectral", "cluster-seg", "cluster-patch"] = "spectral"
    """The paper's own, or a baseline of its Table 4."""
    on: Path | None = None
    """Another such folder, whose images are labelled in place of its own."""
    settings: Annotated[SpectralSettings, arg(name="spectral")] = field(
        default_factory=SpectralSettings
    )
    seed: int = 0
    """Of K-means."""
    address: Address = None


@dataclass(frozen=True)
class Train:
    """A segmentation network trained on the store's own segments. The same command resumes."""

    store: Positional[Path]
    """Folder that raynef spectral semantic has labelled."""
    on: Path | None = None
    """Another store, whose images are labelled and scored in place of its own."""
    method: Literal["spectral", "cluster-seg", "cluster-patch"] = "spectral"
    """Of raynef spectral semantic, whose labels these are."""
    settings: Annotated[SelfTrain, arg(name="selftrain")] = field(default_factory=SelfTrain)
    backbone: Backbone = field(default_factory=Backbone)
    """That the network starts from; by default the store's."""
    address: Address = None


@dataclass(frozen=True)
class Matte:
    """Soft layers of one photograph at full resolution, as RGBA images."""

    image: Positional[str]
    """A photograph; a path or an address."""
    out: Path
    """Folder for the layers."""
    presets: Presets = ("dsm",)
    config: Annotated[Recipe, arg(name="")] = field(default_factory=Recipe)
    num_layers: int = 5
    """Layers."""
    max_side: int = 640
    """Longest side at which they are made; a larger photograph is resized for it."""
    seed: int = 0
    """Of the affinities that are drawn, and of K-means."""


@dataclass(frozen=True)
class CompareSpectra:
    """How well a run's eigenfunctions solve their problem: beside exact eigenvectors."""

    run: Positional[Path]
    """Folder of a finished run."""
    source: Positional[str]
    """An image or a folder of images."""
    num_images: int = 16
    """At most so many, spread over the folder; one graph is made of all."""
    out: Path | None = None
    """JSON file for the result."""


@dataclass(frozen=True)
class Spectral:
    """Deep Spectral Methods: what the exact eigenvectors of each image show."""

    method: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Eigen, tyro.conf.subcommand("eigen")]
        | Annotated[Localize, tyro.conf.subcommand("localize")]
        | Annotated[Objects, tyro.conf.subcommand("object")]
        | Annotated[Semantic, tyro.conf.subcommand("semantic")]
        | Annotated[Train, tyro.conf.subcommand("selftrain")]
        | Annotated[Matte, tyro.conf.subcommand("matte")]
        | Annotated[CompareSpectra, tyro.conf.subcommand("compare")]
    ]


def parse_spectral(method: Any, argv: list[str]) -> Any:
    """The method with its flags over its presets, or over its STORE's recipe.

    Raises:
        UserError: a mistake in them.
    """
    if isinstance(method, Semantic):
        from raynef.jobs.spectral.eigen import recipe_of

        base = dataclasses.replace(method, settings=recipe_of(method.store).spectral)
        return tyro.cli(Semantic, args=argv, default=base, prog="raynef spectral semantic")
    if isinstance(method, Train):
        from raynef.jobs.spectral.eigen import recipe_of

        recipe = recipe_of(method.store)
        base = dataclasses.replace(method, settings=recipe.selftrain, backbone=recipe.backbone)
        return tyro.cli(Train, args=argv, default=base, prog="raynef spectral selftrain")
    if not isinstance(method, Eigen | Matte):
        return method
    base = dataclasses.replace(method, config=load_presets(method.presets))
    name = "eigen" if isinstance(method, Eigen) else "matte"
    method = tyro.cli(type(method), args=argv, default=base, prog=f"raynef spectral {name}")
    return dataclasses.replace(method, config=absolute_paths(check(method.config)))


def run_spectral(method: Any) -> dict[str, Any]:
    """Run it; what works on a STORE keeps its log there."""
    store = getattr(method, "store", None)
    if store is None or not (store / RECORD).is_file():
        return _run(method)
    with logged(store):
        return _run(method)


def _run(method: Any) -> dict[str, Any]:
    """Imports torch and Ray only here."""
    if isinstance(method, Eigen):
        from raynef.jobs.spectral.eigen import eigen

        return eigen(method.config, method.out, features=method.features, address=method.address)
    if isinstance(method, Localize):
        from raynef.jobs.spectral.localize import localize

        return localize(
            method.store,
            lost=method.lost,
            difficult=method.difficult,
            root=method.root,
            address=method.address,
        )
    if isinstance(method, Train):
        from raynef.jobs.spectral.eigen import recipe_of
        from raynef.jobs.spectral.selftrain import selftrain

        recipe = dataclasses.replace(
            recipe_of(method.store), selftrain=method.settings, backbone=method.backbone
        )
        return selftrain(
            method.store,
            check(recipe),
            on=method.on,
            method=method.method,
            address=method.address,
        )
    if isinstance(method, Matte):
        from raynef.jobs.spectral.matte import matte

        return matte(
            method.image,
            method.config,
            method.out,
            num_layers=method.num_layers,
            max_side=method.max_side,
            seed=method.seed,
        )
    if isinstance(method, CompareSpectra):
        from raynef.jobs.spectral.bridge import compare_spectra

        return compare_spectra(
            method.run, method.source, num_images=method.num_images, out=method.out
        )
    if isinstance(method, Semantic):
        from raynef.jobs.spectral.eigen import recipe_of
        from raynef.jobs.spectral.semantic import semantic

        recipe = dataclasses.replace(recipe_of(method.store), spectral=method.settings)
        return semantic(
            method.store,
            check(recipe),
            method=method.method,
            on=method.on,
            seed=method.seed,
            address=method.address,
        )
    from raynef.jobs.spectral.objects import segment_objects

    return segment_objects(
        method.store, out=method.out, crf=method.crf, root=method.root, address=method.address
    )
