"""The sections of a recipe: images, backbone, graph, eigenfunctions, training, baselines, scoring.

Defaults are the paper's (arXiv:2304.02841, Sec. 4.1) unless a comment says otherwise. A field is a
name, an annotated type, a default and a docstring: see ``raynef.config.fields``.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from raynef.config.fields import (
    FREE,
    Count,
    Key,
    Neighbors,
    Positive,
    Rule,
    Share,
    at_least,
    at_least_field,
    at_most_field,
)

BUNDLED_BACKBONE = "raynef_vit_micro_patch16"
Tap = Literal["norm", "keys", "neighborhood"]
Search = Literal["auto", "blocks", "topk", "faiss", "bfloat16", "fused"]
AskedPrecision = Literal["auto", "float32", "bfloat16"]

VIEWS, IMAGES = Key("views", always=True), Key("images", always=True)
_NAME = (Key("views", always=True, alias="backbone"), Key("images", always=True, alias="backbone"))
_STORED = Rule(
    "stored where eigen.objective is {}",
    lambda features, objective: features == "stored" or objective != "clusterings",
    "eigen.objective",
)
_NO_LEAK = Rule(
    "off where eigen.objective is {}",
    lambda leak, objective: not leak or objective != "clusterings",
    "eigen.objective",
)
_WEIGHTS = Rule("one weight >= 0 or more", lambda found: found and all(w >= 0 for w in found))
_CLUSTERS = Rule("0, or in 2 … 4096", lambda k: k == 0 or 2 <= k <= 4096)
_RANGE = Rule("0 < low <= high", lambda scale: 0 < scale[0] <= scale[1])


@dataclass(frozen=True)
class Data:
    """Which images, and how a training crop is made of them."""

    name: str = "folder"
    """Data set: folder, or one of the benchmarks in raynef.images.datasets.registry."""
    root: str | None = None
    """Folder of the data set, or an address that Arrow opens, such as s3://bucket/folder."""
    train_split: str = "train"
    """Split that trains (train.txt); without such a file, every image of the tree."""
    val_split: Annotated[str, FREE] = "val"
    """Split that is evaluated (val.txt)."""
    short_side: Annotated[Count, VIEWS] = 320
    """Short side of a training image before the random scale, in pixels."""
    crop: Annotated[Count, VIEWS] = 320
    """Side of the square training crop, in pixels; a multiple of the patch size."""
    scale: Annotated[tuple[float, float], _RANGE, VIEWS] = (0.5, 2.0)
    """Range of the random scale; 1 1 turns it off."""
    flip: Annotated[Share, VIEWS] = 0.5
    """Probability of a horizontal flip."""
    photometric: Annotated[bool, VIEWS] = True
    """Random brightness (±32), contrast, saturation (0.5 to 1.5) and hue (±36°)."""
    views: Annotated[Literal["augmented", "shifted"], Key("views")] = "augmented"
    """augmented: scale, crop, flip and colors at random, as in the paper. shifted: the middle of
    the image at short_side, and that moved by a few pixels; scale, flip and photometric are not
    read."""
    shift: Annotated[Count, Key("views")] = 4
    """Pixels by which shifted views are moved, down or up and left or right at once."""
    num_views: Annotated[Count, VIEWS] = 4
    """Views per image in the feature store; epoch e trains on view e mod num_views."""
    stored_bits: Annotated[Literal[16, 8], Key("views")] = 16
    """Bits of a number in the feature store. 16: half precision. 8: one of 256 steps from the least
    to the largest of its channel in its view, for half the bytes."""
    view_seed: Annotated[int, Key("views", always=True, alias="seed")] = 0
    """Seed of the views, apart from train.seed: runs of several seeds share one feature store."""
    max_bad_fraction: Annotated[Share, FREE] = 0.1
    """Share of unreadable files that may be skipped (one file always may)."""
    label_orientation: Literal["auto", "stored", "upright"] = "auto"
    """Where EXIF turns an image: its label was drawn on the stored pixels and turns with them, or
    on the image as shown. auto: by its size, and refused by name where that fits both."""


@dataclass(frozen=True)
class Backbone:
    """The frozen ViT."""

    name: Annotated[str, *_NAME] = BUNDLED_BACKBONE
    """Any timm ViT, the bundled raynef_vit_micro_patch16, or open_clip/NAME.TAG: the visual tower
    of a model of open_clip, which captions trained (extra: text)."""
    weights: Annotated[str | None, VIEWS, IMAGES] = None
    """A .safetensors/.pt path, 'hub' (through timm) or 'bundled'; by default bundled for the
    bundled name and hub for any other."""
    tap: Annotated[Tap, VIEWS] = "norm"
    """Last features: the final norm's output (supervised, CLIP) or the last block's attention keys
    (DINO). Of open_clip/ norm is the last block's values, in the space of texts (MaskCLIP), and
    neighborhood those averaged over patches that are alike and near (NACLIP)."""
    input_size: Annotated[int | None, at_least(1), Key("views")] = None
    """Side of the square to which training crops are resized (bicubic) before the backbone, and at
    test center crops, windows, or squares that a whole image is cut into: the native resolution of
    CLIP and DINOv2. None: all as they are."""
    precision: AskedPrecision = "auto"
    """Of the products within it, for stored features and at test; auto is bfloat16 on GPUs and
    where this machine's processor multiplies in it natively (``raynef doctor`` says so), float32
    elsewhere, and on the processors of a cluster of several machines. A feature store keeps the
    precision in which it was begun."""
    batch_size: Annotated[Count, FREE] = 16
    """Images per forward pass of a feature actor."""


