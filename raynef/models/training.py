"""One training step on one worker's slice of the global batch, and what a checkpoint holds.

No Ray here: a job feeds ``Trainer.step`` with slices and collectives; a test feeds it alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from raynef.config.recipe import Recipe
from raynef.core.collectives import Collectives, SingleProcess
from raynef.core.draws import generator, torch_seeded
from raynef.core.errors import NonFiniteLossError
from raynef.core.stopwatch import Stopwatch, Timed
from raynef.core.typed import split
from raynef.eigen.gumbel import cosine_schedule, gumbel_noise, gumbel_softmax
from raynef.eigen.objective import effective_beta, eigenfunction_objective
from raynef.eigen.psi import Psi
from raynef.features.extract import Features
from raynef.graph import build_kernel


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What a step did, over the global batch; without one valid patch in it, only that.

    ``loss``, ``trace`` and ``penalty`` are those of ``ObjectiveTerms``.
    """

    step: int
    epoch: int
    loss: float = 0.0
    trace: float = 0.0
    penalty: float = 0.0
    columns_below_1: int = 0  # clusters with ‖ψ_j‖ < 1, which the L2 batch norm leaves as they are
    tau: float
    lr: float
    patches: int = 0  # N
    clusters_in_use: int = 0  # those that hold a patch
    entropy: float = 0.0  # mean of softmax(logits), in nats
    cross_entropy: float | None = None  # with ``train.leak_labels`` alone

    def as_dict(self) -> dict[str, float]:
        """A line of steps.jsonl."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def global_batches(
    images: Sequence[int], *, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """The global batches of one epoch, from (seed, epoch) alone; the incomplete last is dropped."""
    order = np.asarray(images)[generator("order", seed, epoch).permutation(len(images))]
    return [
        order[start : start + batch_size]
        for start in range(0, len(order) - batch_size + 1, batch_size)
    ]


def slice_of(batch: np.ndarray, *, rank: int, world_size: int) -> np.ndarray:
    """The consecutive part of a global batch that a worker holds; sizes differ by at most 1."""
    return np.array_split(batch, world_size)[rank]


class Trainer:
    """ψ, its optimizer and its schedules.

    Args:
        in_dim: T·D, features that ψ sees of a patch.
        num_steps: of the whole training; temperature and learning rate follow a cosine over them.
            Where a training is lengthened, both follow the cosine of the new length from the step
            at which it goes on, and so rise at that step.
        num_classes: C of the labels that ``train.leak_labels`` lets in; 0 where it does not.
        watch: counts the seconds of graph, communication and all else.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        in_dim: int,
        num_steps: int,
        device: torch.device | None = None,
        collectives: Collectives | None = None,
        num_classes: int = 0,
        watch: Stopwatch | None = None,
    ) -> None:
        self.recipe = recipe
        self.num_steps = num_steps
        self.device = device or torch.device("cpu")
        self.watch = watch or Stopwatch(self.device)
        self.collectives: Collectives = Timed(collectives or SingleProcess(), self.watch)
        self.half = uses_bfloat16(recipe.train.precision, self.device)
        self.psi = build_psi(recipe, in_dim).to(self.device)
        self.leak = Labeleak(recipe, in_dim, num_classes).to(self.device) if num_classes else None
        parameters = self._parameters()
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(parameters, lr=recipe.train.lr)
        self.step_index = 0

    def step(
        self, features: Features, images: Sequence[int], *, epoch: int, labels: Tensor | None = None
    ) -> StepRecord:
        """One step on the global batch of which this worker holds ``images``.

        ``images`` are indices in the data set, which with the epoch seed the Gumbel noise;
        ``labels``, with ``train.leak_labels`` alone, shares of the classes in each patch,
        [B, h·w, C]. A global batch without one valid patch (crops of images smaller than a patch)
        has no graph: the step changes no weight, and its terms are 0, as is ``patches``.

        Raises:
            NonFiniteLossError: with step and rank, before any weight is touched.

        Collectives: those of kernel and loss, one sum of the gradient, one of K + 2 statistics
        (two more of a number each where labels leak).
        """
        if labels is not None and self.leak is None:
            raise ValueError("labels were given, but train.leak_labels is off")
        with self.watch.running("psi"):
            record = self._step(features, images, epoch, labels)
        self.step_index += 1
        return record

    def _step(
        self, features: Features, images: Sequence[int], epoch: int, labels: Tensor | None
    ) -> StepRecord:
        graph, eigen, train = self.recipe.graph, self.recipe.eigen, self.recipe.train
        progress = (self.step_index, self.num_steps)
        tau = cosine_schedule(*progress, start=eigen.tau_start, end=eigen.tau_end)
        lr = cosine_schedule(*progress, start=train.lr, end=train.lr_end)
        taps = features.taps.to(self.device).float()
        valid = features.valid.to(self.device)
        rows = valid.flatten(1)
        with self.watch.running("graph"):
            kernel = build_kernel(
                taps[:, -1][rows],
                features.thumbnails.to(self.device).float(),
                num_neighbors=graph.num_neighbors,
                pixel_neighbors=graph.pixel_neighbors,
                alpha=graph.alpha,
                valid=valid,
                collectives=self.collectives,
            )
        if not kernel.num_patches:  # the same on every worker
            leaked = None if self.leak is None else 0.0
            return StepRecord(
                step=self.step_index, epoch=epoch, tau=tau, lr=lr, cross_entropy=leaked
            )

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            hidden = self.psi.features(taps, rows)
            logits: Tensor = self.psi.head(hidden)
        noise = self._noise(images, logits, epoch)
        probabilities = gumbel_softmax(logits, noise, tau, hard=eigen.gumbel == "hard")[rows]
        terms = eigenfunction_objective(
            probabilities,
            kernel,
            beta_eff=effective_beta(eigen.beta, eigen.num_eigenfunctions),
            stop_gradient=eigen.stop_gradient,
            collectives=self.collectives,
        )
        loss, whole, leaked = terms.loss, terms.loss.detach(), None
        if self.leak is not None:
            supervised = self.leak(hidden[rows], labels, rows, self.collectives)
            loss = supervised + 0.01 / eigen.num_eigenfunctions * loss
            total = self.collectives.all_reduce_sum(supervised.detach()[None])[0]
            whole = whole + total  # not finite where either is not, on every worker
            leaked = total.item()
        if not torch.isfinite(whole):
            raise NonFiniteLossError(
                f"the loss is {whole.item()} at step {self.step_index} (epoch {epoch}) on "
                f"rank {self.collectives.rank}; the last checkpoint is from before. A lower "
                "train.lr usually helps"
            )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._sum_gradients()
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        clusters_in_use, entropy = self._cluster_health(logits.detach()[rows])
        return StepRecord(
            step=self.step_index,
            epoch=epoch,
            loss=terms.loss.item(),
            trace=terms.trace.item(),
            penalty=terms.penalty.item(),
            columns_below_1=int((terms.column_norms < 1).sum()),
            tau=tau,
            lr=lr,
            patches=kernel.num_patches,
            clusters_in_use=clusters_in_use,
            entropy=entropy,
            cross_entropy=leaked,
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        return {
            "psi": self.psi.state_dict(),
            "leak": self.leak.state_dict() if self.leak is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "step_index": self.step_index,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.psi.load_state_dict(state["psi"])
        if self.leak is not None:
            self.leak.load_state_dict(state["leak"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_index = int(state["step_index"])

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Take ψ's weights from another's, as a segmenter holds them: with a plain head.

        Optimizer and schedules start anew. The same on every worker.
        """
        weights = dict(weights)
        head = weights.pop("head.weight") if uses_orthogonal_head(self.psi) else None
        self.psi.cpu()  # where the basis is completed by the same draws whatever the device
        keys: Any = self.psi.load_state_dict(weights, strict=head is None)
        missing: list[str] = keys.missing_keys
        if keys.unexpected_keys or not all(n.startswith("head.parametrizations.") for n in missing):
            raise ValueError(
                f"these are not the weights of this ψ: {missing}, {keys.unexpected_keys}"
            )
        if head is not None:
            with torch_seeded("start", self.recipe.train.seed), torch.no_grad():
                self.psi.head.weight = head
        self.psi.to(self.device)

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.psi.parameters(), *(self.leak.parameters() if self.leak is not None else ())]

    def _noise(self, images: Sequence[int], logits: Tensor, epoch: int) -> Tensor:
        size, seed = logits.shape[1:], self.recipe.train.seed
        draws = [
            gumbel_noise(size[0], size[1], seed=seed, epoch=epoch, image=int(image))
            for image in images
        ]
        return torch.stack(draws).to(logits.device)

    def _sum_gradients(self) -> None:
        """Sum over workers (not the mean): L is of the global batch, each holds some rows of it."""
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        total = self.collectives.all_reduce_sum(torch.cat([g.flatten() for g in gradients]))
        parts = split(total, [g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _cluster_health(self, logits: Tensor) -> tuple[int, float]:
        """Clusters that hold a patch of the batch; mean entropy of softmax(logits), in nats."""
        num_clusters = logits.shape[1]
        log_p = torch.log_softmax(logits.float(), dim=1)
        entropy = -(log_p.exp() * log_p).sum()
        held = torch.bincount(logits.argmax(dim=1), minlength=num_clusters).float()
        rows = torch.tensor([float(logits.shape[0])], device=logits.device)
        sums = self.collectives.all_reduce_sum(torch.cat((held, entropy[None], rows)))
        return int((sums[:num_clusters] > 0).sum()), float(sums[-2] / sums[-1].clamp_min(1))


class Labeleak(nn.Module):
    """``train.leak_labels``: ground truth through ψ's trunk, as the code behind the tables had it.

    A linear head of its own on ψ's features. For comparison only; no segmenter carries it.
    """

    def __init__(self, recipe: Recipe, in_dim: int, num_classes: int) -> None:
        super().__init__()
        with torch_seeded("leak", recipe.train.seed):
            self.head = nn.Linear(in_dim, num_classes)

    def forward(
        self, hidden: Tensor, labels: Tensor | None, rows: Tensor, collectives: Collectives
    ) -> Tensor:
        """This worker's part of the mean cross-entropy over the global batch's labeled pixels.

        ``hidden``: ψ's features of the valid patches, [n, T·D]; ``labels``: shares of the classes
        in each patch, [B, h·w, C]; ``rows``: which patches are valid, [B, h·w].

        Collectives: one sum of one number, the labeled pixels, in patches.
        """
        if labels is None:
            raise ValueError("train.leak_labels is on, but the step was given no labels")
        shares = labels.to(hidden.device)[rows]
        labeled = collectives.all_reduce_sum(shares.sum()[None])
        log_p = self.head(hidden.float()).log_softmax(dim=1)
        return -(shares * log_p).sum() / labeled.clamp_min(1)[0]


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether ψ's products are made in bfloat16 on a device, by ``train.precision``."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def uses_orthogonal_head(psi: Psi) -> bool:
    """Whether the weight of ψ's head is kept orthogonal."""
    return parametrize.is_parametrized(psi.head)


def build_psi(recipe: Recipe, in_dim: int) -> Psi:
    """ψ of a recipe, with initial weights that follow from its seed."""
    return Psi(
        in_dim,
        recipe.eigen.num_eigenfunctions,
        num_blocks=recipe.eigen.num_blocks,
        orthogonal_head=recipe.eigen.orthogonal_head,
        seed=recipe.train.seed,
    )
