"""The recipe: every choice of a run in frozen dataclasses, checked once, saved with the result.

A preset (YAML in ``raynef/config/recipes``) fills the fields, flags override them, and ``check``
names what is impossible. Defaults are the paper's (arXiv:2304.02841, Sec. 4.1) unless a comment
says otherwise.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from raynef.core.errors import UserError, require

BUNDLED_BACKBONE = "raynef_vit_micro_patch16"


@dataclass(frozen=True)
class Data:
    """Which images, and how a training crop is made of them."""

    name: str = "folder"
    """Data set: folder, or one of the benchmarks in raynef.images.datasets.registry."""
    root: str | None = None
    """Folder of the data set, or an address that Arrow opens, such as s3://bucket/folder."""
    train_split: str = "train"
    """Split that trains (train.txt); without such a file, every image of the tree."""
    val_split: str = "val"
    """Split that is evaluated (val.txt)."""
    short_side: int = 320
    """Short side of a training image before the random scale, in pixels."""
    crop: int = 320
    """Side of the square training crop, in pixels; a multiple of the patch size."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Range of the random scale; 1 1 turns it off."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    photometric: bool = True
    """Random brightness (±32), contrast, saturation (0.5 to 1.5) and hue (±36°)."""
    num_views: int = 4
    """Augmented views per image in the feature store; epoch e trains on view e mod num_views."""
    view_seed: int = 0
    """Seed of the views, apart from train.seed: runs of several seeds share one feature store."""
    max_bad_fraction: float = 0.01
    """Share of unreadable files that may be skipped (one file always may)."""
    label_orientation: Literal["auto", "stored", "upright"] = "auto"
    """Where EXIF turns an image: its label was drawn on the stored pixels and turns with them, or
    on the image as shown. auto: by its size, and refused by name where that fits both."""


@dataclass(frozen=True)
class Backbone:
    """The frozen ViT."""

    name: str = BUNDLED_BACKBONE
    """Any timm ViT, or the bundled raynef_vit_micro_patch16."""
    weights: str | None = None
    """A .safetensors/.pt path, 'hub' (through timm) or 'bundled'; by default bundled for the
    bundled name and hub for any other."""
    tap: Literal["norm", "keys"] = "norm"
    """Last features: the final norm's output (supervised, CLIP) or the last block's attention keys
    (DINO)."""
    input_size: int | None = None
    """Side of the square to which training crops are resized (bicubic) before the backbone, and at
    test center crops, windows, or squares that a whole image is cut into: the native resolution of
    CLIP and DINOv2. None: all as they are."""
    batch_size: int = 16
    """Images per forward pass of a feature actor."""


@dataclass(frozen=True)
class Graph:
    """The kernel κ of Eq. 4."""

    num_neighbors: int = 256
    """k of the feature graph (Eq. 2), capped at the patches of the global batch less 1."""
    pixel_neighbors: tuple[tuple[int, float], ...] = ((10, 2.0), (5, 0.1))
    """Pairs (k, distance weight) of the pixel graph (Eq. 3)."""
    alpha: float = 0.3
    """Weight α of the pixel graph."""


@dataclass(frozen=True)
class Eigen:
    """The neural eigenfunctions ψ and their objective."""

    num_eigenfunctions: int = 256
    """K: outputs of ψ, which are the clusters."""
    beta: float | None = None
    """β of Eq. 5 as the paper counts it; by default 20.48/K."""
    tau_start: float = 1.0
    """Gumbel-softmax temperature at the first step."""
    tau_end: float = 0.3
    """Gumbel-softmax temperature at the last step, and at test."""
    num_blocks: int = 2
    """Transformer blocks of ψ."""
    stop_gradient: bool = True
    """Stop the gradient through the first factor of R̂ (Eq. 6), which orders the eigenfunctions;
    without, each pair pushes both apart. For ablations."""
    orthogonal_head: bool = True
    """Keep the columns of the linear head's weight orthonormal (Sec. 4.1), where K <= T·D."""
    gumbel: Literal["soft", "hard"] = "soft"
    """Gumbel-softmax probabilities as they are, or one-hot with the gradient of the soft ones."""


