"""One training step on one worker's slice of the global batch, and what a checkpoint holds.

No Ray here: a job feeds ``Trainer.step`` with slices and collectives; a test feeds it alone.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from raynef.assign.sums import sizes_of_groups
from raynef.assign.teachers import Teachers
from raynef.config.recipe import Recipe
from raynef.core.collectives import Collectives, SingleProcess
from raynef.core.devices import beside, sent
from raynef.core.draws import generator, torch_seeded
from raynef.core.errors import NonFiniteLossError
from raynef.core.stopwatch import Stopwatch, Timed
from raynef.eigen.conv_psi import ConvPsi
from raynef.eigen.gumbel import cosine_schedule
from raynef.eigen.psi import AttentionPsi, Psi
from raynef.features.backbone import NUM_TAPS
from raynef.features.extract import Features
from raynef.features.precision import uses_bfloat16
from raynef.models.compiled import trunk_in_training
from raynef.models.gradients import GradientSum
from raynef.models.objectives import Batch, build_objective, num_outputs
from raynef.models.record import StepRecord, Terms


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


_WHOLE = ("loss", "cross_entropy")
"""Terms of which a step's loss is made, the same on every worker."""


class Trainer:
    """ψ, its optimizer and its schedules.

    Args:
        device: of ψ; what the loss is made of is there too, or beside it.
        in_dim: T·D, features that ψ sees of a patch.
        num_steps: of the whole training; temperature and learning rate follow a cosine over them.
            Where a training is lengthened, both follow the cosine of the new length from the step
            at which it goes on, and so rise at that step.
        num_classes: C of the labels that ``train.leak_labels`` lets in; 0 where it does not.
        teachers: where ``eigen.objective`` is clusterings.
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
        teachers: Teachers | None = None,
        watch: Stopwatch | None = None,
    ) -> None:
        self.recipe = recipe
        self.num_steps = num_steps
        self.device = device or torch.device("cpu")
        self.host = beside(self.device)
        self.watch = watch or Stopwatch(self.device)
        self.collectives: Collectives = Timed(collectives or SingleProcess(), self.watch)
        self.half = uses_bfloat16(recipe.train.precision, self.device)
        self.behind = self.device.type == "cuda"  # works on while the host prepares more
        self.objective = build_objective(recipe, teachers, self.host)
        self.psi = build_psi(recipe, in_dim).to(self.device)
        self._trunk = trunk_in_training(self.psi, self.device, compiled=recipe.train.compile)
        self.leak = Labeleak(recipe, in_dim, num_classes).to(self.host) if num_classes else None
        parameters = self._parameters()
        lr, decay = recipe.train.lr, recipe.train.weight_decay
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(parameters, lr=lr, weight_decay=decay, fused=True)
            if decay
            else torch.optim.Adam(parameters, lr=lr, fused=True)
        )
        self._gradients = GradientSum(parameters, self.collectives)
        self.step_index = 0

    def step(
        self,
        features: Features,
        images: Sequence[int],
        *,
        epoch: int,
        labels: Tensor | None = None,
        reference: Features | None = None,
    ) -> StepRecord:
        """One step on the global batch of which this worker holds ``images``.

        ``images`` are indices in the data set, which with the epoch seed the Gumbel noise;
        ``labels``, with ``train.leak_labels`` alone, shares of the classes in each patch,
        [B, h·w, C]; ``reference``, where the goal is told of another view of the same images, its
        features. A global batch without one valid patch (crops of images smaller than a patch)
        has no graph: the step changes no weight, and its terms are 0, as is ``patches``.

        Raises:
            NonFiniteLossError: with step and rank; no weight is touched.

        Collectives: those of kernel and loss, one sum of K + 2 statistics (two more of a number
        each where labels leak) and, among several workers, one of the gradient.
        """
        if labels is not None and self.leak is None:
            raise ValueError("labels were given, but train.leak_labels is off")
        with self.watch.running("psi"):
            record = self._step(features, images, epoch, labels, reference)
        self.step_index += 1
        return record

    def _step(
        self,
        features: Features,
        images: Sequence[int],
        epoch: int,
        labels: Tensor | None,
        reference: Features | None,
    ) -> StepRecord:
        eigen, train = self.recipe.eigen, self.recipe.train
        progress = (self.step_index, self.num_steps)
        tau = cosine_schedule(*progress, start=eigen.tau_start, end=eigen.tau_end)
        lr = cosine_schedule(*progress, start=train.lr, end=train.lr_end)
        batch = self._batch(features, images, epoch, reference, tau)
        with self.watch.running("graph"):
            goal = self.objective.goal(batch, self.collectives)
        at: dict[str, Any] = {"step": self.step_index, "epoch": epoch, "tau": tau, "lr": lr}
        if not goal.num_patches:  # the same on every worker
            leaked = None if self.leak is None else 0.0
            return StepRecord(**at, **self.objective.empty, cross_entropy=leaked)

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            rows = None if batch.at is None else batch.rows.to(self.device)
            hidden = self._trunk(batch.taps.to(self.device), rows, batch.grid)
            logits: Tensor = self.psi.head(hidden)
        hidden, logits = hidden.to(self.host), logits.to(self.host)
        found = self.objective.loss(logits, batch, goal, self.collectives)
        first = batch.of_patches(logits.detach())[:, : eigen.num_eigenfunctions]
        loss, terms = found.value, {"loss": found.whole, **found.terms, **self._health(first)}
        if self.leak is not None:
            shares = None if labels is None else batch.of_patches(labels)
            supervised = self.leak(batch.of_patches(hidden), shares, self.collectives)
            loss = supervised + 0.01 / eigen.num_eigenfunctions * loss
            terms["cross_entropy"] = self.collectives.all_reduce_sum(supervised.detach()[None])[0]
        said = Terms(terms)
        if not self.behind:
            self._require_finite(said, epoch)
        self.optimizer.zero_grad(set_to_none=True)
        self._gradients.backward(loss)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.behind:  # it has all its work before its numbers are waited for
            whole = torch.stack([terms[name] for name in _WHOLE if name in terms]).sum()
            # Where it is not finite, Adam leaves weights and its own state as they are.
            stays = (~torch.isfinite(whole)).float().to(self.device)
            self.optimizer.found_inf = stays  # pyright: ignore[reportAttributeAccessIssue]
        self.optimizer.step()
        if self.behind:
            self._require_finite(said, epoch)
        return StepRecord(**at, **said.numbers(), patches=goal.num_patches)

    def _require_finite(self, said: Terms, epoch: int) -> None:
        numbers = said.numbers()
        whole = sum(numbers[name] for name in _WHOLE if name in numbers)
        if not math.isfinite(whole):
            raise NonFiniteLossError(
                f"the loss is {whole} at step {self.step_index} (epoch {epoch}) on "
                f"rank {self.collectives.rank}; the last checkpoint is from before. A lower "
                "train.lr usually helps"
            )

    def _batch(
        self,
        features: Features,
        images: Sequence[int],
        epoch: int,
        reference: Features | None,
        tau: float,
    ) -> Batch:
        taps = sent(features.taps, self.host).float()
        last = taps[:, -1] if reference is None else sent(reference.taps[:, -1], self.host)
        # Where features are read: the number of valid patches of a GPU would be waited for.
        there = features.valid.cpu().flatten().numpy()
        at = None if there.all() else sent(torch.tensor(np.flatnonzero(there)), self.host)
        return Batch(
            images=images,
            epoch=epoch,
            taps=taps,
            thumbnails=sent(features.thumbnails, self.host).float(),
            valid=sent(features.valid, self.host),
            at=at,
            reference=last.float(),
            tau=tau,
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
        """Take ψ's weights from another's, as a segmenter holds them: with a plain head, or none.

        Optimizer and schedules start anew, and so does a head that is not there. The same on every
        worker.
        """
        weights = dict(weights)
        plain = uses_orthogonal_head(self.psi)
        head = weights.pop("head.weight", None) if plain else None
        self.psi.cpu()  # where the basis is completed by the same draws whatever the device
        keys: Any = self.psi.load_state_dict(weights, strict=False)
        missing: list[str] = keys.missing_keys
        expected = "head.parametrizations." if head is not None else "head."
        if keys.unexpected_keys or not all(name.startswith(expected) for name in missing):
            raise ValueError(
                f"these are not the weights of this ψ: {missing}, {keys.unexpected_keys}"
            )
        if head is not None:
            with torch_seeded("start", self.recipe.train.seed), torch.no_grad():
                self.psi.head.weight = head
        self.psi.to(self.device)

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.psi.parameters(), *(self.leak.parameters() if self.leak is not None else ())]

    def _health(self, logits: Tensor) -> dict[str, Tensor]:
        """Clusters that hold a patch of the batch; mean entropy of softmax(logits), in nats."""
        num_clusters = logits.shape[1]
        log_p = torch.log_softmax(logits.float(), dim=1)
        entropy = -(log_p.exp() * log_p).sum()
        held = sizes_of_groups(logits.argmax(dim=1), num_clusters).float()
        rows = torch.tensor([float(logits.shape[0])], device=logits.device)
        sums = self.collectives.all_reduce_sum(torch.cat((held, entropy[None], rows)))
        in_use, entropy = (sums[:num_clusters] > 0).sum(), sums[-2] / sums[-1].clamp_min(1)
        return {"clusters_in_use": in_use, "entropy": entropy}


class Labeleak(nn.Module):
    """``train.leak_labels``: ground truth through ψ's trunk, as the code behind the tables had it.

    A linear head of its own on ψ's features. For comparison only; no segmenter carries it.
    """

    def __init__(self, recipe: Recipe, in_dim: int, num_classes: int) -> None:
        super().__init__()
        with torch_seeded("leak", recipe.train.seed):
            self.head = nn.Linear(in_dim, num_classes)

    def forward(self, hidden: Tensor, shares: Tensor | None, collectives: Collectives) -> Tensor:
        """This worker's part of the mean cross-entropy over the global batch's labeled pixels.

        ``hidden``: ψ's features of the valid patches, [n, T·D]; ``shares``: of the classes in each
        of them, [n, C].

        Collectives: one sum of one number, the labeled pixels, in patches.
        """
        if shares is None:
            raise ValueError("train.leak_labels is on, but the step was given no labels")
        shares = shares.to(hidden.device)
        labeled = collectives.all_reduce_sum(shares.sum()[None])
        log_p = self.head(hidden.float()).log_softmax(dim=1)
        return -(shares * log_p).sum() / labeled.clamp_min(1)[0]


def uses_orthogonal_head(psi: Psi) -> bool:
    """Whether the weight of ψ's head is kept orthogonal."""
    return parametrize.is_parametrized(psi.head)


def build_psi(recipe: Recipe, in_dim: int) -> Psi:
    """ψ of a recipe, with initial weights that follow from its seed."""
    eigen = recipe.eigen
    # The order that an orthogonal head keeps is one of eigenfunctions.
    orthogonal = eigen.orthogonal_head and eigen.objective == "eigenfunctions"
    shape: dict[str, Any] = {"num_blocks": eigen.num_blocks, "orthogonal_head": orthogonal}
    outputs, seed = num_outputs(recipe), recipe.train.seed
    if eigen.network == "convolution":
        return ConvPsi(in_dim, outputs, num_taps=NUM_TAPS, seed=seed, **shape)
    return AttentionPsi(in_dim, outputs, seed=seed, **shape)