@dataclass(frozen=True)
class Graph:
    """The kernel κ of Eq. 4."""

    num_neighbors: Count = 256
    """k of the feature graph (Eq. 2), capped at the patches of the global batch less 1."""
    search: Annotated[Search, FREE] = "auto"
    """How they are found, all exactly: products in blocks of rows whose groups are chosen first
    (blocks) or not (topk), by faiss, by products in bfloat16 whose candidates float32 scores again
    (bfloat16), or fused in one kernel on a CUDA device (fused). auto is bfloat16 on a CPU that
    multiplies in it natively, unless train.precision is float32, and blocks elsewhere."""
    pixel_neighbors: Neighbors = ((10, 2.0), (5, 0.1))
    """Pairs (k, distance weight) of the pixel graph (Eq. 3)."""
    alpha: Annotated[float, at_least(0)] = 0.3
    """Weight α of the pixel graph."""
    context: Annotated[float, at_least(0)] = 0.0
    """Weight of the image's mean feature beside each patch's in the feature graph, both at unit
    length; 0, as in the paper: patches alone."""


@dataclass(frozen=True)
class Eigen:
    """The network ψ and its objective: neural eigenfunctions, or clusterings that it learns."""

    objective: Literal["eigenfunctions", "clusterings"] = "eigenfunctions"
    """What ψ learns. eigenfunctions: those of the graph, as in the paper (Eq. 5). clusterings: the
    soft clusters of several K-means teachers at once (section teachers)."""
    network: Literal["attention", "convolution"] = "attention"
    """Blocks of ψ: the paper's linear attention, T·D wide, or depthwise convolutions, D wide."""
    head: Literal["trained", "kmeans"] = "trained"
    """What makes clusters of ψ's features: the linear layer that it was trained with (of several
    teachers the first one's), or K-means of these features, a linear layer too (Ours*)."""
    num_eigenfunctions: Annotated[int, _CLUSTERS] = 256
    """K: outputs of ψ, which are the clusters. 0: what suits the number of training images n, the
    power of two nearest to 8·√n, from 16 to 256."""
    beta: Annotated[float | None, at_least(0)] = None
    """β of Eq. 5 as the paper counts it; by default 20.48/K."""
    tau_start: Positive = 1.0
    """Gumbel-softmax temperature at the first step."""
    tau_end: Positive = 0.3
    """Gumbel-softmax temperature at the last step, and at test."""
    num_blocks: Count = 2
    """Blocks of ψ."""
    stop_gradient: bool = True
    """Stop the gradient through the first factor of R̂ (Eq. 6), which orders the eigenfunctions;
    without, each pair pushes both apart. For ablations."""
    orthogonal_head: bool = True
    """Keep the columns of the linear head's weight orthonormal (Sec. 4.1), where K <= T·D."""
    gumbel: Literal["soft", "hard"] = "soft"
    """Gumbel-softmax probabilities as they are, or one-hot with the gradient of the soft ones."""


@dataclass(frozen=True)
class Teachers:
    """The K-means clusterings that ψ learns with ``eigen.objective`` clusterings."""

    contexts: Annotated[tuple[float, ...], _WEIGHTS] = (0.6, 0.9, 0.6, 0.9)
    """One teacher for each: weight of the image's mean feature beside each patch's, both at unit
    length."""
    temperature: Positive = 0.1
    """Of the soft clusters, softmax((2 c·h − ‖c‖²) / temperature)."""
    max_points: Annotated[Count, at_least_field("eigen.num_eigenfunctions")] = 81_920
    """Patches on which their centers are found, drawn uniformly from the training images."""


