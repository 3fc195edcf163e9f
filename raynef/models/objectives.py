"""What a training step minimizes, behind one interface: the goal of a batch, then its loss.

An objective is told apart by ``eigen.objective``. To add one: a class here, and its name there and
in ``build_objective``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from raynef.assign.context import in_context
from raynef.assign.teachers import Teachers
from raynef.config.recipe import Recipe
from raynef.config.sections import Search
from raynef.core.collectives import Collectives
from raynef.core.devices import sent
from raynef.core.kernel import Kernel
from raynef.eigen.gumbel import gumbel_noise, gumbel_softmax
from raynef.eigen.objective import effective_beta, eigenfunction_objective
from raynef.features.precision import has_bfloat16, uses_bfloat16
from raynef.graph import build_kernel
from raynef.graph.knn import search_on


@dataclass(frozen=True)
class Batch:
    """This worker's slice of a global batch, on its device or beside it."""

    images: Sequence[int]  # indices in the data set
    epoch: int
    taps: Tensor  # [B, T, h·w, D] float32
    thumbnails: Tensor  # [B, h, w, 3] float32
    valid: Tensor  # [B, h, w]
    at: Tensor | None  # of the valid patches among all B·h·w, int64 [n]; None where all are valid
    reference: Tensor  # [B, h·w, D] float32: last features of which the goal is told
    tau: float

    @property
    def rows(self) -> Tensor:
        """Which patches are valid, [B, h·w]."""
        return self.valid.flatten(1)

    def of_patches(self, values: Tensor) -> Tensor:
        """Those of the valid patches, [n, …], of [B, h·w, …]."""
        flat = values.flatten(0, 1)
        return flat if self.at is None else flat.index_select(0, self.at.to(flat.device))

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w)."""
        return self.valid.shape[1], self.valid.shape[2]


@dataclass(frozen=True)
class Loss:
    """A loss over the global batch.

    Attributes:
        value: whose gradient is this worker's part; the parts add up to that of the global batch.
        whole: over the global batch, the same on every worker.
        terms: what a step's record says of it, besides ``whole``; a number each.
    """

    value: Tensor
    whole: Tensor
    terms: dict[str, Tensor]


class Goal(Protocol):
    """What an objective makes of a batch before ψ sees it."""

    @property
    def num_patches(self) -> int:
        """N, the valid patches of the global batch; the same on every worker."""
        ...


class Objective(Protocol):
    """What ψ is trained by."""

    empty: Mapping[str, Any]
    """Terms of a step whose global batch has no valid patch."""

    def goal(self, batch: Batch, collectives: Collectives) -> Goal:
        """What the batch is to be told apart by."""
        ...

    def loss(self, logits: Tensor, batch: Batch, goal: Any, collectives: Collectives) -> Loss:
        """Of ψ's logits [B, h·w, ``num_outputs``]."""
        ...


class Eigenfunctions:
    """The paper's: the leading eigenfunctions of the graph of the global batch (Eqs. 4 to 7)."""

    empty: Mapping[str, Any] = {"trace": 0.0, "penalty": 0.0, "columns_below_1": 0}

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def goal(self, batch: Batch, collectives: Collectives) -> Kernel:
        """κ of the batch's valid patches."""
        graph, features = self._recipe.graph, batch.taps[:, -1]
        if graph.context:
            features = in_context(features, batch.rows, graph.context)
        return build_kernel(
            batch.of_patches(features),
            batch.thumbnails,
            num_neighbors=graph.num_neighbors,
            pixel_neighbors=graph.pixel_neighbors,
            alpha=graph.alpha,
            search=self._search(features.device),
            valid=batch.valid,
            collectives=collectives,
        )

    def loss(self, logits: Tensor, batch: Batch, goal: Kernel, collectives: Collectives) -> Loss:
        """L of Eq. 5 over the Gumbel-softmax of the logits."""
        eigen = self._recipe.eigen
        hard, noise = eigen.gumbel == "hard", self._noise(logits, batch)
        terms = eigenfunction_objective(
            batch.of_patches(gumbel_softmax(logits, noise, batch.tau, hard=hard)),
            goal,
            beta_eff=effective_beta(eigen.beta, eigen.num_eigenfunctions),
            stop_gradient=eigen.stop_gradient,
            collectives=collectives,
        )
        said = {
            "trace": terms.trace,
            "penalty": terms.penalty,
            "columns_below_1": (terms.column_norms < 1).sum(),
        }
        return Loss(terms.loss, terms.loss.detach(), said)

    def _search(self, device: torch.device) -> Search:
        half = has_bfloat16(device) and uses_bfloat16(self._recipe.train.precision, device)
        return search_on(self._recipe.graph.search, device, half=half)

    def _noise(self, logits: Tensor, batch: Batch) -> Tensor:
        size, seed = logits.shape[1:], self._recipe.train.seed
        images = [int(image) for image in batch.images]
        noise = gumbel_noise(size[0], size[1], seed=seed, epoch=batch.epoch, images=images)
        return sent(noise, logits.device)


@dataclass(frozen=True)
class Targets:
    """Soft clusters of the valid patches by each of M teachers, [n, M, K]."""

    clusters: Tensor
    num_patches: int


class Clusterings:
    """Cross-entropy to the soft clusters that several K-means teachers give the same patch.

    Of a shifted view they are those of the image itself, so that ψ learns what does not depend on
    where the grid of patches lies.
    """

    empty: Mapping[str, Any] = {}

    def __init__(self, teachers: Teachers) -> None:
        self._teachers = teachers

    def goal(self, batch: Batch, collectives: Collectives) -> Targets:
        """Soft clusters of the reference features."""
        clusters = batch.of_patches(self._teachers.soft_clusters(batch.reference, batch.rows))
        if collectives.world_size == 1:
            return Targets(clusters, len(clusters))
        count = torch.tensor([float(len(clusters))], device=clusters.device)
        return Targets(clusters, int(collectives.all_reduce_sum(count).item()))

    def loss(self, logits: Tensor, batch: Batch, goal: Targets, collectives: Collectives) -> Loss:
        """The mean over patches and teachers, in nats."""
        wanted = goal.clusters
        log_p = batch.of_patches(logits).float().view(wanted.shape).log_softmax(dim=-1)
        own = -(wanted * log_p).sum() / (goal.num_patches * wanted.shape[1])
        return Loss(own, collectives.all_reduce_sum(own.detach()[None])[0], {})


def build_objective(recipe: Recipe, teachers: Teachers | None, device: torch.device) -> Objective:
    """The objective of a recipe; ``teachers`` where it is clusterings."""
    if recipe.eigen.objective == "eigenfunctions":
        return Eigenfunctions(recipe)
    if teachers is None:
        raise ValueError("eigen.objective clusterings needs teachers")
    return Clusterings(teachers.to(device))


def num_outputs(recipe: Recipe) -> int:
    """Outputs of ψ's head in training: K, or K for each teacher."""
    teachers = 1 if recipe.eigen.objective == "eigenfunctions" else len(recipe.teachers.contexts)
    return recipe.eigen.num_eigenfunctions * teachers