@dataclass(frozen=True)
class Train:
    """Optimization, and how it is spread over workers."""

    batch_size: int = 16
    """Images in the global batch, over which graph, norm and loss are defined."""
    num_workers: int = 1
    """Workers that share the global batch."""
    epochs: int = 40
    """Passes over the training images."""
    seed: int = 0
    """Seed of every random draw."""
    lr: float = 1e-3
    """Adam's learning rate at the first step."""
    lr_end: float = 1e-5
    """Adam's learning rate at the last step (cosine)."""
    features: Literal["stored", "streamed"] = "stored"
    """Read features from a store, or stream them from feature actors each epoch."""
    store: str | None = None
    """Feature store to use or to make (shared by many runs); by default RUN/store."""
    max_failures: int = 3
    """Times that a run goes on from its last checkpoint after a lost worker."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the products within ψ, in training and in the passes of Ours* and ψ's probe; auto is
    bfloat16 on GPUs and float32 on CPUs. Graph, norm, loss and, at test, all of ψ are float32
    always. The frozen backbone is not governed by it: bfloat16 on GPUs, float32 on CPUs."""
    leak_labels: bool = False
    """Train ψ's trunk on the LABELS too, as the code behind the paper's tables did. For comparison
    only: such a run is marked wherever it is shown."""


@dataclass(frozen=True)
class KMeans:
    """The K-means baselines."""

    max_points: int = 262_144
    """Patches on which the centers are found, drawn uniformly from all training views; the closing
    pass that updates the centers sees every patch."""
    iterations: int = 25
    """Lloyd iterations."""
    cosine: bool = False
    """Cluster directions: features and centers of unit length."""


@dataclass(frozen=True)
class Probe:
    """The linear probe: supervised, on features that no gradient reaches."""

    max_points: int = 262_144
    """Patches on which it is trained, drawn uniformly from all training views."""
    epochs: int = 10
    """Passes over these patches."""
    batch_size: int = 1024
    """Patches of a step."""
    lr: float = 1e-3
    """Adam's learning rate at the first step; 0 at the last (cosine)."""


@dataclass(frozen=True)
class Evaluate:
    """The evaluation protocol."""

    protocol: Literal["reco", "sliding", "whole"] = "reco"
    """reco: short side resized, center crop, scored at that size. sliding: short side resized,
    windows averaged, scored at the label's own size. whole: short side resized, one pass."""
    short_side: int = 320
    """Short side of an image at test, in pixels."""
    crop: int = 320
    """Side of the center crop that is scored, in pixels (reco)."""
    window: int = 480
    """Side of a window, in pixels (sliding)."""
    stride: int = 320
    """Step between windows, in pixels (sliding)."""
    match: Literal["iou", "count", "hungarian"] = "iou"
    """Cluster to class: majority vote by IoU or by pixel count, or Hungarian (by pixel count)."""
    match_on: Literal["val", "train"] = "val"
    """Split whose labels name the clusters: val as in the papers, train as in a deployment."""
    crf: bool = False
    """Also score after a dense CRF, with a mapping of its own."""
    crf_clusters: int = 32
    """Clusters of an image that its CRF works on: those with the largest mean probability. On MSRC
    32 of 128 score as all do, in a fifth of the time; 16 differ by 0.1 mIoU and 8 by 0.4."""
    batch_size: int = 8
    """Images per forward pass."""