@dataclass(frozen=True)
class Train:
    """Optimization, and how it is spread over workers."""

    batch_size: Count = 16
    """Images in the global batch, over which graph, norm and loss are defined."""
    num_workers: Annotated[
        Count, at_most_field("train.batch_size", "so that each worker has an image"), FREE
    ] = 1
    """Workers that share the global batch."""
    epochs: Count = 40
    """Passes over the training images."""
    min_steps: Annotated[int, at_least(0)] = 0
    """Steps that a training has at least: where epochs give fewer, there are more epochs."""
    seed: int = 0
    """Seed of every random draw."""
    lr: Positive = 1e-3
    """Adam's learning rate at the first step."""
    lr_end: Annotated[
        float, Rule("in (0, train.lr]", lambda low, high: 0 < low <= high, "train.lr")
    ] = 1e-5
    """Adam's learning rate at the last step (cosine)."""
    weight_decay: Annotated[float, at_least(0)] = 0.0
    """Decoupled from the gradient (AdamW); 0: plain Adam."""
    features: Annotated[Literal["stored", "streamed"], _STORED] = "stored"
    """Read features from a store, or stream them from feature actors each epoch."""
    store: Annotated[str | None, FREE] = None
    """Feature store to use or to make (shared by many runs); by default RUN/store."""
    max_failures: Annotated[int, at_least(0), FREE] = 3
    """Times that a run goes on from its last checkpoint after a lost worker."""
    precision: AskedPrecision = "auto"
    """Of the products within ψ, in training and in the passes of Ours* and ψ's probe; auto is
    bfloat16 where the GPU or processor multiplies in it natively (``raynef doctor`` says so),
    float32 elsewhere. Graph, norm, loss and, at test, all of ψ are float32 always. The frozen
    backbone has ``backbone.precision``."""
    compile: Annotated[bool, FREE] = False
    """Compile ψ's trunk by torch.compile, on a GPU as CUDA graphs: for steps that launches of small
    kernels bound. It takes up to a minute before the first step, and on CPUs gains little."""
    leak_labels: Annotated[bool, _NO_LEAK] = False
    """Train ψ's trunk on the LABELS too, as the code behind the paper's tables did. For comparison
    only: such a run is marked wherever it is shown."""


@dataclass(frozen=True)
class KMeans:
    """The K-means baselines."""

    max_points: Annotated[Count, at_least_field("eigen.num_eigenfunctions")] = 262_144
    """Patches on which the centers are found, drawn uniformly from all training views (of shifted
    ones, from the images themselves); the closing pass that updates the centers sees them all."""
    iterations: Count = 25
    """Lloyd iterations."""
    cosine: bool = False
    """Cluster directions: features and centers of unit length."""
    context: Annotated[float, at_least(0)] = 0.0
    """Weight of the image's mean feature beside each patch's, both at unit length; 0: patches
    alone."""


@dataclass(frozen=True)
class Nystrom:
    """Spectral clustering of one graph over the patches of all training images."""

    max_points: Annotated[Count, at_least_field("eigen.num_eigenfunctions")] = 65_536
    """Nodes of the graph, drawn uniformly from all training images."""
    pool: Count = 2
    """Side of the square of patches whose mean is a node; 1: each patch is one."""
    num_neighbors: Count = 32
    """Nearest nodes that a node is joined to, and nearest landmarks that place a patch."""
    num_landmarks: Annotated[Count, at_least_field("eigen.num_eigenfunctions")] = 16_384
    """Nodes that the segmenter keeps, drawn uniformly, to extend the eigenvectors to new images."""
    context: Annotated[float, at_least(0)] = 0.0
    """Weight of the image's mean feature beside each patch's, in the graph; 0: patches alone."""
    discretization: Literal["rotation", "kmeans"] = "rotation"
    """Clusters of the embedding: the nearest rotation to one-hot rows (Yu and Shi), or K-means."""


@dataclass(frozen=True)
class Probe:
    """The linear probe: supervised, on features that no gradient reaches."""

    max_points: Count = 262_144
    """Patches on which it is trained, drawn uniformly from all training views."""
    epochs: Count = 10
    """Passes over these patches."""
    batch_size: Count = 1024
    """Patches of a step."""
    lr: Positive = 1e-3
    """Adam's learning rate at the first step; 0 at the last (cosine)."""


@dataclass(frozen=True)
class Evaluate:
    """The evaluation protocol."""

    protocol: Annotated[Literal["reco", "sliding", "whole"], FREE] = "reco"
    """reco: short side resized, center crop, scored at that size. sliding: short side resized,
    windows averaged, scored at the label's own size. whole: short side resized, one pass."""
    short_side: Count = 320
    """Short side of an image at test, in pixels."""
    crop: Annotated[Count, FREE] = 320
    """Side of the center crop that is scored, in pixels (reco)."""
    window: Annotated[Count, FREE] = 480
    """Side of a window, in pixels (sliding)."""
    stride: Annotated[
        Count, at_most_field("evaluate.window", "so that every pixel lies in a window"), FREE
    ] = 320
    """Step between windows, in pixels (sliding)."""
    match: Annotated[Literal["iou", "count", "hungarian"], FREE] = "iou"
    """Cluster to class: majority vote by IoU or by pixel count, or Hungarian (by pixel count)."""
    match_on: Annotated[Literal["val", "train"], FREE] = "val"
    """Split whose labels name the clusters: val as in the papers, train as in a deployment."""
    crf: Annotated[bool, FREE] = False
    """Also score after a dense CRF, with a mapping of its own."""
    crf_clusters: Annotated[Count, FREE] = 32
    """Clusters of an image that its CRF works on: those with the largest mean probability. On MSRC
    32 of 128 score as all do, in a fifth of the time; 16 differ by 0.1 mIoU and 8 by 0.4."""
    boundary: Annotated[int, at_least(0), FREE] = 0
    """Also score what lies within so many pixels of an edge of the truth, and all else, apart (a
    trimap); 0: not."""
    batch_size: Annotated[Count, FREE] = 8
    """Images per forward pass."""
