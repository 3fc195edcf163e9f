"""A linear probe of features, trained on LABELS: ``raynef baseline probe`` and ``probe-psi``."""

import logging
from dataclasses import replace
from pathlib import Path

from raynef.config.recipe import Probe, Recipe
from raynef.core.errors import UserError
from raynef.jobs.baseline import Baseline, Inputs, Result, make, recipe_of_trained
from raynef.models.heads import LinearHead
from raynef.models.probe import fit_probe
from raynef.work.patches import sample_patches

logger = logging.getLogger("raynef")


def probe(recipe: Recipe, out: str | Path, *, address: str | None = None) -> Result:
    """A linear probe of the backbone's last features, trained on LABELS: a diagnostic.

    The result of ``raynef baseline probe``.
    """
    return make(Baseline("probe", recipe, _fit, supervised=True), out, address)


def probe_psi(
    run: str | Path,
    out: str | Path | None = None,
    *,
    settings: Probe | None = None,
    address: str | None = None,
) -> Result:
    """A linear probe of ψ's features before its head, trained on LABELS: a diagnostic.

    ψ is not touched: no gradient reaches it. Arguments as of ``raynef.jobs.kmeans.kmeans_psi``.
    """
    recipe = recipe_of_trained(run)
    recipe = replace(recipe, probe=settings or recipe.probe)
    baseline = Baseline("probe-psi", recipe, _fit, trained=Path(run), supervised=True)
    return make(baseline, Path(run) / baseline.kind if out is None else out, address)


def _fit(inputs: Inputs) -> tuple[LinearHead, Result]:
    """A head, and what is to be said of it."""
    config, seed = inputs.recipe.probe, inputs.recipe.train.seed
    sample = sample_patches(
        inputs.source, max_points=config.max_points, seed=seed, labels=inputs.labels, job="sample"
    )
    logger.info("probe, trained on LABELS: %d of %d patches", len(sample.rows), sample.num_patches)
    if sample.shares is None or not sample.shares.any():
        raise UserError(f"not one labeled patch under {inputs.recipe.data.root}")
    linear = fit_probe(sample.rows, sample.shares, config, seed=seed)
    head = LinearHead(linear.in_features, linear.out_features, trunk=inputs.source.load_trunk())
    head.head.load_state_dict(linear.state_dict())
    return head, {
        "num_clusters": linear.out_features,
        "points": len(sample.rows),
        "points_of": sample.num_patches,
        "epochs": config.epochs,
    }