@dataclass(frozen=True)
class Spectral:
    """Deep Spectral Methods: exact eigenvectors of each image (arXiv:2205.07839)."""

    feature: Literal["key", "query", "value", "output", "token"] = "key"
    """What is compared: the attention's keys, queries, values or output, or the block's output."""
    block: int = -1
    """Block that it is taken from; -1 is the last."""
    stage: int | None = None
    """Of a pyramid (ResNet, ConvNeXt), the stage whose blocks these are; by default the last."""
    max_side: int = 1024
    """Longest side of an image in pixels; larger ones are resized. The paper's have none."""
    resolution: int = 8
    """Pixels of a node's side: features are resized up to it and the image down (M/8 x N/8)."""
    color_weight: float = 10.0
    """Weight λ of the color graph; .inf for colors alone."""
    color_space: Literal["hsv", "rgb"] = "hsv"
    """Of the color graph."""
    color_neighbors: tuple[tuple[int, float], ...] = ((20, 2.0), (10, 0.1))
    """Pairs (k, distance weight) of the color graph."""
    num_eigenvectors: int = 15
    """Eigenvectors of each image, besides the constant one."""
    num_segments: int = 15
    """Segments of an image before they are named (semantic)."""
    num_clusters: int = 20
    """Clusters of segments over all images, besides the background (semantic)."""
    background: Literal["border", "largest"] = "border"
    """Segment of an image that is its background: most border pixels, or the largest."""
    expand: int = 2
    """Patches by which the box around a segment grows before it is cropped (semantic)."""
    hungarian: Literal["iou", "count"] = "iou"
    """What one-to-one matching of clusters and classes maximizes: the sum of IoU, as published, or
    of pixels (semantic)."""


@dataclass(frozen=True)
class SelfTrain:
    """A segmentation network trained on pseudo-labels (arXiv:2205.07839, supplement, Sec. 1)."""

    steps: int = 2000
    """Training steps."""
    batch_size: int = 144
    """Crops in the global batch, however many workers share it."""
    crop: int = 224
    """Side of a random crop, in pixels; a multiple of the patch size."""
    lr: float = 1e-4
    """Adam's learning rate at the first step; it falls linearly to 0."""
    frozen: int = 2
    """Leading blocks of the backbone (stages of a pyramid, its stem among them) that stay."""
    num_workers: int = 1
    """Workers that share the global batch."""
    checkpoint_steps: int = 100
    """Steps between checkpoints: what a kill loses."""
    seed: int = 0
    """Of the head's weights, the order and the crops."""
    max_failures: int = 3
    """Times that it goes on from its last checkpoint after a lost worker."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on."""

    data: Data = field(default_factory=Data)
    backbone: Backbone = field(default_factory=Backbone)
    graph: Graph = field(default_factory=Graph)
    eigen: Eigen = field(default_factory=Eigen)
    train: Train = field(default_factory=Train)
    kmeans: KMeans = field(default_factory=KMeans)
    probe: Probe = field(default_factory=Probe)
    evaluate: Evaluate = field(default_factory=Evaluate)
    spectral: Spectral = field(default_factory=Spectral)
    selftrain: SelfTrain = field(default_factory=SelfTrain)


NEVER_SHAPES = frozenset(
    {
        "data.val_split",
        "data.max_bad_fraction",
        "backbone.batch_size",
        "train.num_workers",
        "train.max_failures",
        "train.store",
        "evaluate.protocol",
        "evaluate.crop",
        "evaluate.window",
        "evaluate.stride",
        "evaluate.match",
        "evaluate.match_on",
        "evaluate.crf",
        "evaluate.crf_clusters",
        "evaluate.batch_size",
    }
)
"""Fields that do not shape what a run's folder holds: what is trained is the same without them, but
for rounding. They say what may go wrong, where and how wide it runs, and how it is scored later. A
command may change them on a folder that is there; any other field is fixed when the folder is
begun. ``evaluate.short_side`` is no such field: the segmenter segments at that size."""


def may_change(kind: str, recipe: Recipe) -> frozenset[str]:
    """Fields that may change in the folder of a run that ``kind`` makes of a recipe.

    The sections of other methods, besides ``NEVER_SHAPES``; and how labels lie, unless it is
    trained on them.
    """
    others = ("kmeans", "probe", "spectral", "selftrain")
    fields = {
        f"{section}.{field.name}"
        for section in others
        if not kind.startswith(section)
        for field in dataclasses.fields(getattr(recipe, section))
    }
    if not (recipe.train.leak_labels or kind.startswith("probe")):
        fields.add("data.label_orientation")
    return NEVER_SHAPES | fields


