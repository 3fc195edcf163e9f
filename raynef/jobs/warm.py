"""``--init-from RUN``: ψ starts from the weights of another run's, all else anew.

RUN/start.safetensors     a copy of those weights, so that resuming needs the other run no more
run.json, started_from    {"run": where they came from, "labels_leaked": whether it saw labels}
"""

import logging
from pathlib import Path

import safetensors.torch
import torch

from raynef.config.recipe import Recipe
from raynef.core.errors import UserError
from raynef.eigen.psi import Psi
from raynef.features.backbone import NUM_TAPS, Backbone
from raynef.features.weights import weights_identity
from raynef.io.files import write_atomic
from raynef.models.heads import LinearHead
from raynef.models.segmenter import Segmenter
from raynef.models.training import build_psi, uses_orthogonal_head
from raynef.stores.run import RunFolder, StartedFrom

logger = logging.getLogger("raynef")

_FILE = "start.safetensors"
_ORTHONORMAL = 1e-3  # largest entry of WWᵀ − I of a head that was kept orthogonal


def start_from(
    run: RunFolder, recipe: Recipe, backbone: Backbone | None, source: str | Path | None
) -> StartedFrom | None:
    """What a run starts from: found in its record, or made at its first start; None: from seeds.

    Args:
        run: held, not bound yet at its first start.
        recipe: of it.
        backbone: of the recipe; None for a run that has begun.
        source: a finished run, or a segmenter; None without ``--init-from``.

    Raises UserError: the run started from another, or ψ of ``source`` has another shape.
    """
    if run.record_file.is_file():
        found = run.record().started_from
        wanted = None if source is None else str(Path(source).absolute())
        if (found.run if found else None) != wanted:
            there = f"started with --init-from {found.run}" if found else "started from its seed"
            raise UserError(
                f"{run.path} {there}; resume it "
                f"{'so' if found else 'without --init-from'}, or give another --out"
            )
        return found
    if source is None or backbone is None:
        return None
    segmenter = Segmenter.load(source)
    head = segmenter.head
    psi = head.trunk if isinstance(head, LinearHead) else head
    if not isinstance(psi, Psi):
        raise UserError(f"--init-from {source} holds a baseline, not eigenfunctions")
    _require_same_shape(psi, recipe, NUM_TAPS * backbone.dim, source)
    if weights_identity(recipe.backbone) != segmenter.backbone_weights():
        logger.warning(
            "--init-from %s was trained on the features of another backbone (%s)",
            source,
            segmenter.backbone_config.name,
        )
    tensors = {name: tensor.contiguous() for name, tensor in psi.state_dict().items()}
    write_atomic(run.path / _FILE, lambda path: safetensors.torch.save_file(tensors, path))
    if segmenter.labels_leaked:
        logger.warning("--init-from %s saw labels in its training: this run is marked too", source)
    return StartedFrom(str(Path(source).absolute()), segmenter.labels_leaked)


def starting_weights(run: RunFolder) -> Path | None:
    """File of the weights that a bound run starts from; None where it starts from its seed."""
    return run.path / _FILE if run.record().started_from else None


def _require_same_shape(psi: Psi, recipe: Recipe, in_dim: int, source: str | Path) -> None:
    """Raise UserError, naming what differs, unless ψ is one of this recipe's.

    A ψ without its own head, for K-means took its place, starts a training with a new one.
    """
    own = build_psi(recipe, in_dim)
    has_head = hasattr(psi, "head")
    pairs: dict[str, tuple[int | str, int | str]] = {
        "eigen.network": (psi.network, own.network),
        "input dimension (three taps of the backbone)": (psi.in_dim, own.in_dim),
        "eigen.num_blocks": (len(psi.blocks), len(own.blocks)),
    }
    if has_head:
        outputs = (psi.head.out_features, own.head.out_features)
        pairs = {"eigen.num_eigenfunctions": outputs, **pairs}
    differing = [
        f"{name} is {there} there, {here} here"
        for name, (there, here) in pairs.items()
        if there != here
    ]
    if not differing and has_head and uses_orthogonal_head(own):
        weight = psi.head.weight.detach()
        gap = (weight @ weight.T - torch.eye(len(weight))).abs().max()
        if gap > _ORTHONORMAL:
            differing = ["its head is not orthogonal (eigen.orthogonal_head is off there, on here)"]
    if differing:
        raise UserError(f"--init-from {source} does not fit: {'; '.join(differing)}")
