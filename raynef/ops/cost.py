"""What a recipe stores, moves and holds, in bytes: arithmetic, without running anything.

Letters: M images, V views of each, B images in the global batch, w workers, b = ⌈B/w⌉ images of the
largest slice, P patches of a view, v the share of them without padding, N = B·P·v rows of the
graph, n = b·P·v of one worker, D features of a patch, T taps, K eigenfunctions, k neighbors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raynef.config.recipe import Recipe

FLOAT, HALF, INDEX = 4, 2, 4  # bytes: float32, float16, and the 32-bit columns of κ
ROW_OVERHEAD = 2_000
"""Bytes of Parquet's pages and footer for an image: 1,700 and 3,300 were found for rows of 0.46 and
2.1 MB."""
_HEADS_DIM, _MLP_DIM = 18 * 64, 576  # of ψ's blocks; see raynef.eigen.psi
_SIMILARITY_BYTES = 32 << 20  # the block of similarities that a search holds; see raynef.graph.knn


@dataclass(frozen=True)
class Shapes:
    """The sizes that every cost follows from."""

    num_images: int  # M that train
    num_views: int  # V in the store
    epochs: int  # passes over the images
    batch_size: int  # B, at most M
    num_workers: int  # w
    side: int  # of a view, in pixels
    patch_size: int  # of the backbone, in pixels
    dim: int  # D
    graph_dim: int  # of a patch in the feature graph: D, in context 2·D
    num_taps: int  # T
    valid_share: float  # v, see ``valid_share``
    num_eigenfunctions: int  # K
    num_neighbors: int  # k of the feature graph, before it is capped
    pixel_neighbors: int  # Σk of the pixel graph
    num_blocks: int  # of ψ
    network: str  # of ψ, as eigen.network
    num_teachers: int  # of clusterings; 0 of eigenfunctions, which alone have a graph
    stored_bits: int  # of a number in the store
    images_per_shard: int  # of the store, and of a unit of extraction

    @property
    def grid(self) -> int:
        """Patches along a side of a view."""
        return self.side // self.patch_size

    @property
    def patches_per_view(self) -> int:
        """P, padding among them."""
        return self.grid**2

    @property
    def num_outputs(self) -> int:
        """Of ψ's head in training."""
        return self.num_eigenfunctions * max(1, self.num_teachers)

    @property
    def slice_size(self) -> int:
        """b, images of the largest slice of a global batch."""
        return -(-self.batch_size // self.num_workers)

    @property
    def num_patches(self) -> int:
        """N, rows of the graph of a global batch, on the average."""
        return round(self.batch_size * self.patches_per_view * self.valid_share)

    @property
    def slice_patches(self) -> int:
        """n, those of the largest slice."""
        return round(self.slice_size * self.patches_per_view * self.valid_share)

    @property
    def steps_per_epoch(self) -> int:
        """⌊M/B⌋: the incomplete last batch is dropped."""
        return self.num_images // self.batch_size

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * self.steps_per_epoch


def shapes_of(
    recipe: Recipe, *, dim: int, num_images: int, num_workers: int, valid: float, **sizes: int
) -> Shapes:
    """The sizes of a recipe on so many images; the rest of ``Shapes`` as ``sizes``."""
    teachers, train = recipe.teachers.contexts, recipe.train
    batch_size = min(train.batch_size, num_images)
    least = -(-train.min_steps // (num_images // batch_size))
    return Shapes(
        num_images=num_images,
        num_views=recipe.data.num_views,
        epochs=max(train.epochs, least),
        batch_size=batch_size,
        num_workers=num_workers,
        dim=dim,
        graph_dim=2 * dim if recipe.graph.context else dim,
        valid_share=valid,
        num_eigenfunctions=recipe.eigen.num_eigenfunctions,
        num_neighbors=recipe.graph.num_neighbors,
        pixel_neighbors=sum(k for k, _ in recipe.graph.pixel_neighbors),
        num_blocks=recipe.eigen.num_blocks,
        network=recipe.eigen.network,
        num_teachers=0 if recipe.eigen.objective == "eigenfunctions" else len(teachers),
        stored_bits=recipe.data.stored_bits,
        **sizes,
    )


def valid_share(
    *, short_side: int, crop: int, scale: tuple[float, float], aspect: float, grid: int
) -> float:
    """Mean share of a view's patches that hold no padding.

    For a scale s, uniform over its range, the image is s·short_side and s·short_side·aspect pixels;
    along each side ⌊grid·min(1, length/crop)⌋ patches are whole. The mean over s, in 1,000 steps.

    Args:
        short_side, crop: of the recipe's data, in pixels.
        scale: its range.
        aspect: long side over short side of the images.
        grid: patches along a side of a view.
    """
    low, high = scale
    steps = 1000
    total = 0
    for step in range(steps):
        short = short_side * (low + (high - low) * (step + 0.5) / steps)
        total += math.prod(
            math.floor(grid * min(1.0, length / crop)) for length in (short, short * aspect)
        )
    return total / steps / grid**2


def row_bytes(shapes: Shapes) -> int:
    """One image in one view in the store: P·(2·T·D + 2·3 + 1) bytes, and its overhead.

    Taps and thumbnail in half precision, a byte for whether the patch is valid. In 8 bits taps are
    P·T·D bytes, and two single-precision numbers for each channel of a tap.
    """
    channels = shapes.num_taps * shapes.dim
    taps = shapes.patches_per_view * channels * shapes.stored_bits // 8
    scale = 2 * FLOAT * channels if shapes.stored_bits == 8 else 0
    return taps + scale + shapes.patches_per_view * (HALF * 3 + 1) + ROW_OVERHEAD


def store_bytes(shapes: Shapes) -> int:
    """The feature store: M·V rows."""
    return shapes.num_images * shapes.num_views * row_bytes(shapes)


def psi_parameters(shapes: Shapes) -> int:
    """|ψ|, weights of ψ with a head of O outputs, K or K for each teacher.

    Of attention d·(4·1152 + 2·576 + 6) + 576 a block, and d·(2 + O) + O, with d = T·D: a block has
    3·1152·d of q, k and v, 1152·d + d of the projection, 4·d of two norms, and 2·576·d + 576 + d of
    the MLP; a norm and the head follow. Of convolution 4·D² + 32·D a block (25·D + D of the
    convolution, 4·D² + 5·D of norm and MLP, D of the gain), 2·d of norms, D·d + D² + 2·D of what
    they are projected by, and D·(2 + O) + O.
    """
    d, outputs = shapes.num_taps * shapes.dim, shapes.num_outputs
    if shapes.network == "convolution":
        dim = shapes.dim
        block = 4 * dim**2 + 32 * dim
        before = 2 * d + dim * d + dim**2 + 2 * dim
        return shapes.num_blocks * block + before + 2 * dim + outputs * dim + outputs
    block = 4 * _HEADS_DIM * d + 2 * _MLP_DIM * d + 6 * d + _MLP_DIM
    return shapes.num_blocks * block + 2 * d + outputs * d + outputs


@dataclass(frozen=True)
class Exchange:
    """One collective of a training step."""

    what: str  # is exchanged
    kind: str  # gather (everyone's rows), reduce (a sum, on everyone) or scatter (own rows of it)
    payload: int  # bytes of the whole: what a gather returns, what a sum is of

    def sent(self, num_workers: int) -> float:
        """Bytes that one of w workers sends, and receives: by a ring X·(w-1)/w for a gather or a
        scatter of X bytes, twice that for a reduce."""
        rounds = 2 if self.kind == "reduce" else 1
        return rounds * self.payload * (num_workers - 1) / num_workers

    def hops(self, num_workers: int) -> int:
        """Messages that follow one another, by a ring: w-1, twice for a reduce."""
        return (2 if self.kind == "reduce" else 1) * (num_workers - 1)


def exchanges(shapes: Shapes) -> list[Exchange]:
    """The collectives of one training step, in order; none of them in the backward pass.

    Counted as the docstrings of ``build_kernel``, ``eigenfunction_loss`` and ``Trainer.step`` have
    them: 4·N·D of features (8·N·D in context), 4·N of degrees, 4·K of norms, 4·N·K of u and as much
    of κu, 4·K² of R, 4·(K + 2) of statistics, and, where there are several workers, first 8 of each
    worker's number of rows and last 4·|ψ| of the gradient. Clusterings have no graph: among several
    workers one number of patches, one of the loss, and the last two.
    """
    patches, num_out, workers = shapes.num_patches, shapes.num_eigenfunctions, shapes.num_workers
    last = [Exchange("statistics", "reduce", FLOAT * (num_out + 2))]
    if workers > 1:
        last.append(Exchange("gradient", "reduce", FLOAT * psi_parameters(shapes)))
    if shapes.num_teachers:
        first = [Exchange("patches", "reduce", FLOAT)] if workers > 1 else []
        return [*first, Exchange("loss", "reduce", FLOAT), *last]
    first = [Exchange("row counts", "gather", 8 * workers)] if workers > 1 else []
    return [
        *first,
        Exchange("features", "gather", FLOAT * patches * shapes.graph_dim),
        Exchange("degrees", "reduce", FLOAT * patches),
        Exchange("norms", "reduce", FLOAT * num_out),
        Exchange("u", "gather", FLOAT * patches * num_out),
        Exchange("κu", "scatter", FLOAT * patches * num_out),
        Exchange("R", "reduce", FLOAT * num_out**2),
        *last,
    ]


def edges_per_row(shapes: Shapes) -> int:
    """Entries of a row of this worker's half of κ: k feature edges, and at most 2·Σk of pixels."""
    k = min(shapes.num_neighbors, max(0, shapes.num_patches - 1))
    return k + 2 * shapes.pixel_neighbors


def worker_memory(shapes: Shapes) -> dict[str, int]:
    """What a train worker holds at most in a step, in bytes, by name; a rough count.

    Python, torch and Ray themselves (about 0.5 GB on a CPU, more with CUDA) come on top.

    * features: two slices in half precision (one is read ahead) and the taps of one in float32;
    * gathered features: own unit rows, and everyone's, 4·N·D, twice while they are put together;
    * neighbors: a block of similarities, 32 MB or one row of N;
    * kernel: half and its transpose, 16 bytes an edge; 28 more while it is made;
    * u and κu: four matrices N×K (gathered, padded, the product, what is scattered);
    * psi: activations that the backward pass needs, a patch about blocks·(6·T·D + 7·1152 + 3·576)
      and 8·K numbers, of convolutions about (T + 2)·D + blocks·12·D;
    * goal: of clusterings, soft clusters and their softmax, three matrices of a patch by outputs;
    * weights: ψ, its gradient and two moments of Adam; among several workers the gradient also as
      one vector, and its sum.
    """
    wide = shapes.num_taps * shapes.dim
    own_rows = shapes.slice_size * shapes.patches_per_view
    own, everyone = shapes.slice_patches, shapes.num_patches
    alone = shapes.num_workers == 1
    weights = (4 if alone else 6) * FLOAT * psi_parameters(shapes)
    if shapes.network == "convolution":
        activations = wide + 2 * shapes.dim + shapes.num_blocks * 12 * shapes.dim
    else:
        activations = shapes.num_blocks * (6 * wide + 7 * _HEADS_DIM + 3 * _MLP_DIM)
    activations += 8 * shapes.num_outputs
    features = 2 * shapes.slice_size * row_bytes(shapes) + FLOAT * own_rows * wide
    if shapes.num_teachers:  # features of the image itself come with those of a view
        return {
            "features": 2 * features,
            "goal": 3 * FLOAT * own_rows * shapes.num_outputs,
            "psi": FLOAT * own_rows * activations,
            "weights": weights,
        }
    return {
        "features": features,
        "gathered_features": FLOAT * shapes.graph_dim * (own if alone else own + 2 * everyone),
        "neighbours": max(_SIMILARITY_BYTES, FLOAT * everyone),
        "kernel": own * edges_per_row(shapes) * (2 * (FLOAT + INDEX) + 28),
        "u_and_κu": FLOAT * shapes.num_eigenfunctions * (2 * own if alone else 4 * everyone),
        "psi": FLOAT * own_rows * activations,
        "weights": weights,
    }


def object_store_bytes(shapes: Shapes, *, streamed: bool, cores: int, actors: int) -> int:
    """Ray's object store while features are made: units on their way, at least.

    A unit carries b·3·side² bytes of pixels to an actor and its rows from it, b images of a shard
    (stored) or of a slice (streamed). Two tasks a core prepare, an actor has one unit in work and
    one waiting, and as many leave it. Where preparing is faster than the backbone, Ray Data goes on
    up to half of the object store before it waits.

    Args:
        shapes: of the recipe.
        streamed: each worker has a pipeline of its own.
        cores: that prepare, of all machines.
        actors: with a backbone, of all machines.
    """
    images = shapes.slice_size if streamed else shapes.images_per_shard
    pixels, rows = images * 3 * shapes.side**2, images * row_bytes(shapes)
    return 2 * cores * pixels + 2 * actors * (pixels + rows)


def total(values: Sequence[Exchange], num_workers: int) -> float:
    """Bytes that one worker sends in all of some exchanges."""
    return sum(value.sent(num_workers) for value in values)