def check(recipe: Recipe) -> Recipe:
    """Return the recipe, or raise UserError that names the field, the rule and the value."""
    data, graph, eigen, train = recipe.data, recipe.graph, recipe.eigen, recipe.train
    for section, fields in dataclasses.asdict(recipe).items():
        for name, value in fields.items():
            if f"{section}.{name}" != "spectral.color_weight":
                require(_finite(value), f"{section}.{name}", "finite", value)
    at_least_one = {
        "data.short_side": data.short_side,
        "data.crop": data.crop,
        "data.num_views": data.num_views,
        "backbone.batch_size": recipe.backbone.batch_size,
        "graph.num_neighbors": graph.num_neighbors,
        "eigen.num_blocks": eigen.num_blocks,
        "train.batch_size": train.batch_size,
        "train.num_workers": train.num_workers,
        "train.epochs": train.epochs,
        "evaluate.short_side": recipe.evaluate.short_side,
        "evaluate.crop": recipe.evaluate.crop,
        "evaluate.window": recipe.evaluate.window,
        "evaluate.stride": recipe.evaluate.stride,
        "evaluate.crf_clusters": recipe.evaluate.crf_clusters,
        "evaluate.batch_size": recipe.evaluate.batch_size,
        "kmeans.max_points": recipe.kmeans.max_points,
        "kmeans.iterations": recipe.kmeans.iterations,
        "probe.max_points": recipe.probe.max_points,
        "probe.epochs": recipe.probe.epochs,
        "probe.batch_size": recipe.probe.batch_size,
        "spectral.max_side": recipe.spectral.max_side,
        "spectral.resolution": recipe.spectral.resolution,
        "spectral.num_eigenvectors": recipe.spectral.num_eigenvectors,
        "spectral.num_segments": recipe.spectral.num_segments,
        "spectral.num_clusters": recipe.spectral.num_clusters,
        "selftrain.steps": recipe.selftrain.steps,
        "selftrain.batch_size": recipe.selftrain.batch_size,
        "selftrain.crop": recipe.selftrain.crop,
        "selftrain.num_workers": recipe.selftrain.num_workers,
        "selftrain.checkpoint_steps": recipe.selftrain.checkpoint_steps,
    }
    for name, value in at_least_one.items():
        require(value >= 1, name, ">= 1", value)
    require(0 < data.scale[0] <= data.scale[1], "data.scale", "0 < low <= high", data.scale)
    require(0 <= data.flip <= 1, "data.flip", "in [0, 1]", data.flip)
    require(
        0 <= data.max_bad_fraction <= 1, "data.max_bad_fraction", "in [0, 1]", data.max_bad_fraction
    )
    require(
        all(k >= 1 and weight >= 0 for k, weight in graph.pixel_neighbors),
        "graph.pixel_neighbors",
        "pairs (k >= 1, weight >= 0)",
        graph.pixel_neighbors,
    )
    require(graph.alpha >= 0, "graph.alpha", ">= 0", graph.alpha)
    require(
        2 <= eigen.num_eigenfunctions <= 4096,
        "eigen.num_eigenfunctions",
        "in 2 … 4096",
        eigen.num_eigenfunctions,
    )
    require(eigen.beta is None or eigen.beta >= 0, "eigen.beta", ">= 0, or none", eigen.beta)
    require(eigen.tau_start > 0, "eigen.tau_start", "> 0", eigen.tau_start)
    require(eigen.tau_end > 0, "eigen.tau_end", "> 0", eigen.tau_end)
    require(train.lr > 0, "train.lr", "> 0", train.lr)
    require(0 < train.lr_end <= train.lr, "train.lr_end", "in (0, train.lr]", train.lr_end)
    require(train.max_failures >= 0, "train.max_failures", ">= 0", train.max_failures)
    require(recipe.probe.lr > 0, "probe.lr", "> 0", recipe.probe.lr)
    require(
        recipe.backbone.input_size is None or recipe.backbone.input_size >= 1,
        "backbone.input_size",
        ">= 1, or none",
        recipe.backbone.input_size,
    )
    require(
        recipe.evaluate.stride <= recipe.evaluate.window,
        "evaluate.stride",
        f"<= evaluate.window = {recipe.evaluate.window}, so that every pixel lies in a window",
        recipe.evaluate.stride,
    )
    require(
        recipe.kmeans.max_points >= eigen.num_eigenfunctions,
        "kmeans.max_points",
        f">= eigen.num_eigenfunctions = {eigen.num_eigenfunctions}",
        recipe.kmeans.max_points,
    )
    require(
        train.num_workers <= train.batch_size,
        "train.num_workers",
        f"<= train.batch_size = {train.batch_size}, so that each worker has an image",
        train.num_workers,
    )
    selftrain = recipe.selftrain
    require(selftrain.lr > 0, "selftrain.lr", "> 0", selftrain.lr)
    require(selftrain.frozen >= 0, "selftrain.frozen", ">= 0", selftrain.frozen)
    require(selftrain.max_failures >= 0, "selftrain.max_failures", ">= 0", selftrain.max_failures)
    require(
        selftrain.num_workers <= selftrain.batch_size,
        "selftrain.num_workers",
        f"<= selftrain.batch_size = {selftrain.batch_size}, so that each worker has a crop",
        selftrain.num_workers,
    )
    spectral = recipe.spectral
    require(spectral.color_weight >= 0, "spectral.color_weight", ">= 0", spectral.color_weight)
    require(spectral.expand >= 0, "spectral.expand", ">= 0", spectral.expand)
    require(
        all(k >= 1 and weight >= 0 for k, weight in spectral.color_neighbors),
        "spectral.color_neighbors",
        "pairs (k >= 1, weight >= 0)",
        spectral.color_neighbors,
    )
    return recipe


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def to_dict(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Plain nested values, as saved with every run."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def from_dict(values: dict[str, Any], *, source: str = "recipe") -> Recipe:
    """A recipe from nested values; missing fields keep their defaults.

    Raises:
        UserError: an unknown section or key (named with what is allowed), or a value of the wrong
            type.
    """
    return check(_build(Recipe, values, source, ""))


def fingerprint(values: Any) -> str:
    """A short content hash of plain nested values, the same on every machine."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _build(kind: Any, values: Any, source: str, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise UserError(f"{source}: {prefix or 'the recipe'} must be a mapping, got {values!r}")
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            guess = f"; did you mean {prefix}{near[0]}?" if near else "."
            raise UserError(
                f"{source}: unknown key {prefix}{key}{guess} Allowed: {', '.join(hints)}"
            )
    built = {}
    for key, value in values.items():
        name, hint = f"{prefix}{key}", hints[key]
        if dataclasses.is_dataclass(hint):
            built[key] = _build(hint, value, source, f"{name}.")
        else:
            built[key] = _convert(hint, value, source, name)
    return kind(**built)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _convert(hint: Any, value: Any, source: str, name: str) -> Any:
    """A plain value as the field's type, or UserError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
        raise UserError(
            f"{source}: {name} must be one of {', '.join(map(str, arguments))}, got {value!r}"
        )
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _convert(hint, value, source, name)
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is Ellipsis:
            return tuple(_convert(arguments[0], item, source, name) for item in value)
        if len(arguments) == len(value):
            pairs = zip(arguments, value, strict=True)
            return tuple(_convert(kind, item, source, name) for kind, item in pairs)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is float and isinstance(value, str) and _is_number(value):
        return float(value)  # YAML 1.1 reads 1e-3, without a point, as text
    elif (
        (hint is bool and isinstance(value, bool))
        or (hint is int and isinstance(value, int) and not isinstance(value, bool))
        or (hint is str and isinstance(value, str))
    ):
        return value
    wanted = hint.__name__ if isinstance(hint, type) and origin is None else str(hint)
    raise UserError(f"{source}: {name} must be of type {wanted}, got {value!r}")
